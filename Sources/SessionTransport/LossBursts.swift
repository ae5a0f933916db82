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
    /// The number each stream goes on with; nil where nothing has come.
    private var next = [8 of UInt32?](repeating: nil)

    package init() {}

    /// Datagrams per burst; 0 without losses.
    package var mean: Double { bursts == 0 ? 0 : Double(datagrams) / Double(bursts) }

    /// Takes datagrams of a data port that came as one train: each of `segment` bytes, the last may be shorter.
    ///
    /// What is no symbol does not count.
    mutating func count(_ train: RawSpan, segment: Int) {
        let whole = train.byteCount / Specification.datagramBytes
        guard segment == Specification.datagramBytes, whole > 0 else { return }
        // A train without a gap, which most are, is known by its ends.
        if whole > 2, let first = number(train, 0), let last = number(train, whole - 1),
            first.stream == last.stream, last.sequence &- first.sequence == UInt32(whole - 1)
        {
            count(first)
            next[first.stream] = last.sequence &+ 1
            return
        }
        for index in 0..<whole {
            if let number = number(train, index) { count(number) }
        }
    }

    private mutating func count(_ symbol: (stream: Int, sequence: UInt32)) {
        defer { next[symbol.stream] = symbol.sequence &+ 1 }
        guard let next = next[symbol.stream] else { return }
        let gap = symbol.sequence &- next
        // A number from before is a repetition or came late; a jump is another session's.
        guard gap > 0, gap < Tuning.believedStep else { return }
        bursts += 1
        datagrams += Int(gap)
    }

    /// Stream and sequence number of a train's datagram `index`.
    private func number(_ train: RawSpan, _ index: Int) -> (stream: Int, sequence: UInt32)? {
        let start = index * Specification.datagramBytes
        var offset = start + LossBursts.streamOffset
        guard let stream = try? train.u8(at: &offset), stream < Specification.maximumStreams else {
            return nil
        }
        offset = start + LossBursts.sequenceOffset
        guard let sequence = try? train.u32(at: &offset) else { return nil }
        return (Int(stream), sequence)
    }

    /// Version and type (u8 each) come before the stream; generation (u8) and session (u64) before the sequence number.
    private static let streamOffset = 2
    private static let sequenceOffset = 12
}
