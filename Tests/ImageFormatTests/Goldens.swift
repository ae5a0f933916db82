// The golden images: what each holds, and how a damaged one is made from a whole one.
import Blocks
import ImageFormat
import TestSupport
import Testing

/// A golden image file and the bytes that its disks then have.
struct Golden: Sendable, CustomTestStringConvertible {
    static let folder = GoldenFolder("Golden", beside: #filePath)

    let name: String
    let compression: Compression
    let image: @Sendable () -> SampleImage
    /// What extends the image, if anything.
    var more: (@Sendable () -> SampleImage)?

    var testDescription: String { name }

    /// The bytes that the encoder makes today.
    func made() throws -> [UInt8] {
        let file = try image().encoded(compression)
        return try more.map { try $0().extending(file, compression) } ?? file
    }

    func stored() throws -> [UInt8] { try Golden.folder.read("\(name).img") }

    static let all = [
        Golden(name: "none", compression: .none, image: { Golden.oneDisk(seed: 1) }),
        Golden(name: "zlib", compression: Compression(.zlib, level: 6), image: { Golden.oneDisk(seed: 2) }),
        Golden(name: "zstd", compression: .balanced, image: { Golden.oneDisk(seed: 3) }),
        Golden(name: "zero", compression: .balanced, image: { Golden.zeros() }),
        Golden(name: "tables", compression: .none, image: { Golden.tables() }),
        Golden(name: "unreadable", compression: .none, image: { Golden.unreadable() }),
        Golden(
            name: "extended", compression: .none, image: { Golden.oneDisk(seed: 4) },
            more: { Golden.extension() }),
    ]

    /// Sizes are checked when the samples are made: a wrong one stops the tests.
    private static func layout(_ sizes: [UInt64]) -> ChunkLayout {
        do throws(DecodeError) {
            return try ChunkLayout(chunkSize: 64 * KiB, diskSizes: sizes)
        } catch { preconditionFailure(error.description) }
    }

    private static func id(_ seed: UInt8) -> GUID {
        GUID(random: [UInt8](repeating: seed, count: 16))
    }

    private static func text(_ count: Int, _ line: String) -> [UInt8] {
        Array(String(repeating: line, count: count / line.utf8.count + 1).utf8.prefix(count))
    }

    /// A disk of three regions and a short fourth: text in two extents, nothing, noise, text in the short one.
    private static func oneDisk(seed: UInt64) -> SampleImage {
        var random = SeededRandom(seed: seed)
        let layout = layout([204_800])
        return SampleImage(
            id: id(UInt8(seed)), layout: layout, tableTypes: ["none"],
            frames: [
                PlannedFrame(
                    number: 0, disk: 0,
                    extents: [Extent(offset: 512, length: 1000), Extent(offset: 8192, length: 512)],
                    content: text(1512, "All the news that fits. ")),
                PlannedFrame(
                    number: 2, disk: 0, extents: [Extent(offset: 131_072, length: 700)],
                    content: random.bytes(700)),
                PlannedFrame(
                    number: 3, disk: 0, extents: [Extent(offset: 200_704, length: 4096)],
                    content: text(4096, "the end of the disk\n")),
            ],
            unreadableBesides: [
                ClosingRecord.Unreadable(disk: 0, extent: Extent(offset: 200_704, length: 512))
            ])
    }

    /// Replaces a chunk of `oneDisk`, and adds the one that was not there.
    private static func `extension`() -> SampleImage {
        SampleImage(
            id: id(0x44), layout: layout([204_800]), tableTypes: ["none"],
            frames: [
                PlannedFrame(
                    number: 1, disk: 0, extents: [Extent(offset: 65_536, length: 64)],
                    content: text(64, "new ")),
                PlannedFrame(
                    number: 3, disk: 0, extents: [Extent(offset: 196_608, length: 100)],
                    content: text(100, "replaced ")),
            ])
    }

    private static func zeros() -> SampleImage {
        SampleImage(
            id: id(5), layout: layout([1 << 20]), tableTypes: ["none"],
            frames: [
                PlannedFrame(
                    number: 1, disk: 0, extents: [Extent(offset: 65_536, length: 65_536)],
                    content: [UInt8](repeating: 0, count: 65_536)),
                PlannedFrame(
                    number: 15, disk: 0, extents: [Extent(offset: (1 << 20) - 1, length: 1)], content: [0]),
                PlannedFrame(
                    number: 7, disk: 0, extents: [Extent(offset: 458_752, length: 2)], content: [0, 1]),
            ])
    }

    /// A GPT disk and an MBR disk with a logical partition: one table frame each.
    private static func tables() -> SampleImage {
        let layout = layout([131_072, 100_352])
        return SampleImage(
            id: id(6), layout: layout, tableTypes: ["gpt", "dos"],
            frames: [
                PlannedFrame(
                    number: 1, disk: 0, extents: [Extent(offset: 65_536, length: 512)],
                    content: text(512, "a")),
                PlannedFrame(
                    number: 2, disk: 1, extents: [Extent(offset: 512, length: 300)], content: text(300, "b")),
                PlannedFrame(
                    kind: .table, number: layout.tableNumber(disk: 0), disk: 0,
                    extents: [
                        Extent(offset: 0, length: 512), Extent(offset: 512, length: 512),
                        Extent(offset: 1024, length: 256), Extent(offset: 130_304, length: 256),
                        Extent(offset: 130_560, length: 512),
                    ],
                    roles: [.mbr, .gptHeader, .gptEntries, .gptBackupEntries, .gptBackupHeader],
                    content: text(2048, "EFI PART ")),
                PlannedFrame(
                    kind: .table, number: layout.tableNumber(disk: 1), disk: 1,
                    extents: [Extent(offset: 0, length: 512), Extent(offset: 51_200, length: 512)],
                    roles: [.mbr, .ebr], content: text(1024, "MBR and EBR ")),
            ])
    }

    /// A disk whose frames tell what could not be read: sectors in two extents, a whole chunk, and a boot record.
    private static func unreadable() -> SampleImage {
        let layout = layout([131_072])
        var readable = text(5120, "sector by sector ")
        for range in [512..<1024, 2048..<4096, 4096..<4608] {
            readable.replaceSubrange(range, with: repeatElement(0, count: range.count))
        }
        return SampleImage(
            id: id(7), layout: layout, tableTypes: ["dos"],
            frames: [
                PlannedFrame(
                    number: 0, disk: 0,
                    extents: [Extent(offset: 512, length: 4096), Extent(offset: 8192, length: 1024)],
                    unreadable: [
                        Extent(offset: 1024, length: 512), Extent(offset: 2560, length: 2048),
                        Extent(offset: 8192, length: 512),
                    ], content: readable),
                PlannedFrame(
                    number: 1, disk: 0, extents: [Extent(offset: 65_536, length: 65_536)],
                    unreadable: [Extent(offset: 65_536, length: 65_536)],
                    content: [UInt8](repeating: 0, count: 65_536)),
                PlannedFrame(
                    kind: .table, number: layout.tableNumber(disk: 0), disk: 0,
                    extents: [Extent(offset: 0, length: 512), Extent(offset: 51_200, length: 512)],
                    roles: [.mbr, .ebr], unreadable: [Extent(offset: 51_200, length: 512)],
                    content: text(512, "MBR and EBR ") + [UInt8](repeating: 0, count: 512)),
            ])
    }
}

/// A way to damage a golden image, `none` unless another is named; the error it must end in stands in `Damaged/NAME.error`.
struct Damage: Sendable, CustomTestStringConvertible {
    static let folder = GoldenFolder("Golden/Damaged", beside: #filePath)

    let name: String
    var golden = "none"
    let apply: @Sendable (inout [UInt8]) throws -> Void

    var testDescription: String { name }

    func made() throws -> [UInt8] {
        var file = try #require(Golden.all.first { $0.name == golden }).made()
        try apply(&file)
        return file
    }

    static let all = [
        Damage(name: "too-short") { $0.removeLast($0.count - 40) },
        Damage(name: "not-an-image") { $0[4] = 0x0a },
        Damage(name: "newer-file-version") { $0[8] = 2 },
        Damage(name: "longer-header") { $0[10] = 65 },
        Damage(name: "unknown-feature") { $0[16] = 8 },
        Damage(name: "header-of-another-image") { $0[32] ^= 1 },
        Damage(name: "cut-in-the-chunks") { $0.removeLast($0.count - 2500) },
        Damage(name: "cut-in-the-manifest") { $0.removeLast($0.count - 500) },
        Damage(name: "unknown-kind-without-footer") {
            $0.removeLast()
            try $0.setByte(at: $0.offset(of: .closing), to: 8)
        },
        Damage(name: "manifest-without-a-field") {
            try $0.replace("\"firmware\"", with: "\"firmwore\"")
            try $0.reseal()
        },
        Damage(name: "newer-manifest") {
            try $0.replace("\"formatVersion\":1", with: "\"formatVersion\":2")
            try $0.reseal()
        },
        Damage(name: "chunk-more-than-promised") {
            try $0.replace("\"chunkCount\":3", with: "\"chunkCount\":4")
            try $0.reseal()
        },
        Damage(name: "wrong-bases") {
            try $0.replace("\"bases\":[0]", with: "\"bases\":[1]")
            try $0.reseal()
        },
        Damage(name: "closing-record-of-another-image") {
            try $0.setByte(at: $0.offset(of: .closing) + 8, to: 4)
            try $0.reseal()
        },
        Damage(name: "unknown-codec") {
            // The index repeats prefix and header: 8 bytes of offset, 8 of prefix, then number u32, disk u16.
            try $0.setByte(at: $0.offset(of: .index) + 8 + 8 + 8 + 6, to: 9)
            try $0.reseal()
        },
        Damage(name: "unknown-flag") {
            try $0.setByte(at: $0.offset(of: .index) + 8 + 8 + 8 + 7, to: 2)
            try $0.reseal()
        },
        Damage(name: "unreadable-range-outside-its-extents", golden: "unreadable") {
            // Behind the two extents: count, gap (two bytes), length (two bytes).
            let ranges = try $0.offset(of: .chunk) + 8 + 53
            #expect($0[ranges..<ranges + 5] == [3, 0x80, 8, 0x80, 4])
            $0.setByte(at: ranges + 4, to: 0x7f)
        },
        Damage(name: "closing-record-without-its-unreadable-ranges", golden: "unreadable") {
            try $0.replaceUnreadable(with: [])
        },
        Damage(name: "frame-is-not-its-index-entry") {
            let chunk = try $0.offset(of: .chunk)
            $0[chunk + 8 + 12] ^= 1
        },
        Damage(name: "content-flipped") {
            let chunk = try $0.offset(of: .chunk)
            $0[chunk + 8 + 52 + 100] ^= 1
        },
    ]
}

extension [UInt8] {
    private struct NotThere: Error { let what: String }

