// Images for the simulation: small ones whose content is checked, large ones that have only lengths.
package import Blocks
package import SessionProtocol

/// Frames of an image as ImageFormat would make them, as far as the session looks at them.
package struct SimulatedImage: Sendable {
    package let id: GUID
    package let manifest: [UInt8]
    package let existing: ChunkSet
    /// What the chunks hold; empty where the image has only lengths.
    package let contents: [UInt32: [UInt8]]
    /// Bytes of the payload, and of what is written for it, by chunk.
    private let sizes: [UInt32: (payload: Int, content: Int)]

    /// Bytes of prefix and header of a frame.
    private static let headerBytes = 44
    /// Bytes of a disk's region with one chunk.
    private static let chunkBytes = 4 << 20
    /// What frames without content are filled from.
    private static let zeros = [UInt8](repeating: 0, count: chunkBytes + 32)

    /// `sizes` are the payload sizes of the chunks; every fifth number does not exist.
    package init(seed: UInt64, sizes: [Int]) {
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
        self.sizes = contents.mapValues { ($0.count, $0.count) }
        existing = ChunkSet(contents.keys)
    }

    /// An image of `count` chunks: mostly a few dozen symbols, some tiny, a few with several stripes.
    package static func mixed(seed: UInt64, count: Int) -> SimulatedImage {
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

    /// An image of about `bytes` of frames without content, with lengths as a real disk's 4 MiB chunks have them: half
    /// of them do not compress, a third become 2 to 3 MiB, the rest is less, and a few hold next to nothing.
    package static func large(seed: UInt64, bytes: Int) -> SimulatedImage {
        var random = SplitMix(seed: seed ^ 0x1234)
        let chunk = chunkBytes
        var sizes: [UInt32: (payload: Int, content: Int)] = [:]
        var number: UInt32 = 0
        var total = 0
        while total < bytes {
            // A disk is not full: some regions have no chunk.
            number += random.chance(0.1) ? 7 : 1
            let size: (payload: Int, content: Int) =
                switch random.share() {
                case ..<0.52: (chunk, chunk)
                case ..<0.87: (Int.random(in: chunk / 2...chunk / 4 * 3, using: &random), chunk)
                case ..<0.97: (Int.random(in: 50_000...chunk / 2, using: &random), chunk)
                default: (Int.random(in: 0...1000, using: &random), 65_536)
                }
            sizes[number] = size
            total += size.payload + headerBytes
        }
        return SimulatedImage(seed: seed, id: GUID(random: random.bytes(16)), sizes: sizes)
    }

    private init(seed: UInt64, id: GUID, sizes: [UInt32: (payload: Int, content: Int)]) {
        self.id = id
        self.sizes = sizes
        manifest = Array("{\"image\": \(seed)}".utf8)
        contents = [:]
        existing = ChunkSet(sizes.keys)
    }

    /// Bytes of the longest frame, its seal not counted.
    package var longestFrame: Int {
        sizes.values.reduce(0) { max($0, $1.payload) } + SimulatedImage.headerBytes
    }

    /// Bytes of all frames with their seals.
    package var frameBytes: Int { layouts.reduce(0) { $0 + $1.length } }

    /// How every frame with its seal is cut.
    package var layouts: [StripeLayout] {
        existing.numbers.compactMap { chunk in
            sizes[chunk].map {
                StripeLayout(
                    length: $0.payload + SimulatedImage.headerBytes + Specification.sealBytes)
            }
        }
    }

    /// Bytes that are written for a chunk; nil if the image does not have it.
    func contentBytes(_ chunk: UInt32) -> Int? { sizes[chunk]?.content }

    package func frame(_ chunk: UInt32) -> [UInt8]? {
        guard let size = sizes[chunk] else { return nil }
        var writer = ByteWriter(
            reserving: size.payload + SimulatedImage.headerBytes + HostMachine.sealReserve)
        writer.u16(1)
        writer.u16(36)
        writer.u32(UInt32(size.payload))
        writer.u32(chunk)
        if let content = contents[chunk] {
            writer.append(Digest.of(content).bytes)
            writer.append(content)
        } else {
            writer.append(SimulatedImage.zeros[..<(32 + size.payload)])
        }
        return writer.bytes
    }

    /// What a pipeline does with a frame: seal, hash, and the content or the reason why not.
    package static func open(_ frame: ReceivedFrame) throws(DecodeError) -> [UInt8] {
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
