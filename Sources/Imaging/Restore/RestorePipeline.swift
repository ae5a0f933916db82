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
    /// The first region of each disk: a file system without a table has its head there, and an interrupted restore
    /// must not look whole.
    private let heldBack = Mutex<[Decoded]>([])
    private let gate = Condition()
    private let failure = FirstFailure()
    private let isPrepared = Mutex(false)
    /// Headers of what was written, kept for verification: about 150 bytes a chunk.
    private let written = Mutex<[FrameHeader]>([])
    private let lost = Mutex<[ClosingRecord.Unreadable]>([])

    private struct Decoded: Sendable {
        let header: FrameHeader
        let buffer: AlignedBuffer
    }

    /// `wanted` are the chunks to restore: all existing ones, or those a disk still lacks.
    package init(
        layout: ChunkLayout, wanted: ChunkSet, source: any FrameSource, sink: any ContentSink,
        progress: Progress
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
    /// With `verify` every chunk is read back from the sink and its hash compared before the tables are written.
    /// - Throws: The first error; the sink has then been told to abandon.
    package func run(verify: Bool = false) throws {
        failure.whenFailed { [self] in
            source.cancel(because: failure.error ?? ImagingError("the restore has failed"))
            pool.close()
            for queue in queues { queue.close() }
        }
        let writers = queues.enumerated().map { disk, queue in
            Thread("write-\(disk + 1)") { [self] in failure.guarding { try write(from: queue, disk: disk) } }
        }
        let decoders = (0..<processorCount()).map { index in
            Thread("decode-\(index + 1)") { [self] in failure.guarding { try decode() } }
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
            let heldBack = heldBack.withLock { $0 }
            if !heldBack.isEmpty { try sink.flush() }
            for decoded in heldBack { try write(decoded) }
            if verify { try readBack() }
            progress.enter(.finishing)
            try sink.finish(tables: tables.withLock { $0.values.sorted { $0.disk < $1.disk } })
        } catch {
            sink.abandon()
            throw error
        }
    }

    /// What of the restored chunks their source could not read: zeros on the sink.
    package var unreadable: [ClosingRecord.Unreadable] { lost.withLock { $0 } }

    /// Ends the restore with `reason` as its error; `run` then throws it.
    package func cancel(_ reason: String) { failure.record(ImagingError(reason)) }

    private func decode() throws {
        let decoder = FrameDecoder()
        while !failure.hasFailed, let frame = try source.next() {
            defer { source.release(frame) }
            guard let buffer = pool.take() else { return }
            let header: FrameHeader
            do throws(DecodeError) {
                header = try frame.withBytes { span throws(DecodeError) in
                    var offset = 0
                    let header = try FrameHeader(from: span, at: &offset, layout: layout)
                    guard header.number == frame.number, offset + header.payloadLength == span.byteCount
                    else {
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
            progress.add(frame: frame.byteCount)
            try prepareOnce()
            if header.kind == .table {
                let content = buffer.withBytes(header.rawLength) { $0.array }
                pool.giveBack(buffer)
                tables.withLock { $0[header.disk] = TableContent(header, content: content) }
                finish(header)
                source.completed(header.number)
            } else if isHeldBack(header) {
                let copy = AlignedBuffer(capacity: header.rawLength)
                unsafe copy.bytes.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: buffer.bytes[0..<header.rawLength]))
                pool.giveBack(buffer)
                heldBack.withLock { $0.append(Decoded(header: header, buffer: copy)) }
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
            // Whoever waited at the gate while the first one failed must not begin again.
            try failure.rethrow()
            guard !isPrepared.withLock({ $0 }) else { return }
            do { try sink.prepare() } catch {
                failure.record(error)
                throw error
            }
            isPrepared.withLock { $0 = true }
        }
    }

    private func write(from queue: BoundedQueue<Decoded>, disk: Int) throws {
        while let decoded = queue.take() {
            do { try write(decoded) } catch {
                progress.fault(disk: disk, "\(error)")
                throw error
            }
            pool.giveBack(decoded.buffer)
            finish(decoded.header)
            source.completed(decoded.header.number)
        }
    }

    private func write(_ decoded: Decoded) throws {
        var position = 0
        for extent in decoded.header.extents {
            let length = Int(extent.length)
            let part = unsafe UnsafeRawBufferPointer(
                rebasing: decoded.buffer.bytes[position..<position + length])
            try unsafe sink.write(part, disk: decoded.header.disk, offset: extent.offset)
            position += length
        }
    }

    /// Reads every written chunk from the sink and compares its hash.
    private func readBack() throws {
        let headers = written.withLock { $0 }.sorted { $0.number < $1.number }
        // What is flushed here is still part of the writing.
        try sink.flush()
        progress.begin(
            .verifying, totalBytes: headers.reduce(0) { $0 + UInt64($1.rawLength) },
            totalChunks: headers.count, disks: disksToRead(headers))
        let buffer = AlignedBuffer(capacity: Int(layout.chunkSize))
        for header in headers {
            try failure.rethrow()
            var hasher = DigestHasher()
            for extent in header.extents {
                let length = Int(extent.length)
                let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[0..<length])
                try unsafe sink.read(part, disk: header.disk, offset: extent.offset)
                buffer.withBytes(length) { hasher.update($0) }
            }
            guard hasher.finish() == header.digest else {
                let text =
                    "\(sink.name(ofDisk: header.disk)) does not read back as written in the bytes from "
                    + "\(header.extents[0].offset)"
                progress.fault(disk: header.disk, text)
                throw ImagingError(text)
            }
            progress.add(content: header.rawLength, disk: header.disk)
        }
    }

    /// The disks that are read back, with what was written to each.
    private func disksToRead(_ headers: [FrameHeader]) -> [ProgressReport.DiskFigures] {
        queues.indices.map { disk in
            let own = headers.filter { $0.disk == disk }
            return ProgressReport.DiskFigures(
                name: sink.name(ofDisk: disk), totalBytes: own.reduce(0) { $0 + UInt64($1.rawLength) },
                totalChunks: UInt64(own.count))
        }
    }

    /// Whether the chunk waits for all others, as tables do.
    private func isHeldBack(_ header: FrameHeader) -> Bool { header.number == layout.bases[header.disk] }

    private func finish(_ header: FrameHeader) {
        if header.kind == .chunk { written.withLock { $0.append(header) } }
        let ranges = header.unreadable.map { ClosingRecord.Unreadable(disk: header.disk, extent: $0) }
        if !ranges.isEmpty { lost.withLock { $0 += ranges } }
        done.withLock { $0.insert(header.number) }
        progress.add(content: header.rawLength, disk: header.disk)
    }
}
