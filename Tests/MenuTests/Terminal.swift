// A terminal without anybody in front of it: tmux draws what a program writes, and types for us.
import Linux
import Testing
import TestSupport

/// A terminal of 80 × 25 in which a shell runs a program; gone with everything in it when `end` is called.
///
/// The program runs in `directory`, so that what it shows has no path that differs from run to run.
final class Terminal {
    private static let patience: UInt64 = 60_000_000_000
    private let directory: String
    /// The terminal's own server, reached by a socket that goes with the directory.
    private let socket: String

    /// Starts `command` (words for the shell) with `term` as the kind of terminal.
    init(_ command: String, in directory: String, term: String = "linux", columns: Int = 80, rows: Int = 25)
        throws
    {
        self.directory = directory
        let number = Random.bytes(6).map { String($0, radix: 16) }.joined()
        socket = "\(directory)/.server-\(number)"
        let configuration = "\(directory)/.tmux-\(number)"
        try run("sh", "-c", "printf 'set -g status off\\nset -g remain-on-exit on\\n' > '\(configuration)'")
        try run([
            "tmux", "-S", socket, "-f", configuration, "new-session", "-d", "-x", "\(columns)", "-y",
            "\(rows)",
            "-c", directory,
            "export TERM=\(term) SWIFT_BACKTRACE=enable=no; stty -g > .before; \(command); "
                + "echo \"status $?\"; stty -g > .after; exec sleep 1000",
        ])
    }

    /// Ends the program and the terminal.
    func end() { _ = try? runAnyway(["tmux", "-S", socket, "kill-server"]) }

    /// What is on the screen now, blanks at the ends of lines left out.
    func screen() throws -> String { try run("tmux", "-S", socket, "capture-pane", "-p") }

    /// Presses keys by their tmux names: "Down", "Enter", "Escape", "C-c".
    func press(_ keys: String...) throws { try run(["tmux", "-S", socket, "send-keys"] + keys) }

    /// Types text as it is.
    func type(_ text: String) throws { try run("tmux", "-S", socket, "send-keys", "-l", text) }

    /// Gives the terminal another size.
    func resize(columns: Int, rows: Int) throws {
        try run("tmux", "-S", socket, "resize-window", "-x", "\(columns)", "-y", "\(rows)")
    }

    /// Waits until the screen holds all of `texts` and gives it; fails with the screen after a minute.
    @discardableResult
    func expect(_ texts: String..., location: SourceLocation = #_sourceLocation) throws -> String {
        let deadline = MonotonicClock.now() + Terminal.patience
        var now = ""
        while MonotonicClock.now() < deadline {
            now = try screen()
            if texts.allSatisfy({ now.contains($0) }) { return try settled(now, texts) }
            MonotonicClock.sleep(nanoseconds: 50_000_000)
        }
        Issue.record("the screen does not show \(texts):\n\(now)", sourceLocation: location)
        throw NotShown(description: "the screen does not show \(texts)")
    }

    /// The screen once it is drawn to its end: the same twice; one that changes by itself is taken after two seconds.
    private func settled(_ screen: String, _ texts: [String]) throws -> String {
        var last = screen
        let deadline = MonotonicClock.now() + 2_000_000_000
        while MonotonicClock.now() < deadline {
            MonotonicClock.sleep(nanoseconds: 50_000_000)
            let now = try self.screen()
            if now == last { break }
            if texts.allSatisfy({ now.contains($0) }) { last = now }
        }
        return last
    }

