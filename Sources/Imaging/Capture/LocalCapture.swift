// img makel: plan, then disks → image file.
internal import Blocks
internal import Disk
internal import ImageFormat
internal import Linux
internal import Overlay
internal import Synchronization

/// A capture of this machine's disks into a file.
package final class LocalCapture: Sendable {
    package struct Options: Sendable {
        package var path: String
        /// A word of comp=.
        package var compression: String
        package var excludedSlots: Set<Int>
        /// The words of disks=; nil for all eligible disks.
        package var disks: [String]?
        package var captureHibernated: Bool
        package var creator: String

        package init(
            path: String, compression: String, excludedSlots: Set<Int>, disks: [String]?,
            captureHibernated: Bool,
            creator: String
        ) {
            self.path = path
            self.compression = compression
            self.excludedSlots = excludedSlots
            self.disks = disks
            self.captureHibernated = captureHibernated
            self.creator = creator
        }
    }

    package struct Result: Sendable {
        package let contentBytes: UInt64
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
        private let pipeline = Mutex<CapturePipeline?>(nil)

        package init() {}

        /// Ends the capture; it throws `reason`, no file is left, and the disks are as they were.
        package func cancel(_ reason: String) {
            mapping.interrupt(reason)
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
        guard !FileTree.exists(options.path) else {
            throw ImagingError("\(options.path) exists already; an image never replaces a file")
        }
        let disks = try LocalDisks(DiskInventory.Context(imageFile: options.path), words: options.disks)
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

    /// Captures; the file has its name only when this returns.
    package func run(_ progress: Progress) throws -> Result {
        // The outcome is thrown below; a flag that cannot be put back is worth an error only after a success.
        defer { try? plan.release() }
        let content = try DiskContent(plan)
        progress.begin(
            .capturing, totalBytes: plan.manifest.usedBytes, totalChunks: plan.items.count,
            disks: plan.diskFigures)
        let writer = try StoredImageWriter(
            path: options.path, manifest: plan.manifest, existing: plan.existing)
        let pipeline = CapturePipeline(
            layout: plan.layout, compression: compression,
            reader: RescuingReader(source: content, disks: plan.manifest.disks), progress: progress)
        let outcome = Swift.Result {
            try cancellation.begin(pipeline)
            try unsafe pipeline.run(plan.items) { header, prefixAndHeader, payload in
                try unsafe writer.write(header, prefixAndHeader: prefixAndHeader, payload: payload)
            }
        }
        try content.close()
        try outcome.get()
        progress.enter(.finishing)
        try plan.release()
        let (totals, byteCount) = try writer.finish()
        let unreadable = UnreadableSectors(totals.unreadable, disks: plan.manifest.disks)
        return Result(
            contentBytes: totals.contentBytes, fileBytes: byteCount, frameCount: totals.frameCount,
            unreadable: unreadable, warnings: unreadable.warnings { plan.sources[$0].disk.path })
    }
}
