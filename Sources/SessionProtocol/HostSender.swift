// The host's data plane: the sweep, repairs, beacons, frames on order, and chunks over TCP.
internal import Blocks

extension HostMachine {
    /// Writes the next train of the data plane at the buffer's beginning: at most `limit` datagrams of one size, which
    /// go out back to back on one stream.
    ///
    /// `buffer` must have room for `limit` times `Specification.datagramBytes`. Nil: nothing to send, or not yet.
    package mutating func nextTrain(into buffer: inout MutableRawSpan, limit: Int, now: UInt64) -> Train? {
        precondition(limit > 0 && buffer.byteCount >= limit * Specification.datagramBytes)
        var count = 0
        while count < limit {
            // A beacon is shorter than a symbol, so it goes alone.
            let bytes = nextDatagram(
                into: &buffer, at: count * Specification.datagramBytes, allowsBeacon: count == 0, now: now)
            guard let bytes else { break }
            count += 1
            if bytes != Specification.datagramBytes { return Train(count: 1, datagramBytes: bytes, stream: 0) }
        }
        return count > 0 ? Train(count: count, datagramBytes: Specification.datagramBytes, stream: 0) : nil
    }

    private mutating func nextDatagram(
        into buffer: inout MutableRawSpan, at offset: Int, allowsBeacon: Bool, now: UInt64
    ) -> Int? {
        guard session.state != .ended else { return nil }
        if session.state == .running {
            chooseChunk()
            let isRepairTurn = current == nil || sinceRepair >= Tuning.repairTurn - 1
            if let chunk = isRepairTurn ? readyRepair() : nil {
                guard pace.take(Specification.datagramBytes, now: now) else { return nil }
                writeRepair(of: chunk, into: &buffer, at: offset, now: now)
                return Specification.datagramBytes
            }
            if current != nil {
                guard pace.take(Specification.datagramBytes, now: now) else { return nil }
                if writeSweep(into: &buffer, at: offset, now: now) { return Specification.datagramBytes }
            }
        }
        guard allowsBeacon, now >= nextBeacon, session.joined > 0 else { return nil }
        nextBeacon = now + Tuning.beaconInterval
        session.beacons += 1
        Beacon(
            state: session.state, session: configuration.session, nextSequence: sequence, cursor: cursor,
            sweeps: UInt32(clamping: session.sweeps), rate: pace.rate,
            joined: UInt16(clamping: session.joined),
            needed: UInt16(clamping: session.stillNeeded)
        ).write(to: &buffer, at: offset)
        return Specification.beaconBytes
    }

    /// Whether a SYMBOL could go out now if the rate allowed it.
    var hasDatagram: Bool {
        if current != nil { return true }
        return repairQueue.prefix(Tuning.readAhead).contains { frames.has($0) }
    }

    // MARK: The sweep

    /// Finds the chunk to sweep next, if none is under way and its frame is there.
    private mutating func chooseChunk() {
        guard current == nil else { return }
        while let chunk = nextInSweep() {
            if records[chunk]?.passes ?? 0 >= Tuning.passesBeforeControl,
                demand[chunk] < Specification.multicastDemand
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
            current = (chunk, 0)
            // The pass brings everything that is asked for.
            repairs[chunk] = nil
            orderFrames()
            return
        }
    }

    private mutating func nextInSweep() -> UInt32? {
        if let chunk = demand.next(from: cursor) { return chunk }
        guard let chunk = demand.next(from: 0) else { return nil }
        session.sweeps += 1
        cursor = chunk
        return chunk
    }

    /// Few still need the chunk after several passes: it goes to them over TCP.
    private mutating func divert(_ chunk: UInt32) {
        for index in seats.indices where seats[index].isCounted && seats[index].missing.contains(chunk) {
            forget(chunk, of: index)
            seats[index].control.insert(chunk)
        }
        pumpControl()
    }

    private mutating func writeSweep(into buffer: inout MutableRawSpan, at offset: Int, now: UInt64) -> Bool {
        guard let (chunk, next) = current, let entry = frames.use(chunk) else {
            current = nil
            return false
        }
        write(chunk, entry, symbol: next, into: &buffer, at: offset, now: now)
        sinceRepair += 1
        if next + 1 < entry.layout.symbols {
            current = (chunk, next + 1)
            return true
        }
        current = nil
        session.chunksSent += 1
        records[chunk]?.passes += 1
        records[chunk]?.lastPass = (sequence &- 1, now)
        for index in seats.indices where seats[index].isCounted && seats[index].missing.contains(chunk) {
            forget(chunk, of: index)
            seats[index].outstanding.insert(chunk)
        }
        // 2³²−1 is never a chunk's number here: the demand map is far smaller than that.
        cursor = chunk &+ 1
        return true
    }

    // MARK: Repairs