    /// The process of `img` in this terminal.
    func process() throws -> Int32 {
        let shell = try run("tmux", "-S", socket, "display-message", "-p", "#{pane_pid}")
        let children = try run("ps", "-o", "pid=,comm=", "--ppid", String(shell.prefix { $0 != "\n" }))
        let line = children.split(separator: "\n").first { $0.contains("img") } ?? ""
        return try #require(
            Int32(line.split(separator: " ").first ?? ""), "no img under the shell: \(children)")
    }

    /// Waits for the program's end, expects this exit status, and that the terminal is set as it was before.
    func expectEnd(status: Int, location: SourceLocation = #_sourceLocation) throws {
        try expect("status \(status)", location: location)
        let deadline = MonotonicClock.now() + Terminal.patience
        var after = ""
        while MonotonicClock.now() < deadline {
            after = (try? run("cat", "\(directory)/.after")) ?? ""
            if !after.isEmpty { break }
            MonotonicClock.sleep(nanoseconds: 50_000_000)
        }
        #expect(after == (try run("cat", "\(directory)/.before")), sourceLocation: location)
        let cursor = try run("tmux", "-S", socket, "display-message", "-p", "#{cursor_flag} #{alternate_on}")
        #expect(cursor == "1 0\n", "the cursor is hidden, or another screen shown", sourceLocation: location)
    }
}

/// A screen that did not become what a test waited for.
private struct NotShown: Error, CustomStringConvertible {
    let description: String
}

/// Calls `body` with a terminal that runs `img` in a directory of its own.
func withMenu(
    _ directory: String, term: String = "linux", columns: Int = 80, rows: Int = 25, prefix: String = "",
    _ body: (Terminal) throws -> Void
) throws {
    let terminal = try Terminal(
        "\(prefix)\(builtProgram("img"))", in: directory, term: term, columns: columns, rows: rows)
    defer { terminal.end() }
    try terminal.expect("Main menu")
    try body(terminal)
}

private let goldens = GoldenFolder("Golden", beside: #filePath)

/// Expects the screen to be the one in the golden file; `masks` are what varies and what stands for it.
///
/// With `IMG_WRITE_GOLDENS=1` in the environment the file is written instead.
func expectGolden(
    _ name: String, _ screen: String, masks: [(String, String)] = [],
    location: SourceLocation = #_sourceLocation
) throws {
    var text = screen.split(separator: "\n", omittingEmptySubsequences: false).map { line in
        String(line.reversed().drop { $0 == " " }.reversed())
    }.joined(separator: "\n")
    for (varying, mask) in masks { text = text.replacingAll(varying, by: mask) }
    if GoldenFolder.isWriting { return try goldens.write("\(name).txt", Array(text.utf8)) }
    let expected = String(decoding: try goldens.read("\(name).txt"), as: UTF8.self)
    #expect(text == expected, "\(name):\n\(text)", sourceLocation: location)
}

extension String {
    /// Every `part` replaced by `other` of the same number of characters, so that no column moves.
    fileprivate func replacingAll(_ part: String, by other: String) -> String {
        precondition(part.count == other.count, "a mask must be as long as what it hides")
        return split(separator: part, omittingEmptySubsequences: false).joined(separator: other)
    }
}

/// Waits until the screen, with what varies taken out by `normalise`, is the one in the golden file.
///
/// For screens that change by themselves; writing goldens takes the screen that was there when it had not changed
/// its words for a second.
func expectGoldenSoon(
    _ name: String, _ terminal: Terminal, location: SourceLocation = #_sourceLocation,
    _ normalise: (String) -> String
) throws {
    let deadline = MonotonicClock.now() + 60_000_000_000
    let expected = (try? goldens.read("\(name).txt")).map { String(decoding: $0, as: UTF8.self) }
    var last = ""
    var since = MonotonicClock.now()
    while MonotonicClock.now() < deadline {
        let now = normalise(try terminal.screen())
        if !GoldenFolder.isWriting, now == expected { return }
        if now != last { since = MonotonicClock.now() }
        last = now
        if GoldenFolder.isWriting, MonotonicClock.now() - since > 1_000_000_000 {
            return try goldens.write("\(name).txt", Array(now.utf8))
        }
        MonotonicClock.sleep(nanoseconds: 50_000_000)
    }
    Issue.record("\(name) never came; last:\n\(last)", sourceLocation: location)
}
