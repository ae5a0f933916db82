// Writes the symbols of one train: header, then payload or parity.
internal import Blocks
internal import FEC

/// One pass of the sweep over a chunk: all source symbols in order, then some parity of each stripe.
struct Pass {
    let chunk: UInt32
    let layout: StripeLayout
    /// Parity symbols of each stripe that go out with it, and how many went out before.
    let parity: Int
    let parityUsed: Int
    /// The index of the next symbol.
    var next = 0

    /// Symbols of the pass.
    var count: Int { layout.symbols + parity * layout.stripes }

    @inline(__always)
    func symbol(at index: Int) -> (stripe: Int, number: Int) {
        if index < layout.symbols { return (index % layout.stripes, index / layout.stripes) }
        let stripe = (index - layout.symbols) % layout.stripes
        let row = (index - layout.symbols) / layout.stripes
        return (stripe, layout.sourceCount(of: stripe) + parityUsed + row)
    }

    /// The symbol at `index`, which follows `other`: without a division while these are source symbols.
    @inline(__always)
    func symbol(after other: (stripe: Int, number: Int), at index: Int) -> (stripe: Int, number: Int) {
        guard index < layout.symbols else { return symbol(at: index) }
        return other.stripe + 1 < layout.stripes ? (other.stripe + 1, other.number) : (0, other.number + 1)
    }
}

/// Writes datagrams of one chunk behind one another.
struct SymbolWriter {
    private let header: SymbolHeader
    /// Frame and seal, filled up to whole symbols.
    private let frame: [UInt8]
    private let layout: StripeLayout
    /// The sequence of the next datagram.
    private(set) var sequence: UInt32
    private var offset = 0

    init(header: SymbolHeader, frame: [UInt8], layout: StripeLayout) {
        precondition(frame.count >= layout.paddedLength)
        self.header = header
        self.frame = frame
        self.layout = layout
        sequence = header.sequence
    }

    /// Writes one symbol; the buffer must have room for it behind those before.
    @inline(__always)
    mutating func write(
        stripe: Int, number: Int, into buffer: inout MutableRawSpan, _ encoder: ParityEncoder
    ) {
        SymbolHeader.write(
            header, sequence: sequence, stripe: UInt16(truncatingIfNeeded: stripe),
            symbol: UInt16(truncatingIfNeeded: number), to: &buffer, at: offset)
        let start = offset + Specification.symbolHeaderBytes
        let end = start + Specification.symbolBytes
        unsafe buffer.withUnsafeMutableBytes { target in
            let payload = unsafe UnsafeMutableRawBufferPointer(rebasing: target[start..<end])
            unsafe frame.withUnsafeBytes { source in
                let index = number * layout.stripes + stripe
                if index < layout.symbols {
                    let from = index * Specification.symbolBytes
                    unsafe payload.copyMemory(
                        from: UnsafeRawBufferPointer(
                            rebasing: source[from..<from + Specification.symbolBytes]))
                } else {
                    let shape = StripeShape(
                        stripe: stripe, of: layout.stripes, sourceCount: layout.sourceCount(of: stripe))
                    unsafe encoder.encode(UInt8(number), of: source.bytes, shape, into: payload)
                }
            }
        }
        sequence &+= 1
        offset += Specification.datagramBytes
    }
}
