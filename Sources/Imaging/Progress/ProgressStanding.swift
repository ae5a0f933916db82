// The counters of a job and how they become a report: pure, the time is handed in.

/// Where a job stands; one thread at a time.
struct ProgressStanding: Sendable {
    /// What one disk has done.
    private struct Disk: Sendable {
        var figures: ProgressReport.DiskFigures
        var meter: RateMeter
    }

    /// Nanoseconds over which rates are smoothed, and those over which what is left is reckoned.
    private static let window: UInt64 = 2_000_000_000
    private static let longWindow: UInt64 = 10_000_000_000
    /// An estimate beyond that many seconds says nothing.
    private static let longestEstimate: Double = 1000 * 3600

    var registration: (joined: Int, stillNeeded: Int?)?

    private let began: UInt64
    private var now: ProgressReport
    private var stateBegan: UInt64
    private var isSealed = false
    private var disks: [Disk] = []
    /// What the transfer had done when the state after it began.
    private var transferred: ProgressReport?
    /// Bytes the session had on the wire when the state began: what came before is not of this transfer.
    private var wireBefore: UInt64 = 0
    private var wire: RateMeter
    private var disk: RateMeter
    private var longDisk: RateMeter

    init(session: String?, isWithServer: Bool = false, now time: UInt64) {
        began = time
        stateBegan = time
        now = ProgressReport(.planning, session: session)
        now.isWithServer = isWithServer
        wire = RateMeter(window: ProgressStanding.window, at: time)
        disk = RateMeter(window: ProgressStanding.window, at: time)
        longDisk = RateMeter(window: ProgressStanding.longWindow, at: time)
    }

    /// From now on the job is a part of this session.
    mutating func join(_ session: String) { now.session = session }

    /// When the imaging server is asked again; nil where that is not waited for.
    var asksAgainAt: UInt64?

    /// From `time` on the job is in `state`; the counters go on.
    mutating func enter(_ state: ProgressReport.State, now time: UInt64, _ network: NetworkFigures?) {
        guard !now.state.isEnd else { return }
        leave(at: time, network)
        now.state = state
        stateBegan = time
    }

    /// From `time` on the job is in `state`; counters and rates begin again.
    mutating func begin(
        _ state: ProgressReport.State, totalBytes: UInt64, totalChunks: Int,
        disks: [ProgressReport.DiskFigures],
        now time: UInt64, _ network: NetworkFigures?
    ) {
        guard !now.state.isEnd else { return }
        enter(state, now: time, network)
        now.diskBytes = 0
        now.frameBytes = 0
        now.chunks = 0
        now.totalBytes = totalBytes
        now.totalChunks = UInt64(totalChunks)
        wireBefore = network?.wireBytes ?? 0
        self.disks = disks.map {
            var figures = ProgressReport.DiskFigures(
                name: $0.name, totalBytes: $0.totalBytes, totalChunks: $0.totalChunks)
            figures.error = $0.error
            return Disk(figures: figures, meter: RateMeter(window: ProgressStanding.window, at: time))
        }
        wire = RateMeter(window: ProgressStanding.window, at: time)
        disk = RateMeter(window: ProgressStanding.window, at: time)
        longDisk = RateMeter(window: ProgressStanding.longWindow, at: time)
    }

    mutating func add(content: UInt64, disk: Int) {
        guard !now.state.isEnd else { return }
        now.diskBytes += content
        now.chunks += 1
        guard disks.indices.contains(disk) else { return }
        disks[disk].figures.bytes += content
        disks[disk].figures.chunks += 1
    }

    mutating func add(frame: UInt64) {
        if !now.state.isEnd { now.frameBytes += frame }
    }

    mutating func fault(disk: Int, _ text: String) {
        guard disks.indices.contains(disk), disks[disk].figures.error == nil else { return }
        disks[disk].figures.error = text
    }

    /// The figures at `time`; those of the end for ever after it.
    mutating func report(now time: UInt64, _ network: NetworkFigures?) -> ProgressReport {
        if now.state.isEnd { return now }
        var report = counted(at: time, network)
        wire.read(report.wireBytes, at: time)
        disk.read(report.diskBytes, at: time)
        longDisk.read(report.diskBytes, at: time)
        report.wireRate = wire.perSecond
        report.diskRate = disk.perSecond
        report.secondsLeft = secondsLeft(report)
        for index in disks.indices {
            disks[index].meter.read(disks[index].figures.bytes, at: time)
            report.disks[index].rate = disks[index].meter.perSecond
        }
        return report
    }

