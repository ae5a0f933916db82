// A second reader of image files, written from Documentation/IMAGE-FORMAT.md only: slow, plain, and with none of
// ImageFormat's decoders (but for Zstandard payloads, where both use libzstd).
import Blocks
import FoundationEssentials
import ImageFormat

/// An image file with every field read and noted, every hash checked and every chunk decoded.
struct ObviousDecoder {
    struct Piece: Equatable {
        let offset: UInt64
        let length: UInt64
        let role: UInt64?

        init(offset: UInt64, length: UInt64, role: UInt64?) {
            self.offset = offset
            self.length = length
            self.role = role
        }

        init(_ extent: Extent) { self.init(offset: extent.offset, length: extent.length, role: nil) }
    }

    struct Chunk: Equatable {
        let disk: Int
        let pieces: [Piece]
        let unreadable: [Piece]
        let content: [UInt8]
    }

    /// A field as it was read: where, how long, and what it is.
    struct Note {
        let offset: Int
        let size: Int
        let meaning: String
    }

    private struct Shape: Decodable {
        struct Disk: Decodable { let size: UInt64 }
        let formatVersion: Int
        let chunkSize: UInt64
        let chunkCount: Int
        let bases: [UInt64]
        let disks: [Disk]
    }

    private(set) var chunks: [UInt64: Chunk] = [:]
    private(set) var notes: [Note] = []
    private let file: [UInt8]
    private var position = 0
    private var headersDigest: [UInt8] = []
    private var headers: [UInt64: [UInt8]] = [:]
    private var unreadable: [[UInt64]] = []
    private var shape = Shape(formatVersion: 0, chunkSize: 0, chunkCount: 0, bases: [], disks: [])

    init(_ file: [UInt8]) throws {
        self.file = file
        try readHeader()
        try readFooter(at: try lastFooter())
    }

    // Numbers and bytes, each noted.

    private mutating func bytes(_ count: Int, _ meaning: String) throws -> [UInt8] {
        guard position >= 0, count >= 0, position + count <= file.count else {
            throw Obviously("end: \(meaning)")
        }
        notes.append(Note(offset: position, size: count, meaning: meaning))
        position += count
        return Array(file[position - count..<position])
    }

