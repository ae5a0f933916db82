// The live line: figures of a running job, in place on a terminal, a line every few seconds elsewhere.
internal import Blocks
internal import Imaging
internal import Linux
internal import Synchronization

/// Shows a job's progress until it is stopped.
final class ConsoleProgress: Sendable {
    private static let terminalInterval: UInt64 = 200_000_000
    private static let plainInterval: UInt64 = 5_000_000_000

    private let progress: Progress
    private let condition = Condition()
    private let isStopped = Atomic<Bool>(false)
    private let isLineOpen = Mutex(false)
    private let isLive = Console.isTerminal

    init(_ progress: Progress) { self.progress = progress }

    /// Shows the progress of `body` while it runs.
    func during<R>(_ body: () throws -> R) throws -> R {
        let thread = Thread("progress") { [self] in show() }
        defer {
            condition.locked {
                isStopped.store(true, ordering: .relaxed)
                condition.signalAll()
            }
            try? thread.join()
        }
        return try body()
    }

    /// Prints a line of its own, above the live line.
    func note(_ line: String) {
        isLineOpen.withLock { isOpen in
            if isOpen { Console.write("\r\u{1B}[K") }
            isOpen = false
            Console.print(line)
        }
    }

    private func show() {
        var last = ""
        while true {
            let interval = isLive ? ConsoleProgress.terminalInterval : ConsoleProgress.plainInterval
            let deadline = MonotonicClock.now() + interval
            let stopped = condition.locked {
                while !isStopped.load(ordering: .relaxed), MonotonicClock.now() < deadline {
                    condition.wait(until: deadline)
                }
                return isStopped.load(ordering: .relaxed)
            }
            let line = ConsoleProgress.line(progress.snapshot)
            if isLive {
                isLineOpen.withLock { isOpen in
                    if !line.isEmpty {
                        Console.write("\r\u{1B}[K" + String(line.prefix(Console.columns - 1)))
                    }
                    if stopped, !line.isEmpty { Console.print("") }
                    isOpen = !stopped && !line.isEmpty
                }
            } else if !line.isEmpty, line != last, !stopped {
                Console.print(line)
                last = line
            }
            if stopped { return }
        }
    }

    /// One line of figures; empty while there is nothing to tell.
    static func line(_ now: Progress.Snapshot) -> String {
        guard !now.phase.isEmpty, now.totalBytes > 0 else { return "" }
        let percent = (Double(now.diskBytes) * 100 / Double(now.totalBytes)).fixed(0)
        var parts = [
            "\(now.phase) \(percent) %", "\(now.diskBytes.asBytes) of \(now.totalBytes.asBytes)",
            "disk \((now.diskRate / 1e6).withThreeDigits) MB/s",
        ]
        if now.frameBytes > 0 {
            parts.append("compressed \((now.frameRate / 1e6).withThreeDigits) MB/s")
            parts.append("ratio \((Double(now.diskBytes) / Double(now.frameBytes)).withThreeDigits)")
        }
        if let left = now.secondsLeft { parts.append("ETA \(left.asDuration)") }
        return parts.joined(separator: ", ")
    }
}

extension UInt64 {
    /// Seconds as "42 s", "3:05" or "1:02:03".
    var asDuration: String {
        func two(_ value: UInt64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        if self < 60 { return "\(self) s" }
        if self < 3600 { return "\(self / 60):\(two(self % 60))" }
        return "\(self / 3600):\(two(self / 60 % 60)):\(two(self % 60))"
    }
}
