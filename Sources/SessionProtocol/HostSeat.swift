// What the host knows of one participant.
internal import Blocks

/// One participant on the host's side.
///
/// Each chunk it has asked for is in exactly one place: `missing` (waits for the sweep), `outstanding` (was sent, or
/// is held by the participant), `control` (waits for the connection), `inFlight` (is on the connection), or done.
struct Seat {
    let participant: GUID
    let identity: ParticipantIdentity
    /// The report slot, which never changes.
    let slot: UInt16
    var connection: ConnectionID?
    /// Whether NEED has come on this connection.
    var hasNeeded = false
    var missing = ChunkSet()
    var outstanding = ChunkSet()
    var control = ChunkSet()
    var inFlight: Set<UInt32> = []
    /// Whether anything of `inFlight` has moved since it was last looked at, and since when nothing has.
    var hasMoved = false
    var stillSince: UInt64 = 0
    /// Its `inFlight` does not move: it is not counted in the session's total, and gets nothing more until it does.
    var isStalled = false
    /// Chunks whose seal or content was wrong twice: only over the connection.
    var insisted = ChunkSet()
    /// Whether its `missing` chunks count in the demand map.
    var isCounted = false
    var lastHeard: UInt64
    /// Whether the session waits for it: not finished, failed or given up.
    var isOpen = true
    /// Whether its failure no longer matters, because the same machine joined again.
    var isSuperseded = false
    var isSilent = false
    /// Multicast does not reach it: everything goes over the connection.
    var isDeaf = false
    /// Since when nothing of the data plane arrives, as far as its reports and its join tell.
    var deafSince: UInt64?
    /// Who has told the host's screen that multicast does not arrive: a change is told once, by whoever knows why.
    var deafnessTeller = DeafnessTeller.nobody
    /// What it reported lately, for the rate and for who is a straggler.
    var flow = SeatFlow()

    /// Whether it has everything, as far as its reports say.
    var isServed: Bool {
        hasNeeded && missing.isEmpty && outstanding.isEmpty && control.isEmpty && inFlight.isEmpty
    }
}

/// What the reports of one participant say of how it keeps up.
struct SeatFlow {
    /// What the last report said that the rate has not been decided on since.
    private(set) var sample: RateSample?
    /// Shares lost, averaged over some reports: on the wire, and in socket and for want of buffers.
    private(set) var wireLoss = 0.0
    private(set) var ownLoss = 0.0
    /// Bytes per second it is known to take; nil: not yet.
    private var capacity: Double?
    /// Whether the last report showed it at its limit.
    private var isLimited = false
    private var lastReport: UInt64?
    /// The most free buffers it has reported: all it has.
    private var mostFree = 0

    /// Takes a report; `backlog` is what has been sent and not seen, in bytes.
    mutating func note(_ report: ReportMessage, backlog: Int, rate: UInt64, now: UInt64) {
        defer { lastReport = now }
        mostFree = max(mostFree, Int(report.freeBuffers))
        guard let lastReport, now > lastReport else { return }
        let own = Double(report.lostInSocket) + Double(report.lostForWantOfBuffers)
        let total = Double(report.received) + Double(report.lostOnWire) + own
        // What little comes while hardly anything is sent says nothing about limits.
        guard total >= 16 else { return }
        let share = Double(report.lostOnWire) / total
        wireLoss += (share - wireLoss) * 0.3
        ownLoss += (own / total - ownLoss) * 0.3
        let delivered =
            Double(report.received) * Double(Specification.datagramBytes) * 1e9 / Double(now - lastReport)
        let isBehind = backlog > Tuning.backlogBytes + Int(rate / 200)
        if own / total > 0.01 || isBehind {
            // One that drains a backlog is given room to. One report alone may have caught a bad moment.
            let taken = isBehind ? delivered * 0.9 : delivered
            capacity = isLimited ? ((capacity ?? taken) + taken) / 2 : taken
            isLimited = true
        } else if Int(report.freeBuffers) * Tuning.scarceBuffers < mostFree {
            capacity = delivered * 0.8
            isLimited = true
        } else {
            capacity = max(capacity ?? 0, Double(rate))
            isLimited = false
        }
        sample = RateSample(
            capacity: capacity ?? Double(rate), delivered: delivered, wireLoss: share)
    }

    mutating func takeSample() -> RateSample? {
        defer { sample = nil }
        return sample
    }
}

/// A control connection of the host.
struct HostConnection {
    let peer: Endpoint
    let since: UInt64
    /// Until it has joined, only what JOIN takes; afterwards NEED is the longest message it may send.
    var framer = MessageFramer(longestBody: MessageType.join.maximumBodyBytes)
    /// The index of the seat that joined on it.
    var seat: Int?
}

/// What the host remembers of a chunk it has sent or loaded.
struct ChunkRecord {
    /// Whole passes by multicast.
    var passes = 0
    var generation: UInt8 = 0
    /// A hash of the frame's bytes; other bytes under the same number need a new generation.
    var content: UInt64
    /// Bytes of frame and seal.
    var length: Int
    /// Parity numbers of each stripe that have been used.
    var parityUsed = 0
    /// Sequence (of the chunk's stream) and time of the last symbol of the last pass; nil before the first.
    var lastPass: (sequence: UInt32, time: UInt64)?
}
