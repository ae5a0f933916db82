// How fast a counter grows: pure, the time is handed in.

/// The growth of one counter per second, over about the last `window`.
///
/// Readings may come at any distance; the more seldom they come, the longer the time that is looked back on.
package struct RateMeter: Equatable, Sendable {
    private struct Reading: Equatable, Sendable {
        var time: UInt64
        var count: UInt64
    }

    /// Nanoseconds that are looked back on.
    private let window: UInt64
    /// From the newest that is at least `window` old to the latest; never empty.
    private var readings: [Reading]

    /// Begins at `time`, in nanoseconds of any clock, with a counter of `count`.
    package init(window: UInt64, at time: UInt64, count: UInt64 = 0) {
        precondition(window >= RateMeter.parts)
        self.window = window
        readings = [Reading(time: time, count: count)]
    }

    /// Readings that a window holds at most: those that come closer replace each other.
    private static let parts: UInt64 = 16

    /// Takes the counter's value at `time`.
    ///
    /// A counter that has become smaller has begun again: what was before it is forgotten. A time before the latest
    /// is ignored.
    package mutating func read(_ count: UInt64, at time: UInt64) {
        let latest = readings[readings.count - 1]
        guard time >= latest.time else { return }
        guard count >= latest.count else {
            readings = [Reading(time: time, count: count)]
            return
        }
        let isClose =
            readings.count > 1 && time - readings[readings.count - 2].time < window / RateMeter.parts
        if isClose { readings.removeLast() }
        readings.append(Reading(time: time, count: count))
        while readings.count > 2, time - readings[1].time >= window { readings.removeFirst() }
    }

    /// Growth per second; 0 as long as the time that was seen is too short to say.
    package var perSecond: Double {
        let first = readings[0]
        let last = readings[readings.count - 1]
        guard last.time - first.time >= window / RateMeter.parts else { return 0 }
        return Double(last.count - first.count) * 1e9 / Double(last.time - first.time)
    }
}
