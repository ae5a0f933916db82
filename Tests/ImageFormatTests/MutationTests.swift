// Damaged image files end in a typed error or in a sound read: never in a crash, a hang or a wild request.
import Blocks
import ImageFormat
import TestSupport
import Testing

@Suite struct MutationTests {
    /// Reads a damaged file as a restore would and holds the reader to its bounds.
    private static func probe(_ file: [UInt8], _ decoder: FrameDecoder, _ what: @autoclosure () -> String)
        throws
        -> Bool
    {
        let memory = MemoryImage(file)
        var isWhole = false
        do {
            let image = try ImageFileReader(memory)
            isWhole = true
            #expect(image.entries.count <= file.count / 60, "\(what())")
            for entry in image.entries {
                do {
                    let (header, content) = try decoder.content(of: image.frame(entry), layout: image.layout)
                    // The decoder says the hash is right; ask the second implementation now and then.
                    if content.count < 200 {
                        #expect(obviousSHA256(content) == header.digest.bytes, "\(what())")
                    }
                } catch is DecodeError { isWhole = false }
            }
            if isWhole, image.origin == .index {
                #expect(try ObviousDecoder(file).chunks == chunks(of: image), "\(what())")
            }
        } catch is DecodeError {}
        let requests = memory.requests
        #expect(requests.outside == 0, "\(what()): a read beyond the file")
        // Five footers at most, each hashed and then parsed, two walks, and every chunk once.
        #expect(requests.total <= 16 * file.count + 1024, "\(what()): \(requests.total) bytes were read")
        return isWhole
    }

    @Test(.timeLimit(.minutes(10)), arguments: Golden.all) func everyTruncation(golden: Golden) throws {
        let file = try golden.stored()
        let decoder = FrameDecoder()
        for count in 0..<file.count { _ = try Self.probe(Array(file[..<count]), decoder, "cut to \(count)") }
    }

    @Test(.timeLimit(.minutes(10)), arguments: Golden.all, 0..<4 as Range<UInt64>)
    func mutations(golden: Golden, seed: UInt64) throws {
        let file = try golden.stored()
        let decoder = FrameDecoder()
        var random = SeededRandom(seed: seed)
        var whole = 0
        for round in 0..<900 {
            var mutant = file
            for _ in 0..<Int.random(in: 1...3, using: &random) { Self.mutate(&mutant, &random) }
            // Half of them get fitting hashes again, so that the checks behind the hashes are reached.
            if Bool.random(using: &random) { try? mutant.reseal() }
            if try Self.probe(mutant, decoder, "\(golden.name), seed \(seed), round \(round)") { whole += 1 }
        }
        #expect(whole > 0, "some mutations hit bytes that do not matter")
        #expect(whole < 800)
    }

    private static func mutate(_ file: inout [UInt8], _ random: inout SeededRandom) {
        let offset = Int.random(in: 0..<file.count, using: &random)
        switch Int.random(in: 0..<7, using: &random) {
        case 0: file[offset] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: file[offset] = UInt8.random(in: 0...255, using: &random)
        case 2: file.insert(UInt8.random(in: 0...255, using: &random), at: offset)
        case 3: file.remove(at: offset)
        case 4:
            let values: [UInt32] = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_fff8]
            let value = values.randomElement(using: &random) ?? 0
            for index in 0..<4 where offset + index < file.count {
                file[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(index * 8))
            }
        case 5:
            // Length fields are where they hurt: those of a random frame.
            let kinds: [FrameKind] = [.manifest, .chunkSet, .chunk, .table, .closing, .index, .footer]
            let kind = kinds.randomElement(using: &random) ?? .chunk
            guard let frame = try? file.offset(of: kind) else { return }
            let field = frame + Int.random(in: 0..<28, using: &random)
            guard field + 4 <= file.count else { return }
            let value: UInt32 =
                Bool.random(using: &random) ? 0xffff_ffff : UInt32.random(in: 0...70, using: &random)
            for index in 0..<4 { file[field + index] = UInt8(truncatingIfNeeded: value >> UInt32(index * 8)) }
        default:
            // Move a piece of the file elsewhere.
            let length = min(Int.random(in: 1...64, using: &random), file.count - offset)
            let piece = Array(file[offset..<offset + length])
            let target = Int.random(in: 0...file.count - length, using: &random)
            file.replaceSubrange(target..<target + length, with: piece)
        }
        if file.isEmpty { file = [0] }
    }
}
