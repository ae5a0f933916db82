// One chunk on its way: its buffer and which symbols are there.
internal import Blocks

/// A chunk that is being put together.
final class Assembly {
    let chunk: UInt32
    let generation: UInt8
    let layout: StripeLayout
    let buffer: ReassemblyBuffer
    /// Orders the chunks by when they began to come.
    let order: UInt64
    /// One bit per source symbol that is there.
    private var present: [UInt64]
    private(set) var count = 0
    /// How many symbols in a row have named another generation or length.
    var contradictions = 0
    /// When the last symbol came, in nanoseconds.
    var lastArrival: UInt64

    init(chunk: UInt32, generation: UInt8, buffer: ReassemblyBuffer, length: Int, order: UInt64, now: UInt64)
    {
        self.chunk = chunk
        self.generation = generation
        self.buffer = buffer
        self.order = order
        layout = StripeLayout(length: length)
        present = Array(repeating: 0, count: (layout.symbols + 63) / 64)
        lastArrival = now
    }

    /// Whether a symbol belongs to this generation of this chunk.
    @inline(__always)
    func isOf(_ header: SymbolHeader) -> Bool {
        chunk == header.chunk && generation == header.generation && layout.length == Int(header.length)
    }

    var isWhole: Bool { count == layout.symbols }

    /// Copies a symbol's payload into its place; false if it was there already.
    func put(_ index: Int, _ datagram: RawSpan) -> Bool {
        let bit: UInt64 = 1 << UInt64(index & 63)
        guard present[index >> 6] & bit == 0 else { return false }
        present[index >> 6] |= bit
        count += 1
        let range = layout.range(of: index)
        buffer.copy(
            from: datagram, at: Specification.symbolHeaderBytes, count: range.count, to: range.lowerBound)
        return true
    }

    /// What stripe `stripe` lacks, or nil if it is whole.
    func gap(of stripe: Int) -> StripeGap? {
        var missing: [UInt8] = []
        var index = stripe
        var number: UInt8 = 0
        while index < layout.symbols {
            if present[index >> 6] & (1 << UInt64(index & 63)) == 0 { missing.append(number) }
            index += layout.stripes
            number += 1
        }
        return missing.isEmpty ? nil : StripeGap(stripe: UInt16(stripe), missing: missing)
    }
}
