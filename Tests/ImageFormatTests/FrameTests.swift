// Layouts, frame headers and codecs.
import Blocks
import ImageFormat
import TestSupport
import Testing

@Suite struct ChunkLayoutTests {
    @Test(arguments: 0..<20 as Range<UInt64>) func everyByteHasOneNumber(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let chunkSize = UInt64(1) << UInt64.random(in: 16...24, using: &random)
        let sizes = (0..<Int.random(in: 1...5, using: &random)).map { _ in
            UInt64.random(in: 1...chunkSize * 9, using: &random)
        }
        let layout = try ChunkLayout(chunkSize: chunkSize, diskSizes: sizes)
        var covered = [UInt64](repeating: 0, count: sizes.count)
        var tables = 0
        for number in layout.numbers {
            switch try #require(layout.place(of: number)) {
            case .region(let disk, let extent):
                #expect(extent.offset == covered[disk], "regions follow each other")
                #expect(layout.number(disk: disk, offset: extent.offset) == number)
                #expect(layout.number(disk: disk, offset: extent.end - 1) == number)
                #expect(tables == 0, "tables come after all regions")
                covered[disk] = extent.end
            case .table(let disk):
                #expect(disk == tables)
                #expect(layout.tableNumber(disk: disk) == number)
                tables += 1
            }
        }
        #expect(covered == sizes)
        #expect(tables == sizes.count)
        #expect(layout.place(of: layout.numbers.upperBound) == nil)
        #expect(layout.place(of: UInt32.max) == nil)
    }

    @Test(
        arguments: [
            (0, [1]), (65_535, [1]), (65_537, [1]), (32 * KiB, [1]), (32 * MiB, [1]), (64 * KiB, []),
            (64 * KiB, [0]), (64 * KiB, [UInt64.max]), (64 * KiB, [1 << 63]),
            (64 * KiB, [1 << 48]), (64 * KiB, [1 << 47, 1 << 47]),
            (64 * KiB, [UInt64](repeating: 1, count: 65)),
        ] as [(UInt64, [UInt64])])
    func refuses(chunkSize: UInt64, sizes: [UInt64]) {
        #expect(throws: DecodeError.self) { try ChunkLayout(chunkSize: chunkSize, diskSizes: sizes) }
    }

    @Test func takesAllNumbersThereAre() throws {
        // Together with the number of its table frame the disk needs 2³² − 1 numbers.
        let size = (UInt64(UInt32.max) - 1) * 64 * KiB
        let layout = try ChunkLayout(chunkSize: 64 * KiB, diskSizes: [size])
        #expect(layout.place(of: layout.tableBase) == .table(disk: 0))
        #expect(layout.number(disk: 0, offset: size - 1) == layout.tableBase - 1)
        #expect(throws: DecodeError.self) { try ChunkLayout(chunkSize: 64 * KiB, diskSizes: [size + 1]) }
    }
}

@Suite struct FrameTests {
    static let layoutSizes: [UInt64] = [1_000_000, 300_000]

    static func layout() throws -> ChunkLayout {
        try ChunkLayout(chunkSize: 64 * KiB, diskSizes: layoutSizes)
    }

    /// Random content for a random region: used pieces of text, noise or nothing.
    static func randomFrame(_ layout: ChunkLayout, _ number: UInt32, _ random: inout SeededRandom)
        -> PlannedFrame?
    {
        let window: Extent
        let disk: Int
        let isTable: Bool
        switch layout.place(of: number) {
        case .region(let index, let extent)?: (disk, window, isTable) = (index, extent, false)
        case .table(let index)?:
            (disk, window, isTable) = (index, Extent(offset: 0, length: layout.diskSizes[index]), true)
        case nil: return nil
        }
        let cuts = (0..<2 * Int.random(in: 1...6, using: &random)).map { _ in
            UInt64.random(in: window.offset...window.end, using: &random)
        }.sorted()
        let pieces = stride(from: 0, to: cuts.count, by: 2).map { index in
            Extent(cuts[index]..<min(cuts[index + 1], cuts[index] + 20_000))
        }
        let set = ExtentSet(pieces)
        guard !set.isEmpty else { return nil }
        let count = Int(set.byteCount)
        let content: [UInt8]
        switch Int.random(in: 0..<4, using: &random) {
        case 0: content = [UInt8](repeating: 0, count: count)
        case 1: content = random.bytes(count)
        case 2: content = (0..<count).map { UInt8(truncatingIfNeeded: $0 / 100) }
        default: content = [UInt8](repeating: 0, count: count - 1) + [1]
        }
        let roles = TableRole.allCases
        return PlannedFrame(
            kind: isTable ? .table : .chunk, number: number, disk: disk, extents: set.extents,
            roles: isTable ? set.extents.indices.map { roles[$0 % roles.count] } : [], content: content)
    }

