// The one thread of a participant that touches its machine and its sockets.
internal import Blocks
internal import Linux
internal import SessionProtocol
internal import Synchronization
internal import SystemPackage

/// The event loop of one participant.
final class ParticipantLoop {
    private enum Token {
        static let wakeup: UInt64 = 0
        static let control: UInt64 = 1
        static let firstDiscovery: UInt64 = 8
        /// The stream is added.
        static let firstData: UInt64 = 32
    }

    private static let connectPatience = 5 * second
    private static let closingTime = 2 * second
    private static let publishInterval = 100 * millisecond
    /// How long datagrams gather in the socket before they are taken: at 10 Gbit/s a megabyte of its 64 MiB.
    private static let gathering = 1000 * (millisecond / 1000)
    /// How often a machine without a usable interface looks again.
    private static let interfaceInterval = second / 2

    private let settings: ParticipantSettings
    private let shared: ParticipantShared
    private let events: (ParticipantEvent) -> Void
    private let poller: Poller
    private let finder: HostFinder
    private var data: DataReceiver?
    private var nextReport = UInt64.max
    private var diagnosis = MulticastDiagnosis()
    private var control: ControlStream?
    /// Whether the control connection stands, as opposed to being made.
    private var isConnected = false
    private var orders: [ParticipantOrder] = []
    private var hasEnded = false
    private var isAbandoned = false
    private var nextPublish: UInt64 = 0
    private var noWayShown = false
    private let input = AlignedBuffer(capacity: 64 * 1024)
    private var bursts = LossBursts()

    init(
        _ settings: ParticipantSettings, shared: ParticipantShared,
        events: @escaping (ParticipantEvent) -> Void
    ) throws {
        self.settings = settings
        self.shared = shared
        self.events = events
        poller = try Poller()
        try poller.add(shared.wakeup.number, token: Token.wakeup, .readable)
        finder = try HostFinder(
            session: settings.name, ttl: settings.ttl, poller: poller, firstToken: Token.firstDiscovery)
    }

    /// Runs until the session has ended and the host has been told, or nobody is interested any more.
    func run() throws {
        guard var machine = try makeMachine() else { return }
        try run(&machine)
    }

    private func run(_ machine: inout ParticipantMachine) throws {
        var ready: [Poller.Event] = []
        takeOutputs(&machine)
        while !isAbandoned, !(hasEnded && control == nil) {
            try poller.wait(until: nextDeadline(machine), into: &ready)
            // One event counts as one input of the machine: its outputs are taken before the next one.
            for event in ready {
                handle(event, &machine)
                takeOutputs(&machine)
            }
            lapse(&machine)
            machine.advance(now: MonotonicClock.now())
            takeOutputs(&machine)
            reportMembership()
            publishSometimes(machine)
        }
        publish(machine)
    }

    /// Waits for an interface, whose address the host's list of participants shows, and makes the machine.
    private func makeMachine() throws -> ParticipantMachine? {
        var ready: [Poller.Event] = []
        var isShown = false
        while true {
            if let interface = discoveryInterfaces(named: settings.interface).first {
                let identity = ParticipantIdentity(
                    name: MachineIdentity.hostName, serial: MachineIdentity.serialNumber ?? "",
                    mac: interface.mac.count == 6 ? interface.mac : [0, 0, 0, 0, 0, 0],
                    linkMegabits: UInt32(clamping: interface.linkSpeed ?? 0), disks: settings.disks)
                var configuration = ParticipantConfiguration(
                    name: settings.name, identity: identity, entropy: Random.bytes(32),
                    pinned: settings.pinned)
                configuration.poolBytes = settings.poolBytes
                configuration.searchPatience = settings.searchPatience
                configuration.reconnectPatience = settings.reconnectPatience
                return try ParticipantMachine(configuration: configuration, now: MonotonicClock.now())
            }
            if !isShown {
                isShown = true
                let which = settings.interface.map { "interface \($0)" } ?? "a network interface"
                events(.notice("waiting for \(which) to come up with an address"))
            }
            try poller.wait(until: MonotonicClock.now() + ParticipantLoop.interfaceInterval, into: &ready)
            for event in ready where event.token != Token.wakeup {
                // Without an interface nobody can be joined; what comes all the same must not keep this awake.
                finder.receive(event.token, into: input) { _, _ in }
            }
            shared.wakeup.clear()
            shared.takeOrders(into: &orders)
            for order in orders {
                switch order {
                case .stop(let reason), .finished(.failed(let reason)):
                    shared.end(.failed(reason))
                    return nil
                case .abandon: return nil
                default: break
                }
            }
        }
    }

    // MARK: Inputs

