// The GPT header (UEFI specification §5.3.2) and its entries (§5.3.3), as bytes of one logical sector.
internal import Blocks

/// A GPT header that has proven its own checksum, and the whole sector it stands in.
struct GPTHeader: Equatable {
    static let signature: [UInt8] = Array("EFI PART".utf8)
    /// Largest entry array that is accepted; the usual one has 16 KiB.
    static let largestArray: UInt64 = 4 << 20

    /// The logical sector with the header at its start.
    private(set) var sector: [UInt8]
    private let headerSize: Int
    private(set) var ownSector: UInt64
    private(set) var alternateSector: UInt64
    let firstUsable: UInt64
    private(set) var lastUsable: UInt64
    let diskIdentifier: GUID
    private(set) var entriesSector: UInt64
    let entryCount: UInt32
    let entrySize: UInt32
    let entriesChecksum: UInt32

    /// Decodes and checks signature, sizes, checksum and place.
    ///
    /// `number` is the logical sector the bytes were read from.
    init(_ sector: [UInt8], at number: UInt64) throws(DecodeError) {
        self = try sector.withBytes { (bytes: RawSpan) throws(DecodeError) -> GPTHeader in
            try GPTHeader(bytes, sector)
        }
        guard ownSector == number else {
            throw .invalid("the GPT header in sector \(number) says that it stands in sector \(ownSector)")
        }
    }

    private init(_ bytes: RawSpan, _ sector: [UInt8]) throws(DecodeError) {
        guard sector.starts(with: GPTHeader.signature) else { throw .invalid("there is no GPT signature") }
        var offset = 8
        let revision = try bytes.u32(at: &offset)
        guard revision >> 16 == 1 else { throw .unsupported("GPT revision \(revision >> 16)") }
        let headerSize = Int(try bytes.u32(at: &offset))
        guard headerSize >= 92, headerSize <= sector.count else {
            throw .invalid("the GPT header has \(headerSize) bytes")
        }
        let checksum = try bytes.u32(at: &offset)
        var cleared = Array(sector[..<headerSize])
        cleared.replaceSubrange(16..<20, with: [0, 0, 0, 0])
        guard CRC32.of(cleared) == checksum else { throw .corrupt("the GPT header's checksum is wrong") }
        self.sector = sector
        self.headerSize = headerSize
        offset = 24
        ownSector = try bytes.u64(at: &offset)
        alternateSector = try bytes.u64(at: &offset)
        firstUsable = try bytes.u64(at: &offset)
        lastUsable = try bytes.u64(at: &offset)
        diskIdentifier = GUID(mixedEndian: try bytes.array(16, at: &offset, "the disk's GUID"))
        entriesSector = try bytes.u64(at: &offset)
        entryCount = try bytes.u32(at: &offset)
        entrySize = try bytes.u32(at: &offset)
        entriesChecksum = try bytes.u32(at: &offset)
        let length = UInt64(entryCount) * UInt64(entrySize)
        guard entrySize >= 128, entrySize % 8 == 0, length > 0, length <= GPTHeader.largestArray else {
            throw .unsupported("a GPT with \(entryCount) entries of \(entrySize) bytes")
        }
        guard firstUsable <= lastUsable, lastUsable < UInt64(1) << 55, entriesSector < UInt64(1) << 55,
            alternateSector < UInt64(1) << 55
        else { throw .invalid("the GPT header's sector numbers contradict each other") }
    }

    /// Number of bytes that the entries have.
    var arrayLength: Int { Int(entryCount) * Int(entrySize) }

    /// Number of logical sectors of `sectorSize` bytes that the entry array takes.
    func arraySectors(_ sectorSize: UInt32) -> UInt64 {
        (UInt64(arrayLength) + UInt64(sectorSize) - 1) / UInt64(sectorSize)
    }

    /// Whether `array`, the entry array's sectors, has the checksum that the header names.
    func matches(_ array: [UInt8]) -> Bool {
        array.count >= arrayLength && CRC32.of(array[..<arrayLength]) == entriesChecksum
    }

    /// Whether both headers describe the same table.
    func describesSameTable(as other: GPTHeader) -> Bool {
        diskIdentifier == other.diskIdentifier && entryCount == other.entryCount
            && entrySize == other.entrySize
            && entriesChecksum == other.entriesChecksum && firstUsable == other.firstUsable
            && lastUsable == other.lastUsable
    }

    /// The used entries' first and last sectors, in the order of the array; `array` holds at least `arrayLength`.
    func partitions(in array: [UInt8]) throws(DecodeError) -> [ClosedRange<UInt64>] {
        var result: [ClosedRange<UInt64>] = []
        for index in 0..<Int(entryCount) {
            let start = index * Int(entrySize)
            guard array[start..<start + 16].contains(where: { $0 != 0 }) else { continue }
            let (first, last) = try array.withBytes {
                (bytes: RawSpan) throws(DecodeError) -> (UInt64, UInt64) in
                var offset = start + 32
                return (try bytes.u64(at: &offset), try bytes.u64(at: &offset))
            }
            guard first <= last, last < UInt64(1) << 55 else {
                throw .invalid("GPT entry \(index + 1) ends before it starts")
            }
            result.append(first...last)
        }
        return result
    }

    /// The header for another place: everything that depends on the disk's size rewritten, the checksum renewed.
    func moved(
        to ownSector: UInt64, alternate: UInt64, lastUsable: UInt64, entries: UInt64
    ) -> GPTHeader {
        var copy = self
        copy.ownSector = ownSector
        copy.alternateSector = alternate
        copy.lastUsable = lastUsable
        copy.entriesSector = entries
        copy.sector.store(ownSector, at: 24)
        copy.sector.store(alternate, at: 32)
        copy.sector.store(lastUsable, at: 48)
        copy.sector.store(entries, at: 72)
        copy.sector.store(UInt32(0), at: 16)
        copy.sector.store(CRC32.of(copy.sector[..<headerSize]), at: 16)
        return copy
    }
}

extension Array where Element == UInt8 {
    /// Overwrites the bytes at `offset` with `value`, little endian; they must exist.
    mutating func store<T: FixedWidthInteger & UnsignedInteger>(_ value: T, at offset: Int) {
        for index in 0..<MemoryLayout<T>.size {
            self[offset + index] = UInt8(truncatingIfNeeded: value >> T(8 * index))
        }
    }
}
