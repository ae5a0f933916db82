// What a session must send at least, if it is perfect: the figure the simulation's airtime is compared with.
import Glibc
package import SessionProtocol

/// The least extra airtime of repair by parity.
package enum Theory {
    /// Expected number of symbols lost by the unluckiest of `participants` until each of them has `symbols`.
    ///
    /// One participant loses X symbols before it has all: negative binomial. The host, which sends fresh parity to
    /// all, sends the largest of these. Losses are independent of each other; a burst that is shorter than the number
    /// of stripes takes at most one symbol of each, so for a stripe it is no different.
    package static func extraSymbols(symbols: Int, participants: Int, loss: Double) -> Double {
        guard loss > 0, symbols > 0 else { return 0 }
        // P(X = 0), then P(X = j + 1) = P(X = j) (symbols + j) / (j + 1) loss.
        var probability = pow(1 - loss, Double(symbols))
        var below = 0.0
        var expected = 0.0
        var count = 0
        while count < 100_000 {
            below = min(below + probability, 1)
            let isMore = 1 - pow(below, Double(participants))
            expected += isMore
            guard isMore > 1e-9 else { break }
            probability *= Double(symbols + count) / Double(count + 1) * loss
            count += 1
        }
        return expected
    }

    /// The least extra airtime of an image: symbols sent beyond the source symbols, per source symbol.
    package static func extraAirtime(
        of layouts: [StripeLayout], participants: Int, loss: Double
    ) -> Double {
        var known: [Int: Double] = [:]
        var extra = 0.0
        var source = 0
        for layout in layouts {
            source += layout.symbols
            for stripe in 0..<layout.stripes {
                let symbols = layout.sourceCount(of: stripe)
                let more =
                    known[symbols]
                    ?? extraSymbols(symbols: symbols, participants: participants, loss: loss)
                known[symbols] = more
                extra += more
            }
        }
        return source > 0 ? extra / Double(source) : 0
    }
}
