// A session's frames straight from the disks: each chunk is read, encoded once and handed over when the host wants it.
package import Blocks
package import ImageFormat
internal import Linux
internal import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// The frames of a capture plan, made when they are asked for.
///
/// Nothing is kept: a later sweep reads the disk again, and the host notices when a chunk then has other bytes.
///
/// Memory: per thread that may ask at once, one buffer for content and one for its payload, each as large as a chunk
/// (4 MiB) or a table frame, and what zstd works with (1 MiB for speed and balanced, 49 MiB for size, 65 MiB at most);
/// the plan's list of chunks, some 200 bytes each (50 MB per TB of content), and its pool, where what the overlay
/// changed is (256 MiB at most). Frames handed over belong to the host, whose
/// store holds at most 64 MiB of them.
package final class LiveFrames: FrameProvider {
    package let concurrency = processorCount()
    /// No frame is longer, in bytes: a chunk that does not shrink is stored.
    package let maximumFrameBytes: Int

    private let layout: ChunkLayout
    /// Ascending by number.
    private let items: [CaptureItem]
    private let source: DiskContent
    private let reader: RescuingReader
    private let workers: BoundedQueue<Worker>
    private let unreadable = Mutex<Set<ClosingRecord.Unreadable>>([])
    /// Called once for each chunk with what cannot be read of it: the image's disk from 0, and the ranges.
    private let whenUnreadable: @Sendable (Int, [Extent]) -> Void
    private let content = Atomic<UInt64>(0)
    private let encoded = Atomic<UInt64>(0)

    private final class Worker: Sendable {
        let content: AlignedBuffer
        let payload: AlignedBuffer
        /// Never contended: who has the worker has the encoder.
        let encoder: Mutex<FrameEncoder>

        init(_ compression: Compression, layout: ChunkLayout, longest: Int) {
            content = AlignedBuffer(capacity: longest)
            payload = AlignedBuffer(capacity: longest)
            encoder = Mutex(FrameEncoder(compression, layout: layout))
        }
    }

    /// Opens the disks of `plan` for reading and keeps them read-only for everybody until `close`.
    ///
    /// `whenUnreadable` is called once with each range of an image disk (from 0) that cannot be read and is sent as
    /// zeros, by the thread that asks for the frame.
    package init(
        _ plan: CapturePlan, compression: Compression,
        whenUnreadable: @escaping @Sendable (Int, [Extent]) -> Void
    ) throws {
        layout = plan.layout
        items = plan.items.sorted { $0.number < $1.number }
        self.whenUnreadable = whenUnreadable
        source = try DiskContent(plan)
        reader = RescuingReader(source: source, disks: plan.manifest.disks)
        let longest = items.reduce(1) { max($0, $1.length) }
        maximumFrameBytes = FramePrefix.byteCount + FrameHeader.maximumLength + longest
        workers = BoundedQueue(capacity: concurrency)
        for _ in 0..<concurrency {
            _ = workers.put(Worker(compression, layout: layout, longest: longest))
        }
    }

    /// Bytes of content read and of frames made of it so far, later sweeps included.
    package var figures: (content: UInt64, frames: UInt64) {
        (content.load(ordering: .relaxed), encoded.load(ordering: .relaxed))
    }

    package func frame(chunk: UInt32) throws -> [UInt8] {
        guard let item = item(chunk) else { throw ImagingError("the capture has no chunk \(chunk)") }
        guard let worker = workers.take() else { throw ImagingError("the capture has ended") }
        defer { _ = workers.put(worker) }
        let lost = try unsafe reader.read(item, into: worker.content.bytes)
        note(lost, disk: item.disk)
        let (header, isStored) = worker.encoder.withLock { encoder in
            worker.content.withBytes(item.length) { span in
                unsafe encoder.encode(
                    kind: item.kind, number: item.number, disk: item.disk, extents: item.extents,
                    roles: item.roles, unreadable: lost, content: span, payload: worker.payload.bytes)
            }
        }
        let payload = isStored ? worker.content : worker.payload
        let start = header.encoded(in: layout)
        var frame: [UInt8] = []
        // With room for what the host puts behind it, the frame is not copied again.
        frame.reserveCapacity(start.count + header.payloadLength + HostMachine.sealReserve)
        frame.append(contentsOf: start)
        unsafe frame.append(
            contentsOf: UnsafeRawBufferPointer(rebasing: payload.bytes[0..<header.payloadLength]))
        content.wrappingAdd(UInt64(item.length), ordering: .relaxed)
        encoded.wrappingAdd(UInt64(frame.count), ordering: .relaxed)
        return frame
    }

    package func end() { reader.end() }

    /// Gives the disks their read-only flags back as they were; call it when no frame is asked for any more.
    package func close() throws { try source.close() }

    /// What could not be read so far and was sent as zeros.
    package var unreadableRanges: [ClosingRecord.Unreadable] { unreadable.withLock { Array($0) } }

    private func note(_ lost: [Extent], disk: Int) {
        // A later sweep finds the same ranges again.
        let new = unreadable.withLock { known in
            lost.filter { known.insert(ClosingRecord.Unreadable(disk: disk, extent: $0)).inserted }
        }
        if !new.isEmpty { whenUnreadable(disk, new) }
    }

    private func item(_ number: UInt32) -> CaptureItem? {
        var low = 0
        var high = items.count
        while low < high {
            let middle = (low + high) / 2
            if items[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low < items.count && items[low].number == number ? items[low] : nil
    }
}