    /// The last figures: of the transfer as a whole, with average rates.
    ///
    /// Those of the first call stay; until `seal` it may still turn out that the job has failed.
    mutating func end(
        _ state: ProgressReport.State, error: String?, now time: UInt64, _ network: NetworkFigures?
    ) -> ProgressReport {
        if now.state.isEnd {
            if state == .failed, now.state == .done, !isSealed {
                now.state = state
                now.error = error
            }
            return now
        }
        leave(at: time, network)
        var last = transferred ?? counted(at: time, network)
        last.state = state
        last.error = error
        last.elapsed = elapsed(time)
        last.transferTime = now.transferTime
        last.verifyTime = now.verifyTime
        // What a disk did wrong while it was read back belongs to the end as well.
        for (index, disk) in disks.enumerated() where last.disks.indices.contains(index) {
            last.disks[index].error = last.disks[index].error ?? disk.figures.error
        }
        last.secondsLeft = nil
        last.startsIn = nil
        let seconds = Double(now.transferTime) / 1e9
        last.wireRate = seconds > 0 ? Double(last.wireBytes) / seconds : 0
        last.diskRate = seconds > 0 ? Double(last.diskBytes) / seconds : 0
        for index in last.disks.indices {
            last.disks[index].rate = seconds > 0 ? Double(last.disks[index].bytes) / seconds : 0
        }
        now = last
        return last
    }

    /// The end has been told.
    mutating func seal() { isSealed = true }

    /// Closes the account of the state that ends at `time`.
    private mutating func leave(at time: UInt64, _ network: NetworkFigures?) {
        if now.state.isTransfer { transferred = counted(at: time, network) }
        account(time, &now)
    }

    /// Adds the time of the state so far to the account it belongs to.
    private func account(_ time: UInt64, _ report: inout ProgressReport) {
        let spent = time >= stateBegan ? time - stateBegan : 0
        switch now.state {
        case .capturing, .sending, .receiving, .restoring, .recording: report.transferTime += spent
        // Content is on its way until it is flushed; where it was read back, it has been flushed before.
        case .finishing where transferred != nil && now.verifyTime == 0: report.transferTime += spent
        case .verifying: report.verifyTime += spent
        case .planning, .asking, .searching, .waiting, .finishing, .done, .failed: break
        }
    }

    private func elapsed(_ time: UInt64) -> UInt64 { time >= began ? time - began : 0 }

    /// The figures without rates.
    private func counted(at time: UInt64, _ network: NetworkFigures?) -> ProgressReport {
        var report = now
        report.elapsed = elapsed(time)
        account(time, &report)
        report.disks = disks.map(\.figures)
        if report.state == .asking, let asksAgainAt {
            let left = asksAgainAt > time ? asksAgainAt - time : 0
            report.asksAgainIn = (left + 999_999_999) / 1_000_000_000
        }
        if report.state == .waiting {
            report.joined = registration?.joined
            report.stillNeeded = registration?.stillNeeded
        }
        report.wireBytes = report.frameBytes
        guard let network else { return report }
        if let frames = network.frameBytes { report.frameBytes = frames }
        report.wireBytes = network.wireBytes >= wireBefore ? network.wireBytes - wireBefore : 0
        report.lossPercent = network.lossPercent
        report.freeBuffers = network.freeBuffers
        report.buffers = network.buffers
        report.machines = network.machines
        report.joined = network.joined ?? report.joined
        report.stillNeeded = network.stillNeeded ?? report.stillNeeded
        report.startsIn = network.startsIn
        if let fraction = network.fractionDone {
            let done = min(max(fraction, 0), 1)
            report.diskBytes = UInt64((Double(report.totalBytes) * done).rounded())
            report.chunks = UInt64((Double(report.totalChunks) * done).rounded())
        }
        return report
    }

    private func secondsLeft(_ report: ProgressReport) -> UInt64? {
        let rate = longDisk.perSecond
        guard report.state.isTransfer || report.state == .verifying else { return nil }
        guard report.totalBytes > 0, report.diskBytes <= report.totalBytes, rate > 0 else { return nil }
        let seconds = (Double(report.totalBytes - report.diskBytes) / rate).rounded()
        return seconds <= ProgressStanding.longestEstimate ? UInt64(seconds) : nil
    }
}
