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
    /// Those of `missing` that it holds a part of, so that it needs no room for them.
    var partial = ChunkSet()
    /// Bytes it has room for, as far as is known: what its last report said, less what has gone out since.
    var room = 1
    /// Who has told the host's screen that multicast does not arrive: a change is told once, by whoever knows why.
    var deafnessTeller = DeafnessTeller.nobody
    /// What it reported lately, for the rate and for who is a straggler.
    var flow = SeatFlow()

    /// Whether it has everything, as far as its reports say.
    var isServed: Bool {
        hasNeeded && missing.isEmpty && outstanding.isEmpty && control.isEmpty && inFlight.isEmpty
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
