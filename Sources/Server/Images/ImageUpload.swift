// An image that a workstation sends frame by frame; a part of it survives lost connections and crashes.
package import Blocks
internal import ImageFormat
internal import Linux
internal import Synchronization

/// An image being received: its frames are proven and appended to a part file, which gets its name when it is whole.
///
/// End it with `finish`, `suspend` or `cancel`; one that is only let go of is suspended. Frames may come from several
/// threads at once.
package final class ImageUpload: Sendable {
    /// Bytes after which the part is put on the medium; what a power cut may have torn is only behind that.
    fileprivate static let flushed: UInt64 = 64 << 20

    private struct State: ~Copyable {
        /// Nil once the upload has ended.
        var file: Descriptor?
        var encoder: ImageFileEncoder
        var stored: ChunkSet
        /// Where the next frame goes: all before it is whole.
        var position: UInt64
        /// Where everything before was on the medium.
        var flushed: UInt64
        let decoder = FrameDecoder()
    }

    package let name: String
    package let imageID: GUID
    private let existing: ChunkSet
    private let layout: ChunkLayout
    private let catalogue: ImageCatalogue
    private let part: String
    private let overwrite: Bool
    private let state: Mutex<State>

    fileprivate init(
        name: String, imageID: GUID, existing: ChunkSet, layout: ChunkLayout, part: String, overwrite: Bool,
        file: consuming Descriptor, content: PartContent, in catalogue: ImageCatalogue
    ) {
        self.name = name
        self.imageID = imageID
        self.existing = existing
        self.layout = layout
        self.part = part
        self.overwrite = overwrite
        self.catalogue = catalogue
        state = Mutex(
            State(
                file: file, encoder: content.encoder, stored: content.stored, position: content.position,
                flushed: content.position))
    }

    deinit { suspend() }

    /// The chunks that need not be sent again.
    package var stored: ChunkSet { state.withLock { $0.stored } }

    /// Bytes of the part so far.
    package var byteCount: UInt64 { state.withLock { $0.position } }

    /// Takes a frame (prefix, header, payload); one whose chunk is there already is ignored.
    ///
    /// - Throws: `ServerError`: `.invalid` where the frame does not decode to what its hash proves or is none of this
    ///   image, `.full` where the disk is; the frames before it are kept.
    package func add(frame: [UInt8]) throws {
        let isNew = try state.withLock { state in
            guard state.file != nil else {
                throw ServerError("the upload of image \(name) has ended", .conflict)
            }
            let (header, prefixAndHeader) = try prove(frame, with: state.decoder)
            guard !state.stored.contains(header.number) else { return false }
            let place = state.position
            do {
                try ServerError.naming { try state.file?.write(frame, at: place) }
            } catch {
                // Half a frame is no frame: the part ends where it did before.
                try? state.file?.truncate(to: place)
                throw error
            }
            state.encoder.add(header, prefixAndHeader: prefixAndHeader)
            state.stored.insert(header.number)
            state.position += UInt64(frame.count)
            if state.position - state.flushed >= ImageUpload.flushed {
                try ServerError.naming { try state.file?.synchronize() }
                state.flushed = state.position
            }
            return true
        }
        if isNew { catalogue.wrote(frame.count, of: name) }
    }

    /// Gives the image its name, once all chunks are there and on the medium.
    ///
    /// - Throws: `ServerError`: `.invalid` where chunks are missing, and the part is kept; what else fails keeps it too,
    ///   unless it proved to be no image.
    package func finish() throws -> ImageView {
        let (end, place) = try state.withLock { state in
            guard state.file != nil else {
                throw ServerError("the upload of image \(name) has ended", .conflict)
            }
            let missing = existing.subtracting(state.stored).count
            guard missing == 0 else {
                throw ServerError("image \(name) still lacks \(missing) of its chunks", .invalid)
            }
            return (try state.encoder.finish(), state.position)
        }
        guard let file = state.withLock({ $0.file.take() }) else {
            throw ServerError("the upload of image \(name) has ended", .conflict)
        }
        defer { catalogue.release(name) }
        do {
            try ServerError.naming {
                try file.write(end, at: place)
                try file.synchronize()
            }
        } catch {
            try? file.truncate(to: place)
            throw error
        }
        do {
            let image = try ImageFileReader(ImageFileBytes(file))
            if let damage = image.origin.damage { throw DecodeError.corrupt(damage) }
        } catch let error as DecodeError {
            try? catalogue.folder.remove(part)
            throw ServerError("what was received for \(name) is not a whole image: \(error)", .invalid)
        }
        return try catalogue.publish(part, as: name, overwrite: overwrite)
    }

    /// Ends the upload and keeps the part, for the same image to be continued; without effect where it has ended.
    package func suspend() {
        let file = state.withLock { $0.file.take() }
        guard let file else { return }
        // Where this fails, the part is proven again when it is continued.
        try? file.synchronize()
        catalogue.release(name)
    }

    /// Ends the upload and removes the part; without effect where it has ended.
    package func cancel() {
        let file = state.withLock { $0.file.take() }
        guard file != nil else { return }
        try? catalogue.folder.remove(part)
        catalogue.release(name)
    }

    private func prove(_ frame: [UInt8], with decoder: FrameDecoder) throws -> (FrameHeader, [UInt8]) {
        do {
            let (header, _) = try frame.withBytes { span throws(DecodeError) in
                try decoder.content(of: span, layout: layout)
            }
            guard existing.contains(header.number) else {
                throw DecodeError.invalid("the image has no chunk \(header.number)")
            }
            // Readers hash the header as they would write it: another spelling of it would spoil the whole file.
            let prefixAndHeader = Array(frame[..<(frame.count - header.payloadLength)])
            guard header.encoded(in: layout) == prefixAndHeader else {
                throw DecodeError.invalid("the header of chunk \(header.number) is not in its shortest form")
            }
            return (header, prefixAndHeader)
        } catch let error as DecodeError {
            throw ServerError("image \(name) was sent a frame that cannot be used: \(error)", .invalid)
        }
    }
}

