// GF(2⁸) and the code once more, slow and obvious: what the tests hold the real ones against.

/// The product of two polynomials over GF(2) modulo x⁸ + x⁴ + x³ + x² + 1.
func obviousProduct(_ a: UInt8, _ b: UInt8) -> UInt8 {
    var product = 0
    for bit in 0..<8 where b & (1 << bit) != 0 { product ^= Int(a) << bit }
    for bit in stride(from: 15, through: 8, by: -1) where product & (1 << bit) != 0 {
        product ^= 0x11d << (bit - 8)
    }
    return UInt8(product)
}

/// 1/a for an element other than 0: the one that gives 1 when multiplied.
func obviousInverse(_ a: UInt8) -> UInt8 {
    (1...255).first { obviousProduct(a, $0) == 1 } ?? 0
}

/// Parity symbol `number` of some source symbols.
func obviousParity(_ number: UInt8, of sources: [[UInt8]]) -> [UInt8] {
    var parity = [UInt8](repeating: 0, count: sources[0].count)
    for (index, source) in sources.enumerated() {
        let coefficient = obviousInverse(number ^ UInt8(index))
        for byte in parity.indices { parity[byte] ^= obviousProduct(coefficient, source[byte]) }
    }
    return parity
}
