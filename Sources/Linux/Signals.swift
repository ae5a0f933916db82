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
