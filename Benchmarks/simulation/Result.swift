// One line of `.build/simulation.json`, and the file itself.
import Blocks
import FoundationEssentials
import SessionSimulation

/// One simulated session.
struct Result: Codable, Sendable {
    /// Participants.
    var n: Int
    /// Percent of the datagrams each participant loses, and how many in a row.
    var loss: Double
    var burst: Int
    /// Mbit/s of every link.
    var link: Int
    var seed: UInt64
    /// MiB of frames.
    var imageMiB: Int
    /// Virtual seconds from the first symbol until the last participant had everything on its disk.
    var seconds: Double
    /// Symbols sent beyond the needed source symbols, per source symbol, and what a perfect session would send.
    var extraAirtime: Double
    var theory: Double
    /// `seconds` by those of one participant at the same loss, burst, link and image; nil if that was not simulated.
    var timeRatio: Double?
    /// Reports that reached the host in the session's busiest second, and on average.
    var reportsPerSecond: Int
    var meanReportsPerSecond: Double
    /// What kept the session from being shorter, and how near it came to other limits.
    var limit: String
    var linkShare: Double
    var diskShare: Double
    var tail: Double
    var chunksOverControl: Int
    var lostForWantOfBuffers: UInt64
    /// Seconds the simulation took.
    var wallSeconds: Double

    enum CodingKeys: String, CodingKey {
        case n, loss, burst, link, seed, seconds, theory, limit, tail
        case imageMiB = "image_MiB"
        case extraAirtime = "extra_airtime"
        case timeRatio = "time_ratio"
        case reportsPerSecond = "reports_per_s"
        case meanReportsPerSecond = "mean_reports_per_s"
        case linkShare = "link_share"
        case diskShare = "disk_share"
        case chunksOverControl = "chunks_over_tcp"
        case lostForWantOfBuffers = "lost_for_want_of_buffers"
        case wallSeconds = "wall_seconds"
    }

    init(_ plan: RoomPlan, _ figures: RoomFigures, wallSeconds: Double) {
        n = plan.participants
        loss = (plan.loss * 1e6).rounded() / 1e4
        burst = plan.burst
        link = Int(plan.linkRate * 8 / 1_000_000)
        seed = plan.seed
        imageMiB = figures.imageBytes >> 20
        seconds = figures.seconds
        extraAirtime = figures.extraAirtime
        theory = figures.theory
        reportsPerSecond = figures.mostReports
        meanReportsPerSecond = figures.meanReports
        limit = figures.limit
        linkShare = figures.linkShare
        diskShare = figures.diskShare
        tail = figures.tail
        chunksOverControl = figures.chunksOverControl
        lostForWantOfBuffers = figures.lostForWantOfBuffers
        self.wallSeconds = wallSeconds
    }

    /// Whether `other` differs only in the number of participants.
    func isComparable(to other: Result) -> Bool {
        loss == other.loss && burst == other.burst && link == other.link && imageMiB == other.imageMiB
            && seed == other.seed
    }

    static let heading = """
             n  loss %  burst  Mbit/s     MiB  seconds  ratio  airtime %  theory %  reports/s  mean  limit  \
                wall s
        """

    /// One line of the table.
    var line: String {
        [
            "\(n)".right(6), loss.fixed(1).right(8), "\(burst)".right(7), "\(link)".right(8),
            "\(imageMiB)".right(8), seconds.fixed(2).right(9), (timeRatio.map { $0.fixed(3) } ?? "-").right(7),
            (extraAirtime * 100).fixed(2).right(11), (theory * 100).fixed(2).right(10),
            "\(reportsPerSecond)".right(11), meanReportsPerSecond.fixed(0).right(6),
            "  " + limit + String(repeating: " ", count: max(0, 12 - limit.count)),
            wallSeconds.fixed(1).right(8),
        ].joined()
    }
}

extension [Result] {
    /// The same results with every ratio that can be had, in the order of the matrix.
    func compared() -> [Result] {
        let sorted = sorted { a, b in
            (a.link, a.burst, a.loss, a.n) < (b.link, b.burst, b.loss, b.n)
        }
        return sorted.map { result in
            var result = result
            let one = sorted.first { $0.n == 1 && result.isComparable(to: $0) }
            result.timeRatio = one.map { result.seconds / $0.seconds }
            return result
        }
    }

    static func read(_ path: String) throws -> [Result] {
        try JSONDecoder().decode([Result].self, from: Data(contentsOf: URL(filePath: path)))
    }

    func write(_ path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try encoder.encode(self).write(to: URL(filePath: path))
    }
}

extension String {
    /// The text at the right end of `width` columns.
    func right(_ width: Int) -> String { String(repeating: " ", count: Swift.max(0, width - count)) + self }
}
