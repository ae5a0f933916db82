// How fast the host sends: a token bucket, and a rate that backs off when most participants lose.

/// The rate of the data plane in bytes per second, with a bucket that lets short trains through.
struct RateControl {
    let highest: UInt64
    private let lowest: UInt64
    private(set) var rate: UInt64
    /// Bytes that may be sent now, in billionths, so that no fraction is lost.
    private var tokens: UInt64
    private var lastRefill: UInt64
    private var lastDecision: UInt64

    private static let burst = UInt64(Tuning.burstBytes) * second

    init(rate: UInt64, now: UInt64) {
        highest = max(rate, 1)
        lowest = max(rate / Tuning.slowestRateDivisor, 1)
        self.rate = highest
        tokens = RateControl.burst
        lastRefill = now
        lastDecision = now
    }

    /// Takes `count` bytes from the bucket if they are there.
    mutating func take(_ count: Int, now: UInt64) -> Bool {
        refill(now: now)
        let cost = UInt64(count) * second
        guard tokens >= cost else { return false }
        tokens -= cost
        return true
    }

    /// When `count` bytes will be there.
    func time(for count: Int, now: UInt64) -> UInt64 {
        let cost = UInt64(count) * second
        guard tokens < cost else { return now }
        return max(now, lastRefill + (cost - tokens + rate - 1) / rate)
    }

    private mutating func refill(now: UInt64) {
        guard now > lastRefill else { return }
        // A pause longer than this fills the bucket at any rate above a byte per second.
        let passed = min(now - lastRefill, second)
        tokens = min(tokens + passed.multipliedSaturating(by: rate), RateControl.burst)
        lastRefill = now
    }

    /// Whether it is time to look at the losses.
    func isDue(now: UInt64) -> Bool { now >= lastDecision + Tuning.rateInterval }

    /// Looks at the losses since the last decision, one pair of shares per participant that reported.
    ///
    /// Only what *most* lose slows the room, so one slow participant cannot: it finishes in later sweeps.
    mutating func decide(_ losses: [Loss], now: UInt64) {
        guard isDue(now: now), !losses.isEmpty else { return }
        lastDecision = now
        let wire = RateControl.lowerMedian(losses.map(\.wire))
        let own = RateControl.lowerMedian(losses.map(\.own))
        if wire > 0.08 || own > 0.02 {
            rate = max(lowest, rate / 100 * 80 + 1)
        } else if rate < highest {
            rate = min(highest, rate + max(rate / 20, 1))
        }
    }

    /// What one participant lost of what was sent, as shares from 0 to 1.
    struct Loss {
        /// On the wire: a network that drops a little is not slower for it.
        let wire: Double
        /// In its socket and for want of buffers: a participant that cannot keep up.
        let own: Double
    }

    private static func lowerMedian(_ values: [Double]) -> Double { values.sorted()[(values.count - 1) / 2] }
}

extension UInt64 {
    fileprivate func multipliedSaturating(by other: UInt64) -> UInt64 {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? .max / 2 : product
    }
}
