// SIGINT, SIGTERM and SIGHUP as a flag and an event, so that a program can end cleanly.
internal import CLinux
internal import Glibc

/// The signals that ask a program to end.
package enum TerminationSignals {
    /// From now on the first SIGINT, SIGTERM or SIGHUP sets the flag and signals `wakeup`; the second of a kind kills.
    ///
    /// One wake-up flag per process: a later call replaces it. It must live as long as the process.
    package static func catchThem(waking wakeup: Wakeup) throws(SystemError) {
        let number = wakeup.number
        _ = unsafe Unmanaged.passRetained(wakeup)
        _ = try systemCall("catch termination signals") { clinux_catch_termination(number) }
    }

    /// From now on the first SIGINT, SIGTERM or SIGHUP calls `body` with its name, on a thread of its own.
    ///
    /// The second of a kind ends the process, so that a clean end that hangs can still be cut short.
    package static func watch(_ body: @escaping @Sendable (String) -> Void) throws(SystemError) {
        let wakeup = try Wakeup()
        let poller = try Poller()
        try poller.add(wakeup.number, token: 0, .readable)
        try catchThem(waking: wakeup)
        _ = Thread("signals") {
            var ready: [Poller.Event] = []
            while true {
                try poller.wait(until: nil, into: &ready)
                wakeup.clear()
                if let name = received { body(name) }
            }
        }
    }

    /// Writing to a pipe that nobody reads becomes an error instead of the end of the process.
    package static func ignoreBrokenPipes() { _ = signal(SIGPIPE, SIG_IGN) }

    /// The name of the last such signal that came, or nil.
    package static var received: String? {
        switch clinux_termination_signal() {
        case SIGINT: "SIGINT"
        case SIGTERM: "SIGTERM"
        case SIGHUP: "SIGHUP"
        default: nil
        }
    }
}