    /// The first chunk in the queue that has repairs and whose frame is there; the others are ordered.
    private mutating func readyRepair() -> UInt32? {
        repairQueue.removeAll { repairs[$0]?.pendingCount ?? 0 == 0 }
        var ready: UInt32?
        for chunk in repairQueue.prefix(Tuning.readAhead) where ready == nil {
            if frames.has(chunk) { ready = chunk } else { order(chunk) }
        }
        return ready
    }

    private mutating func writeRepair(
        of chunk: UInt32, into buffer: inout MutableRawSpan, at offset: Int, now: UInt64
    ) {
        guard let entry = frames.use(chunk), let index = repairs[chunk]?.takeNext(sequence: sequence) else {
            return
        }
        repairs[chunk]?.lastUse = now
        write(chunk, entry, symbol: index, into: &buffer, at: offset, now: now)
        session.repairDatagrams += 1
        sinceRepair = 0
    }

    private mutating func write(
        _ chunk: UInt32, _ entry: FrameStore.Entry, symbol index: Int, into buffer: inout MutableRawSpan,
        at offset: Int, now: UInt64
    ) {
        let place = entry.layout.place(of: index)
        SymbolHeader(
            generation: records[chunk]?.generation ?? 0, session: configuration.session, sequence: sequence,
            chunk: chunk, length: UInt32(entry.bytes.count), stripe: place.stripe, symbol: place.symbol
        ).write(to: &buffer, at: offset)
        let range = entry.layout.range(of: index)
        let start = offset + Specification.symbolHeaderBytes
        unsafe buffer.withUnsafeMutableBytes { target in
            unsafe entry.bytes.withUnsafeBytes { source in
                unsafe target[start..<start + range.count].copyBytes(from: source[range])
            }
            for byte in start + range.count..<start + Specification.symbolBytes { unsafe target[byte] = 0 }
        }
        sequence &+= 1
        session.datagrams += 1
        nextBeacon = now + Tuning.beaconInterval
    }

    // MARK: Frames

    /// Answers `load`: the frame without a seal (reserve 64 bytes more and it is not copied).
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
            let content = contentHash(of: sealed)
            sealed.append(contentsOf: seal)
            remember(chunk, content, length: sealed.count)
        } catch {
            frameFailed(chunk, reason: error.description, now: now)
            return
        }
        frames.put(chunk, sealed)
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
            records[chunk] = ChunkRecord(content: content, length: length)
            return
        }
        guard record.content != content else { return }
        records[chunk]?.content = content
        records[chunk]?.length = length
        records[chunk]?.generation &+= 1
        records[chunk]?.lastPass = nil
        // Who has begun the older generation must get all of the new one.
        repairs[chunk] = nil
        for index in seats.indices where seats[index].outstanding.contains(chunk) {
            forget(chunk, of: index)
            want(chunk, of: index)
        }
    }

    private mutating func order(_ chunk: UInt32) {
        let kept = current?.chunk
        let cursor = self.cursor
        if frames.order(chunk, keep: { $0 == kept || $0 == cursor }) { emit(.load(chunk)) }
    }

    /// Orders the chunks the sweep comes to next.
    mutating func orderFrames() {
        guard session.state == .running else { return }
        var next = current.map { $0.chunk &+ 1 } ?? cursor
        for _ in 0..<Tuning.readAhead {
            guard let chunk = demand.next(from: next) ?? demand.next(from: 0) else { return }
            order(chunk)
            next = chunk &+ 1
        }
    }

    // MARK: Chunks over TCP

    /// Sends chunks to those that get them over TCP, a few at a time.
    mutating func pumpControl() {
        guard session.state == .running else { return }
        for index in seats.indices where !seats[index].control.isEmpty && !seats[index].isSilent {
            guard let connection = seats[index].connection, !seats[index].isStalled else { continue }
            while seats[index].inFlight.count < Specification.chunksInFlight,
                controlInFlight < Tuning.chunksInFlightTotal, let chunk = seats[index].control.first
            {
                guard let entry = frames.use(chunk) else {
                    order(chunk)
                    break
                }
                seats[index].control.remove(chunk)
                if seats[index].inFlight.isEmpty { seats[index].hasMoved = true }
                seats[index].inFlight.insert(chunk)
                controlInFlight += 1
                session.chunksOverControl += 1
                snapshots[index].chunksOverControl += 1
                emit(.send(connection, ChunkMessage.encode(chunk: chunk, sealed: entry.bytes)))
            }
        }
    }
}

/// A hash that tells one encoding of a chunk from another; the host's own frames need no cryptographic one.
private func contentHash(of bytes: [UInt8]) -> UInt64 {
    unsafe bytes.withUnsafeBytes { buffer in
        var hash = UInt64(buffer.count)
        var offset = 0
        while offset + 8 <= buffer.count {
            let word = unsafe buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            hash = (hash ^ word) &* 0x9e37_79b9_7f4a_7c15
            hash ^= hash >> 29
            offset += 8
        }
        while offset < buffer.count {
            hash = unsafe (hash ^ UInt64(buffer[offset])) &* 0x9e37_79b9_7f4a_7c15
            offset += 1
        }
        return hash
    }
}
