// The question the capture asks: which bytes of a partition are used?
package import Blocks
package import Linux
internal import SystemPackage

/// What is known about a partition's blocks.
package enum MapOutcome: Sendable {
    /// Its file system told which bytes it uses.
    case mapped(PartitionContent)
    /// It must be captured whole; the reason is a clause about it: "this kernel has no vfat driver".
    case whole(reason: String)
    /// A sleeping system lies in it, which capturing would tear: the plan stops with the remedy.
    case hibernated(what: String, remedy: String)
}

/// A partition that must not be mapped now.
package struct SourceInUse: Error, CustomStringConvertible {
    package let description: String
}

/// Asks a partition's own file system which bytes it uses, without changing the source by a bit.
///
/// `fileSystem` is libblkid's TYPE, nil where it knows none. The partition is served to the kernel through an overlay
/// in child processes started from `servicePath` (`img` itself), which are gone when this returns. The source is
/// opened read-only and, where it is a block device, set read-only for the time of the call. The calling thread must
/// live as long as the call: the service dies with it. Another thread may end the call by `interruption`; it then
/// throws `MapInterrupted`, the device as it was.
package func mapUsedBlocks(
    of source: PartitionSource, fileSystem: String?, pool: OverlayPool,
    servicePath: String = ThisProcess.executable, faults: OverlayFaults = OverlayFaults(),
    interruption: MapInterruption = MapInterruption()
) throws -> MapOutcome {
    guard let fileSystem else { return .whole(reason: "it holds no file system known here") }
    if let reason = reasonNotToAsk(fileSystem) { return .whole(reason: reason) }
    let guarded = try ReadOnlySource(path: source.path)
    let outcome: MapOutcome
    do {
        outcome = try guarded.withDescriptor { disk in
            try interruption.check()
            return try map(source, disk, fileSystem, pool, servicePath, faults, interruption)
        }
        try interruption.check()
    } catch let error as SystemError where error.isMediumError {
        try guarded.release()
        return .whole(reason: "what its file system says of itself cannot be read (\(error))")
    } catch {
        try? guarded.release()
        throw error
    }
    try guarded.release()
    return outcome
}

/// Types that are never mounted, with the reason for the notice; nil for those that are.
func reasonNotToAsk(_ fileSystem: String) -> String? {
    switch fileSystem {
    case "swap", "swsuspend": nil
    case "crypto_LUKS": "it is encrypted (LUKS)"
    case "BitLocker": "it is encrypted (BitLocker)"
    // What Disk calls a partition whose signatures it could not read.
    case "unreadable": "the places that would tell what it holds cannot be read"
    // What Disk calls a volume in which a table names partitions, whatever signature lies beside it.
    case "partition table": "it is used as a disk, with a partition table of its own"
    // Alone: `mapVolumeGroups` asks all of a group together.
    case physicalVolumeType: "it belongs to an LVM volume group"
    case "linux_raid_member": "it belongs to a software RAID"
    case _ where MountMethod(fileSystem) == nil: "\(fileSystem) cannot be asked which blocks it uses"
    default: nil
    }
}

private func map(
    _ source: PartitionSource, _ disk: borrowing Descriptor, _ fileSystem: String, _ pool: OverlayPool,
    _ servicePath: String, _ faults: OverlayFaults, _ interruption: MapInterruption
) throws -> MapOutcome {
    let size = try disk.size()
    guard source.extent.end <= size else { return .whole(reason: "it ends beyond its disk") }
    try refuseIfMounted(source, disk)
    let start = source.extent.offset
    let length = source.extent.length
    func read(_ offset: UInt64, _ count: Int) throws(SystemError) -> [UInt8] {
        guard offset < length else { return [] }
        return try disk.read(Int(min(UInt64(count), length - offset)), at: start + offset)
    }

    if isSwap(fileSystem) {
        if let what = try suspendedSystem(fileSystem, read) {
            return .hibernated(what: what, remedy: resumeFirst)
        }
        let header = ExtentSet([Extent(offset: 0, length: min(swapHeader, length))])
        return .mapped(PartitionContent(source: source, used: header, changes: Changes(), pool: nil))
    }
    switch try adviceBeforeMount(fileSystem, read) {
    case .mount: break
    case .whole(let reason): return .whole(reason: reason)
    }

    let segment = OverlaySegment(disk: 0, extent: source.extent, start: 0, sectorSize: source.sectorSize)
    let request = ServiceRequest(
        fileSystem: fileSystem, segments: [segment], firstSlot: UInt32(clamping: pool.usedSlots),
        faults: faults)
    switch try askService(request, [disk.number], pool, servicePath, interruption) {
    case .failed(let failure) where failure.kind == .hibernated:
        return .hibernated(what: failure.reason, remedy: shutDownWindows)
    case .failed(let failure): return .whole(reason: failure.reason)
    case .groups: return .whole(reason: "the overlay service speaks of volume groups")
    case .mapped(let record, let statistics):
        let claim = FreeSpaceClaim(
            fileSystem: fileSystem, recorded: record.free.byteCount, partitionSize: length,
            statistics: statistics)
        if let objection = claim.objection { return .whole(reason: objection) }
        let content = PartitionContent(
            source: source, used: usedExtents(of: length, free: record.free), changes: record.changes,
            pool: pool)
        func readPatched(_ offset: UInt64, _ count: Int) throws(SystemError) -> [UInt8] {
            try content.read(Int(min(UInt64(count), length - min(offset, length))), at: offset, from: disk)
        }
        if let objection = try objectionAfterUnmount(fileSystem, readPatched) {
            return .whole(reason: objection)
        }
        pool.keep(upTo: Int(record.nextSlot))
        return .mapped(content)
    }
}

