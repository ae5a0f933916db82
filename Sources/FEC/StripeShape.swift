// Where the source symbols of a stripe lie in a buffer.

/// The place of one stripe's source symbols in a buffer: symbol j begins at `offset + j * stride`.
///
/// Stripes may be interleaved: the bytes between two symbols of a stripe belong to others and stay untouched.
package struct StripeShape: Equatable, Sendable {
    /// The most source symbols of a stripe: with as many parity symbols they are the 256 numbers of a byte.
    package static let maximumSourceCount = 128
    /// Symbols are multiples of this many bytes, the width of the widest vectors.
    package static let symbolGranularity = 64

    /// Number of source symbols, 1…128, which have the numbers from 0; higher numbers, up to 255, are parity.
    package let sourceCount: Int
    /// Bytes of a symbol, a multiple of 64.
    package let symbolBytes: Int
    /// Where in the buffer source symbol 0 begins, in bytes.
    package let offset: Int
    /// From the beginning of a source symbol to that of the next, in bytes.
    package let stride: Int

    /// Traps on a count outside 1…128, on symbols that overlap and on a length that is not a multiple of 64.
    package init(sourceCount: Int, symbolBytes: Int, offset: Int, stride: Int) {
        precondition(1...Self.maximumSourceCount ~= sourceCount, "a stripe has 1 to 128 source symbols")
        precondition(
            symbolBytes > 0 && symbolBytes % Self.symbolGranularity == 0 && symbolBytes <= Int(Int32.max),
            "a symbol is a multiple of 64 bytes")
        precondition(offset >= 0 && stride >= symbolBytes, "the symbols of a stripe overlap")
        self.sourceCount = sourceCount
        self.symbolBytes = symbolBytes
        self.offset = offset
        self.stride = stride
    }

    /// The first byte behind the last source symbol: a buffer that holds the stripe is at least this long.
    package var end: Int { offset + (sourceCount - 1) * stride + symbolBytes }

    /// Where source symbol `number` begins.
    @inline(__always)
    func position(of number: Int) -> Int { offset + number * stride }
}
