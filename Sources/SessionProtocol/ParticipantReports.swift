// What a participant counts and says in its reports.
internal import Blocks

/// What goes into the next report, and when it is due.
struct Reporting {
    var slot: UInt16 = 0
    private var interval = second
    /// When the next report (or, before the start, sign of life) is due.
    var next: UInt64 = 0
    private(set) var hasStarted = false
    /// What has come of each stream; those below `streamCount` count.
    private var streams = [8 of StreamCount](repeating: StreamCount())
    private(set) var streamCount = 1
    /// Participants of the session, as START says.
    private(set) var participants = 1
    var hasHeard = false
    /// When the last report that had heard of the host on the data plane was made.
    var lastHeardOf: UInt64 = 0
    private var inSocket: UInt64 = 0
    var withoutBuffer: UInt64 = 0
    var unreported = ChunkSet()
    var figures = PipelineFigures()
    /// The order of the chunk that began to come last: its missing symbols may only be on their way.
    var newest: UInt64 = 0
    /// The order of the first chunk the next report lists, if the last one could not list all.
    var resumeAt: UInt64 = 0

    mutating func begin(slot: UInt16, streams: Int, now: UInt64) {
        self.slot = slot
        streamCount = min(max(streams, 1), self.streams.count)
        hasStarted = false
        for stream in self.streams.indices {
            self.streams[stream].isResuming = self.streams[stream].highest != nil
        }
        lastHeardOf = now
        next = now + second
    }

    /// Reports go out in the slot from here on.
    mutating func schedule(_ start: StartMessage, slot: UInt16, now: UInt64) {
        let isRepeated = hasStarted
        let old = interval
        interval = min(
            max(UInt64(start.reportInterval) * millisecond, Specification.shortestReportInterval),
            Specification.longestReportInterval)
        participants = Int(start.participants)
        hasStarted = true
        // A room that has grown reports less often; who keeps its interval keeps its slot.
        if isRepeated, old == interval { return }
        // Slots are a millisecond wide; all count from the start, which reaches all at about the same time.
        next = now + interval + UInt64(slot) * millisecond % interval
        for stream in 0..<streamCount where streams[stream].highest == nil {
            // START names the sequence of stream 0; whatever the others have sent before is not for us.
            streams[stream].highest = stream == 0 ? start.sequence &- 1 : nil
        }
    }

    mutating func scheduleNext(now: UInt64) {
        guard hasStarted else {
            next = now + second
            return
        }
        next += interval
        if next <= now { next = now + interval }
    }

    @inline(__always)
    mutating func arrived(_ sequence: UInt32, count: Int, stream: Int) {
        hasHeard = true
        streams[stream].arrived(sequence, count: UInt32(truncatingIfNeeded: count))
    }

    mutating func beacon(next: UInt32, stream: Int) {
        hasHeard = true
        streams[stream].sent(next &- 1)
    }

    /// Takes the kernel's count of a stream's socket and returns how many more it is.
    mutating func socketDrops(_ total: UInt32, stream: Int) -> UInt64 {
        guard stream < streamCount else { return 0 }
        let more = UInt64(total &- streams[stream].socketDrops)
        streams[stream].socketDrops = total
        inSocket += more
        return more
    }

    mutating func forgetSequences() {
        for stream in streams.indices {
            let drops = streams[stream].socketDrops
            streams[stream] = StreamCount(socketDrops: drops)
        }
    }

    /// The highest sequence of each stream; one that has not been heard of is given as that of a stream that begins.
    var highest: [UInt32] {
        guard (0..<streamCount).contains(where: { streams[$0].highest != nil }) else { return [] }
        return (0..<streamCount).map { streams[$0].highest ?? .max }
    }

