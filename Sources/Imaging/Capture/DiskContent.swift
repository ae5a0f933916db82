// Reads the disks of a capture plan, patched with what the overlay changed in memory.
internal import Blocks
internal import Disk
internal import Linux
internal import Overlay

/// The content of a plan's disks as it goes into the image.
package final class DiskContent: ContentSource {
    private let disks: [OpenDisk]
    private let tables: [[Extent]]

    private struct OpenDisk: Sendable {
        let reader: DiskReader
        /// Ascending by place on the disk.
        let contents: [PartitionContent]
    }

    /// Opens every disk of the plan read-only and keeps it so for everybody until `close`.
    package init(_ plan: CapturePlan) throws {
        disks = try plan.sources.map { source in
            OpenDisk(
                reader: try DiskReader(source.disk, protect: true),
                contents: source.contents.sorted { $0.source.extent.offset < $1.source.extent.offset })
        }
        tables = plan.sources.map { $0.tables.regions.map(\.extent) }
    }

    package func read(_ bytes: UnsafeMutableRawBufferPointer, disk: Int, offset: UInt64) throws {
        let open = disks[disk]
        try unsafe open.reader.read(into: bytes, at: offset)
        let window = Extent(offset: offset, length: UInt64(bytes.count))
        for content in open.contents {
            guard let part = content.source.extent.intersection(window) else { continue }
            let from = Int(part.offset - offset)
            let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[from..<from + Int(part.length)])
            unsafe content.patch(piece, at: part.offset - content.source.extent.offset)
        }
    }

    /// Gives every disk its read-only flag back as it was.
    package func close() throws {
        for disk in disks { try disk.reader.close() }
    }
}
