// Gives back the lost source symbols of a stripe.

/// Rebuilds lost source symbols in place from as many parity symbols.
///
/// Its work grows with the number of losses e: it takes what is present out of the e parity symbols and
/// solves the e × e system that remains, whose inverse is known in closed form because the matrix is a Cauchy
/// matrix. A decoder works without allocating, in about 60 KiB; it is for one thread at a time.
@safe package final class StripeDecoder {
    /// Bytes of parity that are multiplied by the inverse at a time: they stay in the first or second cache.
    private static let scratchBytes = 32 * 1024
    private static let maximum = StripeShape.maximumSourceCount

    private let field = GaloisField()
    private let missing: UnsafeMutablePointer<UInt8>
    private let parity: UnsafeMutablePointer<UInt8>
    private let divisors: UnsafeMutablePointer<UInt8>
    private let targets: UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>
    private let scratch: UnsafeMutableRawPointer
    /// How many losses have been named.
    private var count = 0
    /// One bit per symbol number that has been named, missing or parity.
    private var named = [4 of UInt64](repeating: 0)

    package init() {
        unsafe missing = .allocate(capacity: Self.maximum)
        unsafe parity = .allocate(capacity: Self.maximum)
        unsafe divisors = .allocate(capacity: Self.maximum * Self.maximum)
        unsafe targets = .allocate(capacity: Self.maximum)
        unsafe scratch = .allocate(byteCount: Self.scratchBytes, alignment: StripeShape.symbolGranularity)
    }

    deinit {
        unsafe missing.deallocate()
        unsafe parity.deallocate()
        unsafe divisors.deallocate()
        unsafe targets.deallocate()
        unsafe scratch.deallocate()
    }

    /// Tells the next `decode(in:_:)` that symbol `source` is lost and its slot holds parity symbol `number`.
    ///
    /// Each number may be named once, and at most 128 losses in all.
    package func add(missing source: UInt8, parity number: UInt8) {
        precondition(source < number, "a parity symbol's number is above all source symbols'")
        name(source)
        name(number)
        precondition(count < Self.maximum, "more losses than a stripe has source symbols")
        unsafe missing[count] = source
        unsafe parity[count] = number
        count += 1
    }

    /// Rebuilds all source symbols that were named as missing, and forgets their names.
    ///
    /// - Parameters:
    ///   - buffer: Holds the stripe: present source symbols in their slots, a parity symbol in the slot of
    ///     each missing one. Only those slots are written.
    ///   - shape: Its source count is above all missing numbers and not above any parity number.
    package func decode(in buffer: UnsafeMutableRawBufferPointer, _ shape: StripeShape) {
        precondition(buffer.count >= shape.end, "the buffer does not hold the stripe")
        guard count > 0, let base = buffer.baseAddress else { return }
        for loss in 0..<count {
            precondition(
                unsafe Int(missing[loss]) < shape.sourceCount && Int(parity[loss]) >= shape.sourceCount,
                "a missing symbol is not a source or a parity symbol is not parity")
            unsafe targets[loss] = slot(loss, base, shape)
        }
        unsafe subtractPresent(base, shape)
        invert()
        unsafe multiply(base, shape)
        count = 0
        named = .init(repeating: 0)
    }

    private func name(_ number: UInt8) {
        let bit: UInt64 = 1 << UInt64(number & 63)
        precondition(named[Int(number >> 6)] & bit == 0, "a symbol is named twice")
        named[Int(number >> 6)] |= bit
    }

    @inline(__always)
    private func slot(_ loss: Int, _ base: UnsafeMutableRawPointer, _ shape: StripeShape)
        -> UnsafeMutablePointer<UInt8>
    {
        unsafe (base + shape.position(of: Int(missing[loss]))).assumingMemoryBound(to: UInt8.self)
    }

    /// Leaves in each slot what the missing symbols alone contribute to its parity symbol.
    private func subtractPresent(_ base: UnsafeMutableRawPointer, _ shape: StripeShape) {
        GaloisField.forEachPass(over: count) { rows in
            for number in 0..<shape.sourceCount {
                // Parity numbers are not below the source count: this bit means that the symbol is missing.
                if named[number >> 6] & (1 << UInt64(number & 63)) != 0 { continue }
                for row in rows { unsafe divisors[row] = parity[row] ^ UInt8(number) }
                unsafe field.add(
                    base + shape.position(of: number), dividedBy: divisors + rows.lowerBound,
                    count: rows.count,
                    to: targets + rows.lowerBound, bytes: shape.symbolBytes)
            }
        }
    }

    /// Fills `divisors` with the reciprocals of the inverse matrix, the e for one parity symbol in a row.
    ///
    /// With p the parity numbers and m the missing ones, the matrix is 1/(p_a + m_b), and its inverse at
    /// (b, a) is f_a · g_b / (p_a + m_b), where f_a = Π_c (p_a + m_c) / Π_{c≠a} (p_a + p_c) and
    /// g_b = Π_c (p_c + m_b) / Π_{c≠b} (m_b + m_c).
    private func invert() {
        var rowFactors = [128 of Int](repeating: 0)
        var columnFactors = [128 of Int](repeating: 0)
        for this in 0..<count {
            var row = 0
            var column = 0
            for other in 0..<count {
                unsafe row += field.logarithm(parity[this] ^ missing[other])
                unsafe column += field.logarithm(parity[other] ^ missing[this])
                if other == this { continue }
                unsafe row -= field.logarithm(parity[this] ^ parity[other])
                unsafe column -= field.logarithm(missing[this] ^ missing[other])
            }
            rowFactors[this] = row
            columnFactors[this] = column
        }
        for row in 0..<count {
            for column in 0..<count {
                let sum = unsafe field.logarithm(parity[row] ^ missing[column])
                let reciprocal = (sum - rowFactors[row] - columnFactors[column]) % 255
                unsafe divisors[row * count + column] = field.power(
                    reciprocal < 0 ? reciprocal + 255 : reciprocal)
            }
        }
    }

    /// Multiplies what the slots hold by the inverse matrix, in columns as wide as the scratch memory allows.
    private func multiply(_ base: UnsafeMutableRawPointer, _ shape: StripeShape) {
        let granularity = StripeShape.symbolGranularity
        let widest = min(shape.symbolBytes, Self.scratchBytes / count / granularity * granularity)
        var from = 0
        while from < shape.symbolBytes {
            let width = min(widest, shape.symbolBytes - from)
            for loss in 0..<count {
                let column = unsafe slot(loss, base, shape) + from
                unsafe (scratch + loss * width).copyMemory(from: column, byteCount: width)
                unsafe column.initialize(repeating: 0, count: width)
                unsafe targets[loss] = column
            }
            GaloisField.forEachPass(over: count) { rows in
                for loss in 0..<count {
                    unsafe field.add(
                        scratch + loss * width, dividedBy: divisors + loss * count + rows.lowerBound,
                        count: rows.count, to: targets + rows.lowerBound, bytes: width)
                }
            }
            from += width
        }
    }
}