    private mutating func number(_ size: Int, _ meaning: String) throws -> UInt64 {
        try bytes(size, meaning).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private mutating func varint(_ meaning: String) throws -> UInt64 {
        let start = position
        while position < file.count, file[position] >= 128 { position += 1 }
        let count = position - start + 1
        position = start
        guard count <= 9 else { throw Obviously("varint") }
        return try bytes(count, meaning).reversed().reduce(0) { $0 << 7 | UInt64($1 & 127) }
    }

    private mutating func expect(_ expected: [UInt8], _ meaning: String) throws {
        guard try bytes(expected.count, meaning) == expected else { throw Obviously(meaning) }
    }

    private mutating func prefix() throws -> (kind: UInt64, header: Int, payload: Int) {
        let kind = try number(2, "kind")
        return (kind, Int(try number(2, "header length")), Int(try number(4, "payload length")))
    }

    // The parts of the file.

    private mutating func readHeader() throws {
        try expect([0x89, 0x49, 0x4d, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], "file header: magic")
        try expect([1, 0], "version")
        try expect([64, 0], "length of the file header")
        try expect([0, 0, 0, 0], "zero")
        try expect([UInt8](repeating: 0, count: 8), "incompatible features")
        _ = try bytes(8, "compatible features")
        _ = try bytes(16, "image id")
        try expect([UInt8](repeating: 0, count: 16), "zeros")
    }

    /// The footer at the end; else walks all frames and remembers the last footer.
    private func lastFooter() throws -> Int {
        let tail = file.count - 128
        if tail >= 64, file.integer(at: tail, 2) == 7, file.integer(at: tail + 48, 8) == UInt64(file.count) {
            return tail
        }
        var offset = 64
        var found: Int?
        while offset + 8 <= file.count {
            let length = 8 + Int(file.integer(at: offset + 2, 2) + file.integer(at: offset + 4, 4))
            if file.integer(at: offset, 2) == 7, offset + 128 <= file.count,
                obviousSHA256(Array(file[offset..<offset + 96])) == Array(file[offset + 96..<offset + 128])
            {
                found = offset
            }
            offset += length
        }
        guard let found else { throw Obviously("no footer") }
        return found
    }

    private mutating func readFooter(at footer: Int) throws {
        position = footer
        guard try prefix() == (7, 120, 0) else { throw Obviously("footer prefix") }
        try expect(Array("IMGFOOT\n".utf8), "footer: magic")
        var places: [Int] = []
        for name in ["manifest", "chunk set", "closing record", "index"] {
            places.append(Int(truncatingIfNeeded: try number(8, "offset of the \(name)")))
        }
        guard try number(8, "offset behind this footer") == UInt64(footer + 128) else {
            throw Obviously("file length")
        }
        try expect([UInt8](repeating: 0, count: 8), "zeros")
        let digest = try bytes(32, "SHA-256 of manifest, chunk set, closing record and index frame")
        _ = try bytes(32, "SHA-256 of the 96 bytes before")

        var payloads: [Range<Int>] = []
        var hashed: [UInt8] = []
        for (kind, place) in zip([1, 2, 5, 6] as [UInt64], places) {
            position = place
            let frame = try prefix()
            guard frame.kind == kind, frame.header == 0, position + frame.payload <= footer else {
                throw Obviously("frame \(kind)")
            }
            payloads.append(position..<position + frame.payload)
            hashed += file[place..<position + frame.payload]
        }
        guard obviousSHA256(hashed) == digest else { throw Obviously("hash of the footer") }
        try readManifest(payloads[0])
        let existing = try readChunkSet(payloads[1])
        let total = try readClosing(payloads[2])
        try readIndex(payloads[3])
        let proven =
            file[payloads[0]] + file[payloads[1]] + headers.sorted { $0.key < $1.key }.flatMap(\.value)
        guard obviousSHA256(Array(proven)) == headersDigest else { throw Obviously("hash of the headers") }
        let told = chunks.sorted { $0.key < $1.key }.flatMap { entry in
            entry.value.unreadable.map { [UInt64(entry.value.disk), $0.offset, $0.length] }
        }
        guard told.isEmpty || told == unreadable else { throw Obviously("unreadable ranges") }
        guard Set(chunks.keys) == existing, existing.count == shape.chunkCount, total == existing.count else {
            throw Obviously("chunks")
        }
    }

    private mutating func readManifest(_ range: Range<Int>) throws {
        position = range.lowerBound
        shape = try JSONDecoder().decode(Shape.self, from: Data(try bytes(range.count, "manifest: JSON")))
        guard shape.formatVersion == 1 else { throw Obviously("format version") }
        var base: UInt64 = 0
        for (disk, stated) in zip(shape.disks, shape.bases) {
            guard stated == base else { throw Obviously("bases") }
            base += (disk.size + shape.chunkSize - 1) / shape.chunkSize
        }
    }

    private mutating func readChunkSet(_ range: Range<Int>) throws -> Set<UInt64> {
        position = range.lowerBound
        var numbers = Set<UInt64>()
        var next: UInt64 = 0
        for _ in 0..<(try varint("chunk set: number of ranges")) {
            next += try varint("gap")
            let length = try varint("length")
            guard length < 1 << 20 else { throw Obviously("too large for this decoder") }
            for _ in 0..<length {
                numbers.insert(next)
                next += 1
            }
        }
        guard position == range.upperBound else { throw Obviously("chunk set") }
        return numbers
    }

    private mutating func readClosing(_ range: Range<Int>) throws -> UInt64 {
        position = range.lowerBound
        let total = try number(8, "closing record: frames")
        _ = try number(8, "bytes of content")
        _ = try number(8, "bytes of payload")
        headersDigest = try bytes(32, "SHA-256 of manifest, chunk set and headers")
        for _ in 0..<(try varint("unreadable ranges")) {
            unreadable.append([try varint("disk"), try varint("offset"), try varint("length")])
        }
        guard position == range.upperBound else { throw Obviously("closing record") }
        return total
    }

    private mutating func readIndex(_ range: Range<Int>) throws {
        position = range.lowerBound
        while position < range.upperBound {
            let offset = Int(truncatingIfNeeded: try number(8, "index: offset of a frame"))
            let start = position
            let frame = try prefix()
            let head = try bytes(frame.header, "header of that frame")
            let length = 8 + head.count
            guard offset >= 0, offset <= file.count - length,
                Array(file[offset..<offset + length]) == Array(file[start..<start + length])
            else { throw Obviously("index entry") }
            headers[file.integer(at: start + 8, 4)] = Array(file[start..<start + length])
            let back = position
            try readFrame(at: offset)
            position = back
        }
    }

    private mutating func readFrame(at start: Int) throws {
        position = start
        let (kind, headerLength, payloadLength) = try prefix()
        let number = try number(4, "chunk: number")
        let disk = Int(try self.number(2, "disk"))
        let codec = try self.number(1, "codec")
        let flags = try self.number(1, "flags")
        guard flags < 2 else { throw Obviously("flags") }
        let rawLength = Int(try self.number(4, "length of the content"))
        let digest = try bytes(32, "SHA-256 of the content")
        var pieces: [Piece] = []
        guard disk < shape.disks.count else { throw Obviously("disk") }
        var next = kind == 3 ? (number - shape.bases[disk]) * shape.chunkSize : 0
        for _ in 0..<(try varint("extents")) {
            let role = kind == 4 ? try self.number(1, "role") : nil
            let offset = next + (try varint("gap"))
            let length = try varint("length")
            pieces.append(Piece(offset: offset, length: length, role: role))
            next = offset + length
        }
        var unreadable: [Piece] = []
        if flags == 1 {
            next = kind == 3 ? (number - shape.bases[disk]) * shape.chunkSize : 0
            for _ in 0..<(try varint("unreadable ranges of the chunk")) {
                let offset = next + (try varint("gap"))
                let length = try varint("length")
                guard
                    pieces.contains(where: {
                        $0.offset <= offset && offset + length <= $0.offset + $0.length
                    })
                else { throw Obviously("unreadable range") }
                unreadable.append(Piece(offset: offset, length: length, role: nil))
                next = offset + length
            }
        }
        guard position == start + 8 + headerLength else { throw Obviously("header length") }
        let payload = try bytes(payloadLength, "payload")
        let content: [UInt8]
        switch codec {
        case 0: content = payload.isEmpty ? [UInt8](repeating: 0, count: rawLength) : payload
        case 1: content = try obviousInflate(payload, limit: rawLength)
        case 2:
            let layout = try ChunkLayout(chunkSize: shape.chunkSize, diskSizes: shape.disks.map(\.size))
            content = try FrameDecoder().content(of: Array(file[start..<position]), layout: layout).1
        default: throw Obviously("codec")
        }
        guard content.count == rawLength, obviousSHA256(content) == digest,
            pieces.reduce(0, { $0 + $1.length }) == UInt64(rawLength)
        else { throw Obviously("content of chunk \(number)") }
        chunks[number] = Chunk(disk: disk, pieces: pieces, unreadable: unreadable, content: content)
    }
}

extension ObviousDecoder {
    /// The notes as text: offset, bytes in hexadecimal digits (the first 32), meaning.
    var annotated: String {
        var lines: [String] = []
        for note in notes.sorted(by: { $0.offset < $1.offset }) {
            let bytes = file[note.offset..<note.offset + note.size]
            let digits = bytes.prefix(32).hex + (note.size > 32 ? "… (\(note.size) bytes)" : "")
            let offset = String(note.offset)
            lines.append(
                String(repeating: " ", count: 6 - min(6, offset.count))
                    + "\(offset)  \(digits)  \(note.meaning)")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

/// SHA-256 as FIPS 180-4 §6.2 writes it.
func obviousSHA256(_ message: [UInt8]) -> [UInt8] {
    func rotate(_ x: UInt32, _ count: UInt32) -> UInt32 { x >> count | x << (32 - count) }
    // Fractions of the cube and square roots of the first primes, computed instead of copied.
    let primes = (2...311).filter { candidate in !(2..<candidate).contains { candidate % $0 == 0 } }
    func fraction(_ root: (UInt64) -> Bool) -> UInt32 {
        var value: UInt64 = 0
        for bit in (0..<36 as Range<UInt64>).reversed() where root(value | 1 << bit) { value |= 1 << bit }
        return UInt32(truncatingIfNeeded: value)
    }
    func power(_ base: UInt64, _ exponent: Int, isAtMost prime: Int) -> Bool {
        // base is a root scaled by 2³²: compare base^e with prime · 2^(32 e) in wide integers.
        var wide: UInt128 = 1
        for _ in 0..<exponent { wide *= UInt128(base) }
        return wide <= UInt128(prime) << UInt128(32 * exponent)
    }
    let k = primes.map { prime in fraction { power($0, 3, isAtMost: prime) } }
    var h = primes.prefix(8).map { prime in fraction { power($0, 2, isAtMost: prime) } }
    var padded = message + [0x80]
    while padded.count % 64 != 56 { padded.append(0) }
    for shift in (0..<8).reversed() {
        padded.append(UInt8(truncatingIfNeeded: (message.count * 8) >> (shift * 8)))
    }
    for start in stride(from: 0, to: padded.count, by: 64) {
        var w = (0..<16).map { word in
            (0..<4).reduce(0 as UInt32) { $0 << 8 | UInt32(padded[start + word * 4 + $1]) }
        }
        for t in 16..<64 {
            let s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3
            let s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10
            w.append(w[t - 16] &+ s0 &+ w[t - 7] &+ s1)
        }
        var v = h
        for t in 0..<64 {
            let s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25)
            let choice = (v[4] & v[5]) ^ (~v[4] & v[6])
            let first = v[7] &+ s1 &+ choice &+ k[t] &+ w[t]
            let s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22)
            let majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2])
            v = [first &+ s0 &+ majority, v[0], v[1], v[2], v[3] &+ first, v[4], v[5], v[6]]
        }
        for index in 0..<8 { h[index] &+= v[index] }
    }
    return h.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(24 - $0 * 8)) } }
}
