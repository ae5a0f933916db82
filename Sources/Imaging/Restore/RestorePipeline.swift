// The restore: frames → proven content → disks. The same threads and queues for a file and for a session.
package import Blocks
package import ImageFormat
internal import Linux
internal import Synchronization

/// Restores the chunks of one image from a source to a sink.
package final class RestorePipeline: Sendable {
    /// Memory for decoded content in bytes; with the source's own frames this bounds the pipeline.
    private static let contentMemory: UInt64 = 64 * MiB

    private let layout: ChunkLayout
    private let source: any FrameSource
    private let sink: any ContentSink
    private let progress: Progress
    private let wanted: ChunkSet
    private let pool: BufferPool
    private let queues: [BoundedQueue<Decoded>]
    private let done = Mutex(ChunkSet())
    private let tables = Mutex<[Int: TableContent]>([:])
    private let gate = Condition()
    private let isPrepared = Mutex(false)

    private struct Decoded: Sendable {
        let header: FrameHeader
        let buffer: AlignedBuffer
    }

    /// `wanted` are the chunks to restore: all existing ones, or those a disk still lacks.
    package init(
        layout: ChunkLayout, wanted: ChunkSet, source: any FrameSource, sink: any ContentSink, progress: Progress
    ) {
        self.layout = layout
        self.wanted = wanted
        self.source = source
        self.sink = sink
        self.progress = progress
        let largest = max(Int(layout.chunkSize), FrameHeader.maximumTableLength)
        let count = max(4, Int(RestorePipeline.contentMemory) / largest)
        pool = BufferPool(count: count, bufferSize: largest)
        queues = layout.diskSizes.map { _ in BoundedQueue(capacity: count) }
    }

    /// Runs until every wanted chunk is on the sink and the tables are written, or something fails.
    ///
    /// - Throws: The first error; the sink has then been told to abandon.
    package func run() throws {
        let failure = FirstFailure { [self] in
            source.cancel()
            pool.close()
            for queue in queues { queue.close() }
        }
        let writers = queues.enumerated().map { disk, queue in
            Thread("write-\(disk + 1)") { [self] in failure.guarding { try write(from: queue, disk: disk) } }
        }
        let decoders = (0..<processorCount()).map { index in
            Thread("decode-\(index + 1)") { [self] in failure.guarding { try decode(failure) } }
        }
        for thread in decoders { try thread.join() }
        for queue in queues { queue.close() }
        for thread in writers { try thread.join() }
        do {
            try failure.rethrow()
            let missing = wanted.subtracting(done.withLock { $0 })
            guard missing.isEmpty else {
                throw ImagingError("\(missing.count) of \(wanted.count) chunks did not arrive")
            }
            try sink.finish(tables: tables.withLock { $0.values.sorted { $0.disk < $1.disk } })
        } catch {
            sink.abandon()
            throw error
        }
    }

    private func decode(_ failure: FirstFailure) throws {
        let decoder = FrameDecoder()
        while !failure.hasFailed, let frame = try source.next() {
            defer { frame.release() }
            guard let buffer = pool.take() else { return }
            let header: FrameHeader
            do throws(DecodeError) {
                header = try frame.bytes.withBytes { span throws(DecodeError) in
                    var offset = 0
                    let header = try FrameHeader(from: span, at: &offset, layout: layout)
                    guard header.number == frame.number, offset + header.payloadLength == span.byteCount else {
                        throw .invalid("the frame of chunk \(frame.number) has a wrong number or length")
                    }
                    let payload = span.extracting(offset..<span.byteCount)
                    try unsafe decoder.decode(header, payload: payload, into: buffer.bytes)
                    return header
                }
            } catch {
                pool.giveBack(buffer)
                try source.rejected(frame.number, because: error)
                continue
            }
            progress.add(frame: frame.bytes.count)
            try prepareOnce()
            if header.kind == .table {
                let content = buffer.withBytes(header.rawLength) { $0.array }
                pool.giveBack(buffer)
                tables.withLock { $0[header.disk] = TableContent(header, content: content) }
                finish(header)
                source.completed(header.number)
            } else if !queues[header.disk].put(Decoded(header: header, buffer: buffer)) {
                return
            }
        }
    }

    /// The first proven chunk opens the gate: only now is anything on a disk touched.
    private func prepareOnce() throws {
        try gate.locked {
            guard !isPrepared.withLock({ $0 }) else { return }
            try sink.prepare()
            isPrepared.withLock { $0 = true }
        }
    }

    private func write(from queue: BoundedQueue<Decoded>, disk: Int) throws {
        while let decoded = queue.take() {
            var position = 0
            for extent in decoded.header.extents {
                let length = Int(extent.length)
                let part = unsafe UnsafeRawBufferPointer(rebasing: decoded.buffer.bytes[position..<position + length])
                try unsafe sink.write(part, disk: disk, offset: extent.offset)
                position += length
            }
            pool.giveBack(decoded.buffer)
            finish(decoded.header)
            source.completed(decoded.header.number)
        }
    }

    private func finish(_ header: FrameHeader) {
        done.withLock { $0.insert(header.number) }
        progress.add(content: header.rawLength)
    }
}
