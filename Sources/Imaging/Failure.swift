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
    private let stored = Mutex<(any Error)?>(nil)
    private let onFailure: @Sendable () -> Void

    /// `onFailure` is called once, on the failing thread, to wake the others.
    init(onFailure: @escaping @Sendable () -> Void) { self.onFailure = onFailure }

    func record(_ error: any Error) {
        let first = stored.withLock { (slot: inout (any Error)?) -> Bool in
            guard slot == nil else { return false }
            slot = error
            return true
        }
        if first { onFailure() }
    }

    var error: (any Error)? { stored.withLock { $0 } }

    var hasFailed: Bool { error != nil }

    func rethrow() throws { if let error { throw error } }

    /// Runs `body` and keeps what it throws.
    func guarding(_ body: () throws -> Void) {
        do { try body() } catch { record(error) }
    }
}
