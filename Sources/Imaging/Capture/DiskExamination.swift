// Examines one disk of a capture: its tables, its boot-loader gap, and the used blocks of each partition.
internal import Blocks
internal import Disk
internal import ImageFormat
internal import Linux
internal import Overlay

/// What a capture finds on one disk.
struct DiskExamination {
    let source: CapturePlan.Source
    let partitions: [Manifest.PartitionEntry]
    let notices: [String]

    /// Longest piece of space between tables and partitions that is taken whole, in bytes; of longer ones the start.
    ///
    /// Boot loaders live there; what follows the last partition is not taken, so that a smaller disk may do.
    private static let gapLimit = 64 * MiB

    /// Swap and what else libblkid calls by these names holds nothing but its header.
    private static let headerOnly: Set<String> = ["swap"]

    /// Examines one disk; `groups` is what LVM's physical volumes hold, on this disk and the others.
    init(
        _ disk: LocalDisk, index: Int, request: CapturePlan.Request, pool: OverlayPool, groups: VolumeGroups
    ) throws {
        let reader = try DiskReader(disk)
        let tables: TableRegions
        do {
            tables = try TableRegions(of: reader, table: disk.table)
        } catch let error as SystemError where error.isMediumError {
            throw ImagingError("\(disk.path) is not captured, its partition table is not all there: \(error)")
        }
        try reader.close()
        var notices: [String] = []
        switch tables.soundness {
        case .sound: break
        case .primaryDamaged(let reason):
            notices.append("\(disk.path): its primary GPT is unusable (\(reason)); the backup is used")
        case .backupDamaged(let reason):
            notices.append(
                "\(disk.path): its backup GPT is unusable (\(reason)); the restored disk gets a new one")
        case .unusable(let reason):
            throw ImagingError("\(disk.path) has a partition table that cannot be followed: \(reason)")
        }
        let tableLength = tables.regions.reduce(0) { $0 + $1.bytes.count }
        guard tableLength <= FrameHeader.maximumTableLength, tables.regions.count <= 1024 else {
            throw ImagingError(
                "\(disk.path) has a partition table of \(tables.regions.count) pieces and \(tableLength) bytes, "
                    + "more than an image can hold (\(FrameHeader.maximumTableLength) bytes)")
        }
        if let notice = disk.tableNotice { notices.append("\(disk.path): \(notice)") }

        var used = ExtentSet()
        var contents: [PartitionContent] = []
        var entries: [Manifest.PartitionEntry] = []
        if disk.slots.isEmpty {
            // No table, or one without partitions, as a file system or an encrypted volume on the whole disk may
            // look: the disk itself is the one thing to capture.
            if !tables.regions.isEmpty {
                notices.append("\(disk.path) has a partition table without partitions")
            }
            let outcome = try DiskExamination.content(
                of: PartitionSource(disk), type: tables.regions.isEmpty ? disk.content?.type : nil, slot: 0,
                request, pool, groups)
            used = outcome.content.used
            contents.append(outcome.content)
            notices += outcome.notices
            entries.append(
                Manifest.PartitionEntry(
                    slot: 0, disk: index, number: 0, type: "", typeName: "", name: "", uuid: "",
                    fileSystem: disk.content?.type ?? "", label: disk.content?.label ?? "", offset: 0,
                    size: disk.size, usedBytes: outcome.content.used.byteCount, content: outcome.kind,
                    reason: outcome.reason))
        } else {
            for gap in DiskExamination.gaps(of: disk).extents {
                used.insert(Extent(offset: gap.offset, length: min(gap.length, DiskExamination.gapLimit)))
                guard gap.length > DiskExamination.gapLimit else { continue }
                let left = gap.length - DiskExamination.gapLimit
                notices.append("\(disk.path): \(left.asBytes) between its partitions are not captured")
            }
            for partition in disk.slots {
                var taken = ExtentSet()
                var kind = Manifest.PartitionEntry.Content.excluded
                var reason = "left out by x\(partition.slot)"
                if !request.excludedSlots.contains(partition.slot) {
                    let outcome = try DiskExamination.content(
                        of: PartitionSource(partition, of: disk), type: partition.content?.type,
                        slot: partition.slot, request, pool, groups, isShared: disk.overlaps(partition))
                    taken = outcome.content.used
                    kind = outcome.kind
                    reason = outcome.reason
                    contents.append(outcome.content)
                    used = used.union(taken.shifted(by: partition.extent.offset))
                    notices += outcome.notices
                }
                entries.append(
                    Manifest.PartitionEntry(
                        slot: partition.slot, disk: index, number: partition.number,
                        type: partition.type.description, typeName: partition.type.title,
                        name: partition.name,
                        uuid: partition.uuid, fileSystem: partition.content?.type ?? "",
                        label: partition.content?.label ?? "", offset: partition.extent.offset,
                        size: partition.extent.length, usedBytes: taken.byteCount, content: kind,
                        reason: reason))
            }
        }
        source = CapturePlan.Source(
            disk: disk, tables: tables, used: used.subtracting(tables.extents), contents: contents)
        partitions = entries
        self.notices = notices
    }

    /// What lies before the last partition's end and in no partition.
    private static func gaps(of disk: LocalDisk) -> ExtentSet {
        let end = min(disk.slots.map(\.extent.end).max() ?? 0, disk.size)
        return ExtentSet([Extent(offset: 0, length: end)]).subtracting(ExtentSet(disk.slots.map(\.extent)))
    }

    private struct Outcome {
        var content: PartitionContent
        var kind: Manifest.PartitionEntry.Content
        var reason = ""
        var notices: [String] = []
    }

    /// Asks the overlay what is used, and words what it says.
    private static func content(
        of source: PartitionSource, type: String?, slot: Int, _ request: CapturePlan.Request,
        _ pool: OverlayPool, _ groups: VolumeGroups, isShared: Bool = false
    ) throws -> Outcome {
        let place = slot == 0 ? source.name : "slot \(slot) (\(source.name))"
        // Replaying one's journal would change what the other holds.
        let group = isShared ? nil : groups.outcome(of: source)
        let outcome =
            isShared
            ? MapOutcome.whole(reason: "it overlaps another partition")
            : try group?.outcome
                ?? mapUsedBlocks(of: source, fileSystem: type, pool: pool, interruption: request.interruption)
        switch outcome {
        case .mapped(let content):
            let kind: Manifest.PartitionEntry.Content = headerOnly.contains(type ?? "") ? .header : .used
            return Outcome(content: content, kind: kind, notices: group?.notices ?? [])
        case .whole(let reason):
            return Outcome(
                content: .whole(of: source), kind: .whole, reason: reason,
                notices: ["\(place) is captured whole, \(source.extent.length.asBytes): \(reason)"])
        case .hibernated(let what, let remedy):
            guard request.captureHibernated else {
                throw ImagingError(
                    "\(place) holds \(what): \(remedy); or add the word 'whole' to capture it as it is, "
                        + "all \(source.extent.length.asBytes) of it")
            }
            return Outcome(
                content: .whole(of: source), kind: .whole, reason: what,
                notices: ["\(place) is captured whole, \(source.extent.length.asBytes): it holds \(what)"])
        }
    }
}
