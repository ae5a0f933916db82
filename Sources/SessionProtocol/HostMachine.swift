// The host's side of a session as a state machine: time, messages and frames in; messages and datagrams out.
internal import Blocks
internal import FEC

/// The host of one session: sans-I/O, driven by one thread.
///
/// After every input take all `nextOutput()`, then all `nextTrain`, and come back at `deadline` at the latest.
/// Registration and reports are in HostRegistration.swift and HostReports.swift, the data plane in HostSender.swift.
package struct HostMachine: ~Copyable {
    /// What a screen shows of the session.
    package internal(set) var session = SessionSnapshot()
    /// Everyone who was let in, in the order of joining; indices stay.
    package internal(set) var snapshots: [ParticipantSnapshot] = []
    /// The host this one has given way to (HostRivals.swift).
    package internal(set) var otherHost: FoundHost?

    private(set) var configuration: HostConfiguration
    let hostKey: PublicKey
    let sessionKey: PublicKey
    private var outputs: [HostOutput] = []
    private var outputsTaken = 0

    // Participants.
    var seats: [Seat] = []
    var connections: [ConnectionID: HostConnection] = [:]
    var lastJoin: UInt64
    /// Since when the session may start; the start then waits for what the participants need.
    var dueSince: UInt64?
    /// Other hosts of the session's name, and how many signatures may be checked to find more.
    var rivals: [Rival] = []
    var signatures: SignatureBudget
    /// The last sentences for every participant's screen.
    private var sentences: [String] = []
    var nextAnnounce: UInt64
    private var announced: (facts: (SessionSnapshot.State, Int, Int), bytes: [UInt8])?
    var lastFinish: UInt64

    // Data plane.
    var demand: DemandMap
    var records: [UInt32: ChunkRecord] = [:]
    var frames: FrameStore
    var repairs: [UInt32: ChunkRepair] = [:]
    var repairQueue: [UInt32] = []
    var pace: RateControl
    var proactive = ProactiveParity()
    let encoder = ParityEncoder()
    /// The sequence of each stream's next symbol.
    var sequences: [UInt32]
    /// The chunk that is being swept.
    var current: Pass?
    var cursor: UInt32
    /// The seat whose chunks the sweep brings, once everything has gone out.
    var nearest: Int?
    /// Trains of the sweep since the last one of repairs.
    var sinceRepair = 0
    /// What the middle participant loses: on the wire, and in its socket and for want of buffers.
    var usualLoss = (wire: 0.0, own: 0.0)
    /// Bytes per second that went out between the last two decisions on the rate, and what had gone out at the last one.
    var throughput = 0.0
    var lastCount: (datagrams: UInt64, time: UInt64)?
    /// Mean length of the frames that have been loaded, in bytes.
    var chunkBytes = 1
    /// What may go to those the room does not wait for, in datagrams times `Tuning.stragglerTurn`; by `Credit`.
    var credits = [0, 0]
    /// The first seat that gets chunks over TCP when there is room for some.
    var controlTurn = 0
    /// Whether chunks are going out to somebody who keeps up, when that is looked at next, and what had gone out last.
    var othersWait = false
    var nextLook: UInt64 = 0
    var sweptAtLook: UInt64 = 0
    /// Nanoseconds between the reports of a participant, as the last START said.
    var reportInterval = Specification.shortestReportInterval
    var nextBeacon: UInt64
    var controlInFlight = 0

    /// Checks the configuration; `now` is in nanoseconds of a clock that never goes back.
    package init(configuration: HostConfiguration, now: UInt64) throws(ConfigurationError) {
        let longest = configuration.maximumFrameBytes + Specification.sealBytes
        func refuse(unless condition: Bool, _ text: String) throws(ConfigurationError) {
            if !condition { throw ConfigurationError(description: text) }
        }
        try refuse(
            unless: (1...255).contains(configuration.name.utf8.count), "a session's name has 1 to 255 bytes")
        try refuse(
            unless: configuration.manifest.count <= Specification.maximumManifestBytes,
            "the image's manifest has \(configuration.manifest.count) bytes, a session carries at most 1 MiB")
        try refuse(
            unless: configuration.maximumFrameBytes > 0 && longest <= Specification.maximumSealedFrameBytes,
            "the image has frames of \(configuration.maximumFrameBytes) bytes, a session carries at most 32 MiB"
        )
        try refuse(
            unless: (1...Specification.maximumAddresses).contains(configuration.addresses.count),
            "a host has 1 to \(Specification.maximumAddresses) addresses")
        try refuse(
            unless: configuration.existing.ranges.count <= Specification.maximumChunkSetBytes / 20,
            "the image's chunks are in too many pieces for a session")
        if let first = configuration.existing.first, let last = configuration.existing.last {
            try refuse(
                unless: Int(last - first) < DemandMap.maximumSpan,
                "the image has too many chunks for a session")
        }
        try refuse(
            unless: (1...Specification.maximumStreams).contains(configuration.streams),
            "a session has 1 to \(Specification.maximumStreams) streams")
        try refuse(
            unless: configuration.participants ?? 1 >= 1
                && configuration.maximumParticipants <= Int(UInt16.max),
            "a session has 1 to 65535 participants")
        self.configuration = configuration
        hostKey = configuration.hostKey.publicKey
        sessionKey = configuration.sessionKey.publicKey
        demand = DemandMap(configuration.existing)
        frames = FrameStore(limit: configuration.frameMemory, longest: longest)
        pace = RateControl(cap: configuration.rate, now: now)
        sequences = Array(repeating: 0, count: configuration.streams)
        cursor = configuration.existing.first ?? 0
        nextAnnounce = now
        nextBeacon = now
        lastJoin = now
        lastFinish = now
        signatures = SignatureBudget(now: now)
        session.needed = configuration.participants ?? 0
        session.startsAt = configuration.startTime
        session.rate = pace.rate
        session.frameBytesLimit = frames.limit
    }

    // MARK: Inputs

    /// A control connection was made by `from`.
    package mutating func connected(_ connection: ConnectionID, from: Endpoint, now: UInt64) {
        let strangers = connections.values.count { $0.seat == nil && $0.peer.address == from.address }
        guard connections.count < configuration.maximumParticipants + 64, session.state != .ended,
            strangers < Tuning.strangersPerAddress
        else {
            emit(.close(connection))
            return
        }
        connections[connection] = HostConnection(peer: from, since: now)
    }

    /// Takes bytes of a connection as they come, in pieces of any size.
    package mutating func received(_ connection: ConnectionID, _ bytes: RawSpan, now: UInt64) {
        guard connections[connection] != nil else { return }
        connections[connection]?.framer.append(bytes)
        do throws(DecodeError) {
            while let message = try connections[connection]?.framer.next() {
                handle(message, on: connection, now: now)
            }
        } catch {
            drop(connection, reason: "sent a malformed message: \(error)", now: now)
        }
        advance(now: now)
    }

    /// The connection has ended; nothing more may be sent on it.
    package mutating func disconnected(_ connection: ConnectionID, reason: String, now: UInt64) {
        guard let ended = connections.removeValue(forKey: connection) else { return }
        if let seat = ended.seat { lostConnection(of: seat, reason: reason, now: now) }
        advance(now: now)
    }

    /// Takes a datagram that came to the discovery port.
    package mutating func discovery(_ bytes: RawSpan, from: Endpoint, now: UInt64) {
        guard session.state != .ended else { return }
        switch bytes.datagramType {
        case .seek:
            guard let seek = try? SeekMessage(from: bytes), seek.session == configuration.name else { return }
            emit(.datagram(.endpoint(from), announcement()))
        case .announce: hearHost(bytes, from: from, now: now)
        case .symbol, .beacon, nil: break
        }
    }

    /// From now on the data plane may take at most `rate` bytes of UDP payload per second.
    package mutating func setCeiling(_ rate: UInt64) {
        configuration.rate = max(rate, 1)
        limitRate()
    }

    /// Starts at once with whoever is there; without anybody it only says so.
    package mutating func startNow(now: UInt64) {
        guard session.state == .registering else { return }
        guard session.joined > 0 else { return notice("nobody has registered yet") }
        start(now: now)
    }

    /// Shows a sentence, of which participants get at most 1024 bytes, on this screen and on that of everyone connected.
    ///
    /// Whoever joins later, or again, gets the last 16 of them.
    package mutating func notify(_ text: String, now: UInt64) {
        guard session.state != .ended else { return }
        sentences.append(text)
        if sentences.count > Tuning.keptSentences { sentences.removeFirst() }
        for index in seats.indices where seats[index].isOpen { tell(text, to: index) }
        notice(text)
    }

    /// Ends the session for everyone; each participant is told the reason.
    package mutating func stop(reason: String, now: UInt64) { stop(.stopped, reason: reason, now: now) }

    /// Lets time pass.
    package mutating func advance(now: UInt64) {
        guard session.state != .ended else { return }
        if now >= nextAnnounce { everySecond(now: now) }
        if session.state == .registering { startIfDue(now: now) }
        if session.state == .running {
            decideRate(now: now)
            lookWhoWaits(now: now)
            pumpControl()
            orderFrames()
            endIfDue(now: now)
        }
    }

    // MARK: Outputs

    /// The next thing for the driver to do, in order.
    package mutating func nextOutput() -> HostOutput? {
        guard outputsTaken < outputs.count else {
            outputs.removeAll(keepingCapacity: true)
            outputsTaken = 0
            return nil
        }
        outputsTaken += 1
        return outputs[outputsTaken - 1]
    }

    /// When to call `advance` and `nextTrain` again at the latest; nil: the session is over.
    package func deadline(now: UInt64) -> UInt64? {
        guard session.state != .ended else { return nil }
        // Without anybody there is nobody to send beacons to.
        var deadline = session.joined > 0 ? min(nextAnnounce, nextBeacon) : nextAnnounce
        if session.state == .running {
            deadline = min(deadline, now + Tuning.rateInterval)
            if hasDatagram {
                deadline = min(
                    deadline, pace.time(for: Tuning.trainDatagrams * Specification.datagramBytes, now: now))
            }
        } else if let startsAt = session.startsAt, startsAt > now {
            deadline = min(deadline, startsAt)
        }
        return deadline
    }

    // MARK: Within

    mutating func emit(_ output: HostOutput) { outputs.append(output) }

    mutating func notice(_ text: String) { emit(.event(.notice(text))) }

    /// How a sentence names a participant.
    func label(_ index: Int) -> String { "\(snapshots[index].name) (\(snapshots[index].endpoint.address))" }

    mutating func send(_ message: ControlMessage, to index: Int) {
        guard let connection = seats[index].connection else { return }
        let bytes: [UInt8]
        switch message {
        case .start(let start): bytes = start.encode()
        case .notice(let notice): bytes = notice.encode()
        case .end(let end): bytes = end.encode()
        case .refuse(let refuse): bytes = refuse.encode()
        default: return
        }
        emit(.send(connection, bytes))
    }

    /// Shows a participant what others were told before it was there.
    mutating func sendSentences(to index: Int) { for text in sentences { tell(text, to: index) } }

    private mutating func tell(_ text: String, to index: Int) {
        let message = NoticeMessage(
            level: .warning, state: session.state, joined: UInt16(clamping: session.joined),
            needed: UInt16(clamping: session.stillNeeded), text: text)
        send(.notice(message), to: index)
    }

    /// Ends a connection that broke the rules.
    mutating func drop(_ connection: ConnectionID, reason: String, now: UInt64) {
        guard let ended = connections.removeValue(forKey: connection) else { return }
        emit(.close(connection))
        if let seat = ended.seat {
            lostConnection(of: seat, reason: reason, now: now)
        } else {
            emit(.event(.refused(ended.peer, reason)))
        }
    }

    /// The current announcement; signed anew only when it has changed, so that questions cost little.
    mutating func announcement() -> [UInt8] {
        let facts = (session.state, session.joined, session.needed)
        if let announced, announced.facts == facts { return announced.bytes }
        let bytes = AnnounceMessage(
            state: session.state, session: configuration.session, joined: UInt16(clamping: session.joined),
            needed: UInt16(clamping: session.stillNeeded), controlPort: configuration.controlPort,
            dataPort: configuration.dataPort, hostKey: hostKey, group: configuration.group,
            name: configuration.name, addresses: configuration.addresses
        ).encode(signedBy: configuration.hostKey)
        announced = (facts, bytes)
        return bytes
    }

    /// Announces, shows life to everyone, and looks who is silent.
    private mutating func everySecond(now: UInt64) {
        nextAnnounce = now + Specification.announceInterval
        emit(.datagram(.everyone, announcement()))
        for (connection, state) in connections where state.seat == nil {
            if now >= state.since + Tuning.handshakePatience {
                drop(connection, reason: "did not join within 10 seconds", now: now)
            }
        }
        let state = NoticeMessage(
            level: .state, state: session.state, joined: UInt16(clamping: session.joined),
            needed: UInt16(clamping: session.stillNeeded))
        for index in seats.indices where seats[index].isOpen && seats[index].connection != nil {
            if now >= seats[index].lastHeard + Specification.silence {
                fallSilent(index, reason: "is silent")
            }
            if !seats[index].isSilent { send(.notice(state), to: index) }
            tellDeafness(of: index, now: now)
            stall(index, now: now)
        }
        // Repairs nobody asks for any more; what is still asked for comes again with a report.
        for (chunk, repair) in repairs
        where repair.pendingCount == 0 && now >= repair.lastUse + Tuning.repairMemory { retire(chunk) }
    }

    /// Ends the session for everyone in the way of `outcome`.
    mutating func stop(_ outcome: EndMessage.Outcome, reason: String, now: UInt64) {
        guard session.state != .ended else { return }
        for index in seats.indices where seats[index].isOpen {
            send(.end(EndMessage(outcome: outcome, text: reason)), to: index)
            conclude(index, .failed, result: reason, isTold: false, now: now)
        }
        end(text: reason)
    }

    /// Everything of the session is over: says so once and takes nothing more.
    mutating func end(text: String) {
        session.state = .ended
        session.startsAt = nil
        // Whoever is looking for the session need not wait until this host is found to be silent.
        emit(.datagram(.everyone, announcement()))
        // A session that nobody finished is no success, however it ended.
        let isComplete =
            snapshots.contains { $0.state == .finished }
            && seats.indices.allSatisfy {
                snapshots[$0].state == .finished || seats[$0].isSuperseded
            }
        for (connection, _) in connections { emit(.close(connection)) }
        connections = [:]
        emit(.event(.ended(isComplete, text)))
    }
}
