// What a capture takes: which disks, which bytes of each partition and why, numbered as chunks.
package import Blocks
package import Disk
package import ImageFormat
internal import Linux
package import Overlay

/// Everything decided before the first frame is made.
package struct CapturePlan: Sendable {
    /// A disk of the capture with what is taken of it.
    package struct Source: Sendable {
        package let disk: LocalDisk
        package let tables: TableRegions
        /// What must be captured, in bytes from the disk's start, tables cut out.
        package let used: ExtentSet
        /// Partitions whose content the overlay has patched, with their place on the disk.
        package let contents: [PartitionContent]
    }

    package let sources: [Source]
    package let layout: ChunkLayout
    package let manifest: Manifest
    package let items: [CaptureItem]
    package let existing: ChunkSet
    /// Keeps every source read-only for everybody from the plan until the last chunk is read.
    private let holds: [ReadOnlySource]
    /// One line for each thing that is not as one would expect: captured whole, left out, unsure.
    package let notices: [String]

    /// What a capture is asked for.
    package struct Request: Sendable {
        /// Slots whose content is left out.
        package var excludedSlots: Set<Int> = []
        /// Whether hibernated systems are captured block by block.
        package var captureHibernated = false
        /// Program and version, for the manifest.
        package var creator = "img"
        package var chunkSize = ChunkLayout.defaultChunkSize
        /// Memory for what mounting changes, in bytes.
        package var overlayMemory = OverlayPool.defaultByteCount
        /// Ends the plan from another thread.
        package var interruption = MapInterruption()

        package init() {}
    }

    /// Decides everything; reads the disks, changes nothing.
    ///
    /// - Throws: `ImagingError` for a disk in use, a damaged table, a hibernated system, an unknown slot.
    package init(_ disks: [LocalDisk], named: Bool, request: Request) throws {
        guard !disks.isEmpty else { throw ImagingError("there is no disk to capture") }
        for (index, disk) in disks.enumerated() {
            guard !disks[..<index].contains(where: { $0.isSameDisk(as: disk) }) else {
                throw ImagingError("\(disk.path) is named twice")
            }
            if let refusal = disk.refusals(for: .capture, named: named).first {
                throw ImagingError("\(disk.path) \(refusal)")
            }
        }
        let slots = Set(disks.flatMap { $0.slots.map(\.slot) })
        if let unknown = request.excludedSlots.subtracting(slots).min() {
            throw ImagingError("x\(unknown) names a slot that does not exist; 'img dump' lists them")
        }
        holds = try disks.map { disk in
            let hold = try ReadOnlySource(path: disk.path)
            // What came between the look and the hold: a file system mounted since then would change what is captured.
            let context = DiskInventory.Context(
                fileSectorSize: disk.kind == .regularFile ? disk.sectorSize : nil)
            let now = try DiskInventory().describe(path: disk.path, context)
            if let refusal = now.refusals(for: .capture, named: named).first {
                throw ImagingError("\(disk.path) \(refusal)")
            }
            return hold
        }
        layout = try ChunkLayout(chunkSize: request.chunkSize, diskSizes: disks.map(\.size))
        let pool = try OverlayPool(byteCount: request.overlayMemory)
        let groups = try VolumeGroups(disks, request, pool)
        var sources: [Source] = []
        var partitions: [Manifest.PartitionEntry] = []
        var notices: [String] = []
        for (index, disk) in disks.enumerated() {
            let examined = try DiskExamination(
                disk, index: index, request: request, pool: pool, groups: groups)
            sources.append(examined.source)
            partitions += examined.partitions
            notices += examined.notices
        }
        let items = CapturePlan.items(sources, layout: layout)
        let entries = try sources.map { source in try CapturePlan.entry(source) }
        manifest = Manifest(
            imageID: GUID(random: Random.bytes(16)), created: WallClock.text(WallClock.now()),
            creator: request.creator, firmware: FileTree.exists("/sys/firmware/efi") ? "uefi" : "bios",
            layout: layout, chunkCount: items.count,
            usedBytes: items.reduce(0) { $0 + UInt64($1.length) }, disks: entries, partitions: partitions)
        existing = ChunkSet(items.map(\.number))
        self.items = items
        self.sources = sources
        self.notices = notices
    }

    /// Gives the sources their read-only flags back as they were.
    package func release() throws {
        for hold in holds { try hold.release() }
    }

    private static func items(_ sources: [Source], layout: ChunkLayout) -> [CaptureItem] {
        var items: [CaptureItem] = []
        for (index, source) in sources.enumerated() {
            var next: UInt64 = 0
            for extent in source.used.extents {
                // The first region not yet made into an item that this extent touches, and all after it.
                var region = max(next, extent.offset / layout.chunkSize)
                while region * layout.chunkSize < extent.end {
                    let number = layout.bases[index] + UInt32(region)
                    if case .region(_, let window)? = layout.place(of: number) {
                        let parts = source.used.intersection(window).extents
                        items.append(CaptureItem(kind: .chunk, number: number, disk: index, extents: parts))
                    }
                    region += 1
                    next = region
                }
            }
        }
        for (index, source) in sources.enumerated() where !source.tables.regions.isEmpty {
            items.append(
                CaptureItem(
                    kind: .table, number: layout.tableNumber(disk: index), disk: index,
                    extents: source.tables.regions.map(\.extent), roles: source.tables.regions.map(\.role)))
        }
        return items
    }

    /// The disks with what of `items` is captured of each, for whoever shows it.
    package func diskFigures(_ items: [CaptureItem]) -> [ProgressReport.DiskFigures] {
        sources.indices.map { disk in
            let own = items.filter { $0.disk == disk }
            return ProgressReport.DiskFigures(
                name: sources[disk].disk.path, totalBytes: own.reduce(0) { $0 + UInt64($1.length) },
                totalChunks: UInt64(own.count))
        }
    }

    private static func entry(_ source: Source) throws -> Manifest.DiskEntry {
        let disk = source.disk
        let smallest = try TableRelocation.smallestDisk(source.tables.regions, sectorSize: disk.sectorSize)
        let isBoot = disk.slots.contains { $0.isActive || $0.type.isEFISystem }
        return Manifest.DiskEntry(
            size: disk.size, logicalSectorSize: disk.sectorSize, physicalSectorSize: disk.physicalSectorSize,
            tableType: disk.table.description, model: disk.model, serial: disk.serial, bus: disk.bus.rawValue,
            rotational: disk.isRotational, role: isBoot ? "boot" : "data",
            smallestTarget: max(smallest ?? disk.size, source.used.extents.last?.end ?? 0))
    }

    /// The plan in lines for the person at the machine; notices come with it.
    package var description: [String] {
        var lines: [String] = []
        for (index, source) in sources.enumerated() {
            let disk = source.disk
            lines.append(
                "disk \(index + 1): \(disk.path) (\(disk.model.isEmpty ? disk.bus.title : disk.model.onScreen), "
                    + "\(disk.size.asBytes), \(disk.table.description.onScreen))")
            for partition in manifest.partitions where partition.disk == index {
                let kind = partition.fileSystem.isEmpty ? "no known content" : partition.fileSystem
                let label = partition.label.isEmpty ? "" : " '\(partition.label.onScreen)'"
                let slot = partition.slot == 0 ? "whole disk" : "slot \(partition.slot)"
                lines.append(
                    "  \(slot): \(kind.onScreen)\(label), \(partition.size.asBytes), "
                        + "\(partition.usedBytes.asBytes) captured (\(partition.content.rawValue))")
            }
        }
        return lines + notices
    }
}
