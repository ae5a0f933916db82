// How much parity goes out with a chunk before anybody asks for it.

/// Parity that is sent with each stripe of a chunk, from the losses seen lately.
///
/// With n participants that each lose a share l of the symbols, the number of symbols a stripe of k needs in addition
/// is the largest of n nearly normal numbers of mean kl and variance kl. Whatever nine stripes in ten need anyway
/// costs nothing when it is sent at once, and saves most participants a report and a wait. On a clean network, and for
/// a single participant on a good one, that is nothing.
package struct ProactiveParity {
    /// The share of symbols a participant loses on the wire, averaged over participants and about a second.
    package private(set) var loss = 0.0

    package init() {}

    /// Takes the mean share lost since the last call.
    package mutating func note(_ share: Double) {
        // Up at once, down slowly: parity too late costs more than a little too much of it.
        loss += (share - loss) * (share > loss ? 0.5 : 0.2)
        if loss < 1e-5 { loss = 0 }
    }

    /// Parity symbols for a stripe of `sources` source symbols and `participants` that lack it.
    ///
    /// In the tail, where nothing else is left to send while participants wait for the next report, there is enough
    /// for nearly every stripe of everybody.
    package func count(sources: Int, participants: Int, isTail: Bool) -> Int {
        guard loss > 0, participants > 0 else { return 0 }
        let mean = Double(sources) * loss
        let deviations = ProactiveParity.tenthPercentile(ofLargestOf: participants) + (isTail ? 4 : 0)
        let count = mean + deviations * mean.squareRoot()
        let whole = isTail ? count.rounded(.up) : count.rounded(.down)
        return max(0, min(Int(whole), Specification.stripeSymbols / 2))
    }

    /// What the largest of n standard normal numbers exceeds with a probability of nine in ten: Φ⁻¹(0.1^(1/n)).
    package static func tenthPercentile(ofLargestOf participants: Int) -> Double {
        // At n = 1, 2, 4, … 1024; in between straight lines over the logarithm are right to 0.02.
        let table = [-1.282, -0.478, 0.157, 0.674, 1.108, 1.480, 1.808, 2.101, 2.368, 2.613, 2.841]
        let power = Int.bitWidth - 1 - max(participants, 1).leadingZeroBitCount
        guard power < table.count - 1 else { return table[table.count - 1] }
        let share = Double(participants - (1 << power)) / Double(1 << power)
        return table[power] + (table[power + 1] - table[power]) * share
    }
}
