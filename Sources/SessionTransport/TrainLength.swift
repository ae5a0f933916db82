// How many datagrams a host sends back to back: whole trains cost it little, but a switch must have room for them.
internal import Linux
internal import SessionProtocol

/// The length of a host's trains, and the buffer in front of its network card.
package enum TrainLength {
    /// What the kernel takes at once: 64 KB.
    static let longest = min(
        TrainSender.maximumBytes / Specification.datagramBytes, TrainSender.maximumDatagrams)
    /// 24 KB: the shared buffer of the smallest switches has room for some of them.
    static let cautious = 16
    /// 12 KB, for ports that empty more slowly than the host's link fills them.
    static let short = 8

    /// Datagrams a train may have.
    ///
    /// A train arrives at the speed of the host's link and waits in the switch where it leaves more slowly. `own` is
    /// that link's speed and `participants` those of the others in Mbit/s, nil and 0 where unknown; without hardware at
    /// any end there is no wire and no switch.
    package static func datagrams(own: Int?, isHardware: Bool, participants: [UInt32]) -> Int {
        let known = participants.filter { $0 > 0 }
        if !isHardware { return known.isEmpty ? longest : cautious }
        guard let own else { return cautious }
        if let slowest = known.min(), Int(slowest) < own { return short }
        return known.count == participants.count && !known.isEmpty ? longest : cautious
    }

    /// Bytes of the send buffer, as it is asked for, on a link of `own` Mbit/s (nil: unknown).
    ///
    /// What is in it waits in front of the network card. CoDel, the usual discipline of that queue, begins to drop when
    /// packets wait for longer than 5 ms: the buffer, of which the kernel makes twice what is asked for, holds 4 ms.
    /// Without knowing the link it is 1 MB: 8 ms at 1 Gbit/s, and still 0.8 ms, many times what a wake-up takes, at ten.
    package static func sendBuffer(own: Int?) -> Int {
        guard let own else { return 512 << 10 }
        return min(max(own * 125_000 / 1000 * 4 / 2, 128 << 10), 8 << 20)
    }
}
