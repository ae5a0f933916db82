// What a participant's link and machine do to it, and which datagrams a lossy link takes away.
import Glibc

/// Nanoseconds of a millisecond.
package let ms: UInt64 = 1_000_000

/// What a participant's link and machine do to it.
package struct Faults: Sendable {
    /// Probability that a datagram is lost by itself.
    package var loss = 0.0
    /// Probability that a burst of losses begins at a datagram, and how many datagrams it takes.
    package var burst = 0.0
    package var burstLength = 0
    package var duplication = 0.0
    package var reordering = 0.0
    package var corruption = 0.0
    /// One-way delay in nanoseconds.
    package var delay: UInt64 = Faults.usualDelay
    /// Bytes per second of its link; what does not fit 256 KiB of queue in front of it is lost.
    package var bandwidth: UInt64 = 125_000_000
    /// Bytes per second its disk takes, of content as it is written.
    package var diskRate: UInt64 = 400_000_000
    /// Bytes of memory for chunks on their way.
    package var poolBytes = 8 << 20
    /// Multicast does not come through at all.
    package var isDeaf = false

    package init(
        loss: Double = 0, burst: Double = 0, burstLength: Int = 0, duplication: Double = 0,
        reordering: Double = 0, corruption: Double = 0, delay: UInt64 = Faults.usualDelay,
        bandwidth: UInt64 = 125_000_000, diskRate: UInt64 = 400_000_000, poolBytes: Int = 8 << 20,
        isDeaf: Bool = false
    ) {
        self.loss = loss
        self.burst = burst
        self.burstLength = burstLength
        self.duplication = duplication
        self.reordering = reordering
        self.corruption = corruption
        self.delay = delay
        self.bandwidth = bandwidth
        self.diskRate = diskRate
        self.poolBytes = poolBytes
        self.isDeaf = isDeaf
    }

    /// A link that loses the share `loss` of all datagrams, always `length` of them in a row.
    package static func losing(_ loss: Double, inBurstsOf length: Int) -> Faults {
        guard length > 1, loss > 0 else { return Faults(loss: loss) }
        // Between two bursts lie (1 - q) / q datagrams on average; length / (length + (1 - q) / q) is the share.
        return Faults(
            burst: loss / (loss + Double(length) * (1 - loss)), burstLength: length)
    }

    /// One-way delay of a LAN in nanoseconds.
    package static let usualDelay: UInt64 = 200_000
    /// Bytes a switch keeps in front of a link.
    package static let queueBytes: UInt64 = 256 << 10
}

/// Which of the datagrams that come along a link are lost: drawn as gaps, so that a datagram that passes costs nothing.
struct LossProcess {
    private var random: SplitMix
    /// Datagrams that pass before the next loss or burst.
    private var gap = Int.max
    /// Datagrams of the present loss that are still to be lost.
    private var left = 0
    private var rate = 0.0
    private var burstShare = 0.0
    private var burstLength = 0

    init(_ faults: Faults, random: SplitMix) {
        self.random = random
        set(faults)
    }

    mutating func set(_ faults: Faults) {
        rate = faults.burst + (1 - faults.burst) * faults.loss
        burstShare = rate > 0 ? faults.burst / rate : 0
        burstLength = faults.burstLength
        draw()
    }

    /// Takes the next `count` datagrams if they all pass; otherwise nothing has happened.
    @inline(__always)
    mutating func passes(_ count: Int) -> Bool {
        guard left == 0, gap >= count else { return false }
        if gap != .max { gap -= count }
        return true
    }

    /// Takes datagrams, at most `count`, that have one fate: how many, and whether they pass.
    mutating func take(_ count: Int) -> (count: Int, isLost: Bool) {
        if left == 0, gap == 0 {
            left = burstShare > 0 && random.chance(burstShare) ? max(burstLength, 1) : 1
            draw()
        }
        if left > 0 {
            let lost = min(left, count)
            left -= lost
            return (lost, true)
        }
        let passing = min(gap, count)
        if gap != .max { gap -= passing }
        return (passing, false)
    }

    private mutating func draw() {
        guard rate > 0 else {
            gap = .max
            return
        }
        guard rate < 1 else {
            gap = 0
            return
        }
        // The inverse of the geometric distribution at a number above 0.
        let share = (Double(random.next() >> 11) + 1) * 0x1p-53
        gap = Int(log(share) / log1p(-rate))
    }
}
