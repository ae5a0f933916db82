// How participants join, come back, start, finish and get lost on the host's side.
internal import Blocks

extension HostMachine {
    mutating func handle(_ message: ControlMessage, on connection: ConnectionID, now: UInt64) {
        guard let state = connections[connection] else { return }
        guard let index = state.seat else {
            guard case .join(let join) = message else {
                drop(connection, reason: "spoke before it joined", now: now)
                return
            }
            self.join(join, on: connection, from: state.peer, now: now)
            return
        }
        seats[index].lastHeard = now
        if seats[index].isSilent { speakAgain(index) }
        switch message {
        case .need(let need): self.need(need, of: index, now: now)
        case .report(let report): self.report(report, of: index, now: now)
        case .notice(let notice):
            guard notice.level != .state else { break }
            self.notice("\(label(index)): \(notice.text)")
            seats[index].deafnessTeller = .participant
        case .done(let done):
            // A word alone is not believed: somebody who has not said what it needs, or has less, is not done.
            guard session.state == .running, seats[index].hasNeeded,
                done.chunks >= UInt64(snapshots[index].chunksNeeded),
                done.chunks <= UInt64(configuration.existing.count)
            else {
                let asked = seats[index].hasNeeded ? "\(snapshots[index].chunksNeeded) asked for" : "no NEED"
                drop(connection, reason: "said DONE with \(done.chunks) chunks, \(asked)", now: now)
                return
            }
            snapshots[index].chunksDone = snapshots[index].chunksNeeded
            let more = done.text.isEmpty ? "" : "; \(done.text)"
            conclude(index, .finished, result: "done, \(done.bytes.asBytes) written\(more)", now: now)
            send(.end(EndMessage(outcome: .finished, text: "")), to: index)
            close(index)
        case .abort(let abort):
            conclude(index, .failed, result: abort.reason, now: now)
            // Whoever leaves before the start was never part of it.
            if session.state == .registering { seats[index].isSuperseded = true }
            close(index)
        case .chunk: drop(connection, reason: "sent a chunk that nobody asked for", now: now)
        case .join, .accept, .refuse, .start, .end:
            drop(connection, reason: "sent a message that is not its to send", now: now)
        }
    }

    private mutating func join(
        _ join: JoinMessage, on connection: ConnectionID, from peer: Endpoint, now: UInt64
    ) {
        func refuse(_ code: RefuseMessage.Code, _ reason: String) {
            emit(.send(connection, RefuseMessage(code: code.rawValue, reason: reason).encode()))
            emit(.close(connection))
            connections[connection] = nil
            emit(.event(.refused(peer, reason)))
        }
        let name = configuration.name
        guard join.lowestVersion <= Specification.version, join.highestVersion >= Specification.lowestVersion
        else {
            let theirs = "\(join.lowestVersion) to \(join.highestVersion)"
            let ours = "\(Specification.lowestVersion) to \(Specification.version)"
            return refuse(.version, "the participant speaks versions \(theirs), this host \(ours)")
        }
        guard join.session == name else {
            return refuse(.name, "this host's session is \(name), not \(join.session.onScreen)")
        }
        if let image = join.knownImage, image != configuration.image {
            return refuse(.image, "the session \(name) now has another image")
        }
        let index: Int
        if let known = seats.firstIndex(where: { $0.participant == join.participant }) {
            guard seats[known].isOpen else {
                return refuse(.ended, "the participant has already left the session")
            }
            if let old = seats[known].connection {
                connections[old] = nil
                emit(.close(old))
            }
            index = known
        } else {
            guard let free = freeSeat(for: join.identity) else {
                return refuse(.full, "the session \(name) is full")
            }
            index = free
            supersede(join.identity, now: now)
            let seat = Seat(
                participant: join.participant, identity: join.identity, slot: UInt16(index), lastHeard: now)
            let snapshot = ParticipantSnapshot(
                name: join.identity.name, endpoint: peer, serial: join.identity.serial,
                mac: join.identity.mac,
                disks: join.identity.disks, linkMegabits: join.identity.linkMegabits, state: .joined,
                chunksNeeded: 0, chunksDone: 0)
            if index == seats.count {
                seats.append(seat)
                snapshots.append(snapshot)
            } else {
                forgetWanted(index)
                seats[index] = seat
                snapshots[index] = snapshot
            }
        }
        uncount(index)
        seats[index].connection = connection
        seats[index].hasNeeded = false
        seats[index].lastHeard = now
        seats[index].isSilent = false
        seats[index].isDeaf = false
        // Beacons go out from here on: a first report that has heard of none may come long after that.
        seats[index].deafSince = now
        seats[index].deafnessTeller = .nobody
        forgetWanted(index)
        connections[connection]?.seat = index
        connections[connection]?.framer.longestBody = MessageType.need.maximumBodyBytes
        snapshots[index].endpoint = peer
        snapshots[index].state = session.state == .running ? .receiving : .joined
        emit(.send(connection, acceptance(join.nonce, slot: seats[index].slot)))
        lastJoin = now
        countJoined()
        sendSentences(to: index)
        if session.state == .running { sendStart(to: index) }
        emit(.event(.joined(index)))
    }

