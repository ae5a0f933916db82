// What the results must show: the simulation's rows of the project's targets.
import Blocks

/// Compares results with the targets.
enum Targets {
    /// Percent of extra airtime that a thousand participants with independent losses may cost, by percent of loss.
    private static let airtime: [(loss: Double, most: Double)] = [(0.1, 3), (1, 7), (5, 16)]
    /// How much longer than for one the session may be for a thousand, airtime apart.
    private static let time = 1.05
    /// Reports per second, with 5 % for the edges of the seconds.
    private static let reports = 1050

    /// One sentence for each target, and whether all are met.
    static func check(_ results: [Result]) -> (lines: [String], isMet: Bool) {
        var lines: [String] = []
        var isMet = true
        func note(_ what: String, _ value: String, _ limit: String, _ isFine: Bool) {
            lines.append("\(isFine ? "met   " : "MISSED") \(what): \(value), at most \(limit)")
            isMet = isMet && isFine
        }
        let room = results.filter { $0.n == 1000 && $0.link == 1000 }
        // The targets are for independent losses. In bursts the repairs of the last chunk are lost together, and a
        // room of a thousand says so once a second: that is shown, and decides nothing.
        for result in room where result.burst > 1 {
            guard let one = results.first(where: { $0.n == 1 && result.isComparable(to: $0) }) else {
                continue
            }
            lines.append(
                "shown  time(1000)/time(1), loss \(result.loss) %, bursts of \(result.burst): "
                    + "\((result.seconds / one.seconds).fixed(3)), extra airtime "
                    + "\((result.extraAirtime * 100).fixed(2)) %")
        }
        for (loss, most) in airtime {
            guard let result = room.first(where: { $0.loss == loss && $0.burst == 1 }) else {
                note("extra airtime, N = 1000, loss \(loss) %", "not simulated", "\(most) %", false)
                continue
            }
            note(
                "extra airtime, N = 1000, loss \(loss) %", "\((result.extraAirtime * 100).fixed(2)) %",
                "\(most) %", result.extraAirtime * 100 <= most)
        }
        for result in room where result.burst == 1 {
            let what = "loss \(result.loss) %"
            guard let one = results.first(where: { $0.n == 1 && result.isComparable(to: $0) }) else {
                note("time(1000)/time(1), \(what)", "not simulated", "-", false)
                continue
            }
            let most =
                result.loss == 0 ? time : time * (1 + result.extraAirtime) / (1 + one.extraAirtime)
            let ratio = result.seconds / one.seconds
            note("time(1000)/time(1), \(what)", ratio.fixed(3), most.fixed(3), ratio <= most)
            note(
                "reports in a second, N = 1000, \(what)", "\(result.reportsPerSecond)", "\(reports)",
                result.reportsPerSecond <= reports)
        }
        if !room.contains(where: { $0.loss == 0 }) {
            note("time(1000)/time(1) without loss", "not simulated", "\(time)", false)
        }
        return (lines, isMet)
    }
}
