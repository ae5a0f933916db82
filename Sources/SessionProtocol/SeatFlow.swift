// What the reports of one participant say of how it keeps up, for the rate and for who is a straggler.
internal import Blocks

/// How one participant keeps up.
struct SeatFlow {
    /// What the last report said that the rate has not been decided on since.
    private var sample: RateSample?
    /// Shares lost, averaged over some reports: on the wire, and in socket and for want of buffers.
    private(set) var wireLoss = 0.0
    private(set) var ownLoss = 0.0
    /// Bytes per second it is known to take; nil: not yet.
    private var capacity: Double?
    /// Whether the last report showed it at its limit.
    private var isLimited = false
    /// When the last report came and how many chunks it said were done.
    private var last: (time: UInt64, done: UInt32)?
    /// Bytes per second that its disk or whatever takes its chunks takes, averaged over some reports.
    private var finished: Double?
    private var mostFinished = 0.0
    /// Whether the last report showed more on the way than there should be.
    private var seemedBehind = false
    /// The most free buffers it has reported: all it has.
    private var mostFree = 0

    /// The session starts: what the first report says is since now.
    mutating func begin(now: UInt64) { last = (now, 0) }

    /// Takes a report; `backlog` is what has been sent and not seen by the participant, in bytes, `chunkBytes` the mean
    /// length of the chunks, `rate` the host's in bytes per second.
    mutating func note(_ report: ReportMessage, backlog: Int, chunkBytes: Int, rate: UInt64, now: UInt64) {
        defer { last = (now, report.chunksDone) }
        mostFree = max(mostFree, Int(report.freeBuffers))
        let own = Double(report.lostInSocket) + Double(report.lostForWantOfBuffers)
        let total = Double(report.received) + Double(report.lostOnWire) + own
        // What little comes while hardly anything is sent says nothing about limits.
        guard total >= 16 else { return }
        let share = Double(report.lostOnWire) / total
        wireLoss += (share - wireLoss) * 0.3
        ownLoss += (own / total - ownLoss) * 0.3
        guard let last, now > last.time else { return }
        let seconds = Double(now - last.time) / 1e9
        let delivered = Double(report.received) * Double(Specification.datagramBytes) / seconds
        let done = Double(report.chunksDone &- last.done) * Double(chunkBytes) / seconds
        finished = finished.map { $0 + (done - $0) * 0.5 } ?? done
        // A report that came late shows a backlog that is none: two in a row are believed.
        let seemsBehind = backlog > Tuning.backlogBytes + Int(rate / 200)
        let isBehind = seemsBehind && seemedBehind
        seemedBehind = seemsBehind
        let free = Double(report.freeBuffers) / Double(max(mostFree, 1))
        if free < Tuning.scarceBuffers, hasWaiting(report) {
            // Its buffers fill up: it takes what it finishes, and less until half of them are free again.
            mostFinished = max(mostFinished, finished ?? 0)
            // A disk that stands still for a moment does not make it a slow one.
            limited(to: max((finished ?? delivered) * (0.75 + free / 2), mostFinished / 8))
        } else if Double(report.lostInSocket) / total > Tuning.toleratedOwnLoss || isBehind {
            // One that drains a backlog is given room to. One report alone may have caught a bad moment.
            let taken = isBehind ? delivered * 0.9 : delivered
            limited(to: isLimited ? ((capacity ?? taken) + taken) / 2 : taken)
        } else {
            capacity = max(capacity ?? 0, Double(rate))
            isLimited = false
        }
        sample = RateSample(capacity: capacity ?? Double(rate), delivered: delivered, wireLoss: share)
    }

    /// Whether many of its buffers hold whole chunks that wait for the disk, not chunks that wait for repairs.
    ///
    /// A report that has no room for all chunks with gaps cannot tell.
    private func hasWaiting(_ report: ReportMessage) -> Bool {
        let bytes = report.gaps.reduce(0) { bytes, gap in
            gap.stripes.reduce(bytes + ReportMessage.gapsHeaderBytes) { $0 + $1.encodedBytes }
        }
        return mostFree >= Tuning.manyBuffers && bytes < Specification.reportBytes / 2
            && report.held.count - report.gaps.count >= mostFree / 4
    }

    private mutating func limited(to bytes: Double) {
        capacity = bytes
        isLimited = true
    }

    /// Whether there is something the rate has not been decided on.
    var hasSample: Bool { sample != nil }

    mutating func takeSample() -> RateSample? {
        defer { sample = nil }
        return sample
    }
}
