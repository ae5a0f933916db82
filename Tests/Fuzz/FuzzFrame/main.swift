// Fuzzes the frame decoder: header and payload of one frame of an image of two disks.
internal import Blocks
internal import FuzzDriver
internal import ImageFormat

func run() throws -> Int32 {
    let layout = try ChunkLayout(chunkSize: 64 * KiB, diskSizes: [204_800, 1 << 20])
    let decoder = FrameDecoder()
    return fuzz { frame in
        let result = try? frame.withBytes { span throws(DecodeError) in
            try decoder.content(of: span, layout: layout)
        }
        guard let (header, content) = result else { return }
        precondition(Digest.of(content) == header.digest, "a wrong hash was accepted")
        precondition(Array(frame.prefix(frame.count - header.payloadLength)) == header.encoded(in: layout))
    }
}

_ = try run()
