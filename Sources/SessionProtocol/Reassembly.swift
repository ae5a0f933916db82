// The memory chunks are put together in: each symbol is copied once, into its place.
internal import Blocks

/// Memory for one chunk's frame and seal, in whole symbols.
///
/// It has one user at a time: the machine while symbols come in, then whoever got the `frame` event, until
/// `ParticipantMachine.bufferReleased` hands it back.
@safe package final class ReassemblyBuffer: @unchecked Sendable {
    /// Number of bytes there is room for.
    package let capacity: Int
    /// Number of bytes of the frame with its seal.
    package internal(set) var length = 0
    private let memory: UnsafeMutableRawBufferPointer

    /// A buffer without `memory` only counts against the pool; nothing can be read from or written to it.
    init(capacity: Int, hasMemory: Bool) {
        self.capacity = capacity
        unsafe memory =
            hasMemory
            ? UnsafeMutableRawBufferPointer.allocate(byteCount: max(capacity, 1), alignment: 64)
            : UnsafeMutableRawBufferPointer(start: nil, count: 0)
    }

    deinit { unsafe memory.deallocate() }

    /// Calls `body` with the frame and its seal; the bytes are valid only during the call.
    package func withBytes<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
        let count = unsafe min(length, memory.count)
        return try unsafe body(UnsafeRawBufferPointer(rebasing: memory[0..<count]).bytes)
    }

    /// The memory for the machine's own use while symbols come in; nil where only counting is asked for.
    var base: UnsafeMutableRawPointer? { unsafe memory.baseAddress }

    /// Copies the first `count` bytes behind `from` in `source` to `offset`; both ranges are checked.
    func copy(from source: RawSpan, at from: Int, count: Int, to offset: Int) {
        precondition(count >= 0 && offset >= 0 && offset + count <= capacity)
        precondition(from >= 0 && from + count <= source.byteCount)
        guard unsafe memory.baseAddress != nil else { return }
        unsafe source.withUnsafeBytes { bytes in
            unsafe memory[offset..<offset + count].copyBytes(from: bytes[from..<from + count])
        }
    }
}

/// The buffers of one participant: together never more than `limit` bytes.
struct ReassemblyPool {
    let limit: Int
    private let hasMemory: Bool
    /// Bytes of all buffers, given out or free.
    private(set) var allocated = 0
    /// Bytes of the free ones.
    private var freeBytes = 0
    /// The one that was used last comes first: its memory is still in the cache.
    private var free: [ReassemblyBuffer] = []

    init(limit: Int, hasMemory: Bool) {
        self.limit = limit
        self.hasMemory = hasMemory
    }

    /// How many chunks of `length` bytes there is room for now.
    func room(for length: Int) -> Int { (limit - allocated + freeBytes) / max(length, 1) }

    /// A buffer of at least `length` bytes rounded up to whole symbols, or nil while there is no room.
    mutating func take(length: Int) -> ReassemblyBuffer? {
        let padded = StripeLayout(length: max(length, 1)).paddedLength
        var best: Int?
        for index in free.indices.reversed() where free[index].capacity >= padded {
            if best.map({ free[index].capacity < free[$0].capacity }) ?? true { best = index }
        }
        if let best {
            let buffer = free.remove(at: best)
            freeBytes -= buffer.capacity
            buffer.length = length
            return buffer
        }
        // Rounded, so that buffers are of use to other chunks of about the same size.
        let capacity = max(padded, min(roundedUp(padded), limit))
        while allocated + capacity > limit, let dropped = free.popLast() {
            allocated -= dropped.capacity
            freeBytes -= dropped.capacity
        }
        // A pool that has nothing else to give has room for one chunk, whatever rounding adds to its length.
        guard allocated + capacity <= limit || allocated == 0 && length <= limit else { return nil }
        allocated += capacity
        let buffer = ReassemblyBuffer(capacity: capacity, hasMemory: hasMemory)
        buffer.length = length
        return buffer
    }

    mutating func giveBack(_ buffer: ReassemblyBuffer) {
        freeBytes += buffer.capacity
        free.append(buffer)
    }

    private func roundedUp(_ length: Int) -> Int {
        let step = 64 * 1024
        return (length + step - 1) / step * step
    }
}
