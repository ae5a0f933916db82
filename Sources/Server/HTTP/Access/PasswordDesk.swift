// Where passwords are checked: slow work, at most two at once, and a queue that ends.
internal import Linux
internal import Synchronization

/// Does the slow work of password hashes on threads of its own.
final class PasswordDesk: Sendable {
    /// Hashes at once: each takes 64 MiB and a processor.
    private static let atOnce = 2
    /// Those who may wait; whoever comes then is told to come again.
    private static let queue = 20

    private struct State: Sendable {
        var running = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    /// Does `body` when it is its turn.
    ///
    /// - Throws: `ServerError` of kind `.busy` where too many are waiting.
    func work<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        let mayCome = state.withLock { $0.waiting.count < Self.queue }
        guard mayCome else { throw ServerError("too many are logging in at this moment", .busy) }
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                if state.running < Self.atOnce {
                    state.running += 1
                    return true
                }
                state.waiting.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
        defer {
            let next = state.withLock { state in
                if state.waiting.isEmpty {
                    state.running -= 1
                    return nil as CheckedContinuation<Void, Never>?
                }
                return state.waiting.removeFirst()
            }
            next?.resume()
        }
        return try await withCheckedThrowingContinuation { continuation in
            _ = Thread("password") { continuation.resume(with: Result { try body() }) }
        }
    }
}
