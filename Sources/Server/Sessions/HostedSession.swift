// One session that the daemon hosts: its runner on a thread of its own, and what is shown of it.
package import Blocks
internal import ImageFormat
internal import Linux
internal import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// What a session is hosted from, with everything decided.
package struct SessionPlan: Codable, Equatable, Sendable {
    package var name: String
    /// The image as people call it: its name in the catalogue, or its path.
    package var image: String
    package var path: String
    package var clients = 1
    /// Minutes after the last registration.
    package var minutes = 5.0
    /// Mbit/s.
    package var rate: Int?
    package var ttl = 16
    /// Minutes.
    package var linger = 2.0
    package var interface: String?
    /// One of this machine's addresses, which decides the interface.
    package var address: String?
    /// The automatic session it is a run of, and which run.
    package var automatic: Int64?
    package var run: Int?

    package init(name: String, image: String, path: String) {
        self.name = name
        self.image = image
        self.path = path
    }
}

/// A session from its hosting to long after its end.
package final class HostedSession: Sendable {
    /// What happened, for the board.
    enum Event: Sendable {
        case note(String, isTrouble: Bool)
        case registered
        case started
        case ended(HostOutcome)
    }

    private struct State: Sendable {
        var runner: HostRunner?
        var session = SessionSnapshot()
        var participants: [ParticipantSnapshot] = []
        var startedAt: (clock: UInt64, wall: Int64)?
        var endedAt: Int64?
        var outcome: (isComplete: Bool, text: String)?
        var thread: Thread<Void>?
        var isStopping = false
    }

    package let id: Int
    package let plan: SessionPlan
    /// The image's identifier.
    package let image: GUID
    let fingerprint: Fingerprint
    let interfaceName: String
    let linkMegabits: Int?
    private let createdAt = WallClock.now()
    private let state: Mutex<State>

    /// Opens the image and binds the sockets; nothing is announced before `begin`.
    ///
    /// - Throws: `ServerError` or `TransportError` where image or interface do not do.
    init(_ plan: SessionPlan, id: Int, key: PrivateKey, events: @escaping @Sendable (Event) -> Void) throws {
        self.plan = plan
        self.id = id
        let frames = try ImageFileFrames(path: plan.path)
        image = frames.image.imageID
        let address = plan.address.flatMap { IPAddress($0) }
        let interface = try HostInterface.choose(named: plan.interface, address: address)
        interfaceName = interface.interface.name
        var settings = HostSettings(
            name: plan.name, image: frames.image.imageID, manifest: frames.image.manifestJSON,
            existing: frames.image.existing, maximumFrameBytes: frames.maximumFrameBytes, hostKey: key,
            interface: interface)
        settings.participants = plan.clients
        settings.registrationTimeout = UInt64(max(plan.minutes, 0) * 60e9)
        settings.rate = plan.rate
        settings.ttl = UInt8(clamping: plan.ttl)
        settings.linger = UInt64(max(plan.linger, 0) * 60e9)
        let roll = HostRoll()
        let runner = try HostRunner(settings, frames: frames) { event in
            if let line = roll.sentence(event) { events(.note(line, isTrouble: event.isTrouble)) }
            switch event {
            case .joined: events(.registered)
            case .started: events(.started)
            default: break
            }
        }
        roll.attend(runner)
        fingerprint = runner.fingerprint
        linkMegabits = runner.linkMegabits
        state = Mutex(State(runner: runner))
    }

    /// Hosts on a thread of its own; `ended` is the last event, also where it ends by an error.
    func begin(events: @escaping @Sendable (Event) -> Void) {
        guard let runner = state.withLock({ $0.runner }) else { return }
        let thread = Thread("session \(plan.name)") { [self] in
            let outcome: HostOutcome
            do { outcome = try runner.run() } catch {
                let (session, participants) = runner.snapshot
                outcome = HostOutcome(
                    isComplete: false, text: "\(error)", session: session, participants: participants,
                    otherHost: nil)
            }
            state.withLock { state in
                state.session = outcome.session
                state.session.state = .ended
                state.participants = outcome.participants
                state.outcome = (outcome.isComplete, outcome.text)
                state.endedAt = WallClock.now()
                // It holds the sockets.
                state.runner = nil
            }
            events(.ended(outcome))
        }
        state.withLock { $0.thread = thread }
    }

    /// Takes down that the data has begun to flow.
    func noteStart() { state.withLock { $0.startedAt = (MonotonicClock.now(), WallClock.now()) } }

    /// Ends the session; participants are told `reason`.
    func stop(_ reason: String) {
        let runner = state.withLock { state in
            state.isStopping = true
            return state.runner
        }
        runner?.stop(reason: reason)
    }

    /// Whether it is over, or about to be: its name is free as soon as that is in the books.
    var isEnding: Bool { state.withLock { $0.runner == nil || $0.isStopping } }

    func startNow() { state.withLock { $0.runner }?.startNow() }

    /// The most it may take of the network from now on, in Mbit/s.
    func limit(megabits: Int?) { state.withLock { $0.runner }?.limit(megabits: megabits) }

    func deliver(_ datagram: [UInt8], from sender: SocketAddress) {
        state.withLock { $0.runner }?.deliver(datagram, from: sender)
    }

    /// Whether it is hosted now, and whether its data flows.
    package var isHosted: Bool { state.withLock { $0.runner != nil } }
    var isSending: Bool { state.withLock { $0.runner != nil && $0.startedAt != nil } }

    /// Bytes sent so far: of datagrams and over TCP.
    var bytesSent: UInt64 {
        let (session, _) = snapshot
        return session.datagrams * UInt64(Specification.datagramBytes) + session.bytesOverControl
    }

    private var snapshot: (SessionSnapshot, [ParticipantSnapshot]) {
        state.withLock { state in
            if let runner = state.runner { return runner.snapshot }
            return (state.session, state.participants)
        }
    }

    /// What is shown of it now.
    package var view: SessionView {
        let (session, participants) = snapshot
        let (startedAt, endedAt, outcome) = state.withLock { ($0.startedAt, $0.endedAt, $0.outcome) }
        // Who is gone holds nobody up; at the end everybody counts.
        let open = participants.filter { endedAt != nil || ($0.state != .failed && $0.state != .lost) }
        let needed = open.reduce(0) { $0 + $1.chunksNeeded }
        let done = open.reduce(0) { $0 + $1.chunksDone }
        let fraction =
            needed > 0 ? min(1, Double(done) / Double(needed)) : outcome?.isComplete == true ? 1 : 0
        let now = MonotonicClock.now()
        var eta: UInt64?
        if let startedAt, endedAt == nil, fraction > 0.005, fraction < 1 {
            let passed = Double(now - startedAt.clock) / 1e9
            eta = UInt64(passed / fraction * (1 - fraction))
        }
        let state: SessionView.State =
            endedAt != nil ? .ended : session.state == .registering ? .registering : .running
        return SessionView(
            id: id, name: plan.name, state: state, image: plan.image, registered: session.joined,
            needed: session.needed, standing: "\(session.joined)/\(session.stillNeeded)",
            percent: state == .registering ? 0 : fraction * 100,
            rate: state == .running ? session.rate : 0, eta: eta,
            startsIn: state == .registering
                ? session.startsAt.map { $0 > now ? ($0 - now) / second : 0 } : nil,
            automatic: plan.automatic, createdAt: createdAt, startedAt: startedAt?.wall, endedAt: endedAt,
            outcome: outcome?.text, isComplete: outcome?.isComplete,
            participants: participants.map(SessionView.Participant.init))
    }
}

extension HostEvent {
    /// Whether it is worth a warning in the log.
    fileprivate var isTrouble: Bool {
        switch self {
        case .aborted, .silent, .refused: true
        default: false
        }
    }
}

extension SessionView.Participant {
    init(_ one: ParticipantSnapshot) {
        let lost = one.lostOnWire + one.lostInSocket + one.lostForWantOfBuffers
        let expected = one.received + one.lostOnWire + one.lostInSocket
        self.init(
            name: one.name.onScreen, mac: one.macText, address: one.endpoint.address.description,
            state: one.state.rawValue,
            percent: one.chunksNeeded > 0
                ? min(100, Double(one.chunksDone) * 100 / Double(one.chunksNeeded))
                : one.state == .finished ? 100 : 0,
            chunksNeeded: one.chunksNeeded, chunksDone: one.chunksDone, writeRate: one.writeRate,
            lost: expected > 0 ? Double(lost) * 100 / Double(expected) : 0, result: one.result?.onScreen)
    }
}
