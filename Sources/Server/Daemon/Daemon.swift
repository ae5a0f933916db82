// The imaging server: everything it owns, put together, started and stopped.
internal import Blocks
internal import Linux
package import Logging
package import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// What a line of the log is about.
package enum EventKind: String, CaseIterable, Sendable, Codable {
    case session, workstation, image, administrator, server
}

/// The daemon: sessions, work for workstations, images and what is remembered of all that.
///
/// Its calls are short and may come from any thread; what an administrator asks for is in the extensions beside it.
package final class Daemon: Sendable {
    package static let version = "0.1.0"
    /// Time in which participants are told that the server stops, in nanoseconds.
    private static let farewell = 10 * second

    package let configuration: ServerConfiguration
    package let key: PrivateKey
    package let store: Store
    package let images: ImageCatalogue
    package let logger: Logger
    /// Rings whenever something that a page shows has changed.
    package let changes: Changes
    let board: SessionBoard
    let desk: WorkDesk
    let transfers: ImageTransfers
    let boot: BootRefresher
    private let work: WorkService
    private let beacon: ServerBeacon
    private let startedAt = MonotonicClock.now()
    private let isStopping = Atomic(false)
    let sink: EventSink

    /// Opens key, store and catalogue, and binds the ports: whatever is wrong is said before anybody is served.
    ///
    /// `workPort` is the port for workstations, another one only in tests.
    package init(
        _ configuration: ServerConfiguration, logger: Logger, workPort: UInt16 = Specification.workPort
    ) throws {
        ProcessLimits.raiseDescriptors()
        self.configuration = configuration
        self.logger = logger
        let key = try HostKey.load(from: configuration.state)
        self.key = key
        let store = try Store(path: configuration.state + "/imgserv.sqlite")
        self.store = store
        let images = try ImageCatalogue(directory: configuration.images, logger: logger)
        self.images = images
        let changes = Changes()
        self.changes = changes
        let sink = EventSink(store: store, logger: logger, changes: changes)
        self.sink = sink
        let note: @Sendable (String, Logger.Level, [UInt8]?) -> Void = { text, level, mac in
            sink.note(text, level: level, kind: .workstation, mac: mac)
        }
        let relay = DaemonRelay()
        board = SessionBoard(key: key, rate: configuration.rate) { event in relay.daemon?.take(event) }
        desk = WorkDesk(
            key: key, store: store, images: images, board: board, configuration: configuration,
            note: note, changed: { relay.daemon?.boot.refresh() })
        transfers = ImageTransfers(
            key: key, images: images, store: store, uploads: configuration.uploads,
            isSame: { [desk] in try desk.isSame($0, $1) },
            note: { text, level, mac in sink.note(text, level: level, kind: .image, mac: mac) },
            changed: { changes.ring() })
        work = try WorkService(desk: desk, transfers: transfers, port: workPort, note: note) { run in
            relay.daemon?.finish(automatic: run.session, run: run.run, isComplete: true)
        }
        beacon = try ServerBeacon(key: key, port: work.port) { [board] datagram, session, sender in
            board.deliver(datagram, asking: session, from: sender)
        }
        boot = try BootRefresher(directory: configuration.tftp, store: store, desk: desk, logger: logger)
        relay.daemon = self
        sink.start()
    }

    deinit { sink.close() }

    /// The TCP port for workstations.
    package var workPort: UInt16 { work.port }

    /// Begins to serve: sessions that a crash has interrupted first.
    package func start() {
        resumeSessions()
        work.start()
        beacon.start()
        boot.start()
        note(
            "the imaging server \(Daemon.version) serves \(configuration.images), key \(key.publicKey.fingerprint)",
            level: .info, kind: .server)
    }

    /// Ends sessions and transfers, everybody is told, and closes the store; nothing is served afterwards.
    package func stop() {
        guard !isStopping.exchange(true, ordering: .relaxed) else { return }
        let reason = "the imaging server is being stopped"
        note(reason, level: .info, kind: .server)
        changes.close()
        board.close(reason, patience: Daemon.farewell)
        work.stop(reason)
        beacon.stop()
        boot.stop()
        sink.close()
    }

    /// Writes a line to the log and to the store, where the console finds it.
    package func note(_ text: String, level: Logger.Level, kind: EventKind, mac: [UInt8]? = nil) {
        sink.note(text, level: level, kind: kind, mac: mac)
    }

    /// Something that decides about workstations, or that a page shows, is another now.
    func changed() {
        changes.ring()
        boot.refresh()
    }

    // MARK: Sessions

    private func take(_ event: SessionBoard.Event) {
        switch event {
        case .note(let text, let level): note(text, level: level, kind: .session)
        case .changed: changes.ring()
        case .started(let session): remember(session, hasStarted: true)
        case .ended(let session, let outcome): ended(session, outcome)
        }
    }

    private func ended(_ session: HostedSession, _ outcome: HostOutcome) {
        let done = outcome.participants.filter { $0.state == .finished }.count
        // A machine that had an order tells of its failure itself, if it can.
        let isOrdered = session.plan.automatic != nil
        let failed = outcome.participants.filter {
            $0.state == .lost || ($0.state == .failed && !isOrdered)
        }.count
        attempt("the counters") {
            try store.count { counters in
                counters.sessions += 1
                counters.imagesSent += UInt64(done)
                counters.failures += UInt64(failed)
                counters.bytesSent += session.bytesSent
            }
        }
        // One that the server's own end has ended is enabled after the next start as it was.
        guard !isStopping.load(ordering: .relaxed) else { return forget(session) }
        forget(session)
        if let number = session.plan.automatic, let run = session.plan.run {
            // What is on a machine is known from here too, should its own word not come.
            // Of a machine that came twice the last time counts: it may have begun to overwrite what it had.
            let last = Dictionary(outcome.participants.map { ($0.mac, $0.state) }) { $1 }
            let finished = last.filter { $0.value == .finished }.map(\.key)
            attempt("what session \(session.plan.name) has left on its machines") {
                let failures = try store.changeHistories(of: finished) { history in
                    history.done.insert(WorkHistory.Run(session: number, run: run))
                    history.installed = session.image
                }
                for failure in failures { logger.error("\(failure)") }
            }
            finish(automatic: number, run: run, isComplete: outcome.isComplete)
        }
        changed()
    }

    /// A run of an automatic session is over: it is deleted or disabled; one that did not end well is kept.
    private func finish(automatic number: Int64, run: Int, isComplete: Bool) {
        attempt("the automatic session") {
            let name: String? = try store.changeSessions { list in
                guard let session = list.sessions.first(where: { $0.number == number }), session.isEnabled,
                    session.run == run
                else { return nil }
                if isComplete { list.finished(number) } else { list.enable(number, false) }
                return session.name
            }
            if let name { note("automatic session \(name) has finished", level: .info, kind: .session) }
        }
        changed()
    }

    private func remember(_ session: HostedSession, hasStarted: Bool) {
        attempt("the session") { try store.rememberHosted(session.plan, hasStarted: hasStarted) }
    }

    private func forget(_ session: HostedSession) {
        attempt("the session") { try store.forgetHosted(session.plan.name) }
    }

    /// Hosts a session and remembers it until it has ended, so that a crash does not end it.
    func host(_ plan: SessionPlan) throws -> HostedSession {
        let session = try board.host(plan) { try store.rememberHosted($0, hasStarted: false) }
        changed()
        return session
    }

    /// Sessions that were hosted when the daemon was killed are hosted again; their participants look for them.
    private func resumeSessions() {
        let interrupted: [(plan: SessionPlan, hasStarted: Bool)]
        do { interrupted = try store.hostedSessions() } catch {
            return note("interrupted sessions cannot go on: \(error)", level: .error, kind: .session)
        }
        for (plan, hasStarted) in interrupted {
            var again = plan
            if let number = plan.automatic, !isPresent(number, plan.run) {
                attempt("the session") { try store.forgetHosted(plan.name) }
                continue
            }
            // Its participants are on their way back: the first one starts it.
            if hasStarted { again.clients = 1 }
            do {
                _ = try board.host(again)
                note("session \(plan.name) goes on after an interruption", level: .warning, kind: .session)
            } catch {
                note("session \(plan.name) cannot go on: \(error)", level: .error, kind: .session)
                attempt("the session") { try store.forgetHosted(plan.name) }
            }
        }
    }

    /// Whether the run of an automatic session is still wanted.
    private func isPresent(_ number: Int64, _ run: Int?) -> Bool {
        let list = try? store.sessionList()
        return list?.sessions.contains { $0.number == number && $0.run == run && $0.isEnabled } ?? false
    }

    /// Does what must not fail a session if the store fails; that is told.
    private func attempt(_ what: String, _ body: () throws -> Void) {
        do { try body() } catch { logger.error("\(what) cannot be taken down: \(error)") }
    }

    /// Seconds since the start.
    var uptime: UInt64 { (MonotonicClock.now() - startedAt) / second }
}

/// The daemon for those of its parts that are made before it.
private final class DaemonRelay: Sendable {
    private struct Reference: Sendable { weak var daemon: Daemon? }
    private let state = Mutex(Reference())

    var daemon: Daemon? {
        get { state.withLock { $0.daemon } }
        set { state.withLock { $0.daemon = newValue } }
    }
}