    /// The index of a seat for somebody new; nil: the session is full.
    ///
    /// Whoever left before the start was never part of it. Its seat, which shows why it left, goes to the same machine when
    /// that tries again; to others only when there is no other: joining and leaving must not fill the session.
    private func freeSeat(for identity: ParticipantIdentity) -> Int? {
        if session.state == .registering {
            let own = seats.firstIndex {
                $0.connection == nil && $0.identity.isSameMachine(as: identity)
            }
            if let own { return own }
            if seats.count >= configuration.maximumParticipants {
                return seats.firstIndex { !$0.isOpen } ?? seats.firstIndex { $0.connection == nil }
            }
        }
        guard seats.count(where: \.isOpen) < configuration.maximumParticipants,
            seats.count < min(4 * configuration.maximumParticipants, Int(UInt16.max))
        else { return nil }
        return seats.count
    }

    private func acceptance(_ nonce: [UInt8], slot: UInt16) -> [UInt8] {
        AcceptMessage(
            nonce: nonce, streams: UInt8(configuration.streams), slot: slot,
            maximumSealedBytes: UInt32(configuration.maximumFrameBytes + Specification.sealBytes),
            session: configuration.session, image: configuration.image, hostKey: hostKey,
            sessionKey: sessionKey,
            dataPort: configuration.dataPort, group: configuration.group, addresses: configuration.addresses,
            manifest: configuration.manifest, existing: configuration.existing
        ).encode(signedBy: configuration.hostKey)
    }

    /// A machine that failed or went away and joins anew is judged by its new run.
    private mutating func supersede(_ identity: ParticipantIdentity, now: UInt64) {
        for index in seats.indices
        where (seats[index].connection == nil || seats[index].isSilent) && !seats[index].isSuperseded
            && seats[index].identity.isSameMachine(as: identity) && snapshots[index].state != .finished
        {
            if seats[index].isOpen {
                conclude(index, .lost, result: "started again", isTold: false, now: now)
            }
            // Of a machine that was switched off the old connection may seem to stand for minutes.
            close(index)
            seats[index].isSuperseded = true
        }
    }

    /// Counts who is there, and sets the time of the start from it.
    mutating func countJoined() {
        // Before the start, who is silent is not there: a room does not begin with a machine that was switched off.
        session.joined = seats.indices.count {
            seats[$0].isOpen && seats[$0].connection != nil
                && (session.state == .running || !seats[$0].isSilent)
        }
        scheduleReports()
        if session.state == .running { limitRate() }
        guard session.state == .registering else { return }
        let lapse = session.joined > 0 ? configuration.registrationTimeout.map { lastJoin + $0 } : nil
        session.startsAt = [lapse, configuration.startTime].compactMap(\.self).min()
    }

    /// Starts the session once one of its conditions holds, with at least one participant.
    mutating func startIfDue(now: UInt64) {
        let isFull = session.needed > 0 && session.joined >= session.needed
        guard session.joined > 0, isFull || session.startsAt.map({ now >= $0 }) ?? false else {
            dueSince = nil
            return
        }
        let since = dueSince ?? now
        dueSince = since
        // Whoever is still planning would miss the first chunks; nobody waits for it longer than that.
        let isReady = seats.allSatisfy {
            !$0.isOpen || $0.connection == nil || $0.isSilent || $0.hasNeeded
        }
        if isReady || now >= since + Tuning.needPatience { start(now: now) }
    }

    mutating func start(now: UInt64) {
        session.state = .running
        session.startsAt = nil
        session.sweeps = 1
        limitRate()
        pace.begin(now: now)
        lastFinish = now
        nextBeacon = now + Tuning.beaconInterval
        for index in seats.indices where seats[index].isOpen && seats[index].connection != nil {
            snapshots[index].state = .receiving
            seats[index].flow.begin(now: now)
            sendStart(to: index)
            count(index)
        }
        // Whoever left before the start was never part of it.
        for index in seats.indices where seats[index].isOpen && seats[index].connection == nil {
            conclude(index, .lost, result: "left before the start", now: now)
            seats[index].isSuperseded = true
        }
        emit(.event(.started))
        orderFrames()
    }

    private mutating func sendStart(to index: Int) {
        let start = StartMessage(
            participants: UInt16(clamping: session.joined),
            reportInterval: UInt16(reportInterval / millisecond), sequence: sequences[0])
        send(.start(start), to: index)
    }

