// The memory chunks are put together in: each symbol is copied once, into its place.

/// Memory for one chunk's frame and seal.
///
/// It has one user at a time: the machine while symbols come in, then whoever got the `frame` event, until
/// `ParticipantMachine.bufferReleased` hands it back.
@safe package final class ReassemblyBuffer: @unchecked Sendable {
    /// Number of bytes there is room for.
    package let capacity: Int
    /// Number of bytes of the frame with its seal.
    package internal(set) var length = 0
    private let memory: UnsafeMutableRawBufferPointer

    /// Without memory its capacity only counts, and copies into it do nothing.
    init(capacity: Int, hasMemory: Bool = true) {
        self.capacity = capacity
        unsafe memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: hasMemory ? max(capacity, 1) : 0, alignment: 64)
    }

    deinit { unsafe memory.deallocate() }

    /// Calls `body` with the frame and its seal; the bytes are valid only during the call.
    package func withBytes<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
        try unsafe body(UnsafeRawBufferPointer(rebasing: memory[0..<length]).bytes)
    }

    /// Copies the first `count` bytes behind `from` in `source` to `offset`; both ranges are checked.
    func copy(from source: RawSpan, at from: Int, count: Int, to offset: Int) {
        precondition(count >= 0 && offset >= 0 && offset + count <= capacity)
        precondition(from >= 0 && from + count <= source.byteCount)
        guard unsafe memory.count > 0 else { return }
        unsafe source.withUnsafeBytes { bytes in
            unsafe memory[offset..<offset + count].copyBytes(from: bytes[from..<from + count])
        }
    }
}

/// The buffers of one participant: together never more than `limit` bytes.
struct ReassemblyPool {
    let limit: Int
    /// Bytes of all buffers, given out or free.
    private(set) var allocated = 0
    private var free: [ReassemblyBuffer] = []

    private let countsOnly: Bool

    init(limit: Int, countsOnly: Bool = false) {
        self.limit = limit
        self.countsOnly = countsOnly
    }

    /// How many chunks of `length` bytes there is room for now.
    func room(for length: Int) -> Int {
        (limit - allocated + free.reduce(0) { $0 + $1.capacity }) / max(length, 1)
    }

    /// A buffer of at least `length` bytes, or nil while there is no room.
    mutating func take(length: Int) -> ReassemblyBuffer? {
        if let index = free.indices.filter({ free[$0].capacity >= length }).min(by: {
            free[$0].capacity < free[$1].capacity
        }) {
            let buffer = free.remove(at: index)
            buffer.length = length
            return buffer
        }
        // Rounded, so that buffers are of use to other chunks of about the same size.
        let capacity = min(roundedUp(length), max(limit, 0))
        guard capacity >= length else { return nil }
        while allocated + capacity > limit, let dropped = free.popLast() { allocated -= dropped.capacity }
        guard allocated + capacity <= limit else { return nil }
        allocated += capacity
        let buffer = ReassemblyBuffer(capacity: capacity, hasMemory: !countsOnly)
        buffer.length = length
        return buffer
    }

    mutating func giveBack(_ buffer: ReassemblyBuffer) { free.append(buffer) }

    private func roundedUp(_ length: Int) -> Int {
        let step = 64 * 1024
        return (length + step - 1) / step * step
    }
}
