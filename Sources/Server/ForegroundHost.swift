// Hosts one session in the foreground: imgserv mcast.
internal import Blocks
internal import ImageFormat
internal import Linux
internal import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// What `imgserv mcast` was asked to do.
package struct ForegroundHostOptions: Sendable {
    /// The session's name.
    package var name: String
    /// The image file.
    package var path: String
    /// One of this machine's own addresses, to host on.
    package var address: String?
    /// The interface to host on.
    package var interface: String?
    /// Registrations at which the session starts.
    package var participants = 1
    /// Minutes after the last registration at which it starts with whoever is there.
    package var minutes = 5.0
    /// Mbit/s the session may take; nil follows the link.
    package var rate: Int?
    package var ttl: UInt8 = 16
    /// Minutes the session waits for silent participants once the others have finished.
    package var linger = 2.0
    package var stateDirectory = HostKey.defaultDirectory
    /// Whether standard output is for a program: then only notes are shown, on standard error.
    package var isQuiet = false

    package init(name: String, path: String) {
        self.name = name
        self.path = path
    }
}

/// One session hosted by this process until it has ended.
package final class ForegroundHost: Sendable {
    private let options: ForegroundHostOptions
    private let frames: ImageFileFrames
    private let runner: HostRunner
    private let display: SessionDisplay
    private let notes: Notes

    /// Opens the image, loads the key and binds the sockets: whatever is wrong is said before anybody joins.
    package init(_ options: ForegroundHostOptions) throws {
        self.options = options
        let address = try options.address.map { text in
            guard let address = IPAddress(text) else { throw ServerError("'\(text)' is no IP address") }
            return address
        }
        let interface = try HostInterface.choose(named: options.interface, address: address)
        frames = try ImageFileFrames(path: options.path)
        var settings = HostSettings(
            name: options.name, image: frames.image.imageID, manifest: frames.image.manifestJSON,
            existing: frames.image.existing, maximumFrameBytes: frames.maximumFrameBytes,
            hostKey: try HostKey.load(from: options.stateDirectory), interface: interface)
        settings.participants = options.participants
        settings.registrationTimeout = nanoseconds(minutes: options.minutes)
        settings.rate = options.rate
        settings.ttl = options.ttl
        settings.linger = nanoseconds(minutes: options.linger)
        let style: SessionDisplay.Style = options.isQuiet ? .quiet : Console.isTerminal ? .live : .lines
        let display = SessionDisplay(name: options.name, style: style)
        self.display = display
        let notes = Notes()
        self.notes = notes
        let people = Roll()
        let runner = try HostRunner(settings, frames: frames) { event in
            if let line = people.sentence(event) { notes.add(line) }
        }
        people.attend(runner)
        self.runner = runner
        display.note(
            "session \(options.name.onScreen): \(options.path.onScreen), \(frames.image.existing.count) chunks, on "
                + "\(interface.interface.name), \(runner.endpoint), data to \(runner.dataEndpoint)")
        display.note("host key \(runner.fingerprint)")
    }

    /// Hosts the session; call it once.
    ///
    /// Ctrl-C ends it, and every participant is told.
    package func run() throws -> HostReport {
        TerminationSignals.ignoreBrokenPipes()
        try TerminationSignals.watch { [runner, notes] _ in
            notes.add("ending the session: telling the participants")
            runner.stop(reason: "the host was stopped by hand")
        }
        let began = MonotonicClock.now()
        let screen = Thread("display") { [self] in draw() }
        let result = Result { try runner.run() }
        notes.finish()
        try screen.join()
        return HostReport(
            try result.get(), name: options.name, path: options.path, fingerprint: runner.fingerprint,
            chunks: frames.image.existing.count, nanoseconds: MonotonicClock.now() - began)
    }

    /// Shows notes and progress until the session is over.
    private func draw() {
        var next = MonotonicClock.now()
        while true {
            let (lines, isLast) = notes.wait(until: next)
            for line in lines { display.note(line) }
            if isLast {
                display.finish()
                return
            }
            if MonotonicClock.now() >= next {
                let (session, participants) = runner.snapshot
                display.show(session, participants)
                next = MonotonicClock.now() + display.interval
            }
        }
    }
}

/// Sentences on their way to the screen.
///
/// The thread that hosts never writes itself: a terminal that was halted with Ctrl-S must not halt the room.
private final class Notes: Sendable {
    /// More than anybody reads; beyond it sentences are counted, not kept.
    private static let limit = 1000

    private struct State: Sendable {
        var lines: [String] = []
        var dropped = 0
        var isFinished = false
    }

    private let condition = Condition()
    private let state = Mutex(State())

    func add(_ line: String) {
        condition.locked {
            state.withLock { state in
                if state.lines.count < Notes.limit { state.lines.append(line) } else { state.dropped += 1 }
            }
            condition.signalAll()
        }
    }

    func finish() {
        condition.locked {
            state.withLock { $0.isFinished = true }
            condition.signalAll()
        }
    }

    /// The sentences so far, as soon as there is one, at `deadline` at the latest; and whether they are the last.
    func wait(until deadline: UInt64) -> (lines: [String], isLast: Bool) {
        condition.locked {
            while MonotonicClock.now() < deadline, state.withLock({ $0.lines.isEmpty && !$0.isFinished }) {
                condition.wait(until: deadline)
            }
            let now = state.withLock { state in
                defer { state = State(isFinished: state.isFinished) }
                return state
            }
            let more = now.dropped > 0 ? ["and \(now.dropped) more messages"] : []
            return (now.lines + more, now.isFinished)
        }
    }
}

/// Knows the participants of a runner by name, once there is a runner.
private final class Roll: Sendable {
    private let runner = Mutex<HostRunner?>(nil)
    private let joined = Mutex<Set<Int>>([])

    func attend(_ runner: HostRunner) { self.runner.withLock { $0 = runner } }

    /// What an event is worth telling; nil for nothing.
    func sentence(_ event: HostEvent) -> String? {
        let snapshot = runner.withLock { $0?.snapshot }
        func who(_ index: Int) -> String {
            guard let all = snapshot?.participants, all.indices.contains(index) else {
                return "participant \(index)"
            }
            return "\(all[index].name.onScreen) (\(all[index].endpoint.address))"
        }
        func left(_ index: Int) { joined.withLock { _ = $0.remove(index) } }
        switch event {
        case .joined(let index):
            // Several may have joined since the snapshot was taken: those that were told of are counted.
            let count = joined.withLock {
                $0.insert(index)
                return $0.count
            }
            let missing = max((snapshot?.session.needed ?? 0) - count, 0)
            return "\(who(index)) joined; registered/still needed \(count)/\(missing)"
        case .refused(let endpoint, let reason): return "\(endpoint.address) was refused: \(reason.onScreen)"
        case .started: return "the session has started"
        case .silent(let index):
            left(index)
            return "\(who(index)) is silent; it may come back"
        case .finished(let index):
            left(index)
            return "\(who(index)) is done"
        case .aborted(let index, let reason):
            left(index)
            return "\(who(index)) gave up: \(reason.onScreen)"
        case .notice(let text): return text.onScreen
        case .ended: return nil
        }
    }
}

/// Nanoseconds of a number of minutes from 0 to a year.
private func nanoseconds(minutes: Double) -> UInt64 { UInt64(min(max(minutes, 0), 525_600) * 60e9) }
