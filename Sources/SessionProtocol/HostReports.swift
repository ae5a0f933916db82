// What the host makes of reports: where each chunk of each participant stands, what to repair, how fast to go.
internal import Blocks

extension HostMachine {
    mutating func report(_ report: ReportMessage, of index: Int, now: UInt64) {
        guard seats[index].isOpen, seats[index].hasNeeded, session.state == .running else { return }
        note(report, of: index, now: now)
        for chunk in report.done.numbers {
            // A set may name four thousand million chunks in a few bytes; those the image has are few.
            guard configuration.existing.contains(chunk) else { break }
            forget(chunk, of: index)
        }
        snapshots[index].chunksDone = Int(report.chunksDone)
        listen(to: report, of: index, now: now)
        place(report, of: index, now: now)
        repair(report, of: index, now: now)
    }

    private mutating func note(_ report: ReportMessage, of index: Int, now: UInt64) {
        snapshots[index].writeRate = UInt64(report.writeRate) * KiB
        snapshots[index].decodeRate = UInt64(report.decodeRate) * KiB
        snapshots[index].freeBuffers = Int(report.freeBuffers)
        let longest = configuration.maximumFrameBytes + Specification.sealBytes
        seats[index].room = Int(report.freeBuffers) * longest
        snapshots[index].received += UInt64(report.received)
        snapshots[index].lostOnWire += UInt64(report.lostOnWire)
        snapshots[index].lostInSocket += UInt64(report.lostInSocket)
        snapshots[index].lostForWantOfBuffers += UInt64(report.lostForWantOfBuffers)
        guard !seats[index].missing.isEmpty || !seats[index].outstanding.isEmpty else { return }
        var backlog = 0
        // A stream of which nothing has been seen (2³²−1) may not arrive at all.
        for (stream, highest) in report.highest.enumerated() where stream < sequences.count && highest != .max
        {
            let behind = Int(Int32(bitPattern: sequences[stream] &- 1 &- highest))
            backlog += max(behind, 0) * Specification.datagramBytes
        }
        seats[index].flow.note(report, backlog: backlog, chunkBytes: chunkBytes, rate: pace.rate, now: now)
    }

    /// Tells participants that multicast reaches from those it does not (HostDeafness.swift says so).
    private mutating func listen(to report: ReportMessage, of index: Int, now: UInt64) {
        if report.hasHeard {
            seats[index].deafSince = nil
            defer { seats[index].deafnessTeller = .nobody }
            guard seats[index].isDeaf else { return }
            seats[index].isDeaf = false
            let back = seats[index].control.subtracting(seats[index].insisted)
            seats[index].control = seats[index].control.subtracting(back)
            seats[index].missing = seats[index].missing.union(back)
            count(index)
            if seats[index].deafnessTeller == .host { notice("multicast reaches \(label(index)) again") }
            return
        }
        let since = seats[index].deafSince ?? now
        seats[index].deafSince = since
        guard !seats[index].isDeaf, now >= since + Tuning.unseenPatience else { return }
        uncount(index)
        seats[index].isDeaf = true
        requeue(index)
        seats[index].control = seats[index].control.union(seats[index].missing)
        seats[index].missing = ChunkSet()
    }

    /// Moves each chunk to where the report says it is.
    private mutating func place(_ report: ReportMessage, of index: Int, now: UInt64) {
        // What the participant holds need not be sent, whoever sent it.
        for range in report.held.ranges {
            for number in range {
                let chunk = UInt32(truncatingIfNeeded: number)
                guard configuration.existing.contains(chunk) else { break }
                let isWanted = seats[index].missing.contains(chunk) || seats[index].inFlight.contains(chunk)
                guard isWanted || seats[index].control.contains(chunk), current?.chunk != chunk else {
                    continue
                }
                // What has never been sent cannot be held, whatever damaged symbol made it look so.
                let wasSent = records[chunk]?.lastPass != nil && !seats[index].insisted.contains(chunk)
                if seats[index].inFlight.contains(chunk) || wasSent {
                    forget(chunk, of: index)
                    seats[index].outstanding.insert(chunk)
                }
            }
        }
        let isDeaf = seats[index].isDeaf
        reclaim(index, report, now: now) { machine, chunk, record in
            guard let pass = record.lastPass else { return true }
            if now > pass.time + Tuning.unseenPatience { return true }
            guard let highest = machine.highest(for: chunk, in: report) else { return isDeaf }
            return !isLater(pass.sequence, than: highest)
        }
    }

    /// The highest sequence the report has seen of the stream a chunk goes by.
    private func highest(for chunk: UInt32, in report: ReportMessage) -> UInt32? {
        let stream = stream(of: chunk)
        return stream < report.highest.count ? report.highest[stream] : nil
    }

