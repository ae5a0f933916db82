// Which symbols are to be sent again, and which reports are too old to ask for them.
internal import Blocks

/// The repairs of one chunk.
struct ChunkRepair {
    let layout: StripeLayout
    /// One bit per source symbol that is to be sent again.
    private var pending: [UInt64]
    private(set) var pendingCount = 0
    private var cursor = 0
    /// Per stripe the sequence of its last repair: a report that has not seen it does not ask again.
    private var lastRepair: [UInt32?]
    /// When the last repair was sent or asked for, in nanoseconds.
    var lastUse: UInt64

    init(layout: StripeLayout, now: UInt64) {
        self.layout = layout
        pending = Array(repeating: 0, count: (layout.symbols + 63) / 64)
        lastRepair = Array(repeating: nil, count: layout.stripes)
        lastUse = now
    }

    /// Takes what a report that has seen `highest` says of a stripe; numbers the frame does not have are ignored.
    mutating func ask(_ gap: StripeGap, highest: UInt32) {
        let stripe = Int(gap.stripe)
        guard stripe < layout.stripes else { return }
        if let last = lastRepair[stripe], isLater(last, than: highest) { return }
        if let numbers = gap.missing {
            for number in numbers { mark(stripe: gap.stripe, symbol: UInt16(number)) }
        } else {
            // Too many to name: all of them, until parity makes the number enough.
            for number in 0..<layout.sourceCount(of: stripe) {
                mark(stripe: gap.stripe, symbol: UInt16(number))
            }
        }
    }

    /// Takes the next symbol to be sent, in rising order; it goes out as `sequence`.
    mutating func takeNext(sequence: UInt32) -> Int? {
        guard pendingCount > 0 else { return nil }
        var word = cursor / 64
        var bits = pending[word] & (~0 << UInt64(cursor % 64))
        while bits == 0 {
            word = (word + 1) % pending.count
            bits = pending[word]
        }
        let index = word * 64 + bits.trailingZeroBitCount
        pending[index / 64] &= ~(1 << UInt64(index % 64))
        pendingCount -= 1
        cursor = (index + 1) % layout.symbols
        lastRepair[index % layout.stripes] = sequence
        return index
    }

    private mutating func mark(stripe: UInt16, symbol: UInt16) {
        guard let index = layout.index(stripe: stripe, symbol: symbol) else { return }
        let bit: UInt64 = 1 << UInt64(index % 64)
        guard pending[index / 64] & bit == 0 else { return }
        pending[index / 64] |= bit
        pendingCount += 1
    }
}
