// img session NAME master: this machine's disks, captured while they are multicast to everybody who takes part.
package import Blocks
internal import Disk
internal import ImageFormat
internal import Linux
internal import Overlay
package import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// A session hosted by this workstation, its image read live from its disks; they are only read.
///
/// Memory of the whole: the host's store of frames (64 MiB), what `LiveFrames` needs, the overlay's pool, and the chunks
/// that are on their way over TCP (16, and 64 to participants that do not take them).
package final class MasterSession: Sendable {
    /// What the master was asked to do.
    package struct Options: Sendable {
        /// The session's name.
        package var name: String
        /// The network interface; nil for that of the default route.
        package var interface: String?
        /// The disks to capture, as in disks=; nil for all eligible ones.
        package var disks: [String]?
        /// A word of comp=.
        package var compression = "balanced"
        /// Registrations at which the session starts; nil waits for `startNow`.
        package var clients: Int?
        /// How long after a registration it starts with whoever is there; nil waits for all.
        package var wait: Minutes?
        /// When it starts in any case.
        package var start: StartTime?
        /// Mbit/s the session may take; nil follows the link.
        package var rate: Int?
        /// Routers multicast may pass.
        package var ttl: UInt8 = 16
        /// Minutes it waits for silent participants once the others have finished.
        package var linger = 2.0
        /// Whether hibernated systems are captured block by block.
        package var captureHibernated = false
        /// Whether to print the plan and leave.
        package var planOnly = false
        /// Program and version, for the manifest.
        package var creator = "img"
        /// Called with the session's key and image as soon as participants can be told of them.
        package var whenHosting: (@Sendable (PublicKey, GUID) -> Void)?

        package init(name: String) { self.name = name }
    }

    /// What came of it.
    package enum Outcome: Sendable {
        /// Only the plan was asked for.
        case planned
        case hosted(MasterReport)
        /// Somebody else hosts the name; nothing was sent.
        case taken(FoundHost)
    }

    private struct State: Sendable {
        var runner: HostRunner?
        var frames: LiveFrames?
        var roll: HostRoll?
        var startedAt: UInt64?
        var stopReason: String?
    }

    private let options: Options
    private let compression: Compression
    private let progress: Progress
    private let interruption = MapInterruption()
    /// When it starts by the clock: reckoned when it was asked for, since the plan may take minutes.
    private let startsAt: UInt64?
    private let state: Mutex<State>

    /// How long somebody who hosts the name already is looked for, in nanoseconds: two announcements.
    private static let searchPatience = 2 * second
    /// How often who fits is looked at, in nanoseconds.
    private static let lookInterval = second / 4

    /// Checks the options; touches nothing.
    ///
    /// `progress` is told whatever a person wants to know.
    package init(_ options: Options, progress: Progress) throws {
        guard let compression = Compression(word: options.compression) else {
            throw ImagingError(
                "comp= takes 0 to 9, none, speed, balanced or size, not '\(options.compression)'")
        }
        guard (1...255).contains(options.name.utf8.count) else {
            throw ImagingError("a session's name has 1 to 255 bytes")
        }
        guard options.disks != ["discard"] else {
            throw ImagingError("disks=discard is for participants: a master's disks are captured")
        }
        self.options = options
        self.compression = compression
        self.progress = progress
        startsAt = options.start.map { MonotonicClock.now() + $0.delay(from: WallClock.now()) }
        state = Mutex(State())
    }

    /// Starts with whoever is there; nothing happens while nobody can join yet.
    package func startNow() { state.withLock { $0.runner }?.startNow() }

    /// Ends the session; every participant is told `reason`.
    package func cancel(_ reason: String) {
        let runner = state.withLock { state in
            if state.stopReason == nil { state.stopReason = reason }
            return state.runner
        }
        interruption.interrupt(reason)
        runner?.stop(reason: "the master was stopped: \(reason)")
    }

    /// Looks for another host of the name, decides what to capture, and hosts the session until it has ended.
    ///
    /// The disks are as before when this returns or throws.
    /// - Throws: Where nothing can be captured (a disk in use, a hibernated system) or hosted.
    package func run() throws -> Outcome {
        if !options.planOnly {
            progress.enter(.searching)
            progress.note("looking whether somebody hosts the session \(options.name.onScreen) already")
            let other = try HostSearch.find(
                session: options.name, interface: options.interface, patience: MasterSession.searchPatience,
                isCancelled: { state.withLock { $0.stopReason != nil } })
            if let other { return .taken(other) }
            try checkCancellation()
        }
        progress.enter(.planning)
        let plan = try capturePlan()
        for line in plan.description { progress.note(line) }
        if options.planOnly {
            try plan.release()
            return .planned
        }
        let outcome = Result {
            try host(plan, on: try HostInterface.choose(named: options.interface, address: nil))
        }
        // Whatever happened, the disks are given back; that this failed is worth an error only after a success.
        let released = Result { try plan.release() }
        let result = try outcome.get()
        try released.get()
        return result
    }

    /// Keeps the last figures and lets go of what gave them.
    private func settle() {
        progress.settle()
        state.withLock { state in
            state.runner = nil
            state.frames = nil
            // It knows the runner, and with it the sockets.
            state.roll = nil
        }
    }

    private func checkCancellation() throws {
        if let reason = state.withLock({ $0.stopReason }) { throw ImagingError(reason) }
    }

    private func capturePlan() throws -> CapturePlan {
        let disks = try LocalDisks(DiskInventory.Context(), words: options.disks)
        let sources = try disks.sources()
        var request = CapturePlan.Request()
        request.captureHibernated = options.captureHibernated
        request.creator = options.creator
        request.interruption = interruption
        progress.note("asking the file systems which blocks are used")
        return try CapturePlan(sources, named: options.disks != nil, request: request)
    }

    private func host(_ plan: CapturePlan, on interface: HostInterface) throws -> Outcome {
        let frames = try LiveFrames(plan, compression: compression) { [self] disk, extents in
            // One sentence for each chunk, or a bad disk would take the control connections for itself.
            let sectors = UnreadableSectors(
                extents.map { ClosingRecord.Unreadable(disk: disk, extent: $0) }, disks: plan.manifest.disks)
            guard let run = sectors.runs.first else { return }
            let more = sectors.runs.count - 1
            // Frames are asked for by the runner, so there is one.
            state.withLock { $0.runner }?.notify(
                "disk \(run.disk) (\(plan.sources[disk].disk.path)): \(run.counted) from \(run.sector) "
                    + (more > 0 ? "and \(more.counted("place")) behind them " : "")
                    + (run.count == 1 && more == 0 ? "is" : "are") + " sent as zeros")
        }
        let outcome = Result { try host(plan, frames, on: interface) }
        settle()
        try frames.close()
        return try outcome.get()
    }

    private func host(
        _ plan: CapturePlan, _ frames: LiveFrames, on interface: HostInterface
    ) throws -> Outcome {
        guard let key = PrivateKey(seed: Random.bytes(Specification.keyBytes)) else {
            throw ImagingError("cannot make a key for the session \(options.name.onScreen)")
        }
        let image = try plan.manifest.identifier()
        var settings = HostSettings(
            name: options.name, image: image, manifest: try plan.manifest.encoded(),
            existing: plan.existing, maximumFrameBytes: frames.maximumFrameBytes, hostKey: key,
            interface: interface)
        settings.participants = options.clients
        settings.registrationTimeout = options.wait?.nanoseconds
        settings.startDelay = startDelay
        settings.rate = options.rate
        settings.ttl = options.ttl
        settings.linger = UInt64(options.linger * 60e9)
        settings.yields = true
        let runner = try HostRunner(settings, frames: frames) { [self] event in
            let roll = state.withLock { state in
                if case .started = event { state.startedAt = MonotonicClock.now() }
                return state.roll
            }
            if case .started = event {
                progress.begin(
                    .sending, totalBytes: plan.manifest.usedBytes, totalChunks: plan.existing.count)
            }
            if let line = roll?.sentence(event) { progress.note(line, MasterSession.level(event)) }
        }
        let roll = HostRoll()
        roll.attend(runner)
        try state.withLock { state in
            if let reason = state.stopReason { throw ImagingError(reason) }
            state.roll = roll
            state.runner = runner
            state.frames = frames
        }
        progress.follow {
            let (session, participants) = runner.snapshot
            var figures = NetworkFigures(session, participants, now: MonotonicClock.now())
            figures.frameBytes = frames.figures.frames
            return figures
        }
        progress.enter(.waiting)
        progress.note(
            "session \(options.name.onScreen): \(plan.manifest.usedBytes.asBytes) in \(plan.existing.count) chunks, "
                + "on \(interface.interface.name), \(runner.endpoint), data to \(runner.dataEndpoint)")
        progress.note("host key \(runner.fingerprint)")
        options.whenHosting?(key.publicKey, image)
        progress.note(waiting)
        let opened = MonotonicClock.now()
        let register = Register(runner, progress)
        let registrar = progress.listen(every: MasterSession.lookInterval) { event in
            if case .report = event { register.look() }
        }
        let result = Result { try runner.run() }
        registrar.finish()
        register.look()
        let outcome = try result.get()
        if let other = outcome.otherHost {
            progress.follow(nil)
            return .taken(other)
        }
        let sources = plan.sources.map(\.disk.path).joined(separator: ", ")
        let now = MonotonicClock.now()
        let started = state.withLock { $0.startedAt }
        return .hosted(
            MasterReport(
                host: HostReport(
                    outcome, name: options.name, path: sources, fingerprint: runner.fingerprint,
                    chunks: plan.existing.count, nanoseconds: now - opened),
                imageBytes: plan.manifest.usedBytes, figures: frames.figures,
                unreadable: UnreadableSectors(frames.unreadableRanges, disks: plan.manifest.disks),
                disks: plan.sources.map(\.disk.path), nanoseconds: started.map { now - $0 } ?? 0))
    }

    /// Nanoseconds until the start by the clock; nil without one.
    private var startDelay: UInt64? {
        startsAt.map { time in
            let now = MonotonicClock.now()
            return time > now ? time - now : 0
        }
    }

    /// What the session waits for, in words.
    private var waiting: String {
        var parts: [String] = []
        if let clients = options.clients { parts.append("at \(clients) registered machines") }
        if let wait = options.wait {
            parts.append("\(wait.nanoseconds.asWait) after the last one registered")
        }
        if let startDelay { parts.append("in \(startDelay.asWait)") }
        guard !parts.isEmpty else { return "the session starts when somebody says so" }
        return "the session starts \(parts.joined(separator: ", or "))"
    }

    /// How grave what an event says is.
    private static func level(_ event: HostEvent) -> Progress.Level {
        switch event {
        case .aborted: .error
        case .refused, .silent: .warning
        case .joined, .started, .finished, .notice, .ended: .notice
        }
    }
}

