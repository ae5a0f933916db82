// Who still needs what: a count per chunk, and the sweep that walks upward over the chunks somebody needs.
internal import Blocks

/// The number of participants that wait for each chunk by multicast.
struct DemandMap {
    private let first: UInt32
    private var counts: [UInt16]
    /// One bit per chunk that somebody needs, so that the sweep passes 64 chunks at a time.
    private var bits: [UInt64]
    /// One bit per chunk that has been swept.
    private var sent: [UInt64]
    /// Chunks that somebody needs.
    private(set) var live = 0
    /// Those of them that have never been swept.
    private(set) var unsent = 0

    /// A map for the chunks of an image; their numbers must not span more than `maximumSpan`.
    init(_ existing: ChunkSet) {
        first = existing.first ?? 0
        counts = Array(repeating: 0, count: existing.last.map { Int($0 - (existing.first ?? 0)) + 1 } ?? 0)
        bits = Array(repeating: 0, count: (counts.count + 63) / 64)
        sent = bits
    }

    /// The widest range of chunk numbers a host serves: 256 TiB in chunks of 4 MiB, 128 MiB of memory.
    static let maximumSpan = 1 << 26

    subscript(chunk: UInt32) -> Int {
        guard chunk >= first, Int(chunk - first) < counts.count else { return 0 }
        return Int(counts[Int(chunk - first)])
    }

    mutating func add(_ chunk: UInt32) {
        let index = Int(chunk - first)
        if counts[index] == 0 {
            live += 1
            if !isSent(index) { unsent += 1 }
            bits[index / 64] |= 1 << UInt64(index % 64)
        }
        counts[index] += 1
    }

    mutating func remove(_ chunk: UInt32) {
        let index = Int(chunk - first)
        counts[index] -= 1
        if counts[index] == 0 {
            live -= 1
            if !isSent(index) { unsent -= 1 }
            bits[index / 64] &= ~(1 << UInt64(index % 64))
        }
    }

    /// The chunk has been swept.
    mutating func markSent(_ chunk: UInt32) {
        let index = Int(chunk - first)
        guard !isSent(index) else { return }
        if counts[index] > 0 { unsent -= 1 }
        sent[index / 64] |= 1 << UInt64(index % 64)
    }

    /// The chunk has become another: what was swept does not count.
    mutating func markUnsent(_ chunk: UInt32) {
        guard chunk >= first, Int(chunk - first) < counts.count, isSent(Int(chunk - first)) else { return }
        let index = Int(chunk - first)
        sent[index / 64] &= ~(1 << UInt64(index % 64))
        if counts[index] > 0 { unsent += 1 }
    }

    private func isSent(_ index: Int) -> Bool { sent[index / 64] & (1 << UInt64(index % 64)) != 0 }

    /// The smallest chunk not below `cursor` that somebody needs, or nil: the sweep has come to its end.
    func next(from cursor: UInt32) -> UInt32? {
        guard live > 0 else { return nil }
        let from = cursor > first ? Int(cursor - first) : 0
        guard from < counts.count else { return nil }
        var word = from / 64
        var found = bits[word] & (~0 << UInt64(from % 64))
        while found == 0 {
            word += 1
            guard word < bits.count else { return nil }
            found = bits[word]
        }
        return first + UInt32(word * 64 + found.trailingZeroBitCount)
    }
}
