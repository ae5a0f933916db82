// The queue between two threads of the data path.
internal import Glibc

/// A first-in first-out queue with a fixed capacity, for threads (never for tasks: it blocks).
package final class BoundedQueue<Element: Sendable>: @unchecked Sendable {
    private let condition = Condition()
    private let capacity: Int
    private var elements: [Element?]
    private var head = 0
    private var count = 0
    private var closed = false

    package init(capacity: Int) {
        precondition(capacity > 0)
        self.capacity = capacity
        elements = Array(repeating: nil, count: capacity)
    }

    /// Appends `element`, waiting while the queue is full; false when the queue is closed.
    package func put(_ element: Element) -> Bool {
        condition.locked {
            while count == capacity, !closed { condition.wait() }
            guard !closed else { return false }
            elements[(head + count) % capacity] = element
            count += 1
            condition.signalAll()
            return true
        }
    }

    /// Removes the first element, waiting while there is none; nil when the queue is closed and empty.
    package func take() -> Element? {
        condition.locked {
            while count == 0, !closed { condition.wait() }
            return removeFirst()
        }
    }

    /// Removes the first element if there is one now.
    package func takeIfAvailable() -> Element? { condition.locked { removeFirst() } }

    /// No more elements are accepted; those inside may still be taken.
    package func close() {
        condition.locked {
            closed = true
            condition.signalAll()
        }
    }

    private func removeFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = elements[head]
        elements[head] = nil
        head = (head + 1) % capacity
        count -= 1
        condition.signalAll()
        return element
    }
}

/// A mutex with a condition variable (C functions `pthread_mutex_*` and `pthread_cond_*`).
@safe package final class Condition: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    package init() {
        unsafe pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(condition, &attributes)
        unsafe pthread_condattr_destroy(&attributes)
    }

    deinit {
        unsafe pthread_cond_destroy(condition)
        unsafe pthread_mutex_destroy(mutex)
        unsafe condition.deallocate()
        unsafe mutex.deallocate()
    }

    /// Runs `body` while holding the mutex.
    package func locked<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Gives the mutex up until somebody signals.
    ///
    /// Only inside `locked`. It may return without a signal, so the caller checks again what it waits for.
    package func wait() { unsafe pthread_cond_wait(condition, mutex) }

    /// As `wait`, but no longer than until `deadline` (nanoseconds of `MonotonicClock`).
    package func wait(until deadline: UInt64) {
        var time = timespec(tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
        unsafe pthread_cond_timedwait(condition, mutex, &time)
    }

    /// Wakes all waiting threads; only inside `locked`.
    package func signalAll() { unsafe pthread_cond_broadcast(condition) }
}