/// What a part file holds of an image.
private struct PartContent {
    var encoder: ImageFileEncoder
    var stored = ChunkSet()
    /// Length of the part in whole frames.
    var position: UInt64

    /// A part without frames.
    init(_ encoder: ImageFileEncoder) {
        self.encoder = encoder
        position = UInt64(encoder.start.count)
    }

    /// Reads the frames of a part that begins as this image does; nil where it does not.
    ///
    /// Frames count as far as they follow one another without a gap; those that may not have been on the medium when
    /// the power failed are decoded and proven first.
    init?(
        of part: ImageFileBytes, _ encoder: ImageFileEncoder, layout: ChunkLayout, existing: ChunkSet
    ) throws {
        let start = encoder.start
        guard part.byteCount >= UInt64(start.count), try part.read(start.count, at: 0) == start else {
            return nil
        }
        self.init(encoder)
        let unproven = part.byteCount - min(part.byteCount, 2 * ImageUpload.flushed)
        let decoder = FrameDecoder()
        let frames = try ImageScan(part).entries.values.sorted { $0.offset < $1.offset }
        for entry in frames {
            let length = entry.headerLength + entry.header.payloadLength
            guard entry.offset == position, existing.contains(entry.header.number) else { break }
            if entry.offset + UInt64(length) > unproven {
                let frame = try part.read(length, at: entry.offset)
                let proven = frame.withBytes { (try? decoder.content(of: $0, layout: layout)) != nil }
                guard proven else { break }
            }
            let prefixAndHeader = try part.read(entry.headerLength, at: entry.offset)
            guard entry.header.encoded(in: layout) == prefixAndHeader else { break }
            self.encoder.add(entry.header, prefixAndHeader: prefixAndHeader)
            stored.insert(entry.header.number)
            position += UInt64(length)
        }
    }
}

extension ImageCatalogue {
    /// Begins to receive an image, or goes on where an earlier attempt of the same name and id has ended.
    ///
    /// `manifest` is its JSON as it will stand in the file, `existing` the chunks of the image, `mostBytes` the most
    /// that the file may take, for the free space to be judged.
    /// - Throws: `ServerError` where the name cannot be or is taken, where manifest and chunks are none of an image, or
    ///   where the disk has no room.
    package func storeImage(
        name: String, imageID: GUID, manifest: [UInt8], existing: ChunkSet, mostBytes: UInt64, overwrite: Bool
    ) throws -> ImageUpload {
        let name = try checkName(name)
        let encoder: ImageFileEncoder
        let layout: ChunkLayout
        do {
            encoder = try ImageFileEncoder(manifestJSON: manifest, existing: existing)
            let decoded = try Manifest(decoding: manifest)
            layout = try decoded.layout()
            guard try decoded.identifier() == imageID else {
                throw DecodeError.invalid("its manifest has another image's id")
            }
        } catch let error as DecodeError {
            throw ServerError("image \(name) cannot be received: \(error)", .invalid)
        }
        let part = ".\(name).\(imageID)\(ImageCatalogue.partSuffix)"
        let earlier = try ServerError.naming { try folder.status(of: part) }?.size ?? 0
        try claim(name, bytes: mostBytes > earlier ? mostBytes - earlier : 0, overwrite: overwrite)
        do {
            return try ServerError.naming {
                let file = try folder.open(part, [.readWrite, .create], mode: 0o640)
                do throws(SystemError) { try file.lockExclusively() } catch {
                    throw ServerError("image \(name) is being received by another server", .conflict)
                }
                let bytes = try ImageFileBytes(try file.duplicate())
                let content: PartContent
                if let found = try PartContent(of: bytes, encoder, layout: layout, existing: existing) {
                    content = found
                } else {
                    content = PartContent(encoder)
                    try file.truncate(to: 0)
                    try file.write(encoder.start, at: 0)
                }
                try file.truncate(to: content.position)
                try file.synchronize()
                try folder.synchronize()
                return ImageUpload(
                    name: name, imageID: imageID, existing: existing, layout: layout, part: part,
                    overwrite: overwrite, file: file, content: content, in: self)
            }
        } catch {
            release(name)
            throw error
        }
    }
}
