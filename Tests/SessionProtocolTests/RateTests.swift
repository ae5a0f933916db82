// How fast the host sends: what makes it slower, what does not, and how it begins.
import SessionProtocol
import Testing

/// A rate that is decided on ten times a second.
private struct DrivenRate {
    var rate: RateControl
    var now: UInt64 = 1_000_000_000

    init(cap: UInt64) {
        rate = RateControl(cap: cap, now: now)
        rate.begin(now: now)
    }

    /// Lets time pass in which `share` of a rate is used and `room` says this of it.
    mutating func run(steps: Int, share: Double = 1, _ room: (Double) -> [RateSample]) {
        for _ in 0..<steps {
            now += 100_000_000
            _ = rate.take(1, atLeast: 1, now: now)
            rate.decide(
                room(Double(rate.rate)), sent: Double(rate.rate) * share, interval: 100_000_000, now: now)
        }
    }
}

/// A participant that takes at most `most` bytes per second and loses `loss` of what is sent on the wire.
private func participant(_ rate: Double, most: Double = .infinity, loss: Double = 0) -> RateSample {
    let delivered = min(rate * (1 - loss), most)
    return RateSample(
        capacity: delivered < rate * (1 - loss) ? delivered : rate, delivered: delivered, wireLoss: loss)
}

@Suite struct RateTests {
    @Test func startsGentlyAndDoubles() {
        var room = DrivenRate(cap: 1_000_000_000)
        // What a small switch has room for, and no more at once.
        #expect(room.rate.take(1000, atLeast: 1, now: room.now) * Specification.datagramBytes <= 64 * 1024)
        #expect(room.rate.rate < 130_000_000)
        var sent = 0
        for _ in 0..<100 {
            room.now += 100_000
            sent += room.rate.take(1000, atLeast: 1, now: room.now)
        }
        #expect(sent * Specification.datagramBytes < 1_500_000, "in the first 10 ms")
        room.run(steps: 2) { rate in [RateSample(capacity: rate, delivered: rate, wireLoss: 0)] }
        #expect(room.rate.rate == 1_000_000_000)
    }

    @Test func theSlowestAloneDoesNotCount() {
        var room = DrivenRate(cap: 100_000_000)
        room.run(steps: 30) { rate in
            (0..<9).map { _ in participant(rate) } + [participant(rate, most: 5_000_000)]
        }
        #expect(room.rate.rate == 100_000_000)
    }

    @Test func mostAreFollowed() {
        var room = DrivenRate(cap: 100_000_000)
        room.run(steps: 30) { rate in
            (0..<2).map { _ in participant(rate) } + (0..<8).map { _ in participant(rate, most: 40_000_000) }
        }
        #expect((34_000_000...44_000_000).contains(room.rate.rate), "\(room.rate.rate)")
        // They recover, and so does the rate.
        room.run(steps: 100) { rate in (0..<10).map { _ in participant(rate) } }
        #expect(room.rate.rate == 100_000_000)
    }

    /// A host that mends chunks here and there sends little: that it arrives is no reason to send faster, or the next
    /// sweep drowns machines that are slow.
    @Test func aRateThatIsNotUsedDoesNotRise() {
        var room = DrivenRate(cap: 1_000_000_000)
        room.run(steps: 20) { rate in [participant(rate, most: 40_000_000)] }
        let found = room.rate.rate
        room.run(steps: 200, share: 0.3) { rate in
            [RateSample(capacity: rate, delivered: rate * 0.3, wireLoss: 0)]
        }
        #expect(room.rate.rate == found)
        room.run(steps: 200) { rate in [participant(rate)] }
        #expect(room.rate.rate == 1_000_000_000)
    }

    @Test func neverBelowHalfOfTheMiddleOne() {
        var room = DrivenRate(cap: 100_000_000)
        room.run(steps: 50) { rate in
            (0..<6).map { _ in RateSample(capacity: 100_000_000, delivered: rate, wireLoss: 0) }
                + (0..<4).map { _ in participant(rate, most: 1_000_000) }
        }
        #expect(room.rate.rate >= 45_000_000, "\(room.rate.rate)")
    }

    @Test(arguments: [0.05, 0.1, 0.3])
    func aLossThatSlownessDoesNotCureIsPutUpWith(loss: Double) {
        var room = DrivenRate(cap: 100_000_000)
        room.run(steps: 100) { rate in (0..<4).map { _ in participant(rate, loss: loss) } }
        #expect(room.rate.rate > 90_000_000, "\(room.rate.rate)")
    }

    @Test func aSwitchThatDropsSlowsTheRoom() {
        var room = DrivenRate(cap: 1_000_000_000)
        room.run(steps: 60) { rate in
            // Ports of a tenth of the sender's link.
            let loss = max(0, 1 - 100_000_000 / rate)
            return (0..<4).map { _ in
                RateSample(capacity: rate, delivered: min(rate, 100_000_000), wireLoss: loss)
            }
        }
        #expect((70_000_000...115_000_000).contains(room.rate.rate), "\(room.rate.rate)")
    }

    @Test func oneThatLosesDoesNotSlowTheRoom() {
        var room = DrivenRate(cap: 100_000_000)
        room.run(steps: 30) { rate in
            (0..<5).map { _ in participant(rate) } + [participant(rate, loss: 0.4)]
        }
        #expect(room.rate.rate == 100_000_000)
    }

    @Test func aMomentOfStandstillIsNotForEver() {
        var room = DrivenRate(cap: 100_000_000)
        room.run(steps: 10) { rate in [participant(rate)] }
        room.run(steps: 15) { rate in [participant(rate, most: 1000)] }
        #expect(room.rate.rate < 1_000_000)
        // From the very bottom back to the link's speed within some seconds.
        room.run(steps: 60) { rate in [participant(rate)] }
        #expect(room.rate.rate > 95_000_000, "\(room.rate.rate)")
    }

    @Test func oneBadSampleHalvesAtMost() {
        var room = DrivenRate(cap: 100_000_000)
        room.run(steps: 10) { rate in [participant(rate)] }
        room.run(steps: 1) { rate in [participant(rate, most: 1000)] }
        #expect(room.rate.rate >= 49_000_000)
    }
}
