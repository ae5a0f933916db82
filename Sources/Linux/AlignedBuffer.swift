// Page-aligned memory for direct I/O, and the fixed pool it comes from.
internal import Synchronization

/// A fixed piece of page-aligned memory.
///
/// It has one user at a time: whoever took it from a pool or a queue. Handing over the reference hands over
/// the memory.
@safe package final class AlignedBuffer: @unchecked Sendable {
    /// Number of bytes.
    package let capacity: Int
    /// The memory; valid as long as the buffer lives.
    package let bytes: UnsafeMutableRawBufferPointer

    package init(capacity: Int) {
        self.capacity = capacity
        unsafe bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: max(capacity, 1), alignment: 4096)
    }

    deinit { unsafe bytes.deallocate() }

    /// Calls `body` with the first `count` bytes.
    package func withBytes<R, E: Error>(_ count: Int, _ body: (RawSpan) throws(E) -> R) throws(E) -> R {
        precondition(count <= capacity)
        return try unsafe body(UnsafeRawBufferPointer(rebasing: bytes[0..<count]).bytes)
    }
}

/// A fixed number of equal buffers; who needs one while all are out waits.
package final class BufferPool: Sendable {
    private let free: BoundedQueue<AlignedBuffer>
    private let isClosed = Atomic(false)
    package let bufferSize: Int

    /// Makes `count` buffers of `bufferSize` bytes; memory is touched only when it is used.
    package init(count: Int, bufferSize: Int) {
        self.bufferSize = bufferSize
        free = BoundedQueue(capacity: count)
        for _ in 0..<count { _ = free.put(AlignedBuffer(capacity: bufferSize)) }
    }

    /// A free buffer, or nil once the pool is closed.
    package func take() -> AlignedBuffer? {
        let buffer = free.take()
        // A closed queue still gives what is inside; a pool that is closed ends the work at once.
        return isClosed.load(ordering: .acquiring) ? nil : buffer
    }

    /// A free buffer if there is one now.
    package func takeIfAvailable() -> AlignedBuffer? {
        isClosed.load(ordering: .acquiring) ? nil : free.takeIfAvailable()
    }

    package func giveBack(_ buffer: AlignedBuffer) { _ = free.put(buffer) }

    /// Wakes everybody who waits; they get nil.
    package func close() {
        isClosed.store(true, ordering: .releasing)
        free.close()
    }
}