    private func handle(_ event: Poller.Event, _ machine: inout ParticipantMachine) {
        switch event.token {
        case Token.wakeup: followOrders(&machine)
        case Token.control: handleControl(event.readiness, &machine)
        case Token.firstData...: readData(Int(event.token - Token.firstData), &machine)
        default: readDiscovery(event.token, &machine)
        }
    }

    private func followOrders(_ machine: inout ParticipantMachine) {
        shared.wakeup.clear()
        shared.takeOrders(into: &orders)
        let now = MonotonicClock.now()
        for order in orders {
            switch order {
            case .need(let chunks): machine.need(chunks, now: now)
            case .done(let chunk): machine.chunkDone(chunk, now: now)
            case .failed(let chunk, let reason): machine.chunkFailed(chunk, reason: reason, now: now)
            case .release(let buffer): machine.bufferReleased(buffer, now: now)
            case .figures(let figures): machine.figures(figures)
            case .finished(let outcome): machine.finished(outcome, now: now)
            case .stop(let reason): machine.stop(reason: reason, now: now)
            case .diagnosed(let sentence): machine.diagnosed(sentence, now: now)
            case .abandon: isAbandoned = true
            }
        }
        orders.removeAll(keepingCapacity: true)
    }

    private func readDiscovery(_ token: UInt64, _ machine: inout ParticipantMachine) {
        let now = MonotonicClock.now()
        finder.receive(token, into: input) { machine.discovery($0, from: $1, now: now) }
    }

    private func readData(_ stream: Int, _ machine: inout ParticipantMachine) {
        guard let data, data.receive(stream, &machine, &bursts, outputs: { takeOutputs(&$0) }) else { return }
        // Being woken for every train costs more than taking it; the socket holds what comes meanwhile.
        MonotonicClock.sleep(nanoseconds: ParticipantLoop.gathering)
    }

    // MARK: Control connection

    private func handleControl(_ readiness: Poller.Readiness, _ machine: inout ParticipantMachine) {
        guard let stream = control else { return }
        let now = MonotonicClock.now()
        if !isConnected {
            if let error = stream.connection.connectError() {
                lose(error.description, &machine)
                return
            }
            guard readiness.contains(.writable) else { return }
            isConnected = true
            stream.deadline = nil
            shared.host.withLock { $0 = Endpoint(stream.connection.peer) }
            watch(stream)
            machine.controlConnected(peer: Endpoint(stream.connection.peer), now: now)
            return
        }
        if readiness.contains(.writable) {
            guard settle(stream.flush(), &machine) else { return }
            watch(stream)
        }
        guard readiness != .writable else { return }
        let state = stream.read(into: input) { machine.controlReceived($0, now: now) }
        _ = settle(state, &machine)
    }

    private func connect(to endpoint: Endpoint, _ machine: inout ParticipantMachine) {
        dropControl()
        do {
            guard let peer = finder.reaching(endpoint) else {
                throw TransportError("\(endpoint) is no address")
            }
            var source: SocketAddress?
            if let interface = discoveryInterfaces(named: settings.interface).first,
                settings.interface != nil,
                let own = interface.preferredAddress(peer.address.family)
            {
                source = interface.reaching(own, port: 0)
            }
            let connection = try TCPConnection(connectingTo: peer, from: source)
            let stream = ControlStream(connection)
            stream.deadline = MonotonicClock.now() + ParticipantLoop.connectPatience
            stream.isWatchedForWriting = true
            try poller.add(connection.number, token: Token.control, [.readable, .writable])
            control = stream
            isConnected = false
        } catch {
            machine.controlDisconnected(reason: "\(error)", now: MonotonicClock.now())
        }
    }

    private func send(_ bytes: [UInt8], _ machine: inout ParticipantMachine) {
        guard let stream = control, isConnected else { return }
        stream.enqueue(bytes)
        // Reports are small; a host that takes none of them for so long is gone.
        guard stream.waitingBytes <= 4 << 20 else {
            lose("\(stream.connection.peer) does not take what is sent to it", &machine)
            return
        }
        guard settle(stream.flush(), &machine) else { return }
        watch(stream)
    }

    private func close(_ machine: inout ParticipantMachine) {
        guard let stream = control else { return }
        guard isConnected else {
            dropControl()
            return
        }
        stream.closeWhenSent(by: MonotonicClock.now() + ParticipantLoop.closingTime)
        guard settle(stream.flush(), &machine) else { return }
        watch(stream)
    }

    /// Forgets the connection where it has come to its end; false when it has.
    private func settle(_ state: ControlStream.State, _ machine: inout ParticipantMachine) -> Bool {
        guard case .closed(let reason) = state else { return true }
        lose(reason, &machine)
        return false
    }

    private func lose(_ reason: String, _ machine: inout ParticipantMachine) {
        let wasClosing = control?.isClosing ?? true
        dropControl()
        if !wasClosing { machine.controlDisconnected(reason: reason, now: MonotonicClock.now()) }
    }

