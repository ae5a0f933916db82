// Single keys from the terminal, for commands that wait for a person: cbreak mode without echo.
internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// The keys pressed at standard input's terminal, one by one and not shown.
///
/// Ctrl-C and Ctrl-Z stay signals. The terminal is as it was before after `end`, at the program's end by whatever way
/// but SIGKILL, and while the program is stopped. One keyboard at a time.
package final class Keyboard: Sendable {
    private let wakeup: Wakeup
    private let reader: Mutex<Thread<Void>?>

    /// Whether standard input is a terminal, at which somebody may be.
    package static var isThere: Bool { isatty(0) == 1 }

    /// Calls `pressed` on a thread of its own with each character typed; nil where standard input is no terminal.
    ///
    /// A key that sends several bytes, such as an arrow, is passed over.
    package init?(pressed: @escaping @Sendable (Character) -> Void) throws(SystemError) {
        let input: Int32 = 0
        guard Keyboard.isThere else { return nil }
        let wakeup = try Wakeup()
        let poller = try Poller()
        try poller.add(wakeup.number, token: Token.end, .readable)
        try poller.add(input, token: Token.key, .readable)
        _ = try systemCall("use the terminal's keys") { clinux_keyboard_begin(input) }
        self.wakeup = wakeup
        reader = Mutex(
            Thread("keyboard") {
                var ready: [Poller.Event] = []
                while true {
                    let look = MonotonicClock.now() + Keyboard.foregroundInterval
                    try poller.wait(until: look, into: &ready)
                    if ready.contains(where: { $0.token == Token.end }) { return }
                    clinux_keyboard_resume()
                    guard !ready.isEmpty else { continue }
                    // What is typed while the program is in the background is the shell's.
                    guard clinux_keyboard_is_ours() != 0 else {
                        MonotonicClock.sleep(nanoseconds: Keyboard.backgroundInterval)
                        continue
                    }
                    guard let keys = Keyboard.read(input) else { return }
                    for key in keys { pressed(key) }
                }
            })
    }

    /// Puts the terminal back as it was; nothing is `pressed` afterwards.
    package func end() {
        guard let reader = reader.withLock({ $0.take() }) else { return }
        wakeup.signal()
        try? reader.join()
        clinux_keyboard_end()
    }

    deinit { end() }

    private enum Token {
        static let end: UInt64 = 0
        static let key: UInt64 = 1
    }

    /// How often it is looked whether the program has come back to the foreground, in nanoseconds.
    private static let foregroundInterval: UInt64 = 1_000_000_000
    /// How often a program in the background looks whether it is back, while there is input, in nanoseconds.
    private static let backgroundInterval: UInt64 = 100_000_000

    /// What was typed, without keys of several bytes; nil at the terminal's end.
    private static func read(_ input: Int32) -> [Character]? {
        var bytes = [UInt8](repeating: 0, count: 64)
        let (count, error) = unsafe bytes.withUnsafeMutableBytes { buffer in
            withErrno { unsafe Glibc.read(input, buffer.baseAddress, buffer.count) }
        }
        guard count > 0 else { return count < 0 && error == .interrupted ? [] : nil }
        return Keyboard.keys(bytes.prefix(count))
    }

    /// The characters among `bytes`, which came at once: from an escape on they belong to one key.
    package static func keys(_ bytes: some Sequence<UInt8>) -> [Character] {
        bytes.prefix { $0 != 0x1b }.filter { $0 < 0x80 }.map { Character(UnicodeScalar($0)) }
    }
}
