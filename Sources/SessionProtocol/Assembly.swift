// One chunk on its way: its buffer, which symbols are there, and how lost ones come back from parity.
//
// A symbol is copied once, to its place. Parity has no place of its own: it lies in the place of a source symbol of its
// stripe that is missing. As soon as a stripe has as many symbols as source symbols, those that are missing are solved
// for where the parity lies.
internal import Blocks
internal import FEC

/// A chunk that is being put together.
@safe final class Assembly {
    /// What became of a symbol.
    enum Outcome {
        case taken
        /// It is there already, or its stripe needs nothing more.
        case repeated
        /// The chunk has no such symbol.
        case invalid
    }

    let chunk: UInt32
    let generation: UInt8
    let layout: StripeLayout
    let buffer: ReassemblyBuffer
    /// Orders the chunks by when they began to come.
    let order: UInt64
    /// The plain pointers to all of it, for the loop over a train.
    let places: SymbolPlaces
    private let tables: UnsafeMutableRawPointer

    init(chunk: UInt32, generation: UInt8, buffer: ReassemblyBuffer, length: Int, order: UInt64, now: UInt64)
    {
        self.chunk = chunk
        self.generation = generation
        self.buffer = buffer
        self.order = order
        layout = StripeLayout(length: length)
        // One table after the other: what lies in each place, how many symbols each stripe has, how many of them parity.
        let bytes = layout.symbols + 2 * layout.stripes + SymbolPlaces.counterBytes
        unsafe tables = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 8)
        unsafe tables.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        unsafe places = SymbolPlaces(
            layout: layout, chunk: chunk, generation: generation, payload: buffer.base, tables: tables)
        places.noteArrival(now)
    }

    deinit { unsafe tables.deallocate() }

    /// Whether a symbol belongs to this generation of this chunk.
    func isOf(_ header: SymbolHeader) -> Bool {
        chunk == header.chunk && generation == header.generation && layout.length == Int(header.length)
    }

    var isWhole: Bool { places.stripesLeft == 0 }

    /// The share of its stripes that are not whole.
    var missingShare: Double { Double(places.stripesLeft) / Double(layout.stripes) }

    /// What stripe `stripe` lacks, or nil if it is whole; `names` asks for the numbers as well.
    func gap(of stripe: Int, names: Bool) -> StripeGap? {
        let count = layout.sourceCount(of: stripe)
        let lacking = count - places.count(of: stripe)
        guard lacking > 0 else { return nil }
        // Where parity lies in for some, any of the missing numbers will do, and naming them says too much.
        guard names, places.parityCount(of: stripe) == 0, lacking <= 2 * Specification.missingRunBytes else {
            return StripeGap(stripe: UInt16(stripe), lacking: UInt8(lacking), runs: [])
        }
        var missing: [UInt8] = []
        for number in 0..<count where !places.hasSource(number, of: stripe) { missing.append(UInt8(number)) }
        return StripeGap(stripe: UInt16(stripe), missing: missing)
    }
}

/// Plain pointers into one assembly: nothing in it is counted or checked twice, so a symbol costs its copy.
///
/// Valid as long as the assembly; whoever keeps one drops it with the assembly.
@safe struct SymbolPlaces {
    /// What the header of a symbol of this chunk has at offset 16: chunk, and length above it.
    let key: UInt64
    let generation: UInt8
    private let stripes: Int
    private let symbols: Int
    /// Source symbols of the last stripe, and how many stripes have one more.
    private let fewest: Int
    private let longer: Int
    /// nil: symbols are only counted.
    private let payload: UnsafeMutableRawPointer?
    /// Stripes that are not whole; symbols in a row that contradicted; when the last symbol came; the last place taken.
    private let counters: UnsafeMutablePointer<UInt64>
    /// Per place: `empty`, `source`, or the number of the parity symbol that lies there.
    private let contents: UnsafeMutablePointer<UInt8>
    private let counts: UnsafeMutablePointer<UInt8>
    private let parityCounts: UnsafeMutablePointer<UInt8>

    static let counterBytes = 4 * 8

