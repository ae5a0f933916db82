// Ends a mapping from another thread: Ctrl-C while a file system is being asked.
internal import Linux
internal import Synchronization

/// A mapping was ended on purpose.
package struct MapInterrupted: Error, CustomStringConvertible {
    package let description: String
}

/// The means to end the mappings of a capture, those under way and those to come.
package final class MapInterruption: Sendable {
    private struct State: Sendable {
        var reason: String?
        var service: ChildProcess?
    }

    private let state = Mutex(State())

    package init() {}

    /// Ends the mapping that runs now, if any, and every later one with `reason`; the first reason counts.
    package func interrupt(_ reason: String) {
        state.withLock { state in
            guard state.reason == nil else { return }
            state.reason = reason
            state.service?.kill()
        }
    }

    /// Throws once `interrupt` has been called.
    package func check() throws(MapInterrupted) {
        if let reason = state.withLock({ $0.reason }) { throw MapInterrupted(description: reason) }
    }

    /// Tells that `service` works from now on; it is killed at once after an interruption.
    func began(_ service: ChildProcess) {
        state.withLock { state in
            state.service = service
            if state.reason != nil { service.kill() }
        }
    }

    /// Tells that nothing is to be killed any more; called before the service is waited for.
    func ended() { state.withLock { $0.service = nil } }
}
