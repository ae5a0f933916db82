// Golden images and errors: what was written once is read for ever.
import Blocks
import ImageFormat
import TestSupport
import Testing

/// What comes of reading an image and decoding every chunk: nothing wrong, or the error's text.
func outcome(of file: [UInt8]) throws -> String {
    do {
        let image = try ImageFileReader(MemoryImage(file))
        let decoder = FrameDecoder()
        for entry in image.entries { _ = try decoder.content(of: image.frame(entry), layout: image.layout) }
        return "whole"
    } catch let error as DecodeError { return "\(error.code): \(error.description)" }
}

/// The chunks of an image as the second decoder states them.
func chunks(of image: ImageFileReader) throws -> [UInt64: ObviousDecoder.Chunk] {
    let decoder = FrameDecoder()
    var chunks: [UInt64: ObviousDecoder.Chunk] = [:]
    for entry in image.entries {
        let (header, content) = try decoder.content(of: image.frame(entry), layout: image.layout)
        let pieces = header.extents.enumerated().map { index, extent in
            ObviousDecoder.Piece(
                offset: extent.offset, length: extent.length,
                role: header.roles.isEmpty ? nil : UInt64(header.roles[index].rawValue))
        }
        chunks[UInt64(header.number)] = ObviousDecoder.Chunk(
            disk: header.disk, pieces: pieces, unreadable: header.unreadable.map(ObviousDecoder.Piece.init),
            content: content)
    }
    return chunks
}

@Suite(.serialized) struct GoldenTests {
    /// Writes the golden files anew where the environment asks for it (see Documentation/IMAGE-FORMAT.md).
    init() throws {
        guard GoldenFolder.isWriting else { return }
        for golden in Golden.all {
            let file = try golden.made()
            try Golden.folder.write("\(golden.name).img", file)
            try Golden.folder.write("\(golden.name).txt", Array(try ObviousDecoder(file).annotated.utf8))
            let image = try ImageFileReader(MemoryImage(file))
            try GoldenFolder("../Fuzz/Corpus/Manifest", beside: #filePath).write(
                "\(golden.name).json", image.manifestJSON)
            guard let entry = image.entries.first else { continue }
            try GoldenFolder("../Fuzz/Corpus/Frame", beside: #filePath).write(
                "\(golden.name).frame", image.frame(entry))
        }
        for damage in Damage.all {
            let file = try damage.made()
            try Damage.folder.write("\(damage.name).img", file)
            try Damage.folder.write("\(damage.name).error", Array((try outcome(of: file) + "\n").utf8))
        }
    }

    @Test(arguments: Golden.all) func isReadForEver(golden: Golden) throws {
        let image = try ImageFileReader(MemoryImage(golden.stored()))
        let sample = golden.image()
        let more = golden.more?()
        #expect(image.origin == .index)
        #expect(image.imageID == (more ?? sample).id)
        #expect(image.layout == sample.layout)
        #expect(image.closing.unreadable == (more ?? sample).unreadable)
        var expected: [UInt64: ObviousDecoder.Chunk] = [:]
        for frame in sample.frames + (more?.frames ?? []) {
            expected[UInt64(frame.number)] = ObviousDecoder.Chunk(
                disk: frame.disk,
                pieces: frame.extents.enumerated().map { index, extent in
                    ObviousDecoder.Piece(
                        offset: extent.offset, length: extent.length,
                        role: frame.roles.isEmpty ? nil : UInt64(frame.roles[index].rawValue))
                }, unreadable: frame.unreadable.map(ObviousDecoder.Piece.init), content: frame.content)
        }
        #expect(try chunks(of: image) == expected)
        if more == nil { #expect(image.manifest == sample.manifest) }
    }

    @Test(arguments: Golden.all) func isReadAlikeByTheSecondDecoder(golden: Golden) throws {
        let file = try golden.stored()
        let obvious = try ObviousDecoder(file)
        #expect(try chunks(of: ImageFileReader(MemoryImage(file))) == obvious.chunks)
        #expect(try Golden.folder.read("\(golden.name).txt") == Array(obvious.annotated.utf8))
        #expect(file.count < 20_000)
    }

    /// Only the codec `none` is pinned: another release of zlib or zstd may shrink the same content to other bytes.
    @Test(arguments: Golden.all.filter { $0.compression == .none })
    func isWrittenTheSame(golden: Golden) throws {
        #expect(try golden.made() == golden.stored())
    }

    @Test(arguments: [("zlib", Codec.zlib), ("zstd", .zstd)])
    func usesItsCodec(name: String, codec: Codec) throws {
        let image = try ImageFileReader(MemoryImage(Golden.folder.read("\(name).img")))
        #expect(image.entries.map(\.header.codec) == [codec, .none, codec])
    }

    @Test(arguments: Damage.all) func endsInTheSameError(damage: Damage) throws {
        let file = try Damage.folder.read("\(damage.name).img")
        #expect(file == (try damage.made()))
        let expected = String(decoding: try Damage.folder.read("\(damage.name).error"), as: UTF8.self)
        #expect(try outcome(of: file) + "\n" == expected)
        #expect(expected != "whole\n")
    }
}
