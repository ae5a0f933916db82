// The host's data plane: the sweep, repairs, beacons, frames on order, and chunks over TCP.
internal import Blocks

extension HostMachine {
    /// Writes the next train of the data plane at the buffer's beginning: at most `limit` datagrams of one size, which
    /// go out back to back on one stream.
    ///
    /// `buffer` must have room for `limit` times `Specification.datagramBytes`. Nil: nothing to send, or not yet.
    package mutating func nextTrain(into buffer: inout MutableRawSpan, limit: Int, now: UInt64) -> Train? {
        precondition(limit > 0 && buffer.byteCount >= limit * Specification.datagramBytes)
        guard session.state != .ended else { return nil }
        if session.state == .running {
            chooseChunk()
            if current == nil || sinceRepair >= Tuning.repairTurn - 1,
                let train = nextRepairs(into: &buffer, limit: limit, now: now)
            {
                return train
            }
            if let train = nextOfSweep(into: &buffer, limit: limit, now: now) { return train }
        }
        return nextBeacon(into: &buffer, now: now)
    }

    /// A beacon, if nothing else has gone out for a while; the streams take turns.
    private mutating func nextBeacon(into buffer: inout MutableRawSpan, now: UInt64) -> Train? {
        guard now >= nextBeacon, session.joined > 0 else { return nil }
        nextBeacon = now + Tuning.beaconInterval
        let stream = Int(session.beacons % UInt64(sequences.count))
        session.beacons += 1
        Beacon(
            stream: UInt8(stream), state: session.state, session: configuration.session,
            nextSequence: sequences[stream], cursor: cursor, sweeps: UInt32(clamping: session.sweeps),
            rate: pace.rate, joined: UInt16(clamping: session.joined),
            needed: UInt16(clamping: session.stillNeeded)
        ).write(to: &buffer, at: 0)
        return Train(count: 1, datagramBytes: Specification.beaconBytes, stream: stream)
    }

    /// Whether a SYMBOL could go out now if the rate allowed it.
    var hasDatagram: Bool {
        if current != nil { return true }
        return repairQueue.prefix(Tuning.readAhead).contains {
            repairs[$0]?.pendingCount ?? 0 > 0 && frames.has($0)
        }
    }

    /// The stream that carries a chunk: all its symbols keep their order.
    func stream(of chunk: UInt32) -> Int { Int(chunk) % sequences.count }

    // MARK: The sweep

    /// Finds the chunk to sweep next, if none is under way and its frame is there.
    private mutating func chooseChunk() {
        guard current == nil else { return }
        while let chunk = nextInSweep() {
            let passes = records[chunk]?.passes ?? 0
            if passes >= Tuning.passesBeforeControl && demand[chunk] < Specification.multicastDemand
                || passes >= Tuning.mostPasses
            {
                divert(chunk)
                continue
            }
            cursor = chunk
            session.cursor = chunk
            guard frames.has(chunk) else {
                order(chunk)
                return
            }
            begin(chunk)
            orderFrames()
            return
        }
    }

    private mutating func nextInSweep() -> UInt32? {
        chooseNearest()
        guard let chunk = next(from: cursor) else { return nil }
        if chunk < cursor { session.sweeps += 1 }
        cursor = chunk
        return chunk
    }

    /// The chunk the sweep comes to from a number on, going round.
    private func next(from number: UInt32) -> UInt32? {
        guard demand.unsent == 0 else { return demand.next(from: number) ?? demand.next(from: 0) }
        guard let nearest, seats[nearest].isCounted else { return nil }
        let chunks = seats[nearest].room > 0 ? seats[nearest].missing : seats[nearest].partial
        return chunks.next(from: number) ?? chunks.first
    }

