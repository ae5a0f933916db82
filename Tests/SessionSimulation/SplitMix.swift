// The seeded random numbers of the simulation: a failure replays from its seed.

/// SplitMix64 (Steele, Lea, Flood 2014).
package struct SplitMix: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    @inline(__always)
    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }

    /// A number of 0 to 1, 1 left out.
    package mutating func share() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// True with the given probability.
    package mutating func chance(_ probability: Double) -> Bool {
        probability > 0 && share() < probability
    }

    package mutating func bytes(_ count: Int) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(count)
        while result.count < count {
            let word = next()
            for index in 0..<Swift.min(8, count - result.count) {
                result.append(UInt8(truncatingIfNeeded: word >> UInt64(index * 8)))
            }
        }
        return result
    }
}
