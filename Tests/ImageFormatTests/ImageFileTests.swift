// Whole image files: random ones, extended ones, and what is left of damaged ones.
import Blocks
import ImageFormat
import TestSupport
import Testing

@Suite struct ImageFileTests {
    static func randomImage(_ random: inout SeededRandom) throws -> SampleImage {
        let chunkSize = [64 * KiB, 128 * KiB].randomElement(using: &random) ?? 64 * KiB
        let sizes = (0..<Int.random(in: 1...3, using: &random)).map { _ in
            512 * UInt64.random(in: 1...700, using: &random)
        }
        let layout = try ChunkLayout(chunkSize: chunkSize, diskSizes: sizes.map { max($0, 12_800) })
        let frames = layout.numbers.compactMap { number in
            Bool.random(using: &random) ? FrameTests.randomFrame(layout, number, &random) : nil
        }
        return SampleImage(
            id: GUID(random: random.bytes(16)), layout: layout,
            tableTypes: sizes.map { _ in "gpt" }, frames: frames.shuffled(using: &random))
    }

    @Test(arguments: 0..<12 as Range<UInt64>) func randomImagesAreReadAlike(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for compression in [Compression.none, Compression(.zlib, level: 5), .balanced] {
            let sample = try Self.randomImage(&random)
            let file = try sample.encoded(compression)
            let image = try ImageFileReader(MemoryImage(file))
            #expect(image.origin == .index)
            #expect(image.existing == sample.existing)
            #expect(image.manifest == sample.manifest)
            #expect(image.manifestJSON == (try sample.manifest.encoded()))
            #expect(image.entries.map(\.header.number) == sample.frames.map(\.number).sorted())
            let decoder = FrameDecoder()
            for frame in sample.frames {
                let entry = try #require(image.entry(frame.number))
                #expect(try decoder.content(of: image.frame(entry), layout: image.layout).1 == frame.content)
            }
            #expect(try chunks(of: image) == ObviousDecoder(file).chunks)
            let absent = image.layout.numbers.first { !image.existing.contains($0) }
            if let absent { #expect(image.entry(absent) == nil) }
        }
    }

    /// Without footer, index or both the frames are all there, so the same image is read.
    @Test(arguments: Golden.all.filter { $0.more == nil }) func isScannedBack(golden: Golden) throws {
        let file = try golden.stored()
        let whole = try ImageFileReader(MemoryImage(file))
        let index = try file.offset(of: .index)
        var damaged: [[UInt8]] = [index, index + 8, file.count - 128, file.count - 1].map {
            Array(file[..<$0])
        }
        for offset in [index + 20, file.count - 128, file.count - 100, file.count - 1] {
            damaged.append(file)
            damaged[damaged.count - 1][offset] ^= 0x10
        }
        damaged.append(file + [0])
        damaged.append(file + [UInt8](repeating: 0, count: 500))
        for (number, bytes) in damaged.enumerated() {
            let image = try ImageFileReader(MemoryImage(bytes))
            #expect(image.entries == whole.entries)
            #expect(image.manifest == whole.manifest)
            #expect(image.closing == whole.closing)
            #expect(image.origin.damage != nil)
            switch image.origin {
            case .scan: #expect(number < 8)
            case .earlierIndex(let length, _): #expect(number >= 8 && length == UInt64(file.count))
            case .index: Issue.record("damage \(number) was not seen")
            }
        }
    }

    /// A header says where content belongs; without an index only the closing record's proof covers it.
    @Test(arguments: Golden.all.filter { $0.more == nil }) func everyHeaderBitCountsInAScan(golden: Golden)
        throws
    {
        let file = try golden.stored()
        let whole = try ImageFileReader(MemoryImage(file))
        let cut = Array(file[..<(file.count - 10)])
        for entry in whole.entries {
            for bit in 0..<entry.headerLength * 8 {
                var flipped = cut
                flipped[Int(entry.offset) + bit / 8] ^= 1 << UInt8(bit % 8)
                #expect(throws: DecodeError.self, "bit \(bit) of chunk \(entry.header.number)") {
                    try ImageFileReader(MemoryImage(flipped))
                }
            }
        }
    }

