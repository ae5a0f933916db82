// img makel and img makep: plan, then disks → image file, here or on the imaging server.
package import Blocks
internal import Disk
internal import ImageFormat
internal import Linux
internal import Overlay
internal import Synchronization

/// A capture of this machine's disks into an image file.
package final class LocalCapture: Sendable {
    /// Where the image goes.
    package enum Destination: Sendable {
        case file(String)
        /// The name of the image on a server, and the order it is captured by (0 where a person does).
        case server(WorkServer, name: String, order: UInt64)
    }

    package struct Options: Sendable {
        package var destination: Destination
        /// A word of comp=.
        package var compression: String
        package var excludedSlots: Set<Int>
        /// The words of disks=; nil for all eligible disks.
        package var disks: [String]?
        package var captureHibernated: Bool
        package var creator: String

        package init(
            to destination: Destination, compression: String, excludedSlots: Set<Int>, disks: [String]?,
            captureHibernated: Bool,
            creator: String
        ) {
            self.destination = destination
            self.compression = compression
            self.excludedSlots = excludedSlots
            self.disks = disks
            self.captureHibernated = captureHibernated
            self.creator = creator
        }
    }

    package struct Result: Sendable {
        package let image: GUID
        package let contentBytes: UInt64
        /// Bytes of the image file, or of the frames that were sent.
        package let fileBytes: UInt64
        package let frameCount: UInt64
        /// What could not be read and is zeros in the image.
        package let unreadable: UnreadableSectors
        /// A sentence for each disk that has some of it; empty for sound disks.
        package let warnings: [String]
    }

    private let options: Options
    private let compression: Compression
    private let plan: CapturePlan
    private let cancellation: Cancellation

    /// Ends a capture from another thread, while it is planned as well as while it runs.
    package final class Cancellation: Sendable {
        let mapping = MapInterruption()
        let transfer = WorkStop()
        private let pipeline = Mutex<CapturePipeline?>(nil)

        package init() {}

        /// Ends the capture; it throws `reason`, no file is left, and the disks are as they were.
        package func cancel(_ reason: String) {
            mapping.interrupt(reason)
            transfer.stop(reason)
            pipeline.withLock { $0 }?.cancel(reason)
        }

        /// From now on `pipeline` is what there is to end; throws where that was asked for before.
        fileprivate func begin(_ pipeline: CapturePipeline) throws {
            self.pipeline.withLock { $0 = pipeline }
            try mapping.check()
        }
    }

    /// Whether `word` is one that comp= takes.
    package static func isCompression(_ word: String) -> Bool { Compression(word: word) != nil }

    /// Makes the plan; `progress` is told what takes a moment.
    ///
    /// - Throws: Where the file exists, a disk is in use, a system is hibernated, or no disk is eligible.
    package init(_ options: Options, cancellation: Cancellation, progress: Progress) throws {
        self.cancellation = cancellation
        guard let compression = Compression(word: options.compression) else {
            throw ImagingError(
                "comp= takes 0 to 9, none, speed, balanced or size, not '\(options.compression)'")
        }
        var context = DiskInventory.Context()
        switch options.destination {
        case .file(let path):
            guard !FileTree.exists(path) else {
                throw ImagingError("\(path) exists already; an image never replaces a file")
            }
            context = DiskInventory.Context(imageFile: path)
        case .server(_, let name, _):
            guard (1...200).contains(name.utf8.count) else {
                throw ImagingError("an image's name has 1 to 200 bytes")
            }
        }
        let disks = try LocalDisks(context, words: options.disks)
        var request = CapturePlan.Request()
        request.excludedSlots = options.excludedSlots
        request.captureHibernated = options.captureHibernated
        request.creator = options.creator
        request.interruption = cancellation.mapping
        progress.note("asking the file systems which blocks are used")
        self.options = options
        self.compression = compression
        plan = try CapturePlan(try disks.sources(), named: options.disks != nil, request: request)
    }

    /// The plan in lines.
    package var description: [String] { plan.description }

    /// Captures; the image has its name only when this returns.
    package func run(_ progress: Progress) throws -> Result {
        // The outcome is thrown below; a flag that cannot be put back is worth an error only after a success.
        defer { try? plan.release() }
        switch options.destination {
        case .file(let path): return try run(progress, into: path)
        case .server(let server, let name, let order):
            let upload = ServerUpload(
                ServerUpload.Request(
                    server: server, image: name, order: order, identifier: try plan.manifest.identifier(),
                    manifest: try plan.manifest.encoded(), existing: plan.existing, mostBytes: mostBytes),
                stop: cancellation.transfer, progress: progress)
            return try run(progress, over: upload, to: server)
        }
    }

    private func run(_ progress: Progress, into path: String) throws -> Result {
        let content = try DiskContent(plan)
        begin(progress, plan.items)
        let writer = try StoredImageWriter(
            path: path, manifest: plan.manifest, existing: plan.existing)
        let outcome = Swift.Result {
            try unsafe capture(plan.items, of: content, progress) { header, prefixAndHeader, payload in
                try unsafe writer.write(header, prefixAndHeader: prefixAndHeader, payload: payload)
            }
        }
        try content.close()
        try outcome.get()
        progress.enter(.finishing)
        try plan.release()
        let (totals, byteCount) = try writer.finish()
        return try result(
            contentBytes: totals.contentBytes, fileBytes: byteCount, frameCount: totals.frameCount,
            unreadable: totals.unreadable)
    }

    private func run(_ progress: Progress, over upload: ServerUpload, to server: WorkServer) throws -> Result
    {
        let content = try DiskContent(plan)
        let sent = Mutex((bytes: UInt64(0), unreadable: Set<ClosingRecord.Unreadable>()))
        let outcome = Swift.Result {
            var (stored, key) = try upload.open()
            progress.note(
                "\(server.title) has the key \(key)"
                    + (server.pinned == nil ? " (key= pins it)" : ", which is pinned"))
            while true {
                let items = plan.items.filter { !stored.contains($0.number) }
                do {
                    begin(progress, items)
                    try unsafe capture(items, of: content, progress) { header, prefixAndHeader, payload in
                        try unsafe upload.send(
                            chunk: header.number, prefixAndHeader: prefixAndHeader, payload: payload)
                        sent.withLock { sent in
                            sent.bytes += UInt64(prefixAndHeader.count) + UInt64(header.payloadLength)
                            for extent in header.unreadable {
                                sent.unreadable.insert(
                                    ClosingRecord.Unreadable(disk: header.disk, extent: extent))
                            }
                        }
                    }
                    progress.enter(.finishing)
                    return try upload.finish(chunks: UInt64(plan.items.count), bytes: plan.manifest.usedBytes)
                } catch let lost as UploadLost {
                    stored = try upload.comeBack(after: lost)
                }
            }
        }
        if case .failure(let error) = outcome { upload.abandon("\(error)") }
        try content.close()
        try outcome.get()
        try plan.release()
        let (bytes, unreadable) = sent.withLock { ($0.bytes, Array($0.unreadable)) }
        return try result(
            contentBytes: plan.manifest.usedBytes, fileBytes: bytes, frameCount: UInt64(plan.items.count),
            unreadable: unreadable)
    }

    /// Runs the pipeline once.
    private func capture(
        _ items: [CaptureItem], of content: DiskContent, _ progress: Progress,
        consume: (FrameHeader, [UInt8], UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let pipeline = CapturePipeline(
            layout: plan.layout, compression: compression,
            reader: RescuingReader(source: content, disks: plan.manifest.disks), progress: progress)
        try cancellation.begin(pipeline)
        try unsafe pipeline.run(items, consume: consume)
    }

    private func begin(_ progress: Progress, _ items: [CaptureItem]) {
        progress.begin(
            .capturing, totalBytes: items.reduce(0) { $0 + UInt64($1.length) }, totalChunks: items.count,
            disks: plan.diskFigures(items))
    }

    private func result(
        contentBytes: UInt64, fileBytes: UInt64, frameCount: UInt64, unreadable: [ClosingRecord.Unreadable]
    ) throws -> Result {
        let unreadable = UnreadableSectors(unreadable, disks: plan.manifest.disks)
        return Result(
            image: try plan.manifest.identifier(), contentBytes: contentBytes, fileBytes: fileBytes,
            frameCount: frameCount, unreadable: unreadable,
            warnings: unreadable.warnings { plan.sources[$0].disk.path })
    }

    /// The most that the image file can become: what does not shrink is stored as it is.
    private var mostBytes: UInt64 {
        plan.manifest.usedBytes + UInt64(plan.items.count) * LocalCapture.frameOverhead
            + LocalCapture.fileOverhead
    }

    /// Bytes of a frame's header and index entry, of which most need a twentieth; and of all else in a file.
    private static let frameOverhead: UInt64 = 4 * KiB
    private static let fileOverhead = 2 * MiB
}