    init(
        layout: StripeLayout, chunk: UInt32, generation: UInt8, payload: UnsafeMutableRawPointer?,
        tables: UnsafeMutableRawPointer
    ) {
        key = UInt64(chunk) | UInt64(layout.length) << 32
        self.generation = generation
        stripes = layout.stripes
        symbols = layout.symbols
        fewest = layout.symbols / layout.stripes
        longer = layout.symbols % layout.stripes
        unsafe self.payload = payload
        unsafe counters = tables.bindMemory(to: UInt64.self, capacity: 4)
        unsafe counters[0] = UInt64(layout.stripes)
        unsafe contents = (tables + SymbolPlaces.counterBytes).bindMemory(
            to: UInt8.self, capacity: layout.symbols)
        unsafe counts = contents + layout.symbols
        unsafe parityCounts = counts + layout.stripes
    }

    /// Stripes that are not whole.
    @inline(__always)
    var stripesLeft: Int { unsafe Int(counters[0]) }

    /// How many symbols in a row have named another generation or length.
    var contradictions: Int { unsafe Int(counters[1]) }
    func noteContradiction() { unsafe counters[1] += 1 }

    /// Whether the sweep is still at this chunk, so that what is missing may only be on its way: the last sixteenth has
    /// not been reached, and the last symbol came a moment ago.
    func isComing(now: UInt64) -> Bool {
        unsafe counters[3] < UInt64(symbols) / 16 * 15
            && now < lastArrival + Specification.shortestReportInterval
    }

    /// When the last symbol came, in nanoseconds.
    var lastArrival: UInt64 { unsafe counters[2] }
    @inline(__always)
    func noteArrival(_ now: UInt64) {
        unsafe counters[1] = 0
        unsafe counters[2] = now
    }

    /// Symbols of a stripe that are there, parity included.
    func count(of stripe: Int) -> Int { unsafe Int(counts[stripe]) }

    func parityCount(of stripe: Int) -> Int { unsafe Int(parityCounts[stripe]) }

    func hasSource(_ number: Int, of stripe: Int) -> Bool {
        unsafe contents[number * stripes + stripe] == SymbolPlaces.source
    }

    /// No parity symbol has the number 0, since a stripe has at least one source symbol, nor 255 (`symbolNumbers`).
    private static let empty: UInt8 = 0
    private static let source: UInt8 = 255

    /// Takes one symbol whose payload is at `bytes`.
    @inline(__always)
    func put(
        stripe: Int, number: Int, _ bytes: UnsafeRawPointer, _ decoder: StripeDecoder
    ) -> Assembly.Outcome {
        guard stripe < stripes else { return .invalid }
        let index = number * stripes + stripe
        guard index < symbols, unsafe contents[index] == SymbolPlaces.empty else {
            return unsafe putElsewhere(stripe: stripe, number: number, bytes, decoder)
        }
        if let payload = unsafe payload {
            unsafe (payload + index * Specification.symbolBytes).copyMemory(
                from: bytes, byteCount: Specification.symbolBytes)
        }
        unsafe contents[index] = SymbolPlaces.source
        unsafe counters[3] = max(counters[3], UInt64(index))
        advance(stripe, decoder)
        return .taken
    }

    /// Takes `count` symbols that follow one another on the wire as `first` begins, as far as each is a source symbol that
    /// is missing, and returns how many that were.
    ///
    /// `bytes` has so many datagrams. The last stripe that is not whole is left alone: what completes the chunk needs more.
    @inline(__always)
    func putRun(_ bytes: UnsafeRawPointer, count: Int, first: SymbolStart) -> Int {
        var taken = 0
        var furthest = 0
        while taken < count, stripesLeft > 1 {
            let datagram = unsafe bytes + taken * Specification.datagramBytes
            let start = unsafe SymbolStart(datagram)
            guard start.follows(first, by: taken) else { break }
            let stripe = Int(start.stripe)
            let index = Int(start.symbol) * stripes + stripe
            guard stripe < stripes, index < symbols, unsafe contents[index] == SymbolPlaces.empty,
                unsafe parityCounts[stripe] == 0
            else { break }
            if let payload = unsafe payload {
                unsafe (payload + index * Specification.symbolBytes).copyMemory(
                    from: datagram + Specification.symbolHeaderBytes, byteCount: Specification.symbolBytes)
            }
            unsafe contents[index] = SymbolPlaces.source
            unsafe counts[stripe] += 1
            if unsafe Int(counts[stripe]) == sourceCount(of: stripe) { unsafe counters[0] -= 1 }
            furthest = max(furthest, index)
            taken += 1
        }
        unsafe counters[3] = max(counters[3], UInt64(furthest))
        return taken
    }

