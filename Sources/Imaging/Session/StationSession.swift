// This machine's part in a session: participant, master, or whichever of them it turns out to be.
internal import Blocks
internal import Disk
internal import Linux
internal import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// One run of `img session`, for whatever shows it and has the keys.
package final class StationSession: Sendable {
    /// What a person said this machine is to be.
    package enum Role: Sendable {
        case master, participant
    }

    /// What it was asked to do; each role has its own words, of which disks= means something else in each.
    package struct Options: Sendable {
        /// nil: takes part when a host appears, unless somebody makes this machine the master before.
        package var role: Role?
        package var participant: SessionRestore.Options
        /// Whether somebody at this machine can call `takePartInstead`.
        package var isAttended = false
        package var master: MasterSession.Options

        package init(role: Role?, participant: SessionRestore.Options, master: MasterSession.Options) {
            self.role = role
            self.participant = participant
            self.master = master
        }
    }

    /// What came of it.
    package enum Outcome: Sendable {
        /// Only the plan was asked for.
        case planned
        case received(SessionRestore.Result)
        case hosted(MasterReport)
    }

    /// What this machine is now.
    package enum Standing: Equatable, Sendable {
        /// It waits for a host; `canBecomeMaster` is whether `becomeMaster` would do something.
        case searching(canBecomeMaster: Bool)
        case receiving
        /// It was to be the master and another one is: `takePartInstead` lets its disks be overwritten.
        case asking
        /// It is the master, and `startNow` starts the session unless it has started.
        case master
    }

    private enum Part: Sendable {
        case none
        case participant(SessionRestore)
        case master(MasterSession)
    }

    private struct State: Sendable {
        var part = Part.none
        /// Somebody made this machine the master.
        var isTurning = false
        /// Another master was found: whether this machine may be overwritten is asked, and was answered.
        var isAsking = false
        var hasAgreed = false
        var cancelled: String?
    }

    private let options: Options
    private let progress: Progress
    private let state = Mutex(State())

    /// Whether the words let this machine become the master: thrown away is what comes, never what is captured.
    private var canBeMaster: Bool { options.role == nil && options.master.disks != ["discard"] }

    /// Touches nothing; `progress` is told whatever a person wants to know.
    package init(_ options: Options, progress: Progress) {
        self.options = options
        self.progress = progress
    }

    /// What a screen shows now.
    package var standing: Standing {
        let now = state.withLock { $0 }
        if now.isAsking { return .asking }
        switch now.part {
        case .none: return .searching(canBecomeMaster: false)
        case .participant(let restore):
            guard restore.foundHost == nil else { return .receiving }
            return .searching(canBecomeMaster: canBeMaster && !now.isTurning)
        case .master: return .master
        }
    }

    /// Does this machine's part from beginning to end; call it once.
    ///
    /// - Throws: Why it failed, in one sentence.
    package func run() throws -> Outcome {
        if options.role == .master { return try host() }
        do {
            return try takePart(options.participant)
        } catch {
            // Whoever has found a host meanwhile may have begun to write.
            let turns = state.withLock { state in
                guard case .participant(let restore) = state.part, restore.foundHost == nil else {
                    return false
                }
                return state.isTurning && state.cancelled == nil
            }
            guard turns else { throw error }
        }
        return try host()
    }

    /// Makes this machine the master if it still waits for a host; says so if it cannot be.
    package func becomeMaster() {
        guard options.role == nil else { return }
        enum Answer {
            case turn(SessionRestore)
            case taken(Endpoint)
            case refused
            case nothing
        }
        let answer = state.withLock { state -> Answer in
            guard case .participant(let restore) = state.part, !state.isTurning else { return .nothing }
            if let host = restore.foundHost { return .taken(host) }
            guard canBeMaster else { return .refused }
            state.isTurning = true
            return .turn(restore)
        }
        switch answer {
        case .turn(let restore):
            progress.note("this machine becomes the master of session \(options.master.name.onScreen)")
            restore.cancel("this machine becomes the master")
        case .taken(let host): progress.note("there is a master already: \(host.address)")
        case .refused:
            progress.note("disks=discard is for participants: without it this machine could be the master")
        case .nothing: break
        }
    }

    /// Agrees that this machine takes part in another master's session, which overwrites its disks.
    package func takePartInstead() { state.withLock { $0.hasAgreed = $0.isAsking } }

    /// Starts the session with whoever is there, if this machine is its master.
    package func startNow() {
        if case .master(let master) = state.withLock({ $0.part }) { master.startNow() }
    }

    /// Ends this machine's part; `run` throws `reason` or reports who was left without everything.
    package func cancel(_ reason: String) {
        let part = state.withLock { state in
            state.cancelled = state.cancelled ?? reason
            return state.part
        }
        switch part {
        case .none: break
        case .participant(let restore): restore.cancel(reason)
        case .master(let master): master.cancel(reason)
        }
    }

    private func enter(_ part: Part) throws {
        try state.withLock { state in
            if let reason = state.cancelled { throw ImagingError(reason) }
            state.part = part
        }
    }

    private func takePart(_ options: SessionRestore.Options) throws -> Outcome {
        while true {
            let restore = try SessionRestore(options, progress: progress)
            do { try enter(.participant(restore)) } catch {
                restore.cancel("\(error)")
                throw error
            }
            do {
                guard let result = try restore.run() else { return .planned }
                return .received(result)
            } catch let error as HostYielded {
                guard options.key == nil else {
                    throw ImagingError("\(error): the host with the key \(options.key ?? "") is no more")
                }
                guard !state.withLock({ $0.isTurning }) else { throw error }
                progress.note("\(error); looking for it")
            }
        }
    }

    private func host() throws -> Outcome {
        let master = try MasterSession(options.master, progress: progress)
        try enter(.master(master))
        switch try master.run() {
        case .planned: return .planned
        case .hosted(let report): return .hosted(report)
        case .taken(let other):
            try enter(.none)
            return try follow(other)
        }
    }

    /// Takes part in the session of another master (Documentation/Decisions/0018).
    private func follow(_ other: FoundHost) throws -> Outcome {
        let name = options.master.name.onScreen
        let who = other.who
        guard !other.isRunning else {
            throw ImagingError(
                "session \(name) already runs, hosted by \(who): 'img session \(name)' takes part in it")
        }
        guard options.master.disks == nil else {
            throw ImagingError(
                "session \(name) has a master already, \(who), and the disks= given here were to be captured, not "
                    + "overwritten: to write the session's image to them, type 'img session \(name) client disks=...'"
            )
        }
        progress.note("session \(name) has a master already: \(who)")
        var part = options.participant
        part.key = other.fingerprint.description
        part.disks = nil
        if let file = part.file {
            progress.note(
                "this machine takes part in it instead and records it to \(file.onScreen); Ctrl-C leaves")
            return try takePart(part)
        }
        guard options.isAttended else {
            throw ImagingError(
                "session \(name) has a master already, \(who), and nobody is here to say that this machine, whose disks "
                    + "were to be sent, may be overwritten: 'img session \(name) client' takes part in it")
        }
        let targets = try DiskListing(disks: nil).targets(named: false)
        progress.note(
            "This machine can take part in it instead. ITS DISKS WILL THEN BE OVERWRITTEN:\n"
                + targets.joined(separator: "\n") + "\nPress c to take part, Ctrl-C to leave.", .warning)
        try waitForAgreement()
        // A person may take their time: the session may run by now, or somebody else may host it.
        let still = try HostSearch.find(
            session: options.master.name, interface: options.master.interface,
            patience: StationSession.searchPatience,
            isCancelled: { state.withLock { $0.cancelled != nil } })
        try enter(.none)
        guard let still else { throw ImagingError("session \(name) has no host any more: \(who) is gone") }
        guard still.fingerprint == other.fingerprint, !still.isRunning else { return try follow(still) }
        return try takePart(part)
    }

    /// Returns when a person has agreed; throws when the session is cancelled.
    private func waitForAgreement() throws {
        state.withLock { ($0.isAsking, $0.hasAgreed) = (true, false) }
        defer { state.withLock { $0.isAsking = false } }
        while !state.withLock({ $0.hasAgreed }) {
            try enter(.none)
            MonotonicClock.sleep(nanoseconds: StationSession.attention)
        }
    }

    /// How soon a key is noticed, and how long a host that was found before is looked for, in nanoseconds.
    private static let attention = second / 10
    private static let searchPatience = 3 * second
}
