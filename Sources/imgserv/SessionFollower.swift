// Shows a session of a daemon until it has ended: imgserv mcast --follow.
internal import Blocks
internal import Linux
internal import Server

/// Asks the daemon again and again and prints what is new.
struct SessionFollower {
    /// Nanoseconds between two questions, and between two lines where there is no terminal.
    private static let interval: UInt64 = 1_000_000_000
    private static let lineInterval: UInt64 = 10_000_000_000

    let client: ServerClient
    let isQuiet: Bool

    /// Returns the session as it was when it had ended.
    ///
    /// - Throws: `ServerError` where the daemon has gone, or forgotten the session.
    func follow(_ first: SessionView) throws -> SessionView {
        var session = first
        var last = ""
        var nextLine: UInt64 = 0
        while session.state != .ended {
            let line = StatusText.headline(session)
            if !isQuiet {
                if Console.isTerminal {
                    Console.write("\r\u{1b}[K" + line.prefix(Console.columns - 1))
                } else if MonotonicClock.now() >= nextLine || session.state.rawValue != last {
                    Console.print(line)
                    nextLine = MonotonicClock.now() + Self.lineInterval
                }
            }
            last = session.state.rawValue
            MonotonicClock.sleep(nanoseconds: Self.interval)
            let now: SessionView = try client.get("sessions/\(session.name.asQueryValue)")
            guard now.id == first.id else {
                throw ServerError("session \(session.name.onScreen) has given way to another of its name")
            }
            session = now
        }
        if !isQuiet, Console.isTerminal { Console.write("\r\u{1b}[K") }
        return session
    }
}
