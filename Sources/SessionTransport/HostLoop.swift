// The one thread of a host that touches its machine and its sockets.
internal import Blocks
internal import Linux
internal import SessionProtocol
internal import SystemPackage

/// The event loop of one hosted session.
final class HostLoop {
    /// Tokens of the descriptors that are not control connections; those follow.
    private enum Token {
        static let listener: UInt64 = 0
        static let discovery: UInt64 = 1
        static let wakeup: UInt64 = 2
        static let data: UInt64 = 3
        static let firstConnection: UInt64 = 16
    }

    /// Trains sent before other events get their turn.
    private static let turn = 16
    /// Datagrams of discovery read before other events get their turn.
    private static let discoveryTurn = 256
    /// Connections beyond the participants: those that have not joined yet, or are being closed.
    private static let spareConnections = 128
    /// How long a closed connection may take to send its last words, in nanoseconds.
    private static let closingTime = 2 * second
    /// How long to wait before sending again when the interface's queue was full, at first and at most, in nanoseconds.
    private static let sendAgain = (first: millisecond / 4, most: 16 * millisecond)
    /// How long other work may wait while the socket is full, in nanoseconds.
    private static let blockedTurn = 5 * millisecond
    private static let publishInterval = 100 * millisecond

    private var machine: HostMachine
    private let sockets: HostSockets
    private let loader: FrameLoader
    private let poller: Poller
    private let wakeup: Wakeup
    private let orders: () -> HostOrders
    private let publish: (SessionSnapshot, [ParticipantSnapshot]) -> Void
    private let events: (HostEvent) -> Void
    private let maximumConnections: Int
    /// The most bytes that may wait for one participant; the machine sends only a few chunks ahead.
    private let maximumWaiting: Int

    private var streams: [ConnectionID: ControlStream] = [:]
    private var nextConnection = Token.firstConnection
    private let sender: TrainSender
    private let trainBuffer = AlignedBuffer(capacity: TrainSender.maximumBytes)
    /// Bytes of `trainBuffer` that the kernel has not taken yet, what train they are of, and how long the next may be.
    private var pending = 0..<0
    private var pendingTrain: (segment: Int, stream: Int) = (0, 0)
    private var trainLimit = TrainLength.short
    /// Whether the socket is full and the poller was asked to say when it no longer is.
    private var isBlocked = false
    private var sendAgainAt: UInt64?
    private var sendAgainAfter = HostLoop.sendAgain.first
    private var acceptAgainAt: UInt64?
    /// The earliest deadline of a connection.
    private var lapseAt: UInt64?
    private var sendTroubleShown = false
    private let input = AlignedBuffer(capacity: 64 * 1024)
    private var nextPublish: UInt64 = 0
    private var nextReport = MonotonicClock.now() + membershipInterval
    private var outcome: (isComplete: Bool, text: String)?

    init(
        configuration: HostConfiguration, sockets: HostSockets, loader: FrameLoader, wakeup: Wakeup,
        orders: @escaping () -> HostOrders,
        publish: @escaping (SessionSnapshot, [ParticipantSnapshot]) -> Void,
        events: @escaping (HostEvent) -> Void
    ) throws {
        machine = try HostMachine(configuration: configuration, now: MonotonicClock.now())
        self.sockets = sockets
        self.loader = loader
        self.wakeup = wakeup
        self.orders = orders
        self.publish = publish
        self.events = events
        maximumConnections = configuration.maximumParticipants + HostLoop.spareConnections
        maximumWaiting =
            (Specification.chunksInFlight + 1) * (configuration.maximumFrameBytes + 4096)
            + configuration.manifest.count
            + Specification.maximumChunkSetBytes
        sender = TrainSender(sockets.data, to: sockets.dataGroups)
        poller = try Poller()
        try poller.add(sockets.listener.number, token: Token.listener, .readable)
        try poller.add(sockets.discovery.number, token: Token.discovery, .readable)
        try poller.add(wakeup.number, token: Token.wakeup, .readable)
    }

    /// Runs until the session has ended and every connection is closed.
    func run() throws -> HostOutcome {
        var ready: [Poller.Event] = []
        while true {
            followOrders()
            takeOutputs()
            let isThrough = sendDatagrams()
            publishSometimes()
            if let outcome, streams.isEmpty {
                publish(machine.session, machine.snapshots)
                return HostOutcome(
                    isComplete: outcome.isComplete, text: outcome.text, session: machine.session,
                    participants: machine.snapshots, otherHost: machine.otherHost)
            }
            try poller.wait(until: isThrough ? nextDeadline() : 0, into: &ready)
            for event in ready { handle(event) }
            takeAnswers()
            lapse()
            machine.advance(now: MonotonicClock.now())
        }
    }

    // MARK: Inputs