    /// Chunks that were sent and are not there must be sent again.
    private mutating func reclaim(
        _ index: Int, _ report: ReportMessage, now: UInt64,
        isPast: (borrowing HostMachine, UInt32, ChunkRecord) -> Bool
    ) {
        for chunk in seats[index].outstanding.subtracting(report.held).numbers {
            guard chunk < report.heldBelow || report.heldBelow == .max else { break }
            guard current?.chunk != chunk else { continue }
            if let record = records[chunk], !isPast(self, chunk, record) { continue }
            seats[index].outstanding.remove(chunk)
            want(chunk, of: index)
        }
    }

    private mutating func repair(_ report: ReportMessage, of index: Int, now: UInt64) {
        guard !report.highest.isEmpty else { return }
        let isStraggler = isStraggler(index)
        for gap in report.gaps
        where seats[index].outstanding.contains(gap.chunk) && gap.chunk != current?.chunk {
            guard let record = records[gap.chunk], record.generation == gap.generation,
                let pass = record.lastPass
            else {
                // It is putting together something that was never sent: all of the chunk, from the beginning.
                seats[index].outstanding.remove(gap.chunk)
                want(gap.chunk, of: index)
                continue
            }
            guard let highest = highest(for: gap.chunk, in: report), !isLater(pass.sequence, than: highest)
            else { continue }
            let layout = StripeLayout(length: record.length)
            let lacking = gap.stripes.reduce(0) { $0 + Int($1.lacking) }
            if lacking > layout.symbols / 2 {
                // It has caught only the end of the chunk, or somebody else's repairs: a sweep brings it.
                seats[index].outstanding.remove(gap.chunk)
                want(gap.chunk, of: index)
                seats[index].partial.insert(gap.chunk)
                continue
            }
            // The room does not pay for one that loses far more than the others: it waits for later sweeps.
            if gap.stripes.isEmpty || isStraggler && !hasCredit(.repairs) { continue }
            var repair =
                repairs.removeValue(forKey: gap.chunk)
                ?? ChunkRepair(layout: layout, parityUsed: record.parityUsed, now: now)
            let wasIdle = repair.pendingCount == 0
            let more = gap.stripes.reduce(0) { $0 + repair.ask($1, highest: highest) }
            if isStraggler { charge(.repairs, more) }
            repair.lastUse = now
            if wasIdle, repair.pendingCount > 0 { repairQueue.append(gap.chunk) }
            repairs[gap.chunk] = repair
        }
    }

    /// Whether a participant loses far more than the middle one of the room.
    private func isStraggler(_ index: Int) -> Bool {
        let flow = seats[index].flow
        return flow.wireLoss > 3 * usualLoss.wire + Tuning.stragglerLoss
            || flow.ownLoss > 3 * usualLoss.own + Tuning.stragglerLoss
    }

    /// Looks, ten times a second, whether chunks are going out to somebody who keeps up: only then must the others wait.
    mutating func lookWhoWaits(now: UInt64) {
        guard now >= nextLook else { return }
        nextLook = now + Tuning.rateInterval
        let swept = session.datagrams - session.repairDatagrams
        let isSweeping = swept != sweptAtLook
        sweptAtLook = swept
        othersWait =
            isSweeping
            && (demand.unsent > 0
                || seats.indices.contains {
                    seats[$0].isCounted && !seats[$0].missing.isEmpty && !isStraggler($0)
                })
    }

    mutating func decideRate(now: UInt64) {
        guard pace.isDue(now: now) else { return }
        // The first that report must not speak for all.
        let counted = seats.indices.filter { seats[$0].isCounted }
        let heard = counted.count { seats[$0].flow.hasSample }
        guard heard >= min(counted.count, Tuning.deciders) || pace.isOverdue(by: reportInterval * 2, now: now)
        else { return }
        var samples: [RateSample] = []
        var wire: [Double] = []
        var own: [Double] = []
        for index in counted {
            guard let sample = seats[index].flow.takeSample() else { continue }
            samples.append(sample)
            wire.append(seats[index].flow.wireLoss)
            own.append(seats[index].flow.ownLoss)
        }
        guard !samples.isEmpty else { return }
        if let last = lastCount, now > last.time {
            let bytes = (session.datagrams - last.datagrams) * UInt64(Specification.datagramBytes)
            throughput = Double(bytes) * 1e9 / Double(now - last.time)
        }
        lastCount = (session.datagrams, now)
        usualLoss = (lowerMedian(wire), lowerMedian(own))
        let steady = samples.filter { $0.wireLoss <= 3 * usualLoss.wire + Tuning.stragglerLoss }
        proactive.note(steady.reduce(0) { $0 + $1.wireLoss } / Double(max(steady.count, 1)))
        pace.decide(samples, sent: throughput, interval: reportInterval, now: now)
        session.rate = pace.rate
    }

