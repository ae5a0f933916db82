// Image files on a file system: opening one to read, and writing one under a temporary name.
internal import Blocks
package import ImageFormat
internal import Linux
internal import Synchronization

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
/// process leaves nothing behind. Frames may be written from several threads at once.
final class StoredImageWriter: Sendable {
    private struct State: Sendable {
        var encoder: ImageFileEncoder
        var stored = ChunkSet()
        var position: UInt64
    }

    let path: String
    private let temporary: TemporaryFile
    private let state: Mutex<State>

    /// Creates the file and writes everything before the first chunk; refuses where `path` already exists.
    convenience init(path: String, manifest: Manifest, existing: ChunkSet) throws {
        try self.init(path: path, manifestJSON: try manifest.encoded(), existing: existing)
    }

    /// Creates the file of an image whose manifest somebody else has encoded.
    init(path: String, manifestJSON: [UInt8], existing: ChunkSet) throws {
        self.path = path
        let encoder = try ImageFileEncoder(manifestJSON: manifestJSON, existing: existing)
        temporary = try TemporaryFile(besides: path)
        try temporary.write(encoder.start, at: 0)
        state = Mutex(State(encoder: encoder, position: UInt64(encoder.start.count)))
    }

    /// The chunks that have been written, or are just being written by another thread.
    var stored: ChunkSet { state.withLock { $0.stored } }

    /// Bytes that its file system has room for.
    func freeSpace() throws(SystemError) -> UInt64 { try temporary.freeSpace() }

    /// Writes one frame, unless its chunk has been written before; returns whether it was.
    @discardableResult
    func write(
        _ header: FrameHeader, prefixAndHeader: [UInt8], payload: UnsafeRawBufferPointer
    ) throws -> Bool {
        let place = state.withLock { state -> UInt64? in
            guard !state.stored.contains(header.number) else { return nil }
            state.stored.insert(header.number)
            state.encoder.add(header, prefixAndHeader: prefixAndHeader)
            defer { state.position += UInt64(prefixAndHeader.count + payload.count) }
            return state.position
        }
        guard let place else { return false }
        try temporary.write(prefixAndHeader, at: place)
        try unsafe temporary.write(payload, at: place + UInt64(prefixAndHeader.count))
        return true
    }

    /// Writes closing record, index and footer, waits until all is on the medium, and gives the file its name.
    ///
    /// Call it when every write has returned.
    func finish() throws -> (totals: ClosingRecord, byteCount: UInt64) {
        let (end, totals, position) = try state.withLock { state throws(DecodeError) in
            (try state.encoder.finish(), state.encoder.totals, state.position)
        }
        try temporary.write(end, at: position)
        try temporary.publish()
        return (totals, position + UInt64(end.count))
    }
}