/// Who has registered so far and fits: told once each, as a participant's own plan decides it.
private final class Register: Sendable {
    private let runner: HostRunner
    private let progress: Progress
    private let fitting = Mutex<Set<Int>>([])

    init(_ runner: HostRunner, _ progress: Progress) {
        self.runner = runner
        self.progress = progress
    }

    /// Tells who is new; called by one thread at a time.
    func look() {
        for (index, one) in runner.snapshot.participants.enumerated() {
            switch one.state {
            case .joined, .receiving:
                guard one.chunksNeeded > 0, fitting.withLock({ $0.insert(index).inserted }) else { continue }
                progress.note("\(one.title) fits: \(one.disksText)")
            // The seat of one that left before the start may be another machine's later.
            case .failed, .lost: fitting.withLock { _ = $0.remove(index) }
            case .silent, .finished: continue
            }
        }
    }
}

extension ParticipantSnapshot {
    /// "pc7 (10.0.0.7, 52:54:00:12:34:56)".
    package var title: String { "\(name.onScreen) (\(endpoint.address), \(macText))" }

    /// "/dev/sda Samsung SSD 870 500 GB, /dev/sdb 2 TB", or that it has none.
    package var disksText: String {
        disks.isEmpty ? "no disks" : diskTexts.joined(separator: ", ")
    }
}