    /// A symbol that is there already, parity, or a source symbol whose place parity has taken.
    private func putElsewhere(
        stripe: Int, number: Int, _ bytes: UnsafeRawPointer, _ decoder: StripeDecoder
    ) -> Assembly.Outcome {
        let sources = sourceCount(of: stripe)
        guard number < StripeLayout.symbolNumbers else { return .invalid }
        let isParity = number >= sources
        // Parity comes behind all source symbols.
        if isParity { unsafe counters[3] = UInt64(symbols) }
        guard count(of: stripe) < sources else { return .repeated }
        let index = number * stripes + stripe
        let mark = isParity ? UInt8(number) : SymbolPlaces.source
        if isParity {
            for place in places(of: stripe) where unsafe contents[place] == mark { return .repeated }
        } else if unsafe contents[index] == SymbolPlaces.source {
            return .repeated
        }
        // The stripe lacks a symbol, so one of its places is empty.
        guard let free = places(of: stripe).first(where: { unsafe contents[$0] == SymbolPlaces.empty }) else {
            return .repeated
        }
        let place = isParity ? free : index
        if !isParity {
            unsafe contents[free] = contents[index]
            if let payload = unsafe payload {
                unsafe (payload + free * Specification.symbolBytes).copyMemory(
                    from: payload + index * Specification.symbolBytes, byteCount: Specification.symbolBytes)
            }
        } else {
            unsafe parityCounts[stripe] += 1
        }
        if let payload = unsafe payload {
            unsafe (payload + place * Specification.symbolBytes).copyMemory(
                from: bytes, byteCount: Specification.symbolBytes)
        }
        unsafe contents[place] = mark
        advance(stripe, decoder)
        return .taken
    }

    /// One symbol more of a stripe; the last one it needs makes it whole.
    @inline(__always)
    private func advance(_ stripe: Int, _ decoder: StripeDecoder) {
        unsafe counts[stripe] += 1
        guard unsafe Int(counts[stripe]) == sourceCount(of: stripe) else { return }
        unsafe counters[0] -= 1
        if unsafe parityCounts[stripe] > 0 { solve(stripe, decoder) }
    }

    private func solve(_ stripe: Int, _ decoder: StripeDecoder) {
        for (number, place) in places(of: stripe).enumerated()
        where unsafe contents[place] != SymbolPlaces.source {
            if unsafe payload != nil {
                unsafe decoder.add(missing: UInt8(number), parity: contents[place])
            }
            unsafe contents[place] = SymbolPlaces.source
        }
        guard let payload = unsafe payload else { return }
        let buffer = unsafe UnsafeMutableRawBufferPointer(
            start: payload, count: symbols * Specification.symbolBytes)
        unsafe decoder.decode(
            in: buffer,
            StripeShape(stripe: stripe, of: stripes, sourceCount: sourceCount(of: stripe)))
    }

    private func places(of stripe: Int) -> StrideTo<Int> {
        stride(from: stripe, to: symbols, by: stripes)
    }

    @inline(__always)
    private func sourceCount(of stripe: Int) -> Int {
        stripe < longer ? fewest + 1 : fewest
    }
}

/// The header of what may be a SYMBOL of known size, read without checks.
@safe struct SymbolStart {
    /// Version, type, stream and generation.
    private let first: UInt32
    let session: UInt64
    let sequence: UInt32
    /// Chunk, and length above it.
    let key: UInt64
    private let place: UInt32

    /// `bytes` has at least `Specification.symbolHeaderBytes`.
    @inline(__always)
    init(_ bytes: UnsafeRawPointer) {
        unsafe first = UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))
        unsafe session = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt64.self))
        unsafe sequence = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
        unsafe key = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
        unsafe place = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt32.self))
    }

    var isSymbol: Bool {
        first & 0xffff == UInt32(Specification.version) | UInt32(DatagramType.symbol.rawValue) << 8
    }
    var stream: UInt8 { UInt8(truncatingIfNeeded: first >> 16) }
    var generation: UInt8 { UInt8(truncatingIfNeeded: first >> 24) }
    var stripe: UInt16 { UInt16(truncatingIfNeeded: place) }
    var symbol: UInt16 { UInt16(truncatingIfNeeded: place >> 16) }

    /// Whether this is of the same chunk and stream and that many places after `other` in the sequence.
    @inline(__always)
    func follows(_ other: SymbolStart, by distance: Int) -> Bool {
        first == other.first && session == other.session && key == other.key
            && sequence == other.sequence &+ UInt32(truncatingIfNeeded: distance)
    }
}
