// What a participant counts and says in its reports.
internal import Blocks

/// What goes into the next report, and when it is due.
struct Reporting {
    var slot: UInt16 = 0
    private var interval = second
    /// When the next report (or, before the start, sign of life) is due.
    var next: UInt64 = 0
    private(set) var hasStarted = false
    /// Highest sequence seen of stream 0.
    private(set) var highest: UInt32?
    /// A sequence too far ahead to be believed yet.
    private var doubtful: UInt32?
    private var received: UInt64 = 0
    private var expected: UInt64 = 0
    var hasHeard = false
    /// When the last report that had heard of the host on the data plane was made.
    var lastHeardOf: UInt64 = 0
    var inSocket: UInt64 = 0
    var withoutBuffer: UInt64 = 0
    /// The kernel's last count.
    var socketDrops: UInt32 = 0
    var unreported = ChunkSet()
    var figures = PipelineFigures()
    /// The order of the chunk that began to come last: its missing symbols may only be on their way.
    var newest: UInt64 = 0
    /// The order of the first chunk the next report lists, if the last one could not list all.
    var resumeAt: UInt64 = 0

    mutating func begin(slot: UInt16, now: UInt64) {
        self.slot = slot
        hasStarted = false
        lastHeardOf = now
        next = now + second
    }

    /// Reports go out in the slot from here on.
    mutating func schedule(_ start: StartMessage, slot: UInt16, now: UInt64) {
        interval = min(
            max(UInt64(start.reportInterval) * millisecond, Specification.shortestReportInterval),
            Specification.longestReportInterval)
        hasStarted = true
        // Slots are a millisecond wide; all count from the start, which reaches all at about the same time.
        next = now + interval + UInt64(slot) * millisecond % interval
        if highest == nil { highest = start.sequence &- 1 }
    }

    mutating func scheduleNext(now: UInt64) {
        guard hasStarted else {
            next = now + second
            return
        }
        next += interval
        if next <= now { next = now + interval }
    }

    mutating func arrived(_ sequence: UInt32) {
        received += 1
        hasHeard = true
        advanceHighest(to: sequence)
    }

    mutating func beacon(next: UInt32) {
        hasHeard = true
        if highest == nil { highest = next &- 1 } else { advanceHighest(to: next &- 1) }
    }

    private mutating func advanceHighest(to sequence: UInt32) {
        guard let old = highest else {
            highest = sequence
            expected += 1
            return
        }
        guard isLater(sequence, than: old) else { return }
        if sequence &- old > Tuning.believedStep {
            // A damaged number must not make everything sent look received: the next one has to be its neighbour.
            let last = doubtful
            doubtful = sequence
            guard let last, sequence &- last < 1024 else { return }
        }
        doubtful = nil
        expected += UInt64(sequence &- old)
        highest = sequence
    }

    mutating func forgetSequences() {
        highest = nil
        doubtful = nil
        received = 0
        expected = 0
    }

    /// Takes the counts since the last report: symbols received, lost on the wire, in the socket, for want of buffers.
    mutating func takeCounts() -> (received: UInt64, wire: UInt64, socket: UInt64, own: UInt64) {
        // The kernel's drops are gaps in the sequence as well; late and repeated datagrams may hide a few.
        let gone = expected > received ? expected - received : 0
        let counts = (
            received - min(received, withoutBuffer), gone - min(gone, inSocket), inSocket, withoutBuffer
        )
        received = 0
        expected = 0
        inSocket = 0
        withoutBuffer = 0
        return counts
    }
}

extension ParticipantMachine {
    /// Sends a report, or before the start a sign of life.
    mutating func report(now: UInt64) {
        defer { reporting.scheduleNext(now: now) }
        guard reporting.hasStarted, needed != nil else {
            send(NoticeMessage(level: .state).encode())
            return
        }
        send(makeReport(now: now).encode())
    }