    @Test(arguments: [
        Compression.none, Compression(.zlib, level: 1), Compression(.zlib, level: 9), .speed, .size,
    ])
    func roundTrips(compression: Compression) throws {
        var random = SeededRandom(seed: 7)
        let layout = try Self.layout()
        let encoder = FrameEncoder(compression, layout: layout)
        let decoder = FrameDecoder()
        var stored = 0
        var shrunk = 0
        for _ in 0..<10 {
            for number in layout.numbers {
                guard let plan = Self.randomFrame(layout, number, &random) else { continue }
                let frame = encoder.frame(
                    kind: plan.kind, number: number, disk: plan.disk, extents: plan.extents,
                    roles: plan.roles,
                    content: plan.content)
                let (header, content) = try decoder.content(of: frame, layout: layout)
                #expect(content == plan.content)
                #expect(header.extents == plan.extents)
                #expect(header.roles == plan.roles)
                #expect(header.number == number && header.disk == plan.disk && header.kind == plan.kind)
                #expect(header.digest == Digest.of(plan.content))
                #expect(header.isZero == plan.content.allSatisfy { $0 == 0 })
                #expect(header.encoded(in: layout) == Array(frame[..<(frame.count - header.payloadLength)]))
                #expect(header.codec == .none || header.payloadLength < header.rawLength)
                if header.codec == .none, !header.isZero { stored += 1 }
                if header.codec != .none { shrunk += 1 }
            }
        }
        #expect(stored > 10, "noise must have been stored")
        #expect(compression.codec == .none ? shrunk == 0 : shrunk > 10)
    }

