// How a frame with its seal is cut into symbols and stripes.
internal import FEC

/// n = ⌈length / 1408⌉ source symbols in S = ⌈n / 128⌉ stripes; source symbol i is number i / S of stripe i mod S.
///
/// Neighbouring symbols are in different stripes, so a burst of losses is shared among them.
package struct StripeLayout: Equatable, Sendable {
    /// Bytes of frame and seal.
    package let length: Int
    /// Number of source symbols.
    package let symbols: Int
    /// Number of stripes.
    package let stripes: Int

    /// `length` must be positive.
    package init(length: Int) {
        self.length = length
        symbols = (length + Specification.symbolBytes - 1) / Specification.symbolBytes
        stripes = (symbols + Specification.stripeSymbols - 1) / Specification.stripeSymbols
    }

    /// Bytes of all source symbols: the length with the zeros that fill the last one.
    package var paddedLength: Int { symbols * Specification.symbolBytes }

    /// Numbers a stripe's symbols may have: 0 … 254, source symbols first, then parity.
    static let symbolNumbers = 255

    /// Number of source symbols of a stripe; higher symbol numbers are parity.
    package func sourceCount(of stripe: Int) -> Int { (symbols - stripe + stripes - 1) / stripes }

    /// The place of source symbol `index` among the stripes.
    package func place(of index: Int) -> (stripe: UInt16, symbol: UInt16) {
        (UInt16(index % stripes), UInt16(index / stripes))
    }

    /// The index of a source symbol; nil for parity and for what this frame does not have.
    package func index(stripe: UInt16, symbol: UInt16) -> Int? {
        guard Int(stripe) < stripes, Int(symbol) < sourceCount(of: Int(stripe)) else { return nil }
        return Int(symbol) * stripes + Int(stripe)
    }

    /// The bytes of source symbol `index`; only the last one may be shorter than 1408.
    package func range(of index: Int) -> Range<Int> {
        let from = index * Specification.symbolBytes
        return from..<min(from + Specification.symbolBytes, length)
    }
}

extension StripeShape {
    /// Where the source symbols of stripe `stripe` of `stripes` lie in a chunk's frame and seal.
    init(stripe: Int, of stripes: Int, sourceCount: Int) {
        self.init(
            sourceCount: sourceCount, symbolBytes: Specification.symbolBytes,
            offset: stripe * Specification.symbolBytes, stride: stripes * Specification.symbolBytes)
    }
}

/// Whether sequence `a` is later than `b` (RFC 1982 serial arithmetic over 32 bits).
@inline(__always)
func isLater(_ a: UInt32, than b: UInt32) -> Bool { Int32(bitPattern: a &- b) > 0 }
