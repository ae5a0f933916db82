// img session: a multicast session → disks, through the same pipeline as a restore from a file.
package import Blocks
internal import Disk
internal import ImageFormat
internal import Linux
package import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// Taking part in one session.
package final class SessionRestore: Sendable {
    package struct Options: Sendable {
        package var name: String
        /// The network interface; nil for that of the route to the host.
        package var interface: String?
        /// The words of disks=; nil without, `["discard"]` to throw the data away.
        package var disks: [String]?
        /// The image file to record the session into, instead of any disk.
        package var file: String?
        /// Fingerprint of the only host key to believe.
        package var key: String?
        package var verify: Bool
        /// Whether to print the plan and leave.
        package var planOnly: Bool
        /// Routers a search for the host may pass.
        package var ttl: UInt8 = 16
        /// The imaging server's address or name, where it is known: it is asked directly as well, so that it may be
        /// behind routers that pass no multicast.
        package var server: String?
        /// The only host that is believed, and the only image that is taken, where an order says so.
        package var hostKey: PublicKey?
        package var image: GUID?
        /// How long the host is searched for, in nanoseconds; nil: for ever.
        package var patience: UInt64?

        /// Whether what comes is thrown away.
        fileprivate var discards: Bool { disks == ["discard"] }

        package init(
            name: String, interface: String? = nil, disks: [String]? = nil, file: String? = nil,
            key: String? = nil, verify: Bool = false, planOnly: Bool = false
        ) {
            self.name = name
            self.interface = interface
            self.disks = disks
            self.file = file
            self.key = key
            self.verify = verify
            self.planOnly = planOnly
        }
    }

    package struct Result: Sendable {
        package let image: GUID
        /// Bytes of content that were proven and written, or received and discarded.
        package let contentBytes: UInt64
        /// Disks written to; none for discard and for a recording.
        package let disks: [String]
        /// What was recorded, with file=.
        package let recording: SessionRecording.Result?
        /// What of the source could not be read: a sentence and then the places; empty where there is nothing.
        package let warnings: [String]
        /// What the network delivered and lost, in one sentence.
        package fileprivate(set) var network = ""
    }

    private let options: Options
    private let disks: LocalDisks
    private let runner: ParticipantRunner
    private let progress: Progress
    private let opening: Opening
    private let pipeline = Mutex<RestorePipeline?>(nil)
    private let sighting: Sighting

    /// How often the host is told our rates, in nanoseconds.
    private static let figuresInterval = second

    private var discards: Bool { options.discards }

    /// Looks at the disks and starts searching for the session; touches nothing.
    ///
    /// `progress` is told whatever a person wants to know.
    package init(_ options: Options, progress: Progress) throws {
        self.options = options
        self.progress = progress
        guard (1...255).contains(options.name.utf8.count) else {
            throw ImagingError("a session's name has 1 to 255 bytes")
        }
        let room = try options.file.map { try SessionRecording.check(path: $0) }
        disks = try LocalDisks(
            DiskInventory.Context(), words: options.disks == ["discard"] ? nil : options.disks)
        var settings = ParticipantSettings(name: options.name)
        settings.interface = options.interface
        settings.ttl = options.ttl
        settings.searchPatience = options.patience
        if let server = options.server {
            do throws(NameError) {
                // Of PROXYADDR with a port only the host counts: that is where workstations ask for work.
                let host = (try? WorkServer.parts(server).host) ?? server
                settings.server = try IPAddress(resolving: host)
            } catch {
                progress.note("the imaging server is not asked directly (PROXYADDR): \(error)", .warning)
            }
        }
        if let hostKey = options.hostKey {
            settings.pinned = hostKey.fingerprint
        } else if let key = options.key {
            guard let fingerprint = Fingerprint(key) else {
                throw ImagingError("key= takes a fingerprint of 4 groups of 4 characters, not '\(key)'")
            }
            settings.pinned = fingerprint
        }
        let shown = options.disks == nil ? disks.all : disks.named
        settings.disks = shown.prefix(64).map { disk in
            DiskSummary(text: disk.model.isEmpty ? disk.name : "\(disk.name) \(disk.model)", size: disk.size)
        }
        if options.discards { settings.disks = [DiskSummary(text: "throws away what comes", size: 0)] }
        if let file = options.file, let room {
            settings.disks = [DiskSummary(text: "recording to \(file)", size: room)]
        }
        progress.enter(.searching)
        progress.note("waiting for session \(options.name)")
        // The host tells how many are there every second; a line is worth showing only when it changes.
        let last = LastLine()
        let sighting = Sighting()
        self.sighting = sighting
        let opening = Opening()
        self.opening = opening
        runner = try ParticipantRunner(settings) { event in
            switch event {
            case .found(let endpoint, _): sighting.host.withLock { $0 = endpoint }
            case .lostSight: sighting.host.withLock { $0 = nil }
            case .accepted: progress.enter(.waiting)
            case .waiting(let joined, let stillNeeded):
                progress.register(joined: joined, stillNeeded: stillNeeded)
            case .started: opening.start()
            default: break
            }
            if let line = SessionRestore.sentence(event), last.changes(to: line) {
                progress.note(line, SessionRestore.level(event))
            }
        }
    }

    /// Waits for the session, restores its image, and returns only when all is proven, written and told to the host.
    package func run() throws -> Result? {
        do {
            let accepted = try runner.join()
            let result = try restore(accepted)
            guard var result else {
                try runner.finish(.failed("only the plan was asked for"))
                return nil
            }
            try runner.finish(
                .done(bytes: result.contentBytes, text: doneText(result)))
            progress.settle()
            result.network = SessionRestore.sentence(runner.progress, runner.lossBursts)
            return result
        } catch {
            progress.settle()
            // The host shows the reason; that it may not be reachable any more changes nothing here.
            try? runner.finish(.failed("\(error)"))
            throw error
        }
    }

    /// The host of the session, once one has been found.
    package var foundHost: Endpoint? { sighting.host.withLock { $0 } }

    /// Ends the session from this side; `run` throws `reason`.
    package func cancel(_ reason: String) {
        pipeline.withLock { $0?.cancel(reason) }
        runner.cancel(reason: reason)
    }

    private func restore(_ accepted: AcceptedSession) throws -> Result? {
        let name = options.name.onScreen
        if let wanted = options.hostKey, accepted.hostKey != wanted {
            throw ImagingError("the host of session \(name) has not the key that the order names")
        }
        if let wanted = options.image, accepted.image != wanted {
            throw ImagingError(
                "session \(name) has the image \(accepted.image), not \(wanted), which the order names")
        }
        let manifest: Manifest
        let layout: ChunkLayout
        do {
            manifest = try Manifest(decoding: accepted.manifest)
            layout = try manifest.layout()
            guard try manifest.identifier() == accepted.image, manifest.chunkCount == accepted.existing.count,
                (accepted.existing.last ?? 0) < layout.numbers.upperBound
            else { throw DecodeError.invalid("its manifest and its chunks do not belong together") }
        } catch let error as DecodeError {
            throw ImagingError("session \(options.name) has an unusable image: \(error)")
        }
        if let path = options.file { return try record(path, accepted, manifest, layout) }
        var plan: RestorePlan?
        if discards {
            let verb = options.planOnly ? "would receive" : "receiving"
            let after = options.planOnly ? "throw" : "throwing"
            progress.note("\(verb) \(manifest.usedBytes.asBytes) and \(after) it away")
        } else {
            let made = try RestorePlan(
                manifest: manifest, disks: disks.all, named: options.disks == nil ? nil : disks.named,
                existing: accepted.existing)
            for line in made.description(of: manifest) { progress.note(line) }
            plan = made
        }
        if options.planOnly { return nil }
        let disks = plan?.diskFigures(accepted.existing, layout: layout, manifest) ?? []
        let reporter = prepare(discards ? .receiving : .restoring, accepted, manifest, disks)
        defer { reporter.finish() }
        let lost: [ClosingRecord.Unreadable]
        if let plan {
            let pipeline = RestorePipeline(
                layout: layout, wanted: accepted.existing, source: SessionFrameSource(runner),
                sink: DiskSink(plan, layout: layout, progress: progress), progress: progress)
            self.pipeline.withLock { $0 = pipeline }
            runner.need(accepted.existing)
            try pipeline.run(verify: options.verify)
            lost = pipeline.unreadable
        } else {
            runner.need(accepted.existing)
            lost = try discard(accepted.existing, layout)
        }
        return Result(
            image: accepted.image, contentBytes: manifest.usedBytes,
            disks: plan?.assignments.map(\.target.path) ?? [], recording: nil,
            warnings: UnreadableSectors(lost, disks: manifest.disks)
                .warnings(of: discards ? "in what was received" : "on the disk") { disk in
                    plan?.assignments.first { $0.imageDisk == disk }?.target.path ?? "disk \(disk + 1)"
                })
    }

    /// Has `progress` begin as soon as the session has started, and the host told how fast we write until the reporter
    /// is finished.
    private func prepare(
        _ state: ProgressReport.State, _ accepted: AcceptedSession, _ manifest: Manifest,
        _ disks: [ProgressReport.DiskFigures]
    ) -> ProgressListener {
        progress.follow { [runner] in runner.progress.map(NetworkFigures.init) }
        opening.whenStarted { [progress] in
            progress.begin(
                state, totalBytes: manifest.usedBytes, totalChunks: accepted.existing.count, disks: disks)
        }
        return progress.listen(every: SessionRestore.figuresInterval) { [runner] event in
            guard case .report(let report) = event, report.state.isTransfer else { return }
            let rate = UInt64(report.diskRate)
            runner.report(PipelineFigures(writeRate: rate, decodeRate: rate))
        }
    }

    /// Keeps the session as the image file `path`.
    private func record(
        _ path: String, _ accepted: AcceptedSession, _ manifest: Manifest, _ layout: ChunkLayout
    ) throws -> Result {
        let recording = try SessionRecording(
            path: path, manifest: accepted.manifest, layout: layout, wanted: accepted.existing,
            source: SessionFrameSource(runner), progress: progress)
        if let notice = try recording.spaceNotice(usedBytes: manifest.usedBytes) {
            progress.note(notice, .warning)
        }
        let reporter = prepare(.recording, accepted, manifest, [])
        defer { reporter.finish() }
        runner.need(accepted.existing)
        let recorded = try recording.run()
        return Result(
            image: accepted.image, contentBytes: recorded.contentBytes, disks: [], recording: recorded,
            warnings: UnreadableSectors(recorded.unreadable, disks: manifest.disks)
                .warnings(of: "in the image") { "disk \($0 + 1)" })
    }

    /// What the host's summary says of this machine.
    private func doneText(_ result: Result) -> String {
        let done =
            result.recording.map { "recorded to \($0.path)" }
            ?? (discards ? "received and discarded (not hashed)" : "restored")
        guard let first = result.warnings.first else { return done }
        return "\(done), \(first): " + result.warnings.dropFirst().joined(separator: "; ")
    }

    /// Takes every chunk, its seal checked, and throws it away: nothing but the network is measured.
    ///
    /// Returns what of it the source could not read.
    private func discard(
        _ wanted: ChunkSet, _ layout: ChunkLayout
    ) throws -> [ClosingRecord.Unreadable] {
        var missing = wanted
        var lost: [ClosingRecord.Unreadable] = []
        while let frame = try runner.nextFrame() {
            do throws(DecodeError) {
                let header = try frame.withBytes { span throws(DecodeError) in
                    var offset = 0
                    return try FrameHeader(from: span, at: &offset, layout: layout)
                }
                progress.add(frame: frame.byteCount)
                progress.add(content: header.rawLength, disk: header.disk)
                lost += header.unreadable.map {
                    ClosingRecord.Unreadable(disk: header.disk, extent: $0)
                }
                missing.remove(frame.chunk)
                runner.chunkDone(frame.chunk)
            } catch {
                runner.chunkFailed(frame.chunk, reason: error.description)
            }
            runner.release(frame)
        }
        guard missing.isEmpty else {
            throw ImagingError("\(missing.count) of \(wanted.count) chunks did not arrive")
        }
        return lost
    }

    /// What the network did: how many symbols came, how many were lost where, and whether singly or in a row.
    private static func sentence(_ progress: ParticipantProgress?, _ bursts: LossBursts) -> String {
        guard let progress else { return "received nothing" }
        return "received \(progress.symbolsReceived) symbols; lost \(progress.lostOnWire) on the wire "
            + "(mean burst \(bursts.mean.fixed(1))), \(progress.lostInSocket) in the socket, "
            + "\(progress.lostForWantOfBuffers) for want of a buffer"
    }

    /// How grave what an event says is.
    private static func level(_ event: ParticipantEvent) -> Progress.Level {
        if case .lostHost = event { .warning } else { .notice }
    }

    /// What an event says to the person at the machine; nil for those the progress line shows.
    private static func sentence(_ event: ParticipantEvent) -> String? {
        switch event {
        case .found(let endpoint, let fingerprint): "found a host at \(endpoint), key \(fingerprint)"
        case .accepted: "joined the session"
        case .waiting(let joined, let stillNeeded):
            "registered/still needed \(joined)/\(stillNeeded), waiting for the start"
        case .started: "the session has started"
        case .notice(let text): text.onScreen
        case .lostHost(let reason):
            "lost the host (\(reason.onScreen)); looking for it, what was received stays"
        case .rejoined: "back in the session"
        case .lostSight, .frame, .complete, .ended: nil
        }
    }
}

/// Begins something when the session has started and everything is prepared for it, whichever comes last.
///
/// The start is told before the first frame, by the same thread: nothing is counted before it has begun.
private final class Opening: Sendable {
    private struct State: Sendable {
        var hasStarted = false
        var begin: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    func start() {
        let begin = state.withLock { state in
            state.hasStarted = true
            defer { state.begin = nil }
            return state.begin
        }
        begin?()
    }

    func whenStarted(_ begin: @escaping @Sendable () -> Void) {
        let hasStarted = state.withLock { state in
            if !state.hasStarted { state.begin = begin }
            return state.hasStarted
        }
        if hasStarted { begin() }
    }
}

/// Whether a host has been found, for whoever asks while the session goes on.
private final class Sighting: Sendable {
    let host = Mutex<Endpoint?>(nil)
}

private final class LastLine: Sendable {
    private let line = Mutex("")

    func changes(to new: String) -> Bool {
        line.withLock { old in
            defer { old = new }
            return old != new
        }
    }
}