    private func followOrders() {
        let order = orders()
        for sentence in order.sentences { machine.notify(sentence, now: MonotonicClock.now()) }
        if let rate = order.rate { machine.setCeiling(rate) }
        for datagram in order.datagrams {
            datagram.bytes.withBytes {
                machine.discovery($0, from: datagram.from, now: MonotonicClock.now())
            }
        }
        if order.startNow { machine.startNow(now: MonotonicClock.now()) }
        if let reason = order.stopReason { machine.stop(reason: reason, now: MonotonicClock.now()) }
    }

    private func handle(_ event: Poller.Event) {
        switch event.token {
        case Token.listener: acceptConnections()
        case Token.discovery: readDiscovery()
        case Token.wakeup: wakeup.clear()
        case Token.data: unblock()
        default: handle(event, of: event.token)
        }
    }

    private func handle(_ event: Poller.Event, of connection: ConnectionID) {
        guard let stream = streams[connection] else { return }
        if event.readiness.contains(.writable) {
            guard settle(stream.flush(), connection) else { return }
            watch(stream, connection)
        }
        guard event.readiness != .writable else { return }
        let now = MonotonicClock.now()
        let state = stream.read(into: input) { machine.received(connection, $0, now: now) }
        _ = settle(state, connection)
    }

    private func acceptConnections() {
        do throws(SystemError) {
            while let connection = try sockets.listener.accept() {
                // Whoever is too many is dropped at once: an open session cannot be crowded out of descriptors.
                guard streams.count < maximumConnections, outcome == nil else { continue }
                let id = nextConnection
                nextConnection += 1
                try poller.add(connection.number, token: id, .readable)
                streams[id] = ControlStream(connection)
                machine.connected(id, from: Endpoint(connection.peer), now: MonotonicClock.now())
            }
        } catch {
            // Without descriptors the listener would stay ready for ever: look away for a moment.
            poller.remove(sockets.listener.number)
            acceptAgainAt = MonotonicClock.now() + second
            events(.notice(error.description))
        }
    }

    private func readDiscovery() {
        for _ in 0..<HostLoop.discoveryTurn {
            guard let arrival = unsafe try? sockets.discovery.receive(into: input.bytes) else { return }
            // Somebody on another network of this machine could not get our data.
            guard arrival.interface == sockets.interface.index || arrival.interface == loopbackIndex else {
                continue
            }
            let now = MonotonicClock.now()
            input.withBytes(arrival.count) { machine.discovery($0, from: Endpoint(arrival.from), now: now) }
        }
    }

    private func takeAnswers() {
        var answers = loader.takeAnswers()
        // A frame must have one owner, or its seal could only be put behind a copy of it.
        answers.reverse()
        while let answer = answers.popLast() {
            let now = MonotonicClock.now()
            switch consume answer {
            case .loaded(let chunk, let frame): machine.frameLoaded(chunk, frame, now: now)
            case .failed(let chunk, let reason): machine.frameFailed(chunk, reason: reason, now: now)
            }
        }
    }

    /// Ends what has taken too long.
    private func lapse() {
        let now = MonotonicClock.now()
        if let time = acceptAgainAt, now >= time {
            acceptAgainAt = nil
            try? poller.add(sockets.listener.number, token: Token.listener, .readable)
        }
        if let time = lapseAt, now >= time {
            for (id, stream) in streams where stream.deadline.map({ now >= $0 }) ?? false { drop(id) }
            lapseAt = streams.values.compactMap(\.deadline).min()
        }
    }

    // MARK: Outputs

    private func takeOutputs() {
        while let output = machine.nextOutput() {
            switch output {
            case .send(let id, let bytes): send(bytes, on: id)
            case .close(let id): close(id)
            case .datagram(.everyone, let bytes): sockets.announce(bytes)
            case .datagram(.endpoint(let endpoint), let bytes): sockets.answer(bytes, to: endpoint)
            case .load(let chunk): loader.load(chunk)
            case .event(let event): note(event)
            }
        }
    }

    private func note(_ event: HostEvent) {
        if case .ended(let isComplete, let text) = event {
            outcome = (isComplete, text)
            poller.remove(sockets.listener.number)
            // The machine closes those it knows; none may be left to wait for.
            for (id, stream) in streams where !stream.isClosing { close(id) }
        }
        publish(machine.session, machine.snapshots)
        events(event)
    }

    private func send(_ bytes: [UInt8], on id: ConnectionID) {
        guard let stream = streams[id] else { return }
        stream.enqueue(bytes)
        guard stream.waitingBytes <= maximumWaiting else {
            drop(id)
            machine.disconnected(
                id, reason: "\(stream.connection.peer) does not take what is sent to it",
                now: MonotonicClock.now())
            return
        }
        guard settle(stream.flush(), id) else { return }
        watch(stream, id)
    }

    private func close(_ id: ConnectionID) {
        guard let stream = streams[id] else { return }
        let deadline = MonotonicClock.now() + HostLoop.closingTime
        stream.closeWhenSent(by: deadline)
        lapseAt = min(lapseAt ?? deadline, deadline)
        guard settle(stream.flush(), id) else { return }
        watch(stream, id)
    }

