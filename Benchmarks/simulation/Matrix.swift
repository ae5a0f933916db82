// Which sessions are simulated, and how large their images are.
import Blocks
import SessionSimulation

/// The words of the command line.
struct Options {
    /// Every value that is to be simulated; nil: those of the matrix.
    var participants: [Int]?
    /// Percent.
    var losses: [Double]?
    var bursts: [Int]?
    var link: Int?
    var MiB: Int?
    var seed: UInt64 = 1
    /// The whole matrix's outcome is what `check` and the documentation go by: a part of it does not replace it.
    var output = Options.wholeOutput
    static let wholeOutput = ".build/simulation.json"
    private static let partOutput = ".build/simulation-part.json"

    /// Reads `name=value` words.
    init(_ words: some Sequence<String>) throws {
        var named: String?
        var isPart = false
        for word in words {
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { throw RoomError(description: "no such word: \(word)") }
            let values = parts[1].split(separator: ",").map(String.init)
            func all<T>(_ make: (String) -> T?) throws -> [T] {
                let made = values.compactMap(make)
                guard made.count == values.count, !made.isEmpty else {
                    throw RoomError(description: "not a value for \(parts[0]): \(parts[1])")
                }
                return made
            }
            isPart = isPart || parts[0] != "out"
            switch parts[0] {
            case "n": participants = try all { Int($0).flatMap { $0 > 0 ? $0 : nil } }
            case "loss": losses = try all { Double($0).flatMap { (0..<100).contains($0) ? $0 : nil } }
            case "burst": bursts = try all { Int($0).flatMap { $0 > 0 ? $0 : nil } }
            case "link": link = try all { Int($0).flatMap { $0 > 0 ? $0 : nil } }[0]
            case "mib": MiB = try all { Int($0).flatMap { $0 > 0 ? $0 : nil } }[0]
            case "seed": seed = try all { UInt64($0) }[0]
            case "out": named = parts[1]
            default: throw RoomError(description: "no such word: \(word)")
            }
        }
        output = named ?? (isPart ? Options.partOutput : Options.wholeOutput)
    }
}

/// The sessions to simulate, the longest first.
enum Matrix {
    /// One loss at 1 Gbit/s, and the MiB of image all numbers of participants get there.
    ///
    /// A thousand participants report once a second, so what was lost of the last chunk is repaired a second or two
    /// after it: the image must be long against that where there is loss.
    private static let rows: [(loss: Double, burst: Int, MiB: Int)] = [
        (0, 1, 1024), (0.1, 1, 4096), (1, 1, 4096), (5, 1, 4096),
        (0.1, 20, 2048), (1, 20, 2048), (5, 20, 2048),
    ]
    private static let participants = [1, 30, 100, 1000]
    /// The series at 10 Gbit/s, where disks of 400 MB/s are slower than the wire.
    private static let fast: [(participants: Int, loss: Double)] = [(1, 0), (1, 0.1), (100, 0), (100, 0.1)]
    private static let fastLink = 10_000
    private static let fastMiB = 4096

    static func plans(_ options: Options) -> [RoomPlan] {
        var plans: [RoomPlan] = []
        func add(_ participants: Int, _ loss: Double, _ burst: Int, _ MiB: Int, link: Int) {
            var plan = RoomPlan()
            plan.participants = participants
            plan.loss = loss / 100
            plan.burst = burst
            plan.imageBytes = (options.MiB ?? MiB) << 20
            plan.seed = options.seed
            plan.linkRate = UInt64(link) * 1_000_000 / 8
            plans.append(plan)
        }
        let isFree = options.participants == nil && options.losses == nil && options.bursts == nil
        if options.link ?? 1000 != fastLink || !isFree {
            for loss in options.losses ?? [0, 0.1, 1, 5] {
                for burst in options.bursts ?? [1, 20] where loss > 0 || burst == 1 {
                    let row = rows.first { $0.loss == loss && $0.burst == burst }
                    for count in options.participants ?? participants {
                        add(count, loss, burst, row?.MiB ?? 1024, link: options.link ?? 1000)
                    }
                }
            }
        }
        if isFree, options.link ?? fastLink == fastLink {
            for (count, loss) in fast { add(count, loss, 1, fastMiB, link: fastLink) }
        }
        return plans.sorted { cost($0) > cost($1) }
    }

    private static func cost(_ plan: RoomPlan) -> Int { (plan.participants + 20) * (plan.imageBytes >> 20) }
}
