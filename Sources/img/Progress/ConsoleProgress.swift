// The face for people: a live line on a terminal, a line every few seconds elsewhere.
internal import Imaging
internal import Linux
internal import Synchronization

/// Shows a job on standard output; called by one thread at a time.
final class ConsoleProgress: ProgressFace {
    private static let terminalInterval: UInt64 = 200_000_000
    private static let plainInterval: UInt64 = 5_000_000_000

    private struct Screen: Sendable {
        /// What is on the terminal now, to be drawn again in place.
        var lines: [String] = []
        /// The last line of a log, and when it was due.
        var logged = ""
        var loggedAt = MonotonicClock.now()
    }

    private let isLive = Console.isTerminal
    /// What somebody at the keyboard can do now; empty for nothing.
    private let hint: @Sendable () -> String
    private let screen = Mutex(Screen())

    init(hint: @escaping @Sendable () -> String) { self.hint = hint }

    var interval: UInt64 { isLive ? ConsoleProgress.terminalInterval : ConsoleProgress.plainInterval }

    func take(_ event: ProgressEvent) {
        screen.withLock { screen in
            switch event {
            case .report(let report): isLive ? draw(report, &screen) : log(report, &screen)
            case .notice(let text), .error(let text), .finished(let text): tell(text, &screen)
            case .warning(let text): tell("WARNING: \(text)", &screen)
            // The program says so itself, on standard error.
            case .failed: break
            }
        }
    }

    /// Prints a sentence above the live lines.
    private func tell(_ text: String, _ screen: inout Screen) {
        guard !text.isEmpty else { return }
        let lines = screen.lines
        erase(&screen)
        Console.print(text)
        draw(lines, &screen)
    }

    private func draw(_ report: ProgressReport, _ screen: inout Screen) {
        switch report.state {
        // The summary says it all.
        case .done: erase(&screen)
        // How far it came stays on the screen.
        case .failed: screen.lines = []
        default:
            let lines = LiveLine.block(
                report, width: Console.columns - 1, rows: Console.rows - 1, hint: hint())
            erase(&screen)
            draw(lines, &screen)
        }
    }

    private func draw(_ lines: [String], _ screen: inout Screen) {
        Console.write(lines.map { "\($0)\n" }.joined())
        screen.lines = lines
    }

    private func erase(_ screen: inout Screen) {
        guard !screen.lines.isEmpty else { return }
        Console.write("\u{1B}[\(screen.lines.count)A\r\u{1B}[J")
        screen.lines = []
    }

    private func log(_ report: ProgressReport, _ screen: inout Screen) {
        let now = MonotonicClock.now()
        guard !report.state.isEnd, now - screen.loggedAt >= ConsoleProgress.plainInterval else { return }
        screen.loggedAt = now
        let line = LiveLine.log(report)
        guard !line.isEmpty, line != screen.logged else { return }
        Console.print(line)
        screen.logged = line
    }
}
