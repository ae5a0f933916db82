// The participant's data plane: which datagrams are taken, and where their bytes go.
internal import Blocks

extension ParticipantMachine {
    /// Takes datagrams of a data port that came as one train: each of `segment` bytes, the last may be shorter.
    ///
    /// Only the host's own addresses are listened to. What a datagram says is believed only as far as it can do no
    /// harm: a wrong symbol costs a repair, because nothing is used before its seal and hash are right.
    package mutating func datagrams(_ bytes: RawSpan, segment: Int, from: Address, now: UInt64) {
        var offset = 0
        while offset < bytes.byteCount {
            let end = segment > 0 ? min(offset + segment, bytes.byteCount) : bytes.byteCount
            datagram(bytes.extracting(offset..<end), from: from, now: now)
            offset = end
        }
    }

    private mutating func datagram(_ bytes: RawSpan, from: Address, now: UInt64) {
        guard state == .inSession, let accepted, sources.contains(from) else {
            progress.foreignDatagrams += 1
            return
        }
        switch bytes.datagramType {
        case .symbol:
            guard let header = try? SymbolHeader(from: bytes), header.session == accepted.session,
                header.stream == 0, header.length <= accepted.maximumSealedBytes
            else { break }
            lastHeard = now
            hearing.lastHeard = now
            reporting.arrived(header.sequence)
            progress.symbolsReceived += 1
            take(header, bytes, now: now)
            return
        case .beacon:
            guard let beacon = try? Beacon(from: bytes), beacon.session == accepted.session,
                beacon.stream == 0
            else {
                break
            }
            lastHeard = now
            hearing.lastHeard = now
            reporting.beacon(next: beacon.nextSequence)
            return
        default: break
        }
        progress.foreignDatagrams += 1
    }

    /// The kernel's count of datagrams it dropped for want of room in the socket (SO_RXQ_OVFL), since its start.
    package mutating func socketDrops(_ total: UInt32, stream: Int) {
        let more = UInt64(total &- reporting.socketDrops)
        reporting.socketDrops = total
        reporting.inSocket += more
        progress.lostInSocket += more
    }

    private mutating func take(_ header: SymbolHeader, _ bytes: RawSpan, now: UInt64) {
        if let latest, latest.isOf(header) { return add(header, bytes, to: latest, now: now) }
        guard remaining.contains(header.chunk), !inPipeline.contains(header.chunk),
            !insisted.contains(header.chunk)
        else { return }
        if let assembly = assemblies[header.chunk] {
            if assembly.isOf(header) {
                latest = assembly
                return add(header, bytes, to: assembly, now: now)
            }
            // Another generation or length. One symbol may be damaged, forged or of an older generation; several
            // in a row are what the host sends now.
            assembly.contradictions += 1
            let symbols = StripeLayout(length: Int(header.length)).symbols
            guard assembly.contradictions >= min(Tuning.contradictions, symbols) else {
                progress.foreignDatagrams += 1
                return
            }
            discard(assembly)
            return begin(header, bytes, isBeginning: true, now: now)
        }
        begin(header, bytes, isBeginning: false, now: now)
    }

    private mutating func add(_ header: SymbolHeader, _ bytes: RawSpan, to assembly: Assembly, now: UInt64) {
        // Numbers from the source count on are parity, which this version does not use.
        guard let index = assembly.layout.index(stripe: header.stripe, symbol: header.symbol) else { return }
        assembly.lastArrival = now
        assembly.contradictions = 0
        guard assembly.put(index, bytes) else {
            progress.symbolsRepeated += 1
            return
        }
        if assembly.isWhole { deliver(assembly) }
    }

    /// Begins a chunk, if this is its beginning: one that has been passing by for a while waits for the next sweep.
    private mutating func begin(_ header: SymbolHeader, _ bytes: RawSpan, isBeginning: Bool, now: UInt64) {
        let layout = StripeLayout(length: Int(header.length))
        guard let index = layout.index(stripe: header.stripe, symbol: header.symbol) else { return }
        guard let buffer = index <= max(16, layout.symbols / 8) ? pool.take(length: layout.length) : nil
        else {
            // Passing by; counted as lost for want of a buffer only if that is why.
            if pool.room(for: layout.length) == 0 {
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
        latest = assembly
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
        guard let buffer = pool.take(length: message.sealed.count) else {
            declined.insert(chunk)
            return
        }
        message.sealed.withBytes { buffer.copy(from: $0, at: 0, count: $0.byteCount, to: 0) }
        progress.chunksOverControl += 1
        inPipeline.insert(chunk)
        broughtOverControl.insert(chunk)
        emit(
            .event(
                .frame(
                    ReceivedFrame(chunk: chunk, buffer: buffer, length: buffer.length, seals: accepted.seals))
            ))
    }

    private mutating func deliver(_ assembly: Assembly) {
        guard let accepted else { return }
        assemblies[assembly.chunk] = nil
        latest = nil
        inPipeline.insert(assembly.chunk)
        emit(
            .event(
                .frame(
                    ReceivedFrame(
                        chunk: assembly.chunk, buffer: assembly.buffer, length: assembly.layout.length,
                        seals: accepted.seals))))
    }

    private mutating func discard(_ assembly: Assembly) {
        assemblies[assembly.chunk] = nil
        if latest === assembly { latest = nil }
        pool.giveBack(assembly.buffer)
    }

    /// Another session has other seals: what has begun to come is of no use.
    mutating func forgetAssemblies() {
        for assembly in assemblies.values { pool.giveBack(assembly.buffer) }
        assemblies = [:]
        latest = nil
        reporting.forgetSequences()
    }
}
