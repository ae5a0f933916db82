// Waiting for descriptors, other threads and deadlines at once.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A set of descriptors that one thread waits on (C functions `epoll_*`).
package final class Poller: Sendable {
    /// What to wait for, and what happened.
    package struct Readiness: OptionSet, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        package static let readable = Readiness(rawValue: 0x001)
        package static let writable = Readiness(rawValue: 0x004)
        /// An error or the end of the connection; reported without being asked for.
        package static let failed = Readiness(rawValue: 0x018)
    }

    /// One descriptor that became ready.
    package struct Event: Sendable {
        /// What the descriptor was added with.
        package let token: UInt64
        package let readiness: Readiness
    }

    private let descriptor: Descriptor

    package init() throws(SystemError) {
        let number = try systemCall("make an event queue") { clinux_epoll_create() }
        descriptor = Descriptor(owning: number, name: "event queue")
    }

    /// Waits for `readiness` of descriptor `number`, whose events then carry `token`.
    package func add(_ number: Int32, token: UInt64, _ readiness: Readiness) throws(SystemError) {
        try control(1, number, token, readiness)
    }

    /// Changes what is waited for.
    package func change(_ number: Int32, token: UInt64, _ readiness: Readiness) throws(SystemError) {
        try control(3, number, token, readiness)
    }

    /// No longer waits for the descriptor; call it before the descriptor is closed.
    package func remove(_ number: Int32) { _ = try? control(2, number, 0, []) }

    private func control(_ operation: Int32, _ number: Int32, _ token: UInt64, _ readiness: Readiness)
        throws(SystemError)
    {
        _ = try systemCall("watch descriptor \(number)") {
            clinux_epoll_control(descriptor.number, operation, number, readiness.rawValue, token)
        }
    }

    /// Waits until something is ready or `deadline` (nanoseconds of `MonotonicClock`, nil for never) has come.
    ///
    /// `events` is emptied first; it stays empty when only the deadline came or a signal interrupted the wait.
    package func wait(until deadline: UInt64?, into events: inout [Event]) throws(SystemError) {
        events.removeAll(keepingCapacity: true)
        var timeout: Int64 = -1
        if let deadline {
            let now = MonotonicClock.now()
            timeout = deadline > now ? Int64(clamping: deadline - now) : 0
        }
        var found = [32 of clinux_event](repeating: clinux_event())
        var span = found.mutableSpan
        let (count, error) = unsafe span.withUnsafeMutableBufferPointer { buffer in
            withErrno { unsafe clinux_epoll_wait(descriptor.number, buffer.baseAddress, 32, timeout) }
        }
        if count < 0 {
            if error == .interrupted { return }
            throw SystemError("wait for events", error)
        }
        for index in 0..<Int(count) {
            events.append(
                Event(token: found[index].token, readiness: Readiness(rawValue: found[index].events)))
        }
    }
}

/// A flag by which one thread wakes another that waits on a `Poller` (C function `eventfd`).
package final class Wakeup: Sendable {
    private let descriptor: Descriptor

    /// Readable while somebody has signalled and nobody has cleared.
    package var number: Int32 { descriptor.number }

    package init() throws(SystemError) {
        descriptor = Descriptor(
            owning: try systemCall("make a wake-up flag") { clinux_eventfd() }, name: "wake-up flag")
    }

    /// Wakes whoever waits; may be called from any thread.
    package func signal() {
        var one: UInt64 = 1
        _ = unsafe write(number, &one, 8)
    }

    /// Takes the flag down.
    package func clear() {
        var value: UInt64 = 0
        _ = unsafe read(number, &value, 8)
    }
}
