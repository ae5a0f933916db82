// The participant's data plane: which datagrams are taken, and where their bytes go.
internal import Blocks
internal import FEC

/// What a datagram is held against; plain numbers, so that looking at them costs no reference counting.
struct Expected {
    let session: UInt64
    let maximumSealedBytes: Int
}

extension ParticipantMachine {
    /// Takes datagrams of a data port that came as one train: each of `segment` bytes, the last may be shorter.
    ///
    /// Only the host's own addresses are listened to. What a datagram says is believed only as far as it can do no
    /// harm: a wrong symbol costs a repair, because nothing is used before its seal and hash are right.
    package mutating func datagrams(_ bytes: RawSpan, segment: Int, from: Address, now: UInt64) {
        let step = segment > 0 ? segment : max(bytes.byteCount, 1)
        guard state == .inSession, let expected, sources.contains(from) else {
            progress.foreignDatagrams += UInt64((bytes.byteCount + step - 1) / step)
            return
        }
        unsafe bytes.withUnsafeBytes { raw in
            guard let base = raw.baseAddress else { return }
            var offset = 0
            while offset < raw.count {
                let length = min(step, raw.count - offset)
                if length == Specification.datagramBytes {
                    let count = unsafe takeRun(
                        base + offset, count: (raw.count - offset) / length, expected, now: now)
                    offset += count * length
                    if count > 0 { continue }
                }
                unsafe datagram(
                    UnsafeRawBufferPointer(start: base + offset, count: length).bytes, expected, now: now)
                offset += length
            }
        }
    }

    /// Takes what comes on a good network: symbols of one chunk in order, none of them there, none of them its last.
    ///
    /// Returns how many of the `count` datagrams at `bytes` these were; the first that is anything else ends it.
    @inline(__always)
    private mutating func takeRun(
        _ bytes: UnsafeRawPointer, count: Int, _ expected: Expected, now: UInt64
    ) -> Int {
        guard let places = latestPlaces else { return 0 }
        let first = unsafe SymbolStart(bytes)
        guard first.isSymbol, first.session == expected.session, first.key == places.key,
            first.generation == places.generation, first.stream < reporting.streamCount
        else { return 0 }
        let taken = unsafe places.putRun(bytes, count: count, first: first)
        guard taken > 0 else { return 0 }
        places.noteArrival(now)
        lastHeard = now
        hearing.lastHeard = now
        reporting.arrived(first.sequence, count: taken, stream: Int(first.stream))
        progress.symbolsReceived += UInt64(taken)
        return taken
    }

    private mutating func datagram(_ bytes: RawSpan, _ expected: Expected, now: UInt64) {
        switch bytes.datagramType {
        case .symbol:
            guard let header = try? SymbolHeader(from: bytes), header.session == expected.session,
                Int(header.stream) < reporting.streamCount, Int(header.length) <= expected.maximumSealedBytes
            else { break }
            lastHeard = now
            hearing.lastHeard = now
            reporting.arrived(header.sequence, count: 1, stream: Int(header.stream))
            progress.symbolsReceived += 1
            take(header, bytes, now: now)
            return
        case .beacon:
            guard let beacon = try? Beacon(from: bytes), beacon.session == expected.session,
                Int(beacon.stream) < reporting.streamCount
            else { break }
            lastHeard = now
            hearing.lastHeard = now
            reporting.beacon(next: beacon.nextSequence, stream: Int(beacon.stream))
            return
        default: break
        }
        progress.foreignDatagrams += 1
    }

    /// The kernel's count of datagrams it dropped for want of room in a stream's socket (SO_RXQ_OVFL), since its start.
    package mutating func socketDrops(_ total: UInt32, stream: Int) {
        progress.lostInSocket += reporting.socketDrops(total, stream: stream)
    }

    private mutating func take(_ header: SymbolHeader, _ bytes: RawSpan, now: UInt64) {
        if let latest, latest.isOf(header) { return add(header, bytes, to: latest, now: now) }
        guard remaining.contains(header.chunk), !inPipeline.contains(header.chunk),
            !insisted.contains(header.chunk)
        else { return }
        if let assembly = assemblies[header.chunk] {
            if assembly.isOf(header) {
                look(at: assembly)
                return add(header, bytes, to: assembly, now: now)
            }
            // Another generation or length. One symbol may be damaged, forged or of an older generation; several
            // in a row are what the host sends now.
            assembly.places.noteContradiction()
            let symbols = StripeLayout(length: Int(header.length)).symbols
            guard assembly.places.contradictions >= min(Tuning.contradictions, symbols) else {
                progress.foreignDatagrams += 1
                return
            }
            discard(assembly)
            return begin(header, bytes, now: now)
        }
        begin(header, bytes, now: now)
    }

