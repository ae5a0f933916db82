// The question the capture asks of LVM: which bytes of all its physical volumes are used?
internal import Blocks
internal import Linux
internal import SystemPackage

/// What is known about the blocks of one physical volume.
package struct PhysicalVolumeOutcome: Sendable {
    package let outcome: MapOutcome
    /// Sentences about the logical volumes of its group that are captured whole; each stands at one physical volume.
    package let notices: [String]

    package init(outcome: MapOutcome, notices: [String]) {
        self.outcome = outcome
        self.notices = notices
    }
}

/// Asks the file systems in logical volumes which bytes of the physical volumes `sources` are used.
///
/// Like `mapUsedBlocks`, for all physical volumes of a capture at once: a group is asked only when all of it is here.
/// The outcomes come in the order of `sources`. Extents of no volume are free; labels, metadata, and volumes that cannot
/// be asked are used.
package func mapVolumeGroups(
    of sources: [PartitionSource], pool: OverlayPool, servicePath: String = ThisProcess.executable,
    faults: OverlayFaults = OverlayFaults(), interruption: MapInterruption = MapInterruption()
) throws -> [PhysicalVolumeOutcome] {
    func whole(_ reason: String) -> [PhysicalVolumeOutcome] {
        sources.map { _ in PhysicalVolumeOutcome(outcome: .whole(reason: reason), notices: []) }
    }
    guard !sources.isEmpty else { return [] }
    var paths: [String] = []
    for source in sources where !paths.contains(source.path) { paths.append(source.path) }
    guard paths.count <= mostDisks, sources.count <= Int(UInt8.max),
        let starts = OverlaySegment.starts(sources.map(\.extent.length))
    else {
        return whole("its volume groups lie on more than \(mostDisks) disks")
    }
    let segments = zip(sources, starts).map { source, start in
        OverlaySegment(
            disk: UInt8(clamping: paths.firstIndex(of: source.path) ?? 0), extent: source.extent,
            start: start,
            sectorSize: source.sectorSize)
    }
    let request = ServiceRequest(
        fileSystem: physicalVolumeType, segments: segments, firstSlot: UInt32(clamping: pool.usedSlots),
        faults: faults)
    let held = try paths.map { try ReadOnlySource(path: $0) }
    let result = Result {
        try interruption.check()
        let report = try withDisks(held[...], []) { numbers, sizes in
            for (source, segment) in zip(sources, segments) where source.extent.end > sizes[Int(segment.disk)]
            {
                return ServiceReport.failed(MountFailure("\(source.name) ends beyond its disk"))
            }
            return try askService(request, numbers, pool, servicePath, interruption)
        }
        try interruption.check()
        return report
    }
    for source in held {
        switch result {
        case .success: try source.release()
        case .failure: try? source.release()
        }
    }
    switch try result.get() {
    case .failed(let failure): return whole("its volume groups could not be asked: \(failure.reason)")
    case .mapped: return whole("the overlay service speaks of no volume group")
    case .groups(let record, let groups, let volumes):
        let assembly = VolumeGroupAssembly(
            sources: sources, segments: segments, record: record, groups: groups, volumes: volumes)
        let outcomes = assembly.outcomes(pool)
        if outcomes.contains(where: \.outcome.isMapped) { pool.keep(upTo: Int(record.nextSlot)) }
        return outcomes
    }
}

/// Disks that a service can be handed: what a child process may have of descriptors, less its own five.
private let mostDisks = 11

/// Calls `body` with the open disks' numbers and sizes; none of them is mounted.
private func withDisks<R>(
    _ held: ArraySlice<ReadOnlySource>, _ open: [(number: Int32, size: UInt64)],
    _ body: ([Int32], [UInt64]) throws -> R
) throws -> R {
    guard let first = held.first else { return try body(open.map(\.number), open.map(\.size)) }
    return try first.withDescriptor { disk in
        try refuseIfMounted(PartitionSource(path: first.path, extent: Extent(offset: 0, length: 0)), disk)
        return try withDisks(held.dropFirst(), open + [(disk.number, disk.size())], body)
    }
}

extension MapOutcome {
    fileprivate var isMapped: Bool {
        if case .mapped = self { true } else { false }
    }
}