    private mutating func makeReport(now: UInt64) -> ReportMessage {
        let counts = reporting.takeCounts()
        progress.lostOnWire += counts.wire
        var report = ReportMessage()
        report.highest = reporting.highest.map { [$0] } ?? []
        report.hasHeard = reporting.hasHeard || isComplete
        if report.hasHeard { reporting.lastHeardOf = now }
        reporting.hasHeard = false
        // What multicast cannot complete does not count as held: it is to come over TCP.
        let isDeaf = now > reporting.lastHeardOf + Tuning.unseenPatience
        report.freeBuffers = UInt16(clamping: pool.room(for: accepted?.maximumSealedBytes ?? 1))
        report.chunksDone = UInt32(clamping: progress.chunksDone)
        report.writeRate = UInt32(clamping: reporting.figures.writeRate / KiB)
        report.decodeRate = UInt32(clamping: reporting.figures.decodeRate / KiB)
        report.received = UInt32(clamping: counts.received)
        report.lostOnWire = UInt32(clamping: counts.wire)
        report.lostInSocket = UInt32(clamping: counts.socket)
        report.lostForWantOfBuffers = UInt32(clamping: counts.own)
        let setBytes = 240
        (report.done, _) = reporting.unreported.prefix(bytes: setBytes)
        reporting.unreported = reporting.unreported.subtracting(report.done)
        var held = ChunkSet(inPipeline).union(reporting.unreported)
        if !isDeaf { held = held.union(ChunkSet(assemblies.keys)) }
        (report.held, report.heldBelow) = held.prefix(bytes: setBytes)
        let rest = Specification.reportBytes - ReportMessage.fixedBytes - 4 - 2 * setBytes - 2
        if !isDeaf { report.gaps = gaps(bytes: rest, now: now) }
        return report
    }

    /// What the chunks that are on their way lack, the oldest first, as far as `bytes` go; the rest the next time.
    private mutating func gaps(bytes: Int, now: UInt64) -> [ChunkGaps] {
        let sorted = assemblies.values.filter { assembly in
            // The newest chunk lacks what has not been sent yet, unless it has stopped coming.
            assembly.order != reporting.newest
                || now >= assembly.lastArrival + Specification.shortestReportInterval
        }.sorted { $0.order < $1.order }
        let pivot = sorted.firstIndex { $0.order >= reporting.resumeAt } ?? 0
        var gaps: [ChunkGaps] = []
        var room = bytes
        for assembly in sorted[pivot...] + sorted[..<pivot] {
            guard room >= ReportMessage.gapsHeaderBytes + 12 else {
                reporting.resumeAt = assembly.order
                return gaps
            }
            room -= ReportMessage.gapsHeaderBytes
            var stripes: [StripeGap] = []
            for stripe in 0..<assembly.layout.stripes {
                guard let gap = assembly.gap(of: stripe) else { continue }
                guard room >= gap.encodedBytes else { break }
                room -= gap.encodedBytes
                stripes.append(gap)
            }
            gaps.append(ChunkGaps(chunk: assembly.chunk, generation: assembly.generation, stripes: stripes))
        }
        reporting.resumeAt = 0
        return gaps
    }
}

extension ChunkSet {
    /// The first ranges whose encoding takes at most `bytes`, and the number below which nothing is left out.
    func prefix(bytes: Int) -> (ChunkSet, UInt32) {
        var result = ChunkSet()
        // A range takes at most ten bytes, five for each number; the count at most five.
        var room = bytes - 5
        var last: UInt64 = 0
        for range in ranges {
            let cost = varintBytes(range.lowerBound - last) + varintBytes(range.upperBound - range.lowerBound)
            guard cost <= room else { return (result, UInt32(range.lowerBound)) }
            room -= cost
            last = range.upperBound
            result.appendRange(range)
        }
        return (result, .max)
    }

    private func varintBytes(_ value: UInt64) -> Int {
        (64 - value.leadingZeroBitCount + 6) / 7 + (value == 0 ? 1 : 0)
    }
}