    private func dropControl() {
        guard let stream = control else { return }
        poller.remove(stream.connection.number)
        control = nil
    }

    private func watch(_ stream: ControlStream) {
        guard stream.hasWaiting != stream.isWatchedForWriting else { return }
        stream.isWatchedForWriting = stream.hasWaiting
        let readiness: Poller.Readiness = stream.hasWaiting ? [.readable, .writable] : .readable
        try? poller.change(stream.connection.number, token: Token.control, readiness)
    }

    private func lapse(_ machine: inout ParticipantMachine) {
        guard let stream = control, let deadline = stream.deadline, MonotonicClock.now() >= deadline else {
            return
        }
        lose("cannot connect to \(stream.connection.peer): no answer", &machine)
    }

    // MARK: Outputs

    private func takeOutputs(_ machine: inout ParticipantMachine) {
        defer { if hasEnded, control?.isClosing == false { close(&machine) } }
        while let output = machine.nextOutput() {
            switch output {
            case .datagram(.everyone, let bytes): ask(bytes)
            case .datagram(.endpoint(let endpoint), let bytes): finder.ask(bytes, endpoint)
            case .connect(let endpoint): connect(to: endpoint, &machine)
            case .send(let bytes): send(bytes, &machine)
            case .close: close(&machine)
            case .joinGroup(let group, let port, let streams): join(group, port, streams)
            case .leaveGroup: leave()
            case .diagnose(let silence): diagnosis.begin(silence) { [shared] in shared.order(.diagnosed($0)) }
            case .event(let event): note(event)
            }
        }
    }

    private func ask(_ bytes: [UInt8]) {
        let sent = finder.ask(bytes, on: settings.interface)
        if let server = settings.server {
            finder.ask(bytes, Endpoint(Address(server), port: Specification.discoveryPort))
        }
        if !sent, settings.server == nil, !noWayShown {
            noWayShown = true
            let which = settings.interface.map { "interface \($0)" } ?? "any network interface"
            events(.notice("cannot ask for session \(settings.name) on \(which)"))
        }
    }

    private func join(_ group: Address, _ port: UInt16, _ streams: Int) {
        leave()
        do {
            guard let interface = try dataInterface() else {
                throw TransportError("no interface of this machine has the address it is connected from")
            }
            diagnosis = MulticastDiagnosis(interface: interface)
            let receiver = try DataReceiver(group: group, port: port, streams: streams, on: interface)
            for (stream, number) in receiver.numbers.enumerated() {
                try poller.add(number, token: Token.firstData + UInt64(stream), .readable)
            }
            data = receiver
            nextReport = MonotonicClock.now() + settings.reminderInterval
            if let notice = receiver.bufferNotice { events(.notice(notice)) }
        } catch {
            // The chunks then come over the control connection, and both screens say why.
            diagnosis.joinFailure = "\(error)"
        }
    }

    private func reportMembership() {
        let now = MonotonicClock.now()
        guard now >= nextReport, let data else { return }
        nextReport = now + settings.reminderInterval
        // Without the right to do so a good network works all the same.
        try? MembershipReport.send(data.group, interface: data.interface)
    }

    private func leave() {
        guard let receiver = data else { return }
        for number in receiver.numbers { poller.remove(number) }
        data = nil
        nextReport = .max
    }

    /// The interface named by the user, or that of the route to the host.
    private func dataInterface() throws -> NetworkInterface? {
        let all = try NetworkInterface.all()
        if let name = settings.interface { return all.first { $0.name == name } }
        guard let own = try control?.connection.localAddress() else { return nil }
        if own.scope != 0 { return all.first { $0.index == own.scope } }
        return all.first { $0.addresses.contains { $0.address == own.address } }
    }

    private func note(_ event: ParticipantEvent) {
        switch event {
        case .accepted(let session): shared.accept(session)
        case .frame(let frame): _ = shared.frames.put(frame)
        case .complete: shared.frames.close()
        case .ended(let end):
            hasEnded = true
            shared.end(end)
        default: break
        }
        if case .frame = event { return }
        events(event)
    }

    private func publishSometimes(_ machine: borrowing ParticipantMachine) {
        let now = MonotonicClock.now()
        guard now >= nextPublish else { return }
        nextPublish = now + ParticipantLoop.publishInterval
        publish(machine)
    }

    private func publish(_ machine: borrowing ParticipantMachine) {
        var progress = machine.progress
        (progress.freeBuffers, progress.buffers) = machine.bufferRoom
        shared.progress.withLock { $0 = progress }
        shared.bursts.withLock { $0 = bursts }
    }

    private func nextDeadline(_ machine: borrowing ParticipantMachine) -> UInt64 {
        let due = machine.deadline(now: MonotonicClock.now()) ?? .max
        return min(due, control?.deadline ?? .max, nextPublish)
    }
}
