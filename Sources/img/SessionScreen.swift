// The screen of a session: a block of lines in place on a terminal, a line every few seconds elsewhere.
internal import Imaging
internal import Linux
internal import Synchronization

/// Shows where a session stands until it is stopped, and the notes above it.
final class SessionScreen: Sendable {
    private static let terminalInterval: UInt64 = 250_000_000
    private static let plainInterval: UInt64 = 5_000_000_000

    private let condition = Condition()
    private let isStopped = Atomic<Bool>(false)
    /// Lines of the block that is on the screen now.
    private let drawn = Mutex(0)
    private let isLive = Console.isTerminal

    /// Shows what `lines` gives while `body` runs: the block for a terminal (`isLive`), else the line; nothing if empty.
    func during<R>(
        _ lines: @escaping @Sendable (_ isLive: Bool) -> [String], _ body: () throws -> R
    ) throws -> R {
        let thread = Thread("screen") { [self] in show(lines) }
        defer {
            condition.locked {
                isStopped.store(true, ordering: .relaxed)
                condition.signalAll()
            }
            try? thread.join()
        }
        return try body()
    }

    /// Prints a line of its own, above the block.
    func note(_ line: String) {
        drawn.withLock { count in
            erase(&count)
            Console.print(line)
        }
    }

    private func show(_ lines: @Sendable (_ isLive: Bool) -> [String]) {
        var last: [String] = []
        while true {
            let interval = isLive ? SessionScreen.terminalInterval : SessionScreen.plainInterval
            let deadline = MonotonicClock.now() + interval
            let stopped = condition.locked {
                while !isStopped.load(ordering: .relaxed), MonotonicClock.now() < deadline {
                    condition.wait(until: deadline)
                }
                return isStopped.load(ordering: .relaxed)
            }
            let block = stopped ? [] : lines(isLive)
            drawn.withLock { count in
                if isLive {
                    erase(&count)
                    let width = max(Console.columns - 1, 1)
                    Console.write(block.map { $0.prefix(width) + "\n" }.joined())
                    count = block.count
                } else if block != last {
                    block.forEach { Console.print($0) }
                }
            }
            last = block
            if stopped { return }
        }
    }

    private func erase(_ count: inout Int) {
        guard count > 0 else { return }
        Console.write("\u{1B}[\(count)A\r\u{1B}[J")
        count = 0
    }
}
