// The processes behind a mapping: the service that answers FUSE, the mounter it starts, and their companions.
internal import Blocks
package import Linux
internal import SystemPackage

/// Hidden first arguments of `img` under which it is one of the overlay's processes.
enum HiddenService: String {
    /// Serves the FUSE file; descriptor 3 the capture's socket, 4 the pool, 5 and up the source disks.
    case service = "overlay-service"
    /// Mounts; descriptor 3 the service's socket, 4 the open /dev/fuse.
    case mounter = "overlay-mounter"
    /// Keeps a mount namespace until standard input ends.
    case keeper = "overlay-keeper"
    /// Removes the logical volumes of a mounter that was killed; standard input is the mounter's socket.
    case guardian = "overlay-guardian"
    /// Runs a program that dies with its parent.
    case tied = "overlay-tied"
    /// Maps one partition and prints the outcome: the service's parent, for tests and for looking into a report.
    case map = "overlay-map"
}

/// Tells what an open block device of `size` bytes holds, by libblkid's name; nil where nothing is recognised.
package typealias ContentIdentifier = (
    _ device: borrowing Descriptor, _ size: UInt64, _ sectorSize: UInt32
) -> String?

/// Runs one of the overlay's processes if `arguments`, without the program's name, ask for one.
///
/// `identify` is asked about logical volumes. Returns the exit status, or nil for other arguments. Call it first in the
/// program, before any thread starts.
package func runOverlayService(_ arguments: [String], identify: @escaping ContentIdentifier) -> Int32? {
    guard let first = arguments.first, let service = HiddenService(rawValue: first) else { return nil }
    let rest = Array(arguments.dropFirst())
    if service == .map { return printMaps(rest) }
    ThisProcess.ignoreTerminalSignals()
    if service == .keeper { return keepNamespace() }
    if service == .guardian { return guardDevices() }
    guard let parent = rest.first.flatMap({ Int32($0) }), ThisProcess.dieWithParent(parent) else { return 1 }
    ThisProcess.becomeFlusher()
    do {
        switch service {
        case .service: try OverlayService().run()
        case .mounter:
            try Mounter(
                service: MessageSocket(owning: 3, name: "the overlay service"), identify: identify
            ).run(fuseDevice: Descriptor(owning: 4, name: "/dev/fuse"))
        default: return runTied(Array(rest.dropFirst()))
        }
        return 0
    } catch {
        return 1
    }
}

/// Serves one partition, or the physical volumes of an LVM, to the kernel, has what they hold mounted and trimmed, and
/// reports.
private struct OverlayService: ~Copyable {
    private let capture = MessageSocket(owning: 3, name: "the capture")

    func run() throws {
        guard let bytes = try capture.receive(limit: MounterMessage.limit) else { return }
        let request = try ServiceRequest(decoding: bytes)
        let report: ServiceReport
        do {
            report = try map(request)
        } catch let failure as MountFailure {
            report = .failed(failure)
        } catch let error as SystemError {
            report = .failed(MountFailure(error.description))
        }
        try capture.send(report.encoded)
    }

    private func map(_ request: ServiceRequest) throws -> ServiceReport {
        let disk = OverlayDisk(
            try OverlaySource(request.segments, inheritedFrom: 5),
            pool: try SharedMemory(inherited: 4, "the overlay's pool"), firstSlot: request.firstSlot)
        let device = try Descriptor(opening: "/dev/fuse", .readWrite)
        let ends = try MessageSocket.pair("the overlay's mounter")
        let mounter = try ChildProcess(
            ThisProcess.executable, [HiddenService.mounter.rawValue, String(ThisProcess.pid)],
            descriptors: [-1, -1, -1, ends.theirs.number, device.number])
        let socket = ends.keepOurs()
        try socket.send(request.encoded)

        var conversation = Conversation(disk: disk, request)
        var file: OverlayFile?
        var threads: [Thread<Void>] = []
        var fuse: Descriptor? = device
        while let bytes = try socket.receive(limit: MounterMessage.limit) {
            let message = try MounterMessage(decoding: bytes)
            if message == .overlayMounted, let device = fuse.take() {
                let made = try OverlayFile(serving: disk, device: device)
                file = made
                threads = made.serve()
            }
            conversation.take(message)
            try socket.send([])
        }
        _ = try mounter.wait()
        for thread in threads { try thread.join() }
        _ = file
        return conversation.report
    }
}

/// What the mounter said, and what that makes of the disk.
private struct Conversation {
    private let disk: OverlayDisk
    private let request: ServiceRequest
    private var statistics: SpaceStatistics?
    private var groups: [GroupFinding] = []
    private var volumes: [VolumeFinding] = []
    private var failure: MountFailure?
    private var finished = false

    init(disk: OverlayDisk, _ request: ServiceRequest) {
        self.disk = disk
        self.request = request
    }

    mutating func take(_ message: MounterMessage) {
        switch message {
        case .overlayMounted: break
        case .trimBegins:
            disk.enter(.trimming)
        case .unmounted(let statistics):
            endTrim()
            self.statistics = statistics
        case .group(let group): groups.append(group)
        case .volume(let volume):
            endTrim()
            volumes.append(volume)
        case .finished: finished = true
        case .failed(let failure): self.failure = failure
        }
    }

    private func endTrim() {
        if let hole = request.faults.plantedHole {
            try? disk.punch(offset: hole.offset, length: hole.length, mayBeFree: true)
        }
        disk.enter(.after)
    }

    var report: ServiceReport {
        // A system that sleeps stops the plan, whatever went wrong besides.
        let sleeps = volumes.contains { volume in
            if case .hibernated = volume.outcome { true } else { false }
        }
        if sleeps {
            let record = OverlayRecord(free: ExtentSet(), changes: Changes(), nextSlot: request.firstSlot)
            return .groups(record, groups, volumes)
        }
        if disk.isPoolFull {
            return .failed(
                MountFailure(.poolFull, "mounting it changes more than the overlay's memory holds"))
        }
        if let failure { return .failed(failure) }
        let result = disk.result()
        let record = OverlayRecord(free: result.free, changes: result.changes, nextSlot: result.nextSlot)
        if finished, request.isVolumeGroups { return .groups(record, groups, volumes) }
        guard finished, let statistics else {
            return .failed(MountFailure("the process that mounts it ended unexpectedly"))
        }
        return .mapped(record, statistics)
    }
}

/// Waits for the end of standard input, which the last process that needs the namespace holds open.
private func keepNamespace() -> Int32 {
    let input = Descriptor(owning: 0, name: "standard input")
    _ = try? input.readToEnd(limit: 0)
    return 0
}

private func runTied(_ command: [String]) -> Int32 {
    guard let program = command.first else { return 1 }
    _ = replaceProcess(by: program, Array(command.dropFirst()))
    return programMissing
}
