// Any k of a stripe's symbols give back its k sources, in place, and nothing else changes.
import FEC
import TestSupport
import Testing

@Suite struct RebuildTests {
    /// Loses `losses` random sources of a random stripe, and rebuilds them from random parity.
    private func check(
        _ sourceCount: Int, losing losses: Int, symbolBytes: Int, seed: UInt64, _ encoder: ParityEncoder,
        _ decoder: StripeDecoder
    ) {
        var random = SeededRandom(seed: seed)
        var stripe = InterleavedStripe(sourceCount: sourceCount, symbolBytes: symbolBytes, random: &random)
        let whole = stripe.buffer
        let missing = Array((0..<sourceCount).map { UInt8($0) }.shuffled(using: &random).prefix(losses))
        let numbers = Array((sourceCount...255).map { UInt8($0) }.shuffled(using: &random).prefix(losses))
        let parity = stripe.parity(numbers, by: encoder)
        stripe.lose(missing, replacedBy: Array(zip(numbers, parity)))
        #expect(losses == 0 || stripe.buffer != whole)
        stripe.rebuild(missing, from: numbers, by: decoder)
        #expect(stripe.buffer == whole, "\(losses) of \(sourceCount) × \(symbolBytes) bytes, seed \(seed)")
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func anySymbolsRebuildTheSources(series: UInt64) {
        let encoder = ParityEncoder()
        let decoder = StripeDecoder()
        for seed in series * 100..<series * 100 + 100 {
            var random = SeededRandom(seed: ~seed)
            let sourceCount = Int.random(in: 1...128, using: &random)
            // As often few losses as many.
            let most = Bool.random(using: &random) ? min(sourceCount, 8) : sourceCount
            check(
                sourceCount, losing: Int.random(in: 0...most, using: &random),
                symbolBytes: [64, 128, 256, 320, 1408].randomElement(using: &random) ?? 64, seed: seed,
                encoder,
                decoder)
        }
    }

    @Test func everySourceLost() {
        let encoder = ParityEncoder()
        let decoder = StripeDecoder()
        for sourceCount in [1, 2, 12, 13, 64, 124, 127, 128] {
            check(
                sourceCount, losing: sourceCount, symbolBytes: 1408, seed: UInt64(sourceCount), encoder,
                decoder)
            check(
                sourceCount, losing: sourceCount, symbolBytes: 64, seed: UInt64(sourceCount), encoder, decoder
            )
        }
    }

    @Test func everyNumberOfLosses() {
        let encoder = ParityEncoder()
        let decoder = StripeDecoder()
        for losses in 0...128 {
            check(128, losing: losses, symbolBytes: 192, seed: UInt64(losses), encoder, decoder)
        }
    }

    /// Nothing in common with the encoder but the definition of the code.
    @Test func rebuildsFromTheObviousCode() {
        var random = SeededRandom(seed: 7)
        var stripe = InterleavedStripe(sourceCount: 40, symbolBytes: 64, random: &random)
        let whole = stripe.buffer
        let missing: [UInt8] = [39, 0, 7, 8]
        let numbers: [UInt8] = [255, 40, 128, 99]
        let parity = numbers.map { ($0, obviousParity($0, of: stripe.sources)) }
        stripe.lose(missing, replacedBy: parity)
        stripe.rebuild(missing, from: numbers, by: StripeDecoder())
        #expect(stripe.buffer == whole)
    }

    @Test func callersErrorsTrap() async {
        await #expect(processExitsWith: .failure) {
            let decoder = StripeDecoder()
            decoder.add(missing: 3, parity: 200)
            decoder.add(missing: 3, parity: 201)
        }
        await #expect(processExitsWith: .failure) {
            let decoder = StripeDecoder()
            decoder.add(missing: 3, parity: 200)
            decoder.add(missing: 4, parity: 200)
        }
        await #expect(processExitsWith: .failure) {
            let decoder = StripeDecoder()
            decoder.add(missing: 3, parity: 200)
            var buffer = [UInt8](repeating: 0, count: 4 * 64 - 1)
            let shape = StripeShape(sourceCount: 4, symbolBytes: 64, offset: 0, stride: 64)
            unsafe buffer.withUnsafeMutableBytes { unsafe decoder.decode(in: $0, shape) }
        }
        await #expect(processExitsWith: .failure) {
            let decoder = StripeDecoder()
            decoder.add(missing: 4, parity: 200)
            var buffer = [UInt8](repeating: 0, count: 6 * 64)
            let shape = StripeShape(sourceCount: 4, symbolBytes: 64, offset: 0, stride: 64)
            unsafe buffer.withUnsafeMutableBytes { unsafe decoder.decode(in: $0, shape) }
        }
    }
}
