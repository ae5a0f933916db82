// The bytes of an image file, for its reader.
internal import ImageFormat
internal import Linux

/// An image file on a file system; kept open as long as it is read.
final class ImageFileBytes: ImageBytes {
    let byteCount: UInt64
    private let file: Descriptor

    convenience init(path: String) throws(SystemError) {
        try self.init(try Descriptor(opening: path, .readOnly))
    }

    init(_ file: consuming Descriptor) throws(SystemError) {
        byteCount = try file.size()
        self.file = file
    }

    /// What follows a frame is read ahead that far: frames are mostly asked for in the order of the file.
    private static let ahead = 16 << 20
    /// Room for a seal behind each frame.
    private static let seal = 64

    func read(_ count: Int, at offset: UInt64) throws -> [UInt8] {
        let bytes = try file.read(count, at: offset, spare: ImageFileBytes.seal)
        file.readAhead(ImageFileBytes.ahead, at: offset + UInt64(count))
        return bytes
    }
}