    /// Adjusts how often participants report to their number: about a thousand reports a second in all.
    ///
    /// When the room has grown, everyone is told; when it shrinks, latecomers alone.
    private mutating func scheduleReports() {
        let milliseconds = min(
            max(UInt64(session.joined) * millisecond, Specification.shortestReportInterval),
            Specification.longestReportInterval)
        let hasGrown = milliseconds > reportInterval + reportInterval / 8
        if session.state != .running || hasGrown || milliseconds < reportInterval / 2 {
            reportInterval = milliseconds
        }
        guard session.state == .running, hasGrown else { return }
        for index in seats.indices where seats[index].isOpen && seats[index].connection != nil {
            sendStart(to: index)
        }
    }

    private mutating func need(_ need: NeedMessage, of index: Int, now: UInt64) {
        // Chunks the image does not have are the participant's mistake, not a reason to look for them.
        guard need.chunks.isSubset(of: configuration.existing) else {
            if let connection = seats[index].connection {
                drop(connection, reason: "asked for chunks that the image does not have", now: now)
            }
            return
        }
        guard seats[index].isOpen else { return }
        switch need.mode {
        case .all:
            uncount(index)
            forgetWanted(index)
            seats[index].hasNeeded = true
            seats[index].missing = need.chunks
            snapshots[index].chunksNeeded = max(snapshots[index].chunksNeeded, need.chunks.count)
            count(index)
        case .overControl:
            for chunk in need.chunks.numbers {
                seats[index].insisted.insert(chunk)
                forget(chunk, of: index)
                seats[index].control.insert(chunk)
            }
        }
    }

    /// The seat's part in the session is over; `isTold` unless something else says so on the screen.
    mutating func conclude(
        _ index: Int, _ state: ParticipantState, result: String, isTold: Bool = true, now: UInt64
    ) {
        guard seats[index].isOpen else { return }
        uncount(index)
        forgetWanted(index)
        seats[index].isOpen = false
        snapshots[index].state = state
        snapshots[index].result = result
        if state != .lost { lastFinish = now }
        if isTold { emit(.event(state == .finished ? .finished(index) : .aborted(index, result))) }
        countJoined()
    }

    private mutating func close(_ index: Int) {
        guard let connection = seats[index].connection else { return }
        seats[index].connection = nil
        connections[connection] = nil
        emit(.close(connection))
        countJoined()
    }

    mutating func lostConnection(of index: Int, reason: String, now: UInt64) {
        seats[index].connection = nil
        guard seats[index].isOpen else { return }
        fallSilent(index, reason: "is gone: \(reason)")
        countJoined()
    }

    /// Nobody waits for it any more; it may come back.
    mutating func fallSilent(_ index: Int, reason: String) {
        guard seats[index].isOpen, !seats[index].isSilent else { return }
        seats[index].isSilent = true
        uncount(index)
        requeue(index)
        snapshots[index].state = .silent
        emit(.event(.silent(index)))
        notice("\(label(index)) \(reason)")
        if session.state == .registering { countJoined() }
    }

    private mutating func speakAgain(_ index: Int) {
        seats[index].isSilent = false
        snapshots[index].state = session.state == .running ? .receiving : .joined
        count(index)
        if session.state == .registering { countJoined() }
    }

    /// Ends the session when everyone is through, or only silent ones are left and the time for them has passed.
    mutating func endIfDue(now: UInt64) {
        // Nearly always somebody is at work.
        guard !seats.contains(where: { $0.isOpen && !$0.isSilent }) else { return }
        let open = seats.indices.filter { seats[$0].isOpen }
        if open.isEmpty {
            end(text: outcome(orElse: "everyone is through"))
            return
        }
        guard open.allSatisfy({ seats[$0].isSilent }) else { return }
        let lastSign = open.reduce(lastFinish) { max($0, seats[$1].lastHeard) }
        guard now >= lastSign + configuration.linger else { return }
        for index in open { conclude(index, .lost, result: "lost: silent until the session's end", now: now) }
        end(text: outcome(orElse: "not everyone came back"))
    }

    /// How many of those that count failed, and who and why; `text` if nobody did.
    private func outcome(orElse text: String) -> String {
        let counted = seats.indices.filter { !seats[$0].isSuperseded }
        let failed = counted.filter { snapshots[$0].state != .finished }
        guard !failed.isEmpty else { return text }
        var parts = failed.prefix(8).map { index in
            "\(snapshots[index].name): \(snapshots[index].result ?? snapshots[index].state.rawValue)"
        }
        if failed.count > parts.count { parts.append("and \(failed.count - parts.count) more") }
        return "\(failed.count) of \(counted.count) failed: \(parts.joined(separator: "; "))"
    }
}