    /// When everything has gone out once, whoever is nearest to its end comes first, of those with room for a chunk:
    /// nobody who lacks a little waits for those who lack much, and nothing goes out that nobody can take.
    private mutating func chooseNearest() {
        nearest = nil
        guard demand.live > 0, demand.unsent == 0 else { return }
        var fewest = Int.max
        for index in seats.indices
        where seats[index].isCounted && !seats[index].missing.isEmpty
            && (seats[index].room > 0 || !seats[index].partial.isEmpty)
        {
            let count = seats[index].missing.count
            if count < fewest { (nearest, fewest) = (index, count) }
        }
    }

    /// Few still need the chunk after several passes: it goes to them over TCP.
    private mutating func divert(_ chunk: UInt32) {
        for index in seats.indices where seats[index].isCounted && seats[index].missing.contains(chunk) {
            forget(chunk, of: index)
            seats[index].control.insert(chunk)
        }
        pumpControl()
    }

    /// The pass begins: it brings everything that has been asked for, and some parity.
    private mutating func begin(_ chunk: UInt32) {
        retire(chunk)
        guard let layout = frames.use(chunk)?.layout else { return }
        let sources = layout.sourceCount(of: 0)
        let used = records[chunk]?.parityUsed ?? 0
        let parity = min(
            proactive.count(sources: sources, participants: demand[chunk], isTail: isTail(layout)),
            StripeLayout.symbolNumbers - sources - used)
        current = Pass(chunk: chunk, layout: layout, parity: max(parity, 0), parityUsed: used)
    }

    /// Forgets the repairs of a chunk, but not which parity numbers they took.
    mutating func retire(_ chunk: UInt32) {
        guard let repair = repairs.removeValue(forKey: chunk) else { return }
        records[chunk]?.parityUsed = repair.parityUsed
    }

    /// Whether what is left to sweep goes out before participants report again.
    private func isTail(_ layout: StripeLayout) -> Bool {
        // The rate is only a limit; what really goes out is known when some has.
        let left = Double(demand.live) * Double(layout.paddedLength)
        return left < throughput * Double(reportInterval) / 1e9
    }

    private mutating func nextOfSweep(into buffer: inout MutableRawSpan, limit: Int, now: UInt64) -> Train? {
        guard var pass = current else { return nil }
        guard let entry = frames.use(pass.chunk), entry.layout == pass.layout else {
            current = nil
            return nil
        }
        let wanted = min(limit, pass.count - pass.next)
        let count = pace.take(wanted, atLeast: Tuning.trainDatagrams, now: now)
        guard count > 0 else { return nil }
        var writer = writer(of: pass.chunk, entry)
        var symbol = pass.symbol(at: pass.next)
        for position in 1...count {
            writer.write(stripe: symbol.stripe, number: symbol.number, into: &buffer, encoder)
            symbol = pass.symbol(after: symbol, at: pass.next + position)
        }
        let stream = note(writer, of: pass.chunk, count: count, now: now)
        pass.next += count
        current = pass
        sinceRepair += 1
        for credit in credits.indices where credits[credit] < Tuning.stragglerCredit * Tuning.stragglerTurn {
            credits[credit] += count
        }
        if pass.next == pass.count { finish(pass, now: now) }
        return Train(count: count, datagramBytes: Specification.datagramBytes, stream: stream)
    }

    /// The last symbol of a pass is out: whoever lacked the chunk should have it now.
    private mutating func finish(_ pass: Pass, now: UInt64) {
        let chunk = pass.chunk
        current = nil
        session.chunksSent += 1
        records[chunk]?.passes += 1
        records[chunk]?.parityUsed += pass.parity
        let last = sequences[stream(of: chunk)] &- 1
        records[chunk]?.lastPass = (last, now)
        for index in seats.indices where seats[index].isCounted && seats[index].missing.contains(chunk) {
            forget(chunk, of: index)
            seats[index].outstanding.insert(chunk)
            seats[index].room -= pass.layout.length
        }
        demand.markSent(chunk)
        // 2³²−1 is never a chunk's number here: the demand map is far smaller than that.
        cursor = chunk &+ 1
    }

    // MARK: Repairs