/// Puts together what the overlay recorded, what LVM said and what each volume's file system said.
package struct VolumeGroupAssembly {
    private let sources: [PartitionSource]
    private let segments: [OverlaySegment]
    private let record: OverlayRecord
    private let groups: [GroupFinding]
    private let volumes: [VolumeFinding]

    /// `segments` are the places of `sources` in the overlay's file; the rest is what the overlay's service reported.
    package init(
        sources: [PartitionSource], segments: [OverlaySegment], record: OverlayRecord, groups: [GroupFinding],
        volumes: [VolumeFinding]
    ) {
        self.sources = sources
        self.segments = segments
        self.record = record
        self.groups = groups
        self.volumes = volumes
    }

    /// One outcome for each of `sources`; changes are read from `pool`.
    package func outcomes(_ pool: OverlayPool?) -> [PhysicalVolumeOutcome] {
        sources.indices.map { index in
            guard let group = groups.first(where: { $0.members.contains(UInt8(clamping: index)) }) else {
                return whole("LVM does not recognise it")
            }
            if let refusal = group.refusal { return whole(refusal) }
            let own = volumes.filter { $0.group == group.name }
            let everything = ExtentSet(group.members.map { segments[min(Int($0), segments.count - 1)].place })
            guard own.allSatisfy({ $0.extents.subtracting(everything).isEmpty }),
                group.unallocated.subtracting(everything).isEmpty
            else { return whole("the overlay service places its volumes outside of it") }
            for volume in own {
                if case .hibernated(let what, let remedy) = volume.outcome {
                    let place = "\(what) in the logical volume \(group.name)/\(volume.name)"
                    return PhysicalVolumeOutcome(
                        outcome: .hibernated(what: place, remedy: remedy), notices: [])
                }
            }
            // What is free outside of the volumes that were asked was made free by nobody who may.
            let trimmed = record.free.intersection(everything)
            let asked = own.filter { $0.reasonForWhole(trimmed: trimmed) == nil }
            let whole = own.compactMap { volume in
                volume.reasonForWhole(trimmed: trimmed).map { (volume, $0) }
            }
            let trusted = asked.reduce(into: ExtentSet()) { $0 = $0.union($1.extents) }
            let free = trimmed.intersection(trusted).union(group.unallocated)
            let notices = whole.map { volume, reason in
                "logical volume \(group.name)/\(volume.name) is captured whole, "
                    + "\(volume.extents.byteCount.asBytes): \(reason)"
            }
            return PhysicalVolumeOutcome(
                outcome: .mapped(content(index, free: free, trusted: trusted, pool)),
                notices: group.members.first.map(Int.init) == index ? notices : [])
        }
    }

    private func whole(_ reason: String) -> PhysicalVolumeOutcome {
        PhysicalVolumeOutcome(outcome: .whole(reason: reason), notices: [])
    }

    /// One physical volume: `free` and the changes inside `trusted`, everything else as the source has it.
    private func content(
        _ index: Int, free: ExtentSet, trusted: ExtentSet, _ pool: OverlayPool?
    ) -> PartitionContent {
        let place = segments[index].place
        return PartitionContent(
            source: sources[index],
            used: usedExtents(of: place.length, free: free.intersection(place).loweredBy(place.offset)),
            changes: record.changes.inside(trusted, place), pool: pool)
    }
}

extension VolumeFinding {
    /// Why all of it is used; nil where what was trimmed of it can be believed.
    fileprivate func reasonForWhole(trimmed: ExtentSet) -> String? {
        switch outcome {
        case .whole(let reason): reason
        case .hibernated(let what, _): what
        case .header: nil
        case .asked(let fileSystem, let statistics):
            FreeSpaceClaim(
                fileSystem: fileSystem, recorded: trimmed.intersection(extents).byteCount,
                partitionSize: extents.byteCount, statistics: statistics
            ).objection
        }
    }
}

extension ExtentSet {
    /// Extents moved down by `distance`, which none of them begins before.
    fileprivate func loweredBy(_ distance: UInt64) -> ExtentSet {
        ExtentSet(extents.map { Extent(offset: $0.offset - distance, length: $0.length) })
    }
}

extension Changes {
    /// The changes to blocks of `trusted` inside `place`, counted from its start.
    fileprivate func inside(_ trusted: ExtentSet, _ place: Extent) -> Changes {
        var result = Changes()
        let first = place.offset / overlayBlockSize
        for patch in patches {
            let block = patch.block * overlayBlockSize
            guard block >= place.offset, block < place.end, trusted.contains(block) else { continue }
            result.patches.append(Patch(block: patch.block - first, content: patch.content))
        }
        result.zeroed = zeroed.intersection(trusted).intersection(place).loweredBy(place.offset)
        return result
    }
}
