// A small image for the simulation: frames whose headers hold the chunk number and the content's hash.
import Blocks
import SessionProtocol

/// Frames of an image as ImageFormat would make them, as far as the session looks at them.
struct SimulatedImage {
    let id: GUID
    let manifest: [UInt8]
    let existing: ChunkSet
    let contents: [UInt32: [UInt8]]

    /// `sizes` are the payload sizes of the chunks; every fifth number does not exist.
    init(seed: UInt64, sizes: [Int]) {
        var random = SplitMix(seed: seed)
        id = GUID(random: random.bytes(16))
        manifest = Array("{\"image\": \(seed)}".utf8)
        var contents: [UInt32: [UInt8]] = [:]
        var number: UInt32 = 3
        for size in sizes {
            number += number % 5 == 4 ? 2 : 1
            contents[number] = random.bytes(size)
        }
        self.contents = contents
        existing = ChunkSet(contents.keys)
    }

    /// An image of `count` chunks: mostly a few dozen symbols, some tiny, a few with several stripes.
    static func mixed(seed: UInt64, count: Int) -> SimulatedImage {
        var random = SplitMix(seed: seed ^ 0xabcd)
        return SimulatedImage(
            seed: seed,
            sizes: (0..<count).map { index in
                switch index % 10 {
                case 3: 0
                case 6: 400_000
                default: Int.random(in: 20_000...80_000, using: &random)
                }
            })
    }

    var longestFrame: Int { contents.values.reduce(0) { max($0, $1.count) } + 44 }

    func frame(_ chunk: UInt32) -> [UInt8]? {
        guard let content = contents[chunk] else { return nil }
        var writer = ByteWriter(reserving: content.count + 128)
        writer.u16(1)
        writer.u16(36)
        writer.u32(UInt32(content.count))
        writer.u32(chunk)
        writer.append(Digest.of(content).bytes)
        writer.append(content)
        return writer.bytes
    }

    /// What a pipeline does with a frame: seal, hash, and the content or the reason why not.
    static func open(_ frame: ReceivedFrame) throws(DecodeError) -> [UInt8] {
        try frame.buffer.withBytes { (bytes) throws(DecodeError) in
            let length = try frame.seals.check(bytes, chunk: frame.chunk)
            var offset = 12
            let digest = try Digest(from: bytes, at: &offset)
            let content = try bytes.array(length - offset, at: &offset, "a payload")
            guard Digest.of(content) == digest else { throw .corrupt("the content's hash differs") }
            return content
        }
    }
}
