// `simulate`: sessions of up to a thousand participants on a virtual clock, as a table and as JSON.
//
//     simulate [n=1,30] [loss=0.1,1] [burst=1,20] [link=1000] [mib=4096] [seed=1] [out=FILE]
//     simulate check [FILE]
import Blocks
import FoundationEssentials
import Linux
import SessionSimulation
import Synchronization

/// Plans that are still to be simulated, and what came out of the others.
final class Work: Sendable {
    private let plans: Mutex<[RoomPlan]>
    private let results = Mutex<[Result]>([])
    private let output: String

    /// Everything that has come out so far is in the file `output`.
    init(_ plans: [RoomPlan], output: String) {
        self.plans = Mutex(plans)
        self.output = output
    }

    /// Simulates one plan after the other, as long as there are any.
    func run() throws {
        while let plan = plans.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) {
            let start = MonotonicClock.now()
            let room = try Room(plan)
            try room.run()
            let wall = Double(MonotonicClock.now() - start) / 1e9
            let result = Result(plan, room.figures, wallSeconds: wall)
            Console.print(result.line)
            try results.withLock { (results) throws in
                results.append(result)
                try results.compared().write(output)
            }
        }
    }

    var all: [Result] { results.withLock { $0 } }
}

func simulate(_ options: Options) throws {
    let work = Work(Matrix.plans(options), output: options.output)
    let start = MonotonicClock.now()
    Console.print(Result.heading)
    let threads = (0..<processorCount()).map { index in
        Thread("simulate-\(index)") { try work.run() }
    }
    for thread in threads { try thread.join() }
    let results = work.all.compared()
    Console.print("\nin order, with ratios to one participant (\(options.output)):\n\(Result.heading)")
    for result in results { Console.print(result.line) }
    Console.print("\(Int((MonotonicClock.now() - start) / 1_000_000_000)) s in all")
}

func check(_ path: String) throws -> Bool {
    let (lines, isMet) = Targets.check(try [Result].read(path))
    for line in lines { Console.print(line) }
    return isMet
}

do {
    let words = Array(CommandLine.arguments.dropFirst())
    if words.first == "check" {
        if !(try check(words.count > 1 ? words[1] : Options.wholeOutput)) { ThisProcess.exit(1) }
    } else {
        try simulate(try Options(words))
    }
} catch {
    Console.error("simulate: \(error)")
    ThisProcess.exit(1)
}
