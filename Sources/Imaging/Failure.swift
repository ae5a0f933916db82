// The first error of a group of threads, and the error meant for the person at the machine.
internal import Linux
internal import Synchronization

/// A refusal or failure in one sentence, ready to be shown.
package struct ImagingError: Error, Equatable, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// The place where the threads of a pipeline leave their first error; later ones are consequences.
final class FirstFailure: Sendable {
    private struct State: Sendable {
        var error: (any Error)?
        var actions: [@Sendable () -> Void] = []
    }

    private let state = Mutex(State())

    /// Adds something to do once, on the failing thread, when an error comes: waking the others.
    func whenFailed(_ action: @escaping @Sendable () -> Void) {
        let hasFailed = state.withLock { state in
            if state.error == nil { state.actions.append(action) }
            return state.error != nil
        }
        if hasFailed { action() }
    }

    func record(_ error: any Error) {
        let actions = state.withLock { (state: inout State) -> [@Sendable () -> Void] in
            guard state.error == nil else { return [] }
            state.error = error
            defer { state.actions = [] }
            return state.actions
        }
        for action in actions { action() }
    }

    var error: (any Error)? { state.withLock { $0.error } }

    var hasFailed: Bool { error != nil }

    func rethrow() throws { if let error { throw error } }

    /// Runs `body` and keeps what it throws.
    func guarding(_ body: () throws -> Void) {
        do { try body() } catch { record(error) }
    }
}
