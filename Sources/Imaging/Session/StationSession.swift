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
    package enum Standing: Sendable {
        /// It waits for a host; `canBecomeMaster` is whether `becomeMaster` would do something.
        case searching(canBecomeMaster: Bool)
        case receiving
        case master(MasterSession.Snapshot)
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
        var cancelled: String?
    }

    private let options: Options
    private let report: @Sendable (String) -> Void
    private let state = Mutex(State())

    /// Whether the words let this machine become the master: thrown away is what comes, never what is captured.
    private var canBeMaster: Bool { options.role == nil && options.master.disks != ["discard"] }

    /// Touches nothing; `report` gets a line for each thing a person wants to know, on any thread.
    package init(_ options: Options, report: @escaping @Sendable (String) -> Void) {
        self.options = options
        self.report = report
    }

    /// What a screen shows now.
    package var standing: Standing {
        let now = state.withLock { $0 }
        switch now.part {
        case .none: return .searching(canBecomeMaster: false)
        case .participant(let restore):
            guard restore.foundHost == nil else { return .receiving }
            return .searching(canBecomeMaster: canBeMaster && !now.isTurning)
        case .master(let master): return .master(master.snapshot)
        }
    }

    /// Does this machine's part from beginning to end; call it once.
    ///
    /// - Throws: Why it failed, in one sentence.
    package func run(_ progress: Progress) throws -> Outcome {
        if options.role == .master { return try host(progress) }
        do {
            return try takePart(options.participant, progress)
        } catch {
            guard state.withLock({ $0.isTurning && $0.cancelled == nil }) else { throw error }
        }
        return try host(progress)
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
            report("this machine becomes the master of session \(options.master.name.onScreen)")
            restore.cancel("this machine becomes the master")
        case .taken(let host): report("there is a master already: \(host.address)")
        case .refused:
            report("disks=discard is for participants: without it this machine could be the master")
        case .nothing: break
        }
    }

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

    private func takePart(_ options: SessionRestore.Options, _ progress: Progress) throws -> Outcome {
        while true {
            let restore = try SessionRestore(options, report: report)
            do { try enter(.participant(restore)) } catch {
                restore.cancel("\(error)")
                throw error
            }
            do {
                guard let result = try restore.run(progress) else { return .planned }
                return .received(result)
            } catch let error as HostYielded {
                report("\(error); looking for it")
            }
        }
    }

    private func host(_ progress: Progress) throws -> Outcome {
        let master = try MasterSession(options.master, report: report)
        try enter(.master(master))
        switch try master.run() {
        case .planned: return .planned
        case .hosted(let report): return .hosted(report)
        case .taken(let other):
            try enter(.none)
            return try follow(other, progress)
        }
    }

    /// Takes part in the session of another master (Documentation/Decisions/0018).
    private func follow(_ other: FoundHost, _ progress: Progress) throws -> Outcome {
        let name = options.master.name.onScreen
        let who = "\(other.endpoint.address), key \(other.fingerprint)"
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
        report("session \(name) has a master already: \(who)")
        var part = options.participant
        part.key = other.fingerprint.description
        part.disks = nil
        if let file = part.file {
            report("this machine takes part in it instead and records it to \(file.onScreen); Ctrl-C leaves")
            return try takePart(part, progress)
        }
        let targets = try LocalDisks(DiskInventory.Context(), words: nil).all
            .filter { $0.refusals(for: .restore, named: false).isEmpty }
            .map { "\($0.path) (\($0.size.asBytes))" }
        report(
            "THIS MACHINE TAKES PART IN IT INSTEAD, AND ITS DISKS WILL BE OVERWRITTEN once the session starts: "
                + (targets.isEmpty ? "none is eligible" : targets.joined(separator: ", ")) + "; Ctrl-C leaves"
        )
        return try takePart(part, progress)
    }
}