    private mutating func nextRepairs(into buffer: inout MutableRawSpan, limit: Int, now: UInt64) -> Train? {
        guard let chunk = readyRepair(), let entry = frames.use(chunk), var repair = repairs[chunk] else {
            return nil
        }
        let wanted = min(limit, repair.pendingCount)
        let count = pace.take(wanted, atLeast: Tuning.trainDatagrams, now: now)
        guard count > 0 else { return nil }
        // Moved out and back, so that it is not copied.
        repairs[chunk] = nil
        var writer = writer(of: chunk, entry)
        var written = 0
        while written < count, let symbol = repair.takeNext(sequence: writer.sequence) {
            writer.write(stripe: symbol.stripe, number: symbol.number, into: &buffer, encoder)
            written += 1
        }
        repair.lastUse = now
        repairs[chunk] = repair
        let stream = note(writer, of: chunk, count: written, now: now)
        session.repairDatagrams += UInt64(written)
        sinceRepair = 0
        return Train(count: written, datagramBytes: Specification.datagramBytes, stream: stream)
    }

    /// The first chunk in the queue that has repairs and whose frame is there; the others are ordered.
    private mutating func readyRepair() -> UInt32? {
        while let first = repairQueue.first, repairs[first]?.pendingCount ?? 0 == 0 {
            repairQueue.removeFirst()
        }
        for chunk in repairQueue.prefix(Tuning.readAhead) where repairs[chunk]?.pendingCount ?? 0 > 0 {
            if frames.has(chunk) { return chunk }
            order(chunk)
        }
        return nil
    }

    private func writer(of chunk: UInt32, _ entry: FrameStore.Entry) -> SymbolWriter {
        let stream = stream(of: chunk)
        return SymbolWriter(
            header: SymbolHeader(
                stream: UInt8(stream), generation: records[chunk]?.generation ?? 0,
                session: configuration.session, sequence: sequences[stream], chunk: chunk,
                length: UInt32(entry.layout.length), stripe: 0, symbol: 0),
            frame: entry.bytes, layout: entry.layout)
    }

    /// A train has been written; returns its stream.
    private mutating func note(_ writer: SymbolWriter, of chunk: UInt32, count: Int, now: UInt64) -> Int {
        let stream = stream(of: chunk)
        sequences[stream] = writer.sequence
        session.datagrams += UInt64(count)
        nextBeacon = now + Tuning.beaconInterval
        return stream
    }

    // MARK: Frames

    /// Answers `load`: the frame without a seal (reserve `HostMachine.sealReserve` bytes more and it is not copied).
    package mutating func frameLoaded(_ chunk: UInt32, _ frame: consuming [UInt8], now: UInt64) {
        guard session.state != .ended, frames.loading.contains(chunk) else { return }
        var sealed = frame
        do throws(DecodeError) {
            guard sealed.count <= configuration.maximumFrameBytes else {
                throw .invalid(
                    "the frame of chunk \(chunk) has \(sealed.count) bytes, the image's longest should have \(configuration.maximumFrameBytes)"
                )
            }
            let seal = try configuration.sessionKey.seal(
                sealed, chunk: chunk, session: configuration.session, image: configuration.image)
            let layout = StripeLayout(length: sealed.count + seal.count)
            let content = try headerHash(of: sealed)
            sealed.append(contentsOf: seal)
            sealed.append(contentsOf: repeatElement(0, count: layout.paddedLength - layout.length))
            remember(chunk, content, length: layout.length)
            frames.put(chunk, sealed, layout)
            session.frameBytes = frames.committedBytes
        } catch {
            frameFailed(chunk, reason: error.description, now: now)
            return
        }
        advance(now: now)
    }

    /// A frame cannot be had: the session cannot be completed, and everyone is told why.
    package mutating func frameFailed(_ chunk: UInt32, reason: String, now: UInt64) {
        frames.failed(chunk)
        stop(reason: "the host cannot read chunk \(chunk) of the image: \(reason)", now: now)
    }