    /// Takes the counts since the last report: symbols received, lost on the wire, in the socket, for want of buffers.
    mutating func takeCounts() -> (received: UInt64, wire: UInt64, socket: UInt64, own: UInt64) {
        var received: UInt64 = 0
        var expected: UInt64 = 0
        for stream in 0..<streamCount {
            received += streams[stream].received
            expected += streams[stream].expected
            streams[stream].received = 0
            streams[stream].expected = 0
        }
        // The kernel's drops are gaps in the sequence as well; late and repeated datagrams may hide a few.
        let gone = expected > received ? expected - received : 0
        let counts = (
            received - min(received, withoutBuffer), gone - min(gone, inSocket), inSocket, withoutBuffer
        )
        inSocket = 0
        withoutBuffer = 0
        return counts
    }
}

/// What has come of one stream since the last report.
struct StreamCount {
    /// Highest sequence seen.
    var highest: UInt32?
    /// A sequence too far ahead to be believed yet.
    private var doubtful: UInt32?
    var received: UInt64 = 0
    /// By how much the sequence has advanced.
    var expected: UInt64 = 0
    /// The kernel's last count for the stream's socket.
    var socketDrops: UInt32 = 0

    /// What was sent while the host was gone is not lost: the next sequence is where counting goes on.
    var isResuming = false

    init(socketDrops: UInt32 = 0) { self.socketDrops = socketDrops }

    /// `count` symbols have come, numbered from `sequence` on.
    @inline(__always)
    mutating func arrived(_ sequence: UInt32, count: UInt32) {
        received += UInt64(count)
        if let highest, sequence == highest &+ 1 {
            self.highest = highest &+ count
            isResuming = false
            expected += UInt64(count)
        } else {
            advance(to: sequence)
            isResuming = false
            if count > 1 { advance(to: sequence &+ count &- 1) }
        }
    }

    /// Everything up to `sequence` has been sent.
    mutating func sent(_ sequence: UInt32) {
        if highest == nil { highest = sequence } else { advance(to: sequence) }
    }

    private mutating func advance(to sequence: UInt32) {
        guard let old = highest else {
            highest = sequence
            expected += 1
            return
        }
        guard isLater(sequence, than: old) else { return }
        if isResuming {
            isResuming = false
            highest = sequence
            expected += 1
            return
        }
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
        report.highest = reporting.highest
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
        let taken = report.done.encodedBytes + report.held.encodedBytes + 4 * report.highest.count
        let rest = Specification.reportBytes - ReportMessage.fixedBytes - taken - 2
        if !isDeaf { report.gaps = gaps(bytes: rest, now: now) }
        return report
    }

    /// What the chunks that are on their way lack, the oldest first, as far as `bytes` go; the rest the next time.
    private mutating func gaps(bytes: Int, now: UInt64) -> [ChunkGaps] {
        let sorted = assemblies.values.filter { assembly in
            // The newest chunk lacks what has not been sent yet.
            assembly.order != reporting.newest || !assembly.places.isComing(now: now)
        }.sorted { $0.order < $1.order }
        let pivot = sorted.firstIndex { $0.order >= reporting.resumeAt } ?? 0
        var gaps: [ChunkGaps] = []
        // In a large room somebody lacks nearly every symbol, so only how many are lacking matters.
        let names = reporting.participants <= Tuning.namingParticipants
        var room = bytes
        for assembly in sorted[pivot...] + sorted[..<pivot] {
            guard room >= ReportMessage.gapsHeaderBytes + 12 else {
                reporting.resumeAt = assembly.order
                return gaps
            }
            room -= ReportMessage.gapsHeaderBytes
            var stripes: [StripeGap] = []
            for stripe in 0..<assembly.layout.stripes {
                guard let gap = assembly.gap(of: stripe, names: names) else { continue }
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

    /// Bytes of the set on the wire.
    var encodedBytes: Int {
        var last: UInt64 = 0
        var bytes = varintBytes(UInt64(ranges.count))
        for range in ranges {
            bytes +=
                varintBytes(range.lowerBound - last) + varintBytes(range.upperBound - range.lowerBound)
            last = range.upperBound
        }
        return bytes
    }

    private func varintBytes(_ value: UInt64) -> Int {
        (64 - value.leadingZeroBitCount + 6) / 7 + (value == 0 ? 1 : 0)
    }
}
