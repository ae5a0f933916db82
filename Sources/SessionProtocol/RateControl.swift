// How fast the host sends: a token bucket, and a rate that follows what most participants can take.

/// What one participant's reports said of a moment.
package struct RateSample {
    /// Bytes per second it can take, as far as is known.
    package let capacity: Double
    /// Bytes per second it has received.
    package let delivered: Double
    /// Share of what was sent that was lost on the wire, 0 to 1.
    package let wireLoss: Double

    package init(capacity: Double, delivered: Double, wireLoss: Double) {
        self.capacity = capacity
        self.delivered = delivered
        self.wireLoss = wireLoss
    }
}

/// The rate of the data plane in bytes of UDP payload per second.
package struct RateControl {
    /// The rate is never above this: `rate=`, or the slowest link known.
    private(set) var cap: UInt64
    package private(set) var rate: UInt64
    /// Bytes that may be sent now, in billionths, so that no fraction is lost.
    private var tokens: UInt64
    private var lastRefill: UInt64
    private var lastDecision: UInt64
    /// When the rate doubles next; nil once something has shown where its limit is.
    private var nextDoubling: UInt64?
    /// Where the participants were last found to be at their limit: near it the rate rises slowly.
    private var limit: UInt64?
    /// The share lost on the wire that sending less did not lessen.
    private var provenLoss = 0.0
    /// A share lost on the wire up to this is not the rate's fault.
    private var toleratedLoss: Double {
        max(Tuning.toleratedLoss, provenLoss > 0 ? provenLoss * 1.25 + Tuning.toleratedLoss / 2 : 0)
    }
    /// The rate was lowered for a loss on the wire, to see whether that helps: what there was before, and since when.
    private var trial: (rate: UInt64, loss: Double, delivered: Double, since: UInt64)?

    package init(cap: UInt64, now: UInt64) {
        self.cap = max(cap, 1)
        rate = max(min(self.cap / 8, Tuning.firstRate), 1)
        tokens = UInt64(Tuning.firstBurstBytes) * second
        lastRefill = now
        lastDecision = now
        nextDoubling = now
    }

    /// Nothing may be sent faster than this from now on.
    package mutating func limit(to cap: UInt64) {
        self.cap = max(cap, 1)
        rate = min(rate, self.cap)
    }

    /// The session begins to send: only now does time count for the start's steps.
    package mutating func begin(now: UInt64) {
        lastRefill = now
        lastDecision = now
        if nextDoubling != nil { nextDoubling = now + Tuning.doublingInterval }
    }

    // MARK: The bucket

    /// Takes up to `most` datagrams' worth from the bucket; none if there are fewer than `least`.
    package mutating func take(_ most: Int, atLeast least: Int, now: UInt64) -> Int {
        refill(now: now)
        let cost = UInt64(Specification.datagramBytes) * second
        let count = Int(min(tokens / cost, UInt64(most)))
        guard count >= max(min(least, most), 1) else { return 0 }
        tokens -= UInt64(count) * cost
        return count
    }

    /// When `count` bytes will be there.
    func time(for count: Int, now: UInt64) -> UInt64 {
        let cost = UInt64(count) * second
        guard tokens < cost else { return now }
        return max(now, lastRefill + (cost - tokens + rate - 1) / rate)
    }

    /// What may be saved up: a millisecond, which a sender that was woken late catches up on.
    private var burst: UInt64 { max(UInt64(Tuning.firstBurstBytes) * second, rate * millisecond) }

    private mutating func refill(now: UInt64) {
        while let time = nextDoubling, now >= time {
            rate = min(cap, rate * 2)
            nextDoubling = rate < cap ? time + Tuning.doublingInterval : nil
        }
        guard now > lastRefill else { return }
        // A pause longer than this fills the bucket at any rate above a byte per second.
        let passed = min(now - lastRefill, second)
        tokens = min(tokens + passed.multipliedSaturating(by: rate), burst)
        lastRefill = now
    }

    // MARK: The rate

    /// Whether it is time to look at the reports.
    package func isDue(now: UInt64) -> Bool { now >= lastDecision + Tuning.rateInterval }

    /// Whether that much more time has passed since the last decision.
    func isOverdue(by time: UInt64, now: UInt64) -> Bool {
        now >= lastDecision + Tuning.rateInterval + time
    }

    /// Looks at what has been reported since the last decision, one sample per participant.
    ///
    /// The room follows the participant that is slower than nine in ten, never the very slowest of several, and never
    /// below half of what the middle one takes: whoever is slower finishes in later sweeps. A loss on the wire counts if
    /// most have it and sending less lessens it. `sent` is what went out since the last decision, in bytes per second;
    /// `interval` is the participants' time between reports.
    package mutating func decide(_ samples: [RateSample], sent: Double, interval: UInt64, now: UInt64) {
        guard isDue(now: now), !samples.isEmpty else { return }
        lastDecision = now
        let capacities = samples.map(\.capacity).sorted()
        let last = capacities.count - 1
        let slow = capacities[last == 0 ? 0 : min(last, max(1, capacities.count / 10))]
        let capacity = max(slow, capacities[capacities.count / 2] / 2)
        if capacity < Double(rate) * 0.97 {
            // Not to less than half at a time: what was measured in a bad moment is measured again.
            lower(to: max(capacity * 0.95, Double(rate) / 2), limit: capacity)
            trial = nil
            return
        }
        let loss = lowerMedian(samples.map(\.wireLoss))
        let delivered = lowerMedian(samples.map(\.delivered))
        if let trial {
            // Only reports of a time that began after the rate was lowered tell what that did.
            guard now >= trial.since + 2 * max(interval, Tuning.rateInterval) else { return }
            self.trial = nil
            // As much arrives as before although less is sent: what was sent above that was dropped for want of room.
            let share = Double(rate) / Double(trial.rate)
            if loss > trial.loss * 0.6, delivered < trial.delivered * (1 + share) / 2 {
                // Less did not help: the network drops that much of anything.
                provenLoss = max(loss, trial.loss)
                rate = min(cap, trial.rate)
                return
            }
            limit = rate
        }
        if loss > toleratedLoss {
            trial = (rate, loss, delivered, now)
            // Where little was sent, what arrived says nothing of how much could.
            let arrived = sent > Double(rate) * 0.7 ? delivered : Double(rate)
            lower(to: min(arrived, Double(rate) * 0.85), limit: Double(rate))
            return
        }
        // A network that has become better is not put up with for ever.
        if loss < provenLoss / 2 { provenLoss *= 0.98 }
        guard nextDoubling == nil, rate < cap else { return }
        // That little which was sent arrived says nothing of a higher rate (so for TCP: RFC 7661).
        guard sent > Double(rate) / 2 else { return }
        let step = limit.map { rate > $0 / 10 * 9 } ?? false ? rate / 25 : rate / 5
        rate = min(cap, rate + max(step, 1))
        if let old = limit, rate > old + old / 10 { limit = nil }
    }

    private mutating func lower(to target: Double, limit: Double) {
        nextDoubling = nil
        self.limit = UInt64(max(limit, 1))
        rate = max(min(UInt64(max(target, 1)), rate), min(Tuning.lowestRate, cap))
    }
}

/// The middle of the values, the lower one of two; there must be one at least.
func lowerMedian(_ values: [Double]) -> Double { values.sorted()[(values.count - 1) / 2] }

extension UInt64 {
    fileprivate func multipliedSaturating(by other: UInt64) -> UInt64 {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? .max / 2 : product
    }
}