    /// Notes what a chunk consists of; other bytes than before need a new generation.
    private mutating func remember(_ chunk: UInt32, _ content: UInt64, length: Int) {
        guard let record = records[chunk] else {
            chunkBytes += (length - chunkBytes) / (records.count + 1)
            records[chunk] = ChunkRecord(content: content, length: length)
            return
        }
        guard record.content != content else { return }
        records[chunk]?.content = content
        records[chunk]?.length = length
        records[chunk]?.generation &+= 1
        records[chunk]?.lastPass = nil
        records[chunk]?.parityUsed = 0
        demand.markUnsent(chunk)
        // Who has begun the older generation must get all of the new one.
        repairs[chunk] = nil
        for index in seats.indices where seats[index].outstanding.contains(chunk) {
            forget(chunk, of: index)
            want(chunk, of: index)
        }
    }

    /// Bytes behind a frame for its seal and the zeros that fill its last symbol.
    package static let sealReserve = Specification.sealBytes + Specification.symbolBytes

    private mutating func order(_ chunk: UInt32) {
        let kept = current?.chunk
        let cursor = self.cursor
        if frames.order(chunk, keep: { $0 == kept || $0 == cursor }) { emit(.load(chunk)) }
        session.frameBytes = frames.committedBytes
    }

    /// Orders the chunks the sweep comes to next.
    mutating func orderFrames() {
        guard session.state == .running else { return }
        var next = current.map { $0.chunk &+ 1 } ?? cursor
        for _ in 0..<min(configuration.readAhead, frames.capacity - 2) {
            guard let chunk = self.next(from: next) else { return }
            order(chunk)
            next = chunk &+ 1
        }
    }

    // MARK: Chunks over TCP

    /// Sends chunks to those that get them over TCP, a few at a time.
    mutating func pumpControl() {
        guard session.state == .running else { return }
        // Who was served last comes last.
        let start = controlTurn % max(seats.count, 1)
        for index in [start..<seats.count, 0..<start].joined()
        where !seats[index].control.isEmpty && !seats[index].isSilent {
            guard let connection = seats[index].connection, !seats[index].isStalled else { continue }
            while seats[index].inFlight.count < Specification.chunksInFlight,
                controlInFlight < Tuning.chunksInFlightTotal, let chunk = seats[index].control.first
            {
                guard let entry = frames.use(chunk) else {
                    order(chunk)
                    break
                }
                guard hasCredit(.control) else { return }
                charge(.control, entry.layout.symbols)
                controlTurn = index + 1
                seats[index].control.remove(chunk)
                if seats[index].inFlight.isEmpty { seats[index].hasMoved = true }
                seats[index].inFlight.insert(chunk)
                controlInFlight += 1
                session.chunksOverControl += 1
                session.bytesOverControl += UInt64(entry.sealed.count)
                snapshots[index].chunksOverControl += 1
                emit(.send(connection, ChunkMessage.encode(chunk: chunk, sealed: entry.sealed)))
            }
        }
    }

    /// What those the room does not wait for get: repairs, and chunks over TCP.
    enum Credit: Int { case repairs, control }

    /// Whether something may go to somebody the room does not wait for.
    ///
    /// As long as others lack chunks, only a small share of what goes out.
    func hasCredit(_ kind: Credit) -> Bool { !othersWait || credits[kind.rawValue] > 0 }

    mutating func charge(_ kind: Credit, _ datagrams: Int) {
        guard othersWait else { return }
        // The debt is bounded: it is paid off within seconds.
        let most = Tuning.stragglerCredit * Tuning.stragglerTurn
        credits[kind.rawValue] = max(credits[kind.rawValue] - datagrams * Tuning.stragglerTurn, -most)
    }
}

/// A hash of what tells one encoding of a chunk from another: the header has the content's SHA-256 and all lengths.
private func headerHash(of frame: [UInt8]) throws(DecodeError) -> UInt64 {
    let end = try frame.withBytes { (span) throws(DecodeError) in try FrameLayout(ofFrame: span).headerEnd }
    // The host's own frames need no cryptographic hash (FNV-1a).
    return frame[..<end].reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
