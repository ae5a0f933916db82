// The physical volumes of a capture: asked together, before the disks are examined one by one.
internal import Blocks
internal import Disk
internal import Linux
internal import Overlay

/// What LVM's physical volumes hold, by their place.
struct VolumeGroups {
    private let found: [PartitionSource: PhysicalVolumeOutcome]

    /// Asks about every physical volume on `disks` that is captured.
    ///
    /// - Throws: `MapInterrupted`, or what `mapVolumeGroups` throws.
    init(_ disks: [LocalDisk], _ request: CapturePlan.Request, _ pool: OverlayPool) throws {
        var volumes: [(source: PartitionSource, uuid: String)] = []
        for disk in disks {
            if disk.slots.isEmpty, let uuid = VolumeGroups.uuid(disk.content) {
                if disk.table == .none { volumes.append((PartitionSource(disk), uuid)) }
                continue
            }
            for partition in disk.slots where !request.excludedSlots.contains(partition.slot) {
                guard let uuid = VolumeGroups.uuid(partition.content), !disk.overlaps(partition) else {
                    continue
                }
                volumes.append((PartitionSource(partition, of: disk), uuid))
            }
        }
        // A disk beside its clone: LVM would take one of them, and nobody knows which.
        var found: [PartitionSource: PhysicalVolumeOutcome] = [:]
        let twins = volumes.filter { volume in volumes.filter { $0.uuid == volume.uuid }.count > 1 }
        for twin in twins {
            found[twin.source] = PhysicalVolumeOutcome(
                outcome: .whole(reason: "another physical volume here has the same identity"), notices: [])
        }
        let sources = volumes.map(\.source).filter { found[$0] == nil }
        let outcomes = try mapVolumeGroups(of: sources, pool: pool, interruption: request.interruption)
        for (source, outcome) in zip(sources, outcomes) { found[source] = outcome }
        self.found = found
    }

    /// What is known of a physical volume; nil for everything else.
    func outcome(of source: PartitionSource) -> PhysicalVolumeOutcome? { found[source] }

    private static func uuid(_ content: FileSystemIdentity?) -> String? {
        content?.type == physicalVolumeType ? content?.uuid : nil
    }
}

extension PartitionSource {
    /// A disk without partitions.
    init(_ disk: LocalDisk) {
        self.init(
            path: disk.path, extent: Extent(offset: 0, length: disk.size), sectorSize: disk.sectorSize)
    }

    init(_ partition: LocalPartition, of disk: LocalDisk) {
        self.init(
            path: disk.path, extent: partition.extent, sectorSize: disk.sectorSize,
            name: partition.path.isEmpty ? "partition \(partition.number) of \(disk.path)" : partition.path)
    }
}

extension LocalDisk {
    /// Whether another partition has bytes of this one.
    func overlaps(_ partition: LocalPartition) -> Bool {
        slots.contains {
            $0.number != partition.number && $0.extent.intersection(partition.extent) != nil
        }
    }
}