    private mutating func add(_ header: SymbolHeader, _ bytes: RawSpan, to assembly: Assembly, now: UInt64) {
        let outcome = unsafe bytes.withUnsafeBytes { raw in
            guard let base = raw.baseAddress, raw.count == Specification.datagramBytes else {
                return Assembly.Outcome.invalid
            }
            return unsafe assembly.places.put(
                stripe: Int(header.stripe), number: Int(header.symbol),
                base + Specification.symbolHeaderBytes, decoder)
        }
        guard outcome != .invalid else { return }
        assembly.places.noteArrival(now)
        if outcome == .repeated { progress.symbolsRepeated += 1 }
        if assembly.isWhole { deliver(assembly) }
    }

    /// Begins a chunk, if this is its beginning: one that has been passing by for a while waits for the next sweep.
    private mutating func begin(_ header: SymbolHeader, _ bytes: RawSpan, now: UInt64) {
        let layout = StripeLayout(length: Int(header.length))
        guard let index = layout.index(stripe: header.stripe, symbol: header.symbol) else { return }
        let latest = max(layout.symbols / 8, min(16, layout.symbols / 4))
        guard let buffer = index <= latest ? pool.take(length: layout.length) : nil
        else {
            // Passing by; counted as lost for want of a buffer only if that is why.
            if pool.room(for: layout.paddedLength) == 0 {
                reporting.withoutBuffer += 1
                progress.lostForWantOfBuffers += 1
            }
            return
        }
        assembliesBegun += 1
        let assembly = Assembly(
            chunk: header.chunk, generation: header.generation, buffer: buffer, length: layout.length,
            order: assembliesBegun, now: now)
        assemblies[header.chunk] = assembly
        look(at: assembly)
        reporting.newest = assembliesBegun
        add(header, bytes, to: assembly, now: now)
    }

    /// Takes a chunk that came over TCP.
    mutating func takeFromControl(_ message: ChunkMessage, now: UInt64) {
        let chunk = message.chunk
        guard let accepted, remaining.contains(chunk), !message.sealed.isEmpty,
            message.sealed.count <= accepted.maximumSealedBytes
        else { return }
        guard !inPipeline.contains(chunk) else {
            broughtOverControl.insert(chunk)
            return
        }
        if let assembly = assemblies[chunk] { discard(assembly) }
        var buffer = pool.take(length: message.sealed.count)
        // A whole chunk is worth more than a part of one: otherwise parts that nobody completes could fill the memory.
        while buffer == nil, let least = assemblies.values.max(by: { $0.missingShare < $1.missingShare }) {
            discard(least)
            buffer = pool.take(length: message.sealed.count)
        }
        guard let buffer else {
            declined.insert(chunk)
            return
        }
        message.sealed.withBytes { buffer.copy(from: $0, at: 0, count: $0.byteCount, to: 0) }
        progress.chunksOverControl += 1
        progress.bytesOverControl += UInt64(message.sealed.count)
        broughtOverControl.insert(chunk)
        hand(over: chunk, buffer, accepted)
    }

    private mutating func deliver(_ assembly: Assembly) {
        guard let accepted else { return }
        assemblies[assembly.chunk] = nil
        if latest === assembly { look(at: nil) }
        hand(over: assembly.chunk, assembly.buffer, accepted)
    }

    /// Gives a whole frame to the pipeline.
    private mutating func hand(over chunk: UInt32, _ buffer: ReassemblyBuffer, _ accepted: AcceptedSession) {
        inPipeline.insert(chunk)
        let frame = ReceivedFrame(
            chunk: chunk, buffer: buffer, length: buffer.length, seals: accepted.seals)
        emit(.event(.frame(frame)))
    }

    private mutating func discard(_ assembly: Assembly) {
        assemblies[assembly.chunk] = nil
        if latest === assembly { look(at: nil) }
        pool.giveBack(assembly.buffer)
    }

    /// Nothing that has begun to come is of use any more.
    mutating func discardAssemblies() {
        for assembly in assemblies.values { pool.giveBack(assembly.buffer) }
        assemblies = [:]
        look(at: nil)
    }

    /// Another session has other seals: what has begun to come is of no use.
    mutating func forgetAssemblies() {
        discardAssemblies()
        reporting.forgetSequences()
    }

    /// The chunk whose symbols are expected next.
    private mutating func look(at assembly: Assembly?) {
        latest = assembly
        latestPlaces = assembly?.places
    }
}
