// Fuzzes the image file reader: opens the input as an image and decodes every chunk, once as it is and once with
// fitting hashes in its footer, so that the checks behind the hashes are reached.
internal import Blocks
internal import FuzzDriver
internal import ImageFormat

struct Bytes: ImageBytes {
    struct OutOfRange: Error {}

    let bytes: [UInt8]
    var byteCount: UInt64 { UInt64(bytes.count) }

    func read(_ count: Int, at offset: UInt64) throws -> [UInt8] {
        precondition(offset <= byteCount && UInt64(count) <= byteCount - offset, "a read beyond the file")
        return Array(bytes[Int(offset)..<Int(offset) + count])
    }
}

func read(_ file: [UInt8]) {
    let decoder = FrameDecoder()
    guard let image = try? ImageFileReader(Bytes(bytes: file)) else { return }
    for entry in image.entries {
        guard let frame = try? image.frame(entry) else { continue }
        _ = try? frame.withBytes { span throws(DecodeError) in
            try decoder.content(of: span, layout: image.layout)
        }
    }
}

/// The file with the hashes that its footer should have; nil where the footer names no frames.
func resealed(_ file: [UInt8]) -> [UInt8]? {
    func integer(_ offset: Int, _ size: Int) -> UInt64 {
        (0..<size).reversed().reduce(0) { $0 << 8 | UInt64(file[offset + $1]) }
    }
    let footer = file.count - FileFooter.byteCount
    guard footer >= FileHeader.byteCount else { return nil }
    var hashed: [UInt8] = []
    for field in 0..<4 {
        guard let start = Int(exactly: integer(footer + 16 + field * 8, 8)), start <= footer - 8 else {
            return nil
        }
        let length = 8 + Int(integer(start + 2, 2) + integer(start + 4, 4))
        guard length <= footer - start else { return nil }
        hashed += file[start..<start + length]
    }
    let head = Array(file[footer..<footer + 64]) + Digest.of(hashed).bytes
    return file[..<footer] + head + Digest.of(head).bytes
}

func run() -> Int32 {
    fuzz { file in
        read(file)
        if let sealed = resealed(file) { read(sealed) }
    }
}

_ = run()