    /// Sends what the machine has, up to a number of trains; false when there is more to send at once.
    private func sendDatagrams() -> Bool {
        if isBlocked { return true }
        var now = MonotonicClock.now()
        if let time = sendAgainAt {
            guard now >= time else { return true }
            sendAgainAt = nil
        }
        for _ in 0..<HostLoop.turn {
            if pending.isEmpty {
                let limit = trainLimit
                let train = trainBuffer.withMutableBytes {
                    machine.nextTrain(into: &$0, limit: limit, now: now)
                }
                guard let train else { return true }
                pending = 0..<train.byteCount
                pendingTrain = (train.datagramBytes, train.stream)
            }
            guard sendPending() else { return true }
            now = MonotonicClock.now()
        }
        return false
    }

    /// Sends what is left of a train; false when the kernel has no room for it now.
    private func sendPending() -> Bool {
        while !pending.isEmpty {
            let (range, train) = (pending, pendingTrain)
            let sent = trainBuffer.withBytes(range.upperBound) {
                sender.send($0.extracting(range), segment: train.segment, to: train.stream)
            }
            switch sent {
            case .bytes(let count):
                pending = range.lowerBound + count..<range.upperBound
                sendAgainAfter = HostLoop.sendAgain.first
            case .wouldBlock:
                block()
                return false
            case .noRoom:
                sendAgainAt = MonotonicClock.now() + sendAgainAfter
                sendAgainAfter = min(sendAgainAfter * 2, HostLoop.sendAgain.most)
                return false
            case .failed(let error):
                pending = 0..<0
                showTrouble(SystemError("send \(train.segment) bytes to \(sockets.dataGroups[0])", error))
            }
        }
        return true
    }

    /// Waits for room in the socket's buffer, which is how the host's own link sets the pace.
    private func block() {
        do throws(SystemError) {
            try poller.add(sockets.data.number, token: Token.data, .writable)
            isBlocked = true
        } catch {
            sendAgainAt = MonotonicClock.now() + HostLoop.sendAgain.most
        }
    }

    private func unblock() {
        guard isBlocked else { return }
        isBlocked = false
        poller.remove(sockets.data.number)
        // Otherwise the socket would count as ready, with an error, for ever.
        sockets.data.drainErrors()
    }

    /// A datagram that cannot be sent counts as lost: the link may come back.
    ///
    /// What cannot get better ends the session.
    private func showTrouble(_ error: SystemError) {
        if error.errno == .messageTooLong {
            let reason =
                "interface \(sockets.interface.name) does not take datagrams of the session's size: \(error)"
            machine.stop(reason: reason, now: MonotonicClock.now())
        } else if !sendTroubleShown {
            sendTroubleShown = true
            events(.notice(error.description))
        }
    }

    private func publishSometimes() {
        let now = MonotonicClock.now()
        if now >= nextReport {
            nextReport = now + membershipInterval
            sockets.reportMembership()
        }
        guard now >= nextPublish else { return }
        nextPublish = now + HostLoop.publishInterval
        setTrainLimit()
        publish(machine.session, machine.snapshots)
    }

    private func setTrainLimit() {
        let there = machine.snapshots.filter { [.joined, .receiving, .silent].contains($0.state) }
        trainLimit = TrainLength.datagrams(
            own: sockets.linkMegabits, isHardware: sockets.isHardware,
            participants: there.map(\.linkMegabits))
    }

    // MARK: Connections

    /// Forgets a connection that has come to its end; false when it has.
    private func settle(_ state: ControlStream.State, _ id: ConnectionID) -> Bool {
        guard case .closed(let reason) = state else { return true }
        let wasClosing = streams[id]?.isClosing ?? true
        drop(id)
        if !wasClosing { machine.disconnected(id, reason: reason, now: MonotonicClock.now()) }
        return false
    }

    private func drop(_ id: ConnectionID) {
        guard let stream = streams.removeValue(forKey: id) else { return }
        poller.remove(stream.connection.number)
    }

    private func watch(_ stream: ControlStream, _ id: ConnectionID) {
        guard stream.hasWaiting != stream.isWatchedForWriting else { return }
        stream.isWatchedForWriting = stream.hasWaiting
        let readiness: Poller.Readiness = stream.hasWaiting ? [.readable, .writable] : .readable
        try? poller.change(stream.connection.number, token: id, readiness)
    }

    private func nextDeadline() -> UInt64 {
        // Data is due, but cannot be sent yet: this is soon enough for everything else.
        if isBlocked { return min(MonotonicClock.now() + HostLoop.blockedTurn, nextPublish) }
        if let sendAgainAt { return sendAgainAt }
        let due = machine.deadline(now: MonotonicClock.now())
        return min(due ?? .max, lapseAt ?? .max, acceptAgainAt ?? .max, nextPublish)
    }

    private let loopbackIndex: UInt32 = 1
}
