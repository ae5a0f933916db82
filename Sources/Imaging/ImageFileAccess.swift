// Image files on a file system: opening one to read, and writing one under a temporary name.
internal import Blocks
package import ImageFormat
internal import Linux

/// The bytes of an image file on a file system.
package final class StoredImageBytes: ImageBytes {
    package let byteCount: UInt64
    private let file: Descriptor

    /// Opens the file; anything but a regular file is refused, a pipe without waiting for its other end.
    package init(path: String) throws {
        guard try FileStatus(of: path).kind == .regularFile else {
            throw ImagingError("\(path) is not a regular file, so it is no image")
        }
        file = try Descriptor(opening: path, [.readOnly, .nonBlocking])
        byteCount = try file.size()
    }

    package func read(_ count: Int, at offset: UInt64) throws -> [UInt8] { try file.read(count, at: offset) }
}

extension ImageFileReader {
    /// Opens the image at `path`.
    ///
    /// - Throws: `ImagingError` with the path and the reason where it is no whole image.
    package init(path: String) throws {
        let bytes = try StoredImageBytes(path: path)
        do {
            try self.init(bytes)
        } catch let error as DecodeError {
            throw ImagingError("\(path) is not a usable image: \(error)")
        }
    }
}

/// An image file being written: a temporary name until it is whole and on the medium, then its own.
///
/// The temporary file has no name at all (`O_TMPFILE`) where the file system can do that, so that even a killed
/// process leaves nothing behind.
final class StoredImageWriter {
    private let path: String
    private let temporary: TemporaryFile
    private var encoder: ImageFileEncoder
    private var position: UInt64 = 0

    /// Creates the file and writes everything before the first chunk; refuses where `path` already exists.
    init(path: String, manifest: Manifest, existing: ChunkSet) throws {
        self.path = path
        encoder = try ImageFileEncoder(manifest: manifest, existing: existing)
        temporary = try TemporaryFile(besides: path)
        try append(encoder.start)
    }

    /// Writes one frame.
    func write(_ header: FrameHeader, prefixAndHeader: [UInt8], payload: UnsafeRawBufferPointer) throws {
        encoder.add(header, prefixAndHeader: prefixAndHeader)
        try append(prefixAndHeader)
        try unsafe temporary.write(payload, at: position)
        position += UInt64(payload.count)
    }

    /// Writes closing record, index and footer, waits until all is on the medium, and gives the file its name.
    func finish() throws -> (totals: ClosingRecord, byteCount: UInt64) {
        try append(try encoder.finish())
        try temporary.publish()
        return (encoder.totals, position)
    }

    private func append(_ bytes: [UInt8]) throws {
        try temporary.write(bytes, at: position)
        position += UInt64(bytes.count)
    }
}
