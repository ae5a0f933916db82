// Parity symbols against golden bytes and against a slow, obvious code.
import FEC
import TestSupport
import Testing

@Suite struct ParityTests {
    /// The golden parity, which Golden/make.py made: sources, number, bytes.
    private func goldens() throws -> [(sourceCount: Int, number: UInt8, bytes: [UInt8])] {
        let file = try GoldenFolder("Golden", beside: #filePath).read("parity.hex")
        return try String(decoding: file, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#") }
            .map { line in
                let words = line.split(separator: " ")
                let digits = Array(words[3])
                let bytes = try stride(from: 0, to: digits.count, by: 2)
                    .map { try #require(UInt8(String(digits[$0...$0 + 1]), radix: 16)) }
                return (try #require(Int(words[0])), try #require(UInt8(words[1])), bytes)
            }
    }

    @Test func goldenParity() throws {
        let encoder = ParityEncoder()
        let goldens = try goldens()
        #expect(goldens.count == 15)
        for golden in goldens {
            let bytes = golden.bytes.count
            let source: [UInt8] = (0..<golden.sourceCount * bytes).map { index in
                let (number, byte) = index.quotientAndRemainder(dividingBy: bytes)
                return UInt8((151 * number + 29 * byte + 7 * number * byte + 3) % 256)
            }
            let shape = StripeShape(
                sourceCount: golden.sourceCount, symbolBytes: bytes, offset: 0, stride: bytes)
            var parity = [UInt8](repeating: 0, count: bytes)
            unsafe parity.withUnsafeMutableBytes {
                unsafe encoder.encode(golden.number, of: source.span.bytes, shape, into: $0)
            }
            #expect(parity == golden.bytes, "parity \(golden.number) of \(golden.sourceCount) sources")
        }
    }

    /// Every source count that is special for a pass and some that are not; every number of rows up to 40.
    @Test(arguments: [1, 2, 3, 63, 64, 65, 124, 127, 128])
    func equalsTheObviousCode(sourceCount: Int) {
        var random = SeededRandom(seed: UInt64(sourceCount))
        let encoder = ParityEncoder()
        for rows in 1...40 {
            let stripe = InterleavedStripe(
                sourceCount: sourceCount,
                symbolBytes: [64, 128, 192, 1408].randomElement(using: &random) ?? 64,
                random: &random)
            let numbers = Array((sourceCount...255).map { UInt8($0) }.shuffled(using: &random).prefix(rows))
            let parity = stripe.parity(numbers, by: encoder)
            let checked = Int.random(in: 0..<rows, using: &random)
            #expect(parity[checked] == obviousParity(numbers[checked], of: stripe.sources))
            for (row, number) in numbers.enumerated() {
                #expect(stripe.parity([number], by: encoder) == [parity[row]], "row \(row) of \(rows)")
            }
        }
    }

    @Test func allParityOfOneSource() {
        var random = SeededRandom(seed: 1)
        let stripe = InterleavedStripe(sourceCount: 1, symbolBytes: 64, random: &random)
        let numbers = (1...255).map { UInt8($0) }
        let parity = stripe.parity(numbers, by: ParityEncoder())
        for (row, number) in numbers.enumerated() {
            #expect(parity[row] == obviousParity(number, of: stripe.sources))
        }
    }

    @Test func writesItsTargetsAndNothingElse() {
        var random = SeededRandom(seed: 2)
        let stripe = InterleavedStripe(sourceCount: 100, symbolBytes: 128, random: &random)
        let encoder = ParityEncoder()
        var target = random.bytes(4000)
        let before = target
        encoder.add(200, at: 3000)
        encoder.add(101, at: 32)
        unsafe target.withUnsafeMutableBytes {
            unsafe encoder.encode(of: stripe.buffer.span.bytes, stripe.shape, into: $0)
        }
        let (low, high) = (32..<160, 3000..<3128)
        #expect(Array(target[high]) == obviousParity(200, of: stripe.sources))
        #expect(Array(target[low]) == obviousParity(101, of: stripe.sources))
        for index in target.indices where !low.contains(index) && !high.contains(index) {
            #expect(target[index] == before[index])
        }
        // What was asked for is forgotten: the next call makes nothing.
        let after = target
        unsafe target.withUnsafeMutableBytes {
            unsafe encoder.encode(of: stripe.buffer.span.bytes, stripe.shape, into: $0)
        }
        #expect(target == after)
    }

    @Test func callersErrorsTrap() async {
        await #expect(processExitsWith: .failure) {
            _ = StripeShape(sourceCount: 129, symbolBytes: 64, offset: 0, stride: 64)
        }
        await #expect(processExitsWith: .failure) {
            _ = StripeShape(sourceCount: 3, symbolBytes: 100, offset: 0, stride: 100)
        }
        await #expect(processExitsWith: .failure) {
            let source = [UInt8](repeating: 0, count: 3 * 64 - 1)
            var parity = [UInt8](repeating: 0, count: 64)
            let shape = StripeShape(sourceCount: 3, symbolBytes: 64, offset: 0, stride: 64)
            unsafe parity.withUnsafeMutableBytes {
                unsafe ParityEncoder().encode(3, of: source.span.bytes, shape, into: $0)
            }
        }
        await #expect(processExitsWith: .failure) {
            let source = [UInt8](repeating: 0, count: 3 * 64)
            var parity = [UInt8](repeating: 0, count: 63)
            let shape = StripeShape(sourceCount: 3, symbolBytes: 64, offset: 0, stride: 64)
            unsafe parity.withUnsafeMutableBytes {
                unsafe ParityEncoder().encode(3, of: source.span.bytes, shape, into: $0)
            }
        }
        await #expect(processExitsWith: .failure) {
            let source = [UInt8](repeating: 0, count: 3 * 64)
            var parity = [UInt8](repeating: 0, count: 64)
            let shape = StripeShape(sourceCount: 3, symbolBytes: 64, offset: 0, stride: 64)
            unsafe parity.withUnsafeMutableBytes {
                unsafe ParityEncoder().encode(2, of: source.span.bytes, shape, into: $0)
            }
        }
    }
}