    @Test func wordsChooseCodecs() {
        for word in ["none", "speed", "balanced", "size"] + (0...9).map(String.init) {
            #expect(Compression(word: word) != nil)
        }
        #expect(Compression(word: "SPEED") == .speed)
        #expect(Compression(word: "0") == Compression.none)
        for word in ["", "10", "-1", "fast", "sp"] { #expect(Compression(word: word) == nil) }
    }

    /// Damages one field of a good frame at a time; `payload` counts from the end of the header.
    @Test(
        arguments: [
            (0, [1], "kind of a manifest"), (0, [9], "unknown kind"), (2, [200], "header length"),
            (4, [0], "payload under zstd"), (8, [99], "number beyond the disks"),
            (8, [16], "number of the other disk"), (12, [1], "other disk"), (12, [9], "no such disk"),
            (14, [3], "codec"), (14, [0], "stored payload of another length"),
            (15, [1], "flag without ranges"), (15, [2], "unknown flag"), (15, [3], "unknown flag"),
            (16, [0, 0, 0, 0], "no content"), (16, [1, 0, 1, 0], "content beyond a region"),
            (16, [0x2d], "content beyond the extents"), (20, [0], "hash"), (52, [0], "no extents"),
            (52, [3], "an extent that is not there"), (53, [0xff, 0xff, 0x7f], "a gap beyond the region"),
            (54, [0], "an empty extent"),
        ] as [(Int, [UInt8], String)])
    func refuses(offset: Int, bytes: [UInt8], what: String) throws {
        let layout = try Self.layout()
        let content = [UInt8](repeating: 1, count: 44)
        let encoder = FrameEncoder(.balanced, layout: layout)
        var frame = encoder.frame(
            number: 1, disk: 0,
            extents: [Extent(offset: 65_546, length: 40), Extent(offset: 65_636, length: 4)], content: content
        )
        #expect(try FrameDecoder().content(of: frame, layout: layout).1 == content)
        #expect(frame[52...56] == [2, 10, 40, 50, 4])
        frame.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        #expect(throws: DecodeError.self, "\(what)") { try FrameDecoder().content(of: frame, layout: layout) }
    }

    @Test(arguments: [Codec.zlib, .zstd]) func refusesWhatDecodesToMoreOrLess(codec: Codec) throws {
        let layout = try Self.layout()
        let encoder = FrameEncoder(Compression(codec, level: 1), layout: layout)
        let text = [UInt8](repeating: 65, count: 1000)
        let good = encoder.frame(
            number: 0, disk: 0, extents: [Extent(offset: 0, length: 1000)], content: text)
        let header = try FrameDecoder().content(of: good, layout: layout).0
        let payload = good.suffix(header.payloadLength)
        for length in [1, 999, 1001, 65_536] {
            let other = FrameHeader(
                kind: .chunk, number: 0, disk: 0, codec: codec,
                extents: [Extent(offset: 0, length: UInt64(length))],
                payloadLength: min(length, payload.count),
                digest: header.digest)
            let frame = other.encoded(in: layout) + payload.prefix(other.payloadLength)
            #expect(throws: DecodeError.self) { try FrameDecoder().content(of: frame, layout: layout) }
        }
        // A payload with bytes behind its stream is not the payload that was written.
        let longer = FrameHeader(
            kind: .chunk, number: 0, disk: 0, codec: codec, extents: header.extents,
            payloadLength: payload.count + 1, digest: header.digest)
        let frame = longer.encoded(in: layout) + payload + [0]
        #expect(throws: DecodeError.self) { try FrameDecoder().content(of: frame, layout: layout) }
    }

    /// Ranges in two extents that touch are two, the one that spans a whole extent and single bytes included.
    @Test(
        arguments: [
            [(65_546, 40)], [(65_546, 1), (65_585, 1)], [(65_636, 4)], [(65_550, 36), (65_636, 1)],
            [(65_640, 10)], [(65_636, 4), (65_640, 1), (65_649, 1)],
        ] as [[(UInt64, UInt64)]])
    func tellsWhatWasUnreadable(ranges: [(UInt64, UInt64)]) throws {
        let layout = try Self.layout()
        let extents = [
            Extent(offset: 65_546, length: 40), Extent(offset: 65_636, length: 4),
            Extent(offset: 65_640, length: 10),
        ]
        let unreadable = ranges.map { Extent(offset: $0.0, length: $0.1) }
        for content in [[UInt8](repeating: 0, count: 54), [UInt8](repeating: 1, count: 54)] {
            let frame = FrameEncoder(.balanced, layout: layout).frame(
                number: 1, disk: 0, extents: extents, unreadable: unreadable, content: content)
            let (header, decoded) = try FrameDecoder().content(of: frame, layout: layout)
            #expect(header.unreadable == unreadable && header.extents == extents && decoded == content)
            #expect(frame[15] == 1)
            #expect(header.encoded(in: layout) == Array(frame[..<(frame.count - header.payloadLength)]))
        }
    }

    /// A header that names `ranges` as its writer would, were they what a writer may name.
    @Test(
        arguments: [
            [(65_545, 1)], [(65_546, 41)], [(65_580, 10)], [(65_586, 1)], [(65_650, 1)], [(65_546, 0)],
            [(65_546, 2), (65_549, 0)], [(65_636, 5)], [(65_600, 100)],
        ] as [[(UInt64, UInt64)]])
    func refusesRangesOutsideItsExtents(ranges: [(UInt64, UInt64)]) throws {
        let layout = try Self.layout()
        let content = [UInt8](repeating: 0, count: 54)
        let header = FrameHeader(
            kind: .chunk, number: 1, disk: 0, codec: .none,
            extents: [
                Extent(offset: 65_546, length: 40), Extent(offset: 65_636, length: 4),
                Extent(offset: 65_640, length: 10),
            ], unreadable: ranges.map { Extent(offset: $0.0, length: $0.1) }, payloadLength: 0,
            digest: Digest.of(content))
        #expect(throws: DecodeError.self) {
            try FrameDecoder().content(of: header.encoded(in: layout), layout: layout)
        }
    }

