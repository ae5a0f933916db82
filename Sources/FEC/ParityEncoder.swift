// Makes parity symbols of a stripe.

/// Makes parity symbols: number i is the sum over all source symbols j of source j / (i XOR j) in GF(2⁸).
///
/// That is a systematic Cauchy Reed–Solomon code, and ISA-L's `gf_gen_cauchy1_matrix` with symbol numbers as
/// row indices: any k symbols of a stripe, whichever they are, give back its k sources. An encoder works
/// without allocating; it is for one thread at a time.
@safe package final class ParityEncoder {
    private let field = GaloisField()
    private let numbers: UnsafeMutablePointer<UInt8>
    private let positions: UnsafeMutablePointer<Int>
    private let divisors: UnsafeMutablePointer<UInt8>
    private let targets: UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>
    /// How many parity symbols the next `encode(of:_:into:)` makes.
    private var count = 0

    package init() {
        unsafe numbers = .allocate(capacity: 256)
        unsafe positions = .allocate(capacity: 256)
        unsafe divisors = .allocate(capacity: 256)
        unsafe targets = .allocate(capacity: 256)
    }

    deinit {
        unsafe numbers.deallocate()
        unsafe positions.deallocate()
        unsafe divisors.deallocate()
        unsafe targets.deallocate()
    }

    /// Makes one parity symbol.
    ///
    /// - Parameters:
    ///   - number: `shape.sourceCount`…255.
    ///   - source: Holds the stripe's source symbols.
    ///   - target: `shape.symbolBytes` bytes apart from the source; whatever they held is overwritten.
    package func encode(
        _ number: UInt8, of source: RawSpan, _ shape: StripeShape, into target: UnsafeMutableRawBufferPointer
    ) {
        add(number, at: 0)
        unsafe encode(of: source, shape, into: target)
    }

    /// Asks the next `encode(of:_:into:)` for parity symbol `number` at byte `position` of its target.
    ///
    /// At most 255 may be asked for at a time.
    package func add(_ number: UInt8, at position: Int) {
        precondition(count < 255 && position >= 0, "more parity symbols than a stripe has")
        unsafe numbers[count] = number
        unsafe positions[count] = position
        count += 1
    }

    /// Makes all parity symbols that were asked for, in fewer passes over the source than one by one.
    ///
    /// - Parameters:
    ///   - source: Holds the stripe's source symbols.
    ///   - target: Memory apart from the source; a symbol's bytes from each position are overwritten.
    package func encode(
        of source: RawSpan, _ shape: StripeShape, into target: UnsafeMutableRawBufferPointer
    ) {
        precondition(source.byteCount >= shape.end, "the source does not hold the stripe")
        guard count > 0 else { return }
        guard let memory = target.baseAddress else { preconditionFailure("no room for parity") }
        for row in 0..<count {
            let position = unsafe positions[row]
            precondition(unsafe Int(numbers[row]) >= shape.sourceCount, "a source symbol's number for parity")
            precondition(position <= target.count - shape.symbolBytes, "no room for a parity symbol")
            let symbol = unsafe memory + position
            unsafe targets[row] = symbol.initializeMemory(
                as: UInt8.self, repeating: 0, count: shape.symbolBytes)
        }
        unsafe source.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            GaloisField.forEachPass(over: count) { rows in
                for number in 0..<shape.sourceCount {
                    for row in rows { unsafe divisors[row] = numbers[row] ^ UInt8(number) }
                    unsafe field.add(
                        base + shape.position(of: number), dividedBy: divisors + rows.lowerBound,
                        count: rows.count,
                        to: targets + rows.lowerBound, bytes: shape.symbolBytes)
                }
            }
        }
        count = 0
    }
}