    /// Offset of the first frame of a kind.
    func offset(of kind: FrameKind) throws -> Int {
        var offset = FileHeader.byteCount
        while offset + 8 <= count {
            if integer(at: offset, 2) == UInt64(kind.rawValue) { return offset }
            offset += 8 + Int(integer(at: offset + 2, 2) + integer(at: offset + 4, 4))
        }
        throw NotThere(what: "frame \(kind.rawValue)")
    }

    mutating func setByte(at offset: Int, to value: UInt8) { self[offset] = value }

    mutating func replace(_ old: String, with new: String) throws {
        let (old, new) = (Array(old.utf8), Array(new.utf8))
        let place = indices.first { self[$0...].starts(with: old) }
        guard let place, old.count == new.count else { throw NotThere(what: "the text") }
        replaceSubrange(place..<place + old.count, with: new)
    }

    /// Writes the footer's hashes anew, so that a change behind them is seen by the checks behind them.
    mutating func reseal() throws {
        guard count >= 192 else { throw NotThere(what: "a footer") }
        let footer = count - 128
        var hashed: [UInt8] = []
        for field in 0..<4 {
            let offset = integer(at: footer + 16 + field * 8, 8)
            guard offset <= UInt64(footer - 8) else { throw NotThere(what: "a frame") }
            let start = Int(offset)
            let length = 8 + Int(integer(at: start + 2, 2) + integer(at: start + 4, 4))
            guard length <= footer - start else { throw NotThere(what: "a whole frame") }
            hashed += self[start..<start + length]
        }
        replaceSubrange(footer + 64..<footer + 96, with: Digest.of(hashed).bytes)
        replaceSubrange(footer + 96..<count, with: Digest.of(Array(self[footer..<footer + 96])).bytes)
    }

