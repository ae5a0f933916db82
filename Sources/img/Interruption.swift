// Ctrl-C: the running job is told to end, so that it can say so and clean up.
internal import Linux

/// Passes the first SIGINT, SIGTERM or SIGHUP on to a job; a second one of a kind kills.
enum Interruption {
    /// From now on calls `cancel` with a sentence when a signal comes.
    static func cancelling(_ cancel: @escaping @Sendable (String) -> Void) throws {
        let wakeup = try Wakeup()
        try TerminationSignals.catchThem(waking: wakeup)
        let poller = try Poller()
        try poller.add(wakeup.number, token: 0, .readable)
        _ = Thread("signals") {
            var events: [Poller.Event] = []
            while events.isEmpty { try poller.wait(until: nil, into: &events) }
            cancel("interrupted by \(TerminationSignals.received ?? "a signal")")
        }
    }
}
