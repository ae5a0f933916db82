// GF(2⁸) with the polynomial x⁸ + x⁴ + x³ + x² + 1 (0x11d): single elements, and whole symbols by ISA-L.
internal import CISAL

/// The field's tables and the one operation on symbols: add the quotients of a source to several targets.
///
/// In a Cauchy code all coefficients are quotients 1/x, so ISA-L's multiplication tables are kept by x.
/// There are only 255 of them, 8 KiB, which stay in the first cache; a row of the code needs no table of
/// its own.
@safe final class GaloisField {
    /// How many targets are worked on at a time: their symbols and one source fit the first cache.
    private static let rowsPerPass = 12
    /// ISA-L's tables for a coefficient take 32 bytes; newer versions use only 8 of them on some processors.
    private static let widestEntry = 4

    /// 64-bit words of one coefficient's table.
    private let entryWords: Int
    /// Entry x multiplies by 1/x; entry 0 is not used.
    private let quotients: UnsafeMutablePointer<UInt64>
    /// The entries of one pass, one behind the other as ISA-L wants them.
    private let gathered: UnsafeMutablePointer<UInt64>
    private let logarithms: [256 of UInt8]
    /// Powers of 2, twice over, so that the sum of two logarithms needs no remainder.
    private let powers: [512 of UInt8]

    init() {
        var power: UInt8 = 1
        var logarithms = [256 of UInt8](repeating: 0)
        var powers = [512 of UInt8](repeating: 0)
        for exponent in 0..<512 {
            powers[exponent] = power
            if exponent < 255 { logarithms[Int(power)] = UInt8(exponent) }
            power = gf_mul(power, 2)
        }
        self.logarithms = logarithms
        self.powers = powers

        let words = 256 * Self.widestEntry
        let tables = UnsafeMutablePointer<UInt64>.allocate(capacity: words)
        unsafe tables.initialize(repeating: 0, count: words)
        unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { coefficients in
            for x in 0..<256 { unsafe coefficients[x] = gf_inv(UInt8(x)) }
            unsafe ec_init_tables(256, 1, coefficients.baseAddress, Self.bytes(tables))
        }
        // No element's table but that of 0 ends in a word of zeros: what was written shows an entry's size.
        var written = words
        while unsafe tables[written - 1] == 0 { written -= 1 }
        precondition(written % 256 == 0, "ISA-L's tables are not as its documentation says")
        entryWords = written / 256
        unsafe quotients = tables
        unsafe gathered = .allocate(capacity: Self.rowsPerPass * Self.widestEntry)
    }

    deinit {
        unsafe quotients.deallocate()
        unsafe gathered.deallocate()
    }

    /// The logarithm of an element other than 0, 0…254.
    @inline(__always)
    func logarithm(_ element: UInt8) -> Int { Int(logarithms[Int(element)]) }

    /// The element whose logarithm is `exponent`, 0…511.
    @inline(__always)
    func power(_ exponent: Int) -> UInt8 { powers[exponent] }

    /// Adds source/divisor to each of `count` targets.
    ///
    /// - Parameters:
    ///   - source: `bytes` bytes, apart from all targets.
    ///   - divisors: `count` elements other than 0, one for each target.
    ///   - targets: `count` pointers to `bytes` bytes each.
    ///   - bytes: A multiple of 64.
    @inline(__always)
    func add(
        _ source: UnsafeRawPointer, dividedBy divisors: UnsafePointer<UInt8>, count: Int,
        to targets: UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>, bytes: Int
    ) {
        // ISA-L's prototypes lack const; it only reads the source and the tables.
        let symbol = unsafe UnsafeMutablePointer(mutating: source.assumingMemoryBound(to: UInt8.self))
        var table = unsafe quotients + Int(divisors[0]) * entryWords
        if count > 1 {
            for row in 0..<count {
                let entry = unsafe quotients + Int(divisors[row]) * entryWords
                for word in 0..<entryWords { unsafe gathered[row * entryWords + word] = entry[word] }
            }
            unsafe table = gathered
        }
        unsafe ec_encode_data_update(
            Int32(bytes), 1, Int32(count), 0, Self.bytes(table), symbol, targets)
    }

    @inline(__always)
    private static func bytes(_ words: UnsafeMutablePointer<UInt64>) -> UnsafeMutablePointer<UInt8> {
        unsafe UnsafeMutableRawPointer(words).assumingMemoryBound(to: UInt8.self)
    }

    /// Calls `body` with ranges of rows that are worked on together and cover 0..<count.
    @inline(__always)
    static func forEachPass(over count: Int, _ body: (Range<Int>) -> Void) {
        var first = 0
        while first < count {
            let end = min(first + rowsPerPass, count)
            body(first..<end)
            first = end
        }
    }
}
