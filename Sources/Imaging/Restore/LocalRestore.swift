// img restorel: an image file → disks, through the same pipeline as a session.
internal import Blocks
internal import Disk
internal import ImageFormat
internal import Linux
internal import Synchronization

/// A restore of an image file to this machine's disks.
package final class LocalRestore: Sendable {
    /// The image file, as it was typed.
    package let path: String
    private let image: ImageFileReader
    private let plan: RestorePlan
    /// Whether everything is read back.
    package let verify: Bool
    private let state = Mutex(State())

    private struct State: Sendable {
        var pipeline: RestorePipeline?
        var cancelled: String?
    }

    /// Opens the image and makes the plan; touches nothing.
    ///
    /// - Parameters:
    ///   - path: The image file.
    ///   - words: The words of disks=; nil without.
    ///   - verify: Whether every chunk is read back from the disks.
    /// - Throws: Where the image is no whole one, or it is not certain and possible which disk gets what.
    package init(path: String, disks words: [String]?, verify: Bool) throws {
        self.path = path
        self.verify = verify
        image = try ImageFileReader(path: path)
        let disks = try LocalDisks(DiskInventory.Context(imageFile: path), words: words)
        plan = try RestorePlan(
            manifest: image.manifest, disks: disks.all, named: words == nil ? nil : disks.named,
            existing: image.existing)
        try checkFrames()
    }

    /// Makes sure that every chunk and every table of the file can be written to its target.
    ///
    /// A session cannot know that before it has received everything; a file can, so nothing is lost to a bad one.
    private func checkFrames() throws {
        let decoder = FrameDecoder()
        for assignment in plan.assignments {
            let target = assignment.target
            let sector = UInt64(target.sectorSize)
            for entry in image.entries where entry.header.disk == assignment.imageDisk {
                let header = entry.header
                guard header.kind == .chunk else {
                    let frame = try image.frame(entry)
                    do throws(DecodeError) {
                        let (_, content) = try frame.withBytes { span throws(DecodeError) in
                            try decoder.content(of: span, layout: image.layout)
                        }
                        _ = try TableContent(header, content: content).regions(on: target)
                    } catch {
                        throw ImagingError(
                            "\(path): the partition table for \(target.path) is unusable: \(error)")
                    }
                    continue
                }
                guard header.extents.allSatisfy({ $0.offset % sector == 0 && $0.length % sector == 0 }),
                    (header.extents.last?.end ?? 0) <= target.size
                else {
                    throw ImagingError(
                        "\(path): chunk \(header.number) does not lie on whole sectors inside \(target.path)")
                }
            }
        }
    }

    /// The plan in lines.
    package var description: [String] {
        var lines = plan.description(of: image.manifest)
        if let damage = image.origin.damage { lines.append("\(path): \(damage)") }
        if !unreadable.isEmpty {
            lines.append("\(path) has zeros in place of \(unreadable.counted) of its source")
        }
        return lines
    }

    /// What of the image's source could not be read.
    private var unreadable: UnreadableSectors {
        UnreadableSectors(image.closing.unreadable, disks: image.manifest.disks)
    }

    /// What a restore says at its end of the sectors that are zeros on the disks; empty where there are none.
    package var warnings: [String] {
        unreadable.warnings(of: "on the disk") { disk in
            plan.assignments.first { $0.imageDisk == disk }?.target.path ?? "disk \(disk + 1)"
        }
    }

    /// Ends the restore; `run` throws `reason`, and the disks are left without tables.
    package func cancel(_ reason: String) {
        let pipeline = state.withLock { state in
            state.cancelled = reason
            return state.pipeline
        }
        pipeline?.cancel(reason)
    }

    /// Bytes of content in the image.
    package var contentBytes: UInt64 { image.closing.contentBytes }

    /// The target disks with what goes to each.
    private var diskFigures: [ProgressReport.DiskFigures] {
        plan.assignments.sorted { $0.imageDisk < $1.imageDisk }.map { assignment in
            let own = image.entries.filter { $0.header.disk == assignment.imageDisk }
            return ProgressReport.DiskFigures(
                name: assignment.target.path, totalBytes: own.reduce(0) { $0 + UInt64($1.header.rawLength) },
                totalChunks: UInt64(own.count))
        }
    }

    /// Restores; returns only when everything is on the disks, flushed, and the tables read back.
    package func run(_ progress: Progress) throws {
        progress.begin(
            .restoring, totalBytes: image.closing.contentBytes, totalChunks: image.existing.count,
            disks: diskFigures)
        let source = FileFrameSource(image, name: path, wanted: image.existing)
        let sink = DiskSink(plan, layout: image.layout, progress: progress)
        let pipeline = RestorePipeline(
            layout: image.layout, wanted: image.existing, source: source, sink: sink, progress: progress)
        let cancelled = state.withLock { state in
            state.pipeline = pipeline
            return state.cancelled
        }
        if let cancelled { pipeline.cancel(cancelled) }
        try pipeline.run(verify: verify)
    }
}