    /// A gap that carries the place over the end of 64 bits is no way back into the region.
    @Test func refusesARangeThatWrapsAround() throws {
        let layout = try Self.layout()
        let header = FrameHeader(
            kind: .chunk, number: 1, disk: 0, codec: .none, extents: [Extent(offset: 65_536, length: 64)],
            unreadable: [Extent(offset: 65_536, length: 1), Extent(offset: 65_540, length: 1)],
            payloadLength: 0, digest: Digest.of([UInt8](repeating: 0, count: 64)))
        var frame = header.encoded(in: layout)
        #expect(frame.suffix(5) == [2, 0, 1, 3, 1])
        #expect(try FrameDecoder().content(of: frame, layout: layout).0 == header)
        var writer = ByteWriter()
        writer.varint(UInt64.max - 65_536)
        writer.u8(1)
        frame.replaceSubrange(frame.count - 2..<frame.count, with: writer.bytes)
        frame[2] = UInt8(frame.count - FramePrefix.byteCount)
        #expect(throws: DecodeError.self) { try FrameDecoder().content(of: frame, layout: layout) }
    }

    @Test func joinsTheNearestRangesWhereAHeaderHasNoRoom() throws {
        let extents = [Extent(offset: 0, length: 100), Extent(offset: 100, length: 100)]
        func joined(_ ranges: [(UInt64, UInt64)], _ limit: Int) -> [[UInt64]] {
            FrameHeader.joined(
                ranges.map { Extent(offset: $0.0, length: $0.1) }, in: extents, limit: limit
            ).map { [$0.offset, $0.length] }
        }
        #expect(joined([], 1) == [])
        #expect(joined([(0, 5), (5, 5), (20, 1)], 9) == [[0, 10], [20, 1]], "what touches is one range")
        #expect(joined([(95, 5), (100, 5)], 9) == [[95, 5], [100, 5]], "but not across an extent's edge")
        #expect(joined([(0, 1), (9, 1), (12, 1), (40, 1)], 3) == [[0, 1], [9, 4], [40, 1]])
        #expect(joined([(0, 1), (9, 1), (12, 1), (40, 1)], 2) == [[0, 13], [40, 1]])
        #expect(joined([(0, 1), (90, 1), (110, 1), (190, 1)], 2) == [[0, 91], [110, 81]])
        #expect(joined([(0, 1), (110, 1)], 1) == [[0, 1], [110, 1]], "two extents need two ranges")
    }

    /// Every second sector of the largest region, which alone would exceed a header.
    @Test func theWorstRegionStillHasAHeader() throws {
        let layout = try ChunkLayout(chunkSize: 16 * MiB, diskSizes: [16 * MiB])
        let extents = stride(from: 0, to: 16 * MiB, by: 8192).map { Extent(offset: $0, length: 4096) }
        let unreadable = extents.flatMap { extent in
            stride(from: extent.offset, to: extent.end, by: 1024).map { Extent(offset: $0, length: 512) }
        }
        let frame = FrameEncoder(.balanced, layout: layout).frame(
            number: 0, disk: 0, extents: extents, unreadable: unreadable,
            content: [UInt8](repeating: 0, count: Int(8 * MiB)))
        let header = try FrameDecoder().content(of: frame, layout: layout).0
        #expect(header.unreadable.count == FrameHeader.maximumUnreadable)
        #expect(unreadable.count > FrameHeader.maximumUnreadable)
        #expect(ExtentSet(unreadable).subtracting(ExtentSet(header.unreadable)).isEmpty)
    }

    @Test func aTableMayBeAnywhereOnItsDiskButNotLarge() throws {
        let layout = try ChunkLayout(chunkSize: 64 * KiB, diskSizes: [8 << 20])
        let limit = FrameHeader.maximumTableLength
        for (length, isGood) in [(limit, true), (limit + 1, false)] {
            let header = FrameHeader(
                kind: .table, number: layout.tableNumber(disk: 0), disk: 0, codec: .none,
                extents: [Extent(offset: 1000, length: UInt64(length))], roles: [.gptEntries],
                payloadLength: 0,
                digest: Digest.of([UInt8](repeating: 0, count: length)))
            let frame = header.encoded(in: layout)
            #expect(((try? FrameDecoder().content(of: frame, layout: layout)) != nil) == isGood)
        }
    }
}
