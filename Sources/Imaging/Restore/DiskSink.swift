// The local disks of a restore: emptied when the first chunk is proven, tables last.
internal import Blocks
internal import Disk
package import ImageFormat
internal import Linux
internal import Synchronization

/// Puts an image on the disks of a plan, in the order that loses nothing (DESIGN §7).
package final class DiskSink: ContentSink {
    private let layout: ChunkLayout
    private let assignments: [RestorePlan.Assignment]
    private let writers = Mutex<[DiskWriter]>([])
    /// The disks whose partitions were deleted, or begun to be.
    private let touched = Mutex<[String]>([])
    private let progress: Progress

    /// `progress` is told each step that a person wants to see.
    package init(_ plan: RestorePlan, layout: ChunkLayout, progress: Progress) {
        self.layout = layout
        assignments = plan.assignments.sorted { $0.imageDisk < $1.imageDisk }
        self.progress = progress
    }

    package func prepare() throws {
        // All disks are looked at again before the first one is touched.
        for assignment in assignments {
            try DiskEraser.check(assignment.target, named: assignment.rule == .named)
        }
        for assignment in assignments {
            let target = assignment.target
            progress.note("deleting the partitions of \(target.path)")
            touched.withLock { $0.append(target.path) }
            try DiskEraser.erase(target, named: assignment.rule == .named)
            let writer = try DiskWriter(target, named: assignment.rule == .named)
            writers.withLock { $0.append(writer) }
        }
    }

    package func write(_ bytes: UnsafeRawBufferPointer, disk: Int, offset: UInt64) throws {
        try unsafe writer(disk).write(bytes, at: offset)
    }

    package func flush() throws {
        for writer in writers.withLock({ $0 }) { try writer.flush() }
    }

    package func read(_ bytes: UnsafeMutableRawBufferPointer, disk: Int, offset: UInt64) throws {
        try unsafe writer(disk).read(into: bytes, at: offset)
    }

    package func name(ofDisk disk: Int) -> String { assignments[disk].target.path }

    package func finish(tables: [TableContent]) throws {
        let writers = writers.withLock { $0 }
        guard writers.count == assignments.count else {
            throw ImagingError("nothing was restored: no chunk of the image arrived")
        }
        // What cannot be moved to its disk must be known before any table is written.
        let moved = try tables.map { table in
            let target = writers[table.disk]
            do {
                return (target, try table.regions(on: target.disk))
            } catch {
                throw ImagingError("the partition table for \(target.name) is unusable: \(error)")
            }
        }
        for writer in writers { try writer.flush() }
        for (writer, regions) in moved { try writer.writeTables(regions) }
        for writer in writers {
            try writer.reread()
            try writer.close()
        }
    }

    package func abandon() {
        let emptied = writers.withLock { $0.map(\.name) }
        if !emptied.isEmpty {
            progress.note(
                "\(emptied.joined(separator: ", ")): emptied and not restored; the same command starts again",
                .error)
        }
        for path in touched.withLock({ $0 }) where !emptied.contains(path) {
            progress.note(
                "\(path): its partitions may be gone, and nothing was restored; the same command starts again",
                .error)
        }
        // Nothing more can be done about a disk that fails even to be closed; the first error is the one shown.
        for writer in writers.withLock({ $0 }) { try? writer.close() }
    }

    private func writer(_ disk: Int) throws -> DiskWriter {
        let writers = writers.withLock { $0 }
        guard writers.indices.contains(disk) else { throw ImagingError("the image has no disk \(disk + 1)") }
        return writers[disk]
    }
}
