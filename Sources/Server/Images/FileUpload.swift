// A whole image file that comes over HTTP.
internal import Blocks
internal import ImageFormat
internal import Linux
internal import Synchronization

/// An image file being uploaded: it has a hidden name until it is whole and on the medium.
///
/// End it with `finish` or `cancel`; one that is only let go of is cancelled. Of several threads one writes at a time.
package final class FileUpload: Sendable {
    private struct State: ~Copyable {
        /// Nil once the upload has ended.
        var file: Descriptor?
        var written: UInt64 = 0
    }

    package let name: String
    private let catalogue: ImageCatalogue
    private let part: String
    private let overwrite: Bool
    private let mostBytes: UInt64?
    private let state: Mutex<State>

    fileprivate init(
        name: String, part: String, file: consuming Descriptor, mostBytes: UInt64?, overwrite: Bool,
        in catalogue: ImageCatalogue
    ) {
        self.name = name
        self.part = part
        self.mostBytes = mostBytes
        self.overwrite = overwrite
        self.catalogue = catalogue
        state = Mutex(State(file: file))
    }

    deinit { cancel() }

    /// Appends bytes.
    ///
    /// - Throws: `ServerError`: `.full` where the disk is, `.invalid` beyond the length that was announced. The upload
    ///   is cancelled then.
    package func write(_ bytes: [UInt8]) throws {
        do {
            try state.withLock { state in
                guard state.file != nil else {
                    throw ServerError("the upload of image \(name) has ended", .conflict)
                }
                if let mostBytes, state.written + UInt64(bytes.count) > mostBytes {
                    throw ServerError(
                        "more comes for image \(name) than the \(mostBytes) bytes announced", .invalid)
                }
                let place = state.written
                try ServerError.naming { try state.file?.write(bytes, at: place) }
                state.written += UInt64(bytes.count)
            }
        } catch {
            cancel()
            throw error
        }
        catalogue.wrote(bytes.count, of: name)
    }

    /// Waits until the file is on the medium, proves that it is a whole image, and gives it its name.
    ///
    /// - Throws: `ServerError`, and nothing is left of the upload.
    package func finish() throws -> ImageView {
        defer { cancel() }
        let file = state.withLock { $0.file.take() }
        guard let file else { throw ServerError("the upload of image \(name) has ended", .conflict) }
        defer { end() }
        try ServerError.naming { try file.synchronize() }
        do {
            let image = try ImageFileReader(ImageFileBytes(file))
            if let damage = image.origin.damage { throw DecodeError.corrupt(damage) }
        } catch let error as DecodeError {
            throw ServerError("what was uploaded for \(name) is not a whole image: \(error)", .invalid)
        }
        return try catalogue.publish(part, as: name, overwrite: overwrite)
    }

    /// Removes what has come so far; without effect where the upload has ended.
    package func cancel() {
        let file = state.withLock { $0.file.take() }
        guard file != nil else { return }
        end()
    }

    private func end() {
        // After a success the part has its name, and there is nothing to remove.
        try? catalogue.folder.remove(part)
        catalogue.release(name)
    }
}

extension ImageCatalogue {
    /// Begins the upload of an image file of at most `mostBytes` bytes.
    ///
    /// - Throws: `ServerError` where the name cannot be or is taken, or where the disk has no room.
    package func beginUpload(name: String, mostBytes: UInt64?, overwrite: Bool) throws -> FileUpload {
        try claim(name, bytes: mostBytes ?? 0, overwrite: overwrite)
        let part = ".\(name).\(Random.bytes(8).hex)\(ImageCatalogue.partSuffix)"
        do {
            let file = try ServerError.naming {
                try folder.open(part, [.readWrite, .create, .exclusive], mode: 0o640)
            }
            return FileUpload(
                name: name, part: part, file: file, mostBytes: mostBytes, overwrite: overwrite, in: self)
        } catch {
            release(name)
            throw error
        }
    }
}
