// A stripe among others in one buffer, as a chunk holds it.
import FEC
import TestSupport

/// A buffer of random bytes with one stripe in it, interleaved with others and with foreign bytes around.
struct InterleavedStripe {
    let shape: StripeShape
    var buffer: [UInt8]

    /// A stripe of `sourceCount` symbols; how it lies in the buffer is random.
    init(sourceCount: Int, symbolBytes: Int, random: inout SeededRandom) {
        let stripes = Int.random(in: 1...5, using: &random)
        let before = Int.random(in: 0...200, using: &random)
        let stripe = Int.random(in: 0..<stripes, using: &random)
        shape = StripeShape(
            sourceCount: sourceCount, symbolBytes: symbolBytes, offset: before + stripe * symbolBytes,
            stride: stripes * symbolBytes)
        buffer = random.bytes(before + sourceCount * stripes * symbolBytes + 77)
    }

    func range(_ number: Int) -> Range<Int> {
        let from = shape.offset + number * shape.stride
        return from..<from + shape.symbolBytes
    }

    var sources: [[UInt8]] { (0..<shape.sourceCount).map { Array(buffer[range($0)]) } }

    /// The parity symbols `numbers`, all made at a time.
    func parity(_ numbers: [UInt8], by encoder: ParityEncoder) -> [[UInt8]] {
        var target = [UInt8](repeating: 0xee, count: numbers.count * shape.symbolBytes)
        for (row, number) in numbers.enumerated() { encoder.add(number, at: row * shape.symbolBytes) }
        unsafe target.withUnsafeMutableBytes { unsafe encoder.encode(of: buffer.span.bytes, shape, into: $0) }
        return numbers.indices.map { Array(target[$0 * shape.symbolBytes..<($0 + 1) * shape.symbolBytes]) }
    }

    /// Puts parity into the slots of lost symbols and has them rebuilt.
    mutating func lose(_ missing: [UInt8], replacedBy parity: [(number: UInt8, bytes: [UInt8])]) {
        for (number, symbol) in zip(missing, parity) {
            buffer.replaceSubrange(range(Int(number)), with: symbol.bytes)
        }
    }

    mutating func rebuild(_ missing: [UInt8], from parity: [UInt8], by decoder: StripeDecoder) {
        for (number, symbol) in zip(missing, parity) { decoder.add(missing: number, parity: symbol) }
        let shape = shape
        unsafe buffer.withUnsafeMutableBytes { unsafe decoder.decode(in: $0, shape) }
    }
}