    @Test func isNotWholeWithoutItsClosingRecord() throws {
        for golden in Golden.all {
            let file = try golden.image().encoded(golden.compression)
            let closing = try file.offset(of: .closing)
            for count in [closing, closing + 7, closing + 8, closing + 32] {
                let error = #expect(throws: DecodeError.self) {
                    try ImageFileReader(MemoryImage(Array(file[..<count])))
                }
                #expect(error?.description.contains("it is not a whole image") == true)
            }
        }
    }

    /// DESIGN §4: the last valid footer counts, wherever an extension was interrupted.
    @Test func anInterruptedExtensionLeavesTheImageBefore() throws {
        let golden = try #require(Golden.all.first { $0.more != nil })
        let first = try golden.image().encoded(golden.compression)
        let file = try golden.stored()
        let before = try ImageFileReader(MemoryImage(first))
        for count in first.count + 1..<file.count {
            let image = try ImageFileReader(MemoryImage(Array(file[..<count])))
            #expect(image.entries == before.entries && image.imageID == before.imageID)
            guard case .earlierIndex(UInt64(first.count), _) = image.origin else {
                Issue.record("\(count) bytes were read as \(image.origin)")
                continue
            }
        }
        var spoiled = file
        spoiled[file.count - 1] ^= 1
        let left = try ImageFileReader(MemoryImage(spoiled))
        #expect(left.imageID == before.imageID)
        #expect(
            left.origin.damage
                == "its footer does not have the hash it states; only its first \(first.count) bytes count, "
                + "what follows is an unfinished extension")
        // Both footers gone: the frames after the last manifest are all there.
        spoiled[first.count - 1] ^= 1
        let scanned = try ImageFileReader(MemoryImage(spoiled))
        #expect(try scanned.entries == ImageFileReader(MemoryImage(file)).entries)
        // No footer at all and the second closing record gone: old and new frames are never mixed.
        var cut = Array(file[..<(file.count - 400)])
        cut[first.count - 1] ^= 1
        #expect(throws: DecodeError.self) { try ImageFileReader(MemoryImage(cut)) }
    }

    @Test func passesReadErrorsOn() throws {
        struct BrokenDisk: Error {}
        struct Failing: ImageBytes {
            let image: MemoryImage
            let from: UInt64
            var byteCount: UInt64 { image.byteCount }
            func read(_ count: Int, at offset: UInt64) throws -> [UInt8] {
                guard offset < from else { throw BrokenDisk() }
                return try image.read(count, at: offset)
            }
        }
        let file = try Golden.all[0].stored()
        // The footer is damaged, so the frames are walked; a read error there is not the end of the frames.
        let damaged = Array(file.dropLast())
        for from in [200, 1500, 3000] as [UInt64] {
            #expect(throws: BrokenDisk.self) {
                try ImageFileReader(Failing(image: MemoryImage(damaged), from: from))
            }
        }
    }

    @Test func skipsUnknownFramesThatSaySo() throws {
        let file = try Golden.all[0].stored()
        let closing = try file.offset(of: .closing)
        var frame = ByteWriter()
        FramePrefix(kind: FrameKind(rawValue: 0x8008), headerLength: 2, payloadLength: 3).encode(into: &frame)
        frame.append([1, 2, 3, 4, 5])
        let longer = file[..<closing] + frame.bytes + file[closing...]
        let image = try ImageFileReader(MemoryImage(Array(longer)))
        guard case .scan = image.origin else {
            Issue.record("the footer names other offsets")
            return
        }
        #expect(image.entries.count == 3)
    }

    @Test func theEncoderKeepsItsPromises() throws {
        let sample = Golden.all[0].image()
        var wrong = sample.manifest
        wrong.chunkCount = 2
        #expect(throws: DecodeError.self) { try ImageFileEncoder(manifest: wrong, existing: sample.existing) }
        let beyond = ChunkSet([0, 1, 99])
        #expect(throws: DecodeError.self) {
            try ImageFileEncoder(manifest: sample.manifest, existing: beyond)
        }

        let headers = try sample.encodedFrames(.none).map { frame in
            try frame.withBytes { span throws(DecodeError) in
                var offset = 0
                return try FrameHeader(from: span, at: &offset, layout: sample.layout)
            }
        }
        for order in [[0, 1], [0, 1, 1], [0, 1, 2, 2], []] {
            var encoder = try ImageFileEncoder(manifest: sample.manifest, existing: sample.existing)
            for index in order {
                encoder.add(headers[index], prefixAndHeader: headers[index].encoded(in: sample.layout))
            }
            #expect(throws: DecodeError.self) { try encoder.finish() }
        }
    }
}