    /// Puts another list of unreadable ranges into the closing record of a whole file.
    mutating func replaceUnreadable(with unreadable: [ClosingRecord.Unreadable]) throws {
        let old = try withBytes(in: count - FileFooter.byteCount..<count) { span throws(DecodeError) in
            try FileFooter(from: span)
        }
        var closing = try ImageFileReader(MemoryImage(self)).closing
        closing.unreadable = unreadable
        var frame = ByteWriter()
        FramePrefix(kind: .closing, headerLength: 0, payloadLength: closing.encoded.count).encode(
            into: &frame)
        frame.append(closing.encoded)
        let index = self[Int(old.index)..<count - FileFooter.byteCount]
        let front = self[..<Int(old.closing)]
        let footer = FileFooter(
            manifest: old.manifest, chunkSet: old.chunkSet, closing: old.closing,
            index: old.closing + UInt64(frame.count),
            fileLength: UInt64(front.count + frame.count + index.count + FileFooter.byteCount),
            digest: old.digest)
        self = Array(front) + frame.bytes + Array(index) + footer.encoded
        try reseal()
    }

    /// A little-endian integer of `size` bytes, which must be there.
    func integer(at offset: Int, _ size: Int) -> UInt64 {
        (0..<size).reversed().reduce(0) { $0 << 8 | UInt64(self[offset + $1]) }
    }
}
