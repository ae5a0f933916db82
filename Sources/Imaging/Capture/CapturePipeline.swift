// The capture: disk regions → frames → image file. One reader, one encoder per processor, one writer.
package import Blocks
package import ImageFormat
internal import Linux

/// Reads content of the source disks; called from one thread.
package protocol ContentSource: AnyObject, Sendable {
    /// Fills `bytes` with what image disk `disk` holds at `offset`.
    ///
    /// - Throws: `SystemError` for a read that fails (see `isMediumError`).
    func read(_ bytes: UnsafeMutableRawBufferPointer, disk: Int, offset: UInt64) throws

    /// Replaces what of `bytes` need not be read from the disk, which has failed to give it.
    ///
    /// - Returns: The ranges of the disk that were replaced.
    func patch(_ bytes: UnsafeMutableRawBufferPointer, disk: Int, offset: UInt64) -> ExtentSet

    /// How errors call image disk `disk`.
    func name(ofDisk disk: Int) -> String
}

extension ContentSource {
    package func patch(_ bytes: UnsafeMutableRawBufferPointer, disk: Int, offset: UInt64) -> ExtentSet {
        ExtentSet()
    }

    package func name(ofDisk disk: Int) -> String { "disk \(disk + 1) of the image" }
}

/// One chunk or table frame to be captured.
package struct CaptureItem: Equatable, Sendable {
    package let kind: FrameKind
    package let number: UInt32
    package let disk: Int
    package let extents: [Extent]
    package let roles: [TableRole]

    package init(kind: FrameKind, number: UInt32, disk: Int, extents: [Extent], roles: [TableRole] = []) {
        self.kind = kind
        self.number = number
        self.disk = disk
        self.extents = extents
        self.roles = roles
    }

    var length: Int { extents.reduce(0) { $0 + Int($1.length) } }
}

/// Encodes the items of an image and hands the frames, in order of completion, to one consumer.
package final class CapturePipeline: Sendable {
    /// Memory for content and frames in bytes.
    private static let memory: UInt64 = 128 * MiB

    private let layout: ChunkLayout
    private let compression: Compression
    private let reader: RescuingReader
    private let progress: Progress
    private let pool: BufferPool
    private let contents: BoundedQueue<Content>
    private let frames: BoundedQueue<Encoded>
    private let failure = FirstFailure()

    private struct Content: Sendable {
        let item: CaptureItem
        let unreadable: [Extent]
        let buffer: AlignedBuffer
    }

    private struct Encoded: Sendable {
        let header: FrameHeader
        let prefixAndHeader: [UInt8]
        let buffer: AlignedBuffer
    }

    package init(layout: ChunkLayout, compression: Compression, reader: RescuingReader, progress: Progress) {
        self.layout = layout
        self.compression = compression
        self.reader = reader
        self.progress = progress
        let largest = max(Int(layout.chunkSize), FrameHeader.maximumTableLength)
        let count = max(processorCount() + 2, Int(CapturePipeline.memory) / largest - processorCount())
        pool = BufferPool(count: count, bufferSize: largest)
        contents = BoundedQueue(capacity: count)
        frames = BoundedQueue(capacity: count)
    }

    /// Runs through `items`; `consume` gets each frame on the calling thread: header, prefix and header bytes, payload.
    package func run(
        _ items: [CaptureItem],
        consume: (FrameHeader, [UInt8], UnsafeRawBufferPointer) throws -> Void
    ) throws {
        failure.whenFailed { [self] in
            self.reader.end()
            pool.close()
            contents.close()
            frames.close()
        }
        let reader = Thread("read-disk") { [self] in
            failure.guarding { try read(items) }
            contents.close()
        }
        let encoders = (0..<processorCount()).map { index in
            Thread("encode-\(index + 1)") { [self] in failure.guarding { try encode() } }
        }
        let closer = Thread("encode-end") { [self] in
            for thread in encoders { try thread.join() }
            frames.close()
        }
        failure.guarding {
            while let frame = frames.take() {
                let length = frame.header.payloadLength
                try unsafe consume(
                    frame.header, frame.prefixAndHeader,
                    UnsafeRawBufferPointer(rebasing: frame.buffer.bytes[0..<length]))
                pool.giveBack(frame.buffer)
                progress.add(frame: frame.prefixAndHeader.count + length)
                progress.add(content: frame.header.rawLength, disk: frame.header.disk)
            }
        }
        try reader.join()
        try closer.join()
        try failure.rethrow()
    }

    /// Ends the capture with `reason` as its error; `run` then throws it.
    package func cancel(_ reason: String) { failure.record(ImagingError(reason)) }

    private func read(_ items: [CaptureItem]) throws {
        for item in items {
            guard let buffer = pool.take() else { return }
            let unreadable: [Extent]
            do { unreadable = try unsafe reader.read(item, into: buffer.bytes) } catch {
                progress.fault(disk: item.disk, "\(error)")
                throw error
            }
            let content = Content(item: item, unreadable: unreadable, buffer: buffer)
            guard contents.put(content) else { return }
        }
    }

    private func encode() throws {
        let encoder = FrameEncoder(compression, layout: layout)
        // Not from the pool: were all its buffers filled with content, every encoder would wait for every other.
        var spare = AlignedBuffer(capacity: pool.bufferSize)
        while let content = contents.take() {
            let item = content.item
            let (header, isStored) = content.buffer.withBytes(item.length) { span in
                unsafe encoder.encode(
                    kind: item.kind, number: item.number, disk: item.disk, extents: item.extents,
                    roles: item.roles, unreadable: content.unreadable,
                    content: span, payload: spare.bytes)
            }
            let payload = isStored ? content.buffer : spare
            if !isStored { spare = content.buffer }
            let frame = Encoded(
                header: header, prefixAndHeader: header.encoded(in: layout), buffer: payload)
            guard frames.put(frame) else { return }
        }
    }
}