    /// Sets the highest rate: what was asked for, and what the links of the room carry.
    ///
    /// The link of the slowest alone does not count where there are several; it finishes in later sweeps.
    mutating func limitRate() {
        let links = seats.indices.filter { seats[$0].isOpen && seats[$0].connection != nil }
            .map { seats[$0].identity.linkMegabits }.map { $0 > 0 ? UInt64($0) : .max }.sorted()
        let slow = links.isEmpty ? .max : links[links.count == 1 ? 0 : max(1, links.count / 10)]
        // A datagram of 1440 bytes takes 1538 on the wire; links of unknown speed are no limit.
        let link = slow == .max ? .max : slow * 125_000 / 1538 * UInt64(Specification.datagramBytes)
        pace.limit(to: min(configuration.rate, link))
        session.rate = pace.rate
    }

    // MARK: Where a chunk of a participant stands

    /// Puts a chunk back among those to be sent.
    mutating func want(_ chunk: UInt32, of index: Int) {
        if seats[index].isDeaf || seats[index].insisted.contains(chunk) {
            seats[index].control.insert(chunk)
        } else if !seats[index].missing.contains(chunk) {
            seats[index].missing.insert(chunk)
            if seats[index].isCounted { demand.add(chunk) }
        }
    }

    /// Takes a chunk out of wherever it stands.
    mutating func forget(_ chunk: UInt32, of index: Int) {
        if seats[index].missing.contains(chunk) {
            seats[index].missing.remove(chunk)
            if seats[index].isCounted { demand.remove(chunk) }
        }
        seats[index].partial.remove(chunk)
        seats[index].outstanding.remove(chunk)
        seats[index].control.remove(chunk)
        guard seats[index].inFlight.remove(chunk) != nil else { return }
        // It has come; should it be wrong, or find no buffer, the participant names it again.
        seats[index].insisted.remove(chunk)
        seats[index].hasMoved = true
        if seats[index].isStalled {
            seats[index].isStalled = false
            controlInFlight += seats[index].inFlight.count
        } else {
            controlInFlight -= 1
        }
    }

    /// Nothing is in flight to the participant any more.
    private mutating func land(_ index: Int) {
        if !seats[index].isStalled { controlInFlight -= seats[index].inFlight.count }
        seats[index].isStalled = false
        seats[index].inFlight = []
    }

    /// Whoever takes nothing must not keep the others from TCP.
    mutating func stall(_ index: Int, now: UInt64) {
        guard !seats[index].inFlight.isEmpty, !seats[index].isStalled else { return }
        if seats[index].hasMoved {
            seats[index].hasMoved = false
            seats[index].stillSince = now
        }
        guard now >= seats[index].stillSince + Tuning.stallPatience else { return }
        seats[index].isStalled = true
        controlInFlight -= seats[index].inFlight.count
        let stalled = seats.reduce(0) { $0 + ($1.isStalled ? $1.inFlight.count : 0) }
        guard stalled > Tuning.chunksStalledTotal, let connection = seats[index].connection else { return }
        drop(connection, reason: "took no chunk over TCP for 10 seconds", now: now)
    }

    /// Forgets everything a participant wants; it must not be counted.
    mutating func forgetWanted(_ index: Int) {
        land(index)
        seats[index].missing = ChunkSet()
        seats[index].partial = ChunkSet()
        seats[index].outstanding = ChunkSet()
        seats[index].control = ChunkSet()
    }

    /// Everything that was under way is to be sent again; the participant must not be counted.
    mutating func requeue(_ index: Int) {
        var all = seats[index].missing.union(seats[index].outstanding)
        all = all.union(ChunkSet(seats[index].inFlight)).union(seats[index].control)
        let control = seats[index].isDeaf ? all : ChunkSet(all.numbers.filter(seats[index].insisted.contains))
        seats[index].missing = all.subtracting(control)
        seats[index].control = control
        seats[index].outstanding = ChunkSet()
        land(index)
    }

    /// Lets the participant's missing chunks count, if it takes part.
    mutating func count(_ index: Int) {
        let seat = seats[index]
        guard session.state == .running, seat.isOpen, seat.hasNeeded, !seat.isSilent, !seat.isDeaf,
            seat.connection != nil, !seat.isCounted
        else { return }
        seats[index].isCounted = true
        for chunk in seat.missing.numbers { demand.add(chunk) }
    }

    /// Lets the participant's missing chunks no longer count.
    mutating func uncount(_ index: Int) {
        guard seats[index].isCounted else { return }
        seats[index].isCounted = false
        for chunk in seats[index].missing.numbers { demand.remove(chunk) }
    }
}
