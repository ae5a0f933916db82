// Reads the disks of a capture plan, patched with what the overlay changed in memory.
package import Blocks
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
        try unsafe disks[disk].reader.read(into: bytes, at: offset)
        let window = Extent(offset: offset, length: UInt64(bytes.count))
        for (content, part) in parts(of: window, disk) { unsafe patch(bytes, window, content, part) }
    }

    package func patch(_ bytes: UnsafeMutableRawBufferPointer, disk: Int, offset: UInt64) -> ExtentSet {
        let window = Extent(offset: offset, length: UInt64(bytes.count))
        var replaced = ExtentSet()
        for (content, part) in parts(of: window, disk) {
            unsafe patch(bytes, window, content, part)
            let start = content.source.extent.offset
            let inside = content.replaced(in: Extent(offset: part.offset - start, length: part.length))
            replaced = replaced.union(inside.shifted(by: start))
        }
        return replaced
    }

    /// The partitions that `window` of a disk touches, each with its part of it.
    private func parts(of window: Extent, _ disk: Int) -> [(PartitionContent, Extent)] {
        disks[disk].contents.compactMap { content in
            content.source.extent.intersection(window).map { (content, $0) }
        }
    }

    private func patch(
        _ bytes: UnsafeMutableRawBufferPointer, _ window: Extent, _ content: PartitionContent, _ part: Extent
    ) {
        let from = Int(part.offset - window.offset)
        let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[from..<from + Int(part.length)])
        unsafe content.patch(piece, at: part.offset - content.source.extent.offset)
    }

    package func name(ofDisk disk: Int) -> String { disks[disk].reader.name }

    /// Gives every disk its read-only flag back as it was.
    package func close() throws {
        for disk in disks { try disk.reader.close() }
    }
}
