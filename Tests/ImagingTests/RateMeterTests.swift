// Rates and estimates on a clock that the tests turn.
import Blocks
import Imaging
import Synchronization
import Testing

/// Nanoseconds that pass when a test says so.
final class TurnedClock: Sendable {
    private let time = Mutex<UInt64>(7_000_000_000)

    var now: UInt64 { time.withLock { $0 } }
    func turn(_ seconds: Double) { time.withLock { $0 += UInt64(seconds * 1e9) } }
    /// Whom a test hands it to, as Progress takes a clock.
    var hand: @Sendable () -> UInt64 { { [self] in now } }
}

private let second: UInt64 = 1_000_000_000

struct RateMeterTests {
    /// Reads every `step` seconds a counter that grows by `rate` bytes per second.
    private func fed(rate: Double, step: Double, for seconds: Double) -> (RateMeter, UInt64, UInt64) {
        var meter = RateMeter(window: 2 * second, at: 0)
        var time = 0.0
        while time < seconds {
            time += step
            meter.read(UInt64(rate * time), at: UInt64(time * 1e9))
        }
        return (meter, UInt64(rate * time), UInt64(time * 1e9))
    }

    @Test(arguments: [0.001, 0.05, 0.2, 1, 5, 60]) func aSteadyGrowthIsSeen(_ step: Double) {
        let (meter, _, _) = fed(rate: 100e6, step: step, for: 120)
        #expect(abs(meter.perSecond - 100e6) < 1e6, "\(meter.perSecond)")
    }

    @Test func nothingIsSaidOfAnInstant() {
        var meter = RateMeter(window: 2 * second, at: 0)
        #expect(meter.perSecond == 0)
        meter.read(4 << 20, at: 1_000_000)
        #expect(meter.perSecond == 0, "4 MiB in a millisecond are no rate")
        meter.read(4 << 20, at: second / 2)
        #expect(meter.perSecond == Double(8 << 20))
    }

    @Test func aStandstillIsSeenWithinTheWindow() {
        var (meter, count, time) = fed(rate: 100e6, step: 0.2, for: 10)
        var seen: [Double] = []
        for _ in 0..<12 {
            time += second / 5
            meter.read(count, at: time)
            seen.append(meter.perSecond)
        }
        #expect(seen == seen.sorted(by: >), "\(seen)")
        #expect(seen.last == 0)
        // And the growth after it.
        for _ in 0..<12 {
            time += second / 5
            count += 2_000_000
            meter.read(count, at: time)
        }
        #expect(abs(meter.perSecond - 10e6) < 1)
    }

    @Test func aCounterThatBeginsAgainIsNoFall() {
        var (meter, _, time) = fed(rate: 100e6, step: 0.2, for: 10)
        meter.read(5, at: time + second)
        #expect(meter.perSecond == 0)
        time += second
        meter.read(5 + 30_000_000, at: time + second)
        #expect(meter.perSecond == 30e6)
    }

    @Test func aClockThatGoesBackIsNotBelieved() {
        let (steady, count, time) = fed(rate: 100e6, step: 0.2, for: 10)
        var meter = steady
        let before = meter.perSecond
        meter.read(count + 1_000_000_000, at: time - second)
        #expect(meter.perSecond == before)
        meter.read(count, at: time)
        #expect(meter.perSecond.isFinite && meter.perSecond >= 0)
    }
}

struct EstimateTests {
    private let clock = TurnedClock()
    private let progress: Progress

    init() { progress = Progress(clock: clock.hand) }

    /// A restore of `total` bytes that has been doing `rate` bytes a second for `seconds`.
    private func restore(total: UInt64, rate: Double, for seconds: Int) -> ProgressReport {
        progress.begin(.restoring, totalBytes: total, totalChunks: 100)
        for _ in 0..<seconds * 5 {
            clock.turn(0.2)
            progress.add(content: Int(rate / 5), disk: 0)
            _ = progress.report()
        }
        return progress.report()
    }

    @Test func whatIsLeftFollowsTheRate() {
        let report = restore(total: 2_000_000_000, rate: 100e6, for: 10)
        #expect(report.secondsLeft == 10)
        #expect(report.etaText == "ETA 10 s")
        #expect(report.diskRate == 100e6)
        #expect(report.diskText == "disk 6.00 GB/min")
    }

    @Test(arguments: [
        (1_000_000_000_000, "ETA 2:46:30"), (19_000_000_000, "ETA 3:00"), (1_100_000_000, "ETA 1 s"),
        (1_000_000_000, "ETA 0 s"),
    ]) func hoursAndMinutes(_ total: UInt64, _ text: String) {
        #expect(restore(total: total, rate: 100e6, for: 10).etaText == text)
    }

    @Test func theUnknowableIsNotSaid() {
        progress.enter(.waiting)
        #expect(progress.report().etaText == nil)
        // Nothing has come yet; then too little to say; then a rate that will never do.
        progress.begin(.restoring, totalBytes: 1 << 40, totalChunks: 10)
        #expect(progress.report().etaText == nil)
        clock.turn(30)
        #expect(progress.report().etaText == nil)
        progress.add(content: 10, disk: 0)
        clock.turn(30)
        #expect(progress.report().etaText == nil)
        #expect(progress.report().diskText == "disk 0.00 GB/min")
        // The whole is unknown, or more came than it was said to be.
        progress.begin(.receiving, totalBytes: 0, totalChunks: 0)
        progress.add(content: 1 << 30, disk: 0)
        clock.turn(5)
        #expect(progress.report().etaText == nil)
        #expect(progress.report().percentText == nil)
        progress.begin(.receiving, totalBytes: 5, totalChunks: 1)
        progress.add(content: 1 << 30, disk: 0)
        clock.turn(5)
        #expect(progress.report().etaText == nil)
        #expect(progress.report().percentText == "100 %")
    }

    @Test func aStandstillHasNoEnd() {
        _ = restore(total: 2_000_000_000, rate: 100e6, for: 10)
        for _ in 0..<60 {
            clock.turn(0.2)
            _ = progress.report()
        }
        #expect(progress.report().etaText == nil)
        #expect(progress.report().diskRate == 0)
    }

    @Test(arguments: [
        (0, "0 s"), (59, "59 s"), (60, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (360_000, "100:00:00"),
    ]) func durations(_ seconds: UInt64, _ text: String) { #expect(seconds.asDuration == text) }
}
