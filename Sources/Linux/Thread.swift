// Named threads that end with a result.
internal import CLinux
internal import Glibc
internal import Synchronization

/// A running thread; the owner joins it and gets what its body returned or threw, or lets go of it: it then cleans up
/// after itself.
package final class Thread<Value: Sendable>: Sendable {
    private let handle: pthread_t
    private let outcome: Outcome<Value>

    /// Starts `body` on a new thread called `name` (at most 15 bytes are shown by the kernel).
    package init(_ name: String, _ body: @escaping @Sendable () throws -> Value) {
        let outcome = Outcome<Value>()
        self.outcome = outcome
        handle = startThread {
            // Named from inside: from outside it might have run for a while without its name.
            let name = String(decoding: name.utf8.prefix(15), as: UTF8.self)
            _ = unsafe clinux_set_thread_name(pthread_self(), name)
            let result = Result { try body() }
            outcome.result.withLock { $0 = result }
        }
    }

    deinit { if !outcome.isJoined.load(ordering: .relaxed) { pthread_detach(handle) } }

    /// Waits for the thread's end and gives what its body gave; it may be called once.
    package func join() throws -> Value {
        precondition(!outcome.isJoined.exchange(true, ordering: .relaxed), "a thread is joined twice")
        pthread_join(handle, nil)
        guard let result = outcome.result.withLock({ $0 }) else {
            preconditionFailure("a thread ended without a result")
        }
        return try result.get()
    }
}

private final class Outcome<Value: Sendable>: Sendable {
    let result = Mutex<Result<Value, any Error>?>(nil)
    let isJoined = Atomic(false)
}

private final class Start {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

private func startThread(_ body: @escaping @Sendable () -> Void) -> pthread_t {
    var handle = pthread_t()
    let start = unsafe Unmanaged.passRetained(Start(body)).toOpaque()
    let error = unsafe pthread_create(
        &handle, nil,
        { argument in
            guard let argument = unsafe argument else { return nil }
            unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body()
            return nil
        }, start)
    precondition(error == 0, "cannot start a thread: error \(error)")
    return handle
}
