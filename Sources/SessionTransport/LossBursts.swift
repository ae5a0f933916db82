// How losses come: one datagram at a time, or several in a row.
internal import Blocks
internal import SessionProtocol

/// Counts the gaps in the sequence numbers of a session's symbols, for measurements and tests.
///
/// A network that is said to lose independently, but loses in trains, makes every figure on repair worthless.
package struct LossBursts: Sendable {
    /// Runs of lost datagrams.
    package private(set) var bursts = 0
    /// Datagrams lost in them.
    package private(set) var datagrams = 0
    private var next: UInt32?

    package init() {}

    /// Datagrams per burst; 0 without losses.
    package var mean: Double { bursts == 0 ? 0 : Double(datagrams) / Double(bursts) }

    /// Takes a datagram of the data port; what is no symbol does not count.
    mutating func count(_ datagram: RawSpan) {
        guard datagram.byteCount == Specification.datagramBytes else { return }
        var offset = LossBursts.sequenceOffset
        guard let sequence = try? datagram.u32(at: &offset) else { return }
        defer { next = sequence &+ 1 }
        guard let next else { return }
        let gap = sequence &- next
        // A number from before is a repetition or came late; a jump is another session's.
        guard gap > 0, gap < 10_000 else { return }
        bursts += 1
        datagrams += Int(gap)
    }

    /// Version, type, stream and generation (u8 each) and the session (u64) come before the sequence number.
    private static let sequenceOffset = 12
}