/// The complement of what is free: free ranges rounded inward, the partition's first and last MiB always used.
package func usedExtents(of length: UInt64, free: ExtentSet) -> ExtentSet {
    let all = ExtentSet([Extent(offset: 0, length: length)])
    guard length > 2 * edge else { return all }
    let middle = Extent(edge..<length - edge)
    return all.subtracting(free.intersection(middle).roundedInward(to: overlayBlockSize))
}

/// Starts the overlay's service for one request and waits for its report; `disks` are open descriptors.
func askService(
    _ request: ServiceRequest, _ disks: [Int32], _ pool: OverlayPool, _ servicePath: String,
    _ interruption: MapInterruption
) throws -> ServiceReport {
    let ends = try MessageSocket.pair("the overlay service")
    let service = try ChildProcess(
        servicePath, [HiddenService.service.rawValue, String(ThisProcess.pid)],
        descriptors: [-1, -1, -1, ends.theirs.number, pool.memory.number] + disks)
    let socket = ends.keepOurs()
    interruption.began(service)
    defer { interruption.ended() }
    do {
        try socket.send(request.encoded)
        let report = try socket.receive(limit: ServiceReport.limit)
        interruption.ended()
        let status = try service.wait()
        guard let report else { return .failed(MountFailure("the overlay service ended with \(status)")) }
        return try checked(ServiceReport(decoding: report), request, pool)
    } catch {
        service.kill()
        _ = try? service.wait()
        return .failed(MountFailure("the overlay service failed: \(error)"))
    }
}

/// The report, once every number in it is inside the partitions and the pool.
private func checked(
    _ report: ServiceReport, _ request: ServiceRequest, _ pool: OverlayPool
) throws(DecodeError) -> ServiceReport {
    let record: OverlayRecord
    switch report {
    case .mapped(let found, _), .groups(let found, _, _): record = found
    case .failed: return report
    }
    let length = request.segments.last?.place.end ?? 0
    let blocks = (length + overlayBlockSize - 1) / overlayBlockSize
    let ends = [record.free.extents.last?.end ?? 0, record.changes.zeroed.extents.last?.end ?? 0]
    guard ends.allSatisfy({ $0 <= length }), record.changes.patches.allSatisfy({ $0.block < blocks }),
        record.changes.patches.allSatisfy({ patch in
            if case .slot(let slot) = patch.content { slot < pool.slotCount } else { true }
        })
    else { throw .invalid("its report exceeds the partition") }
    return report
}

/// Refuses a disk, or a partition opened as a device, that is mounted itself.
func refuseIfMounted(_ source: PartitionSource, _ disk: borrowing Descriptor) throws {
    guard let number = try disk.blockDeviceNumber() else { return }
    if let mount = try Mount.entries().first(where: { $0.device == number }) {
        throw SourceInUse(description: "\(source.path) is mounted at \(mount.mountPoint)")
    }
}

/// Bytes at both ends of a partition that are always used.
private let edge = MiB
/// libblkid's name for a physical volume of LVM.
package let physicalVolumeType = "LVM2_member"
/// Bytes of a swap area that are captured: its header, for any page size.
let swapHeader = 64 * KiB
/// Remedies for sleeping systems.
let resumeFirst = "start that system and shut it down"
let shutDownWindows = "shut Windows down with: shutdown /s /t 0"

/// Whether libblkid's type is that of swap, sleeping systems included.
func isSwap(_ type: String) -> Bool { type == "swap" || type == "swsuspend" }

/// What sleeps in a swap area of libblkid's `type`, or nil where nothing does.
func suspendedSystem(_ type: String, _ read: FieldReader) throws(SystemError) -> String? {
    if let signature = try suspendSignature(read) {
        return "a suspended system (\(signature))"
    }
    return type == "swap" ? nil : "a suspended system"
}

extension PartitionContent {
    /// Reads `count` bytes from `offset`; see `read(into:at:from:)`.
    package func read(
        _ count: Int, at offset: UInt64, from disk: borrowing Descriptor
    ) throws(SystemError) -> [UInt8] {
        let buffer = AlignedBuffer(capacity: count)
        try unsafe read(
            into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[0..<count]), at: offset, from: disk)
        return buffer.withBytes(count) { $0.array }
    }
}
