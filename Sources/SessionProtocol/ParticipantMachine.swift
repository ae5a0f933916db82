// The participant's side of a session as a state machine: time, datagrams and messages in; the same and frames out.
package import Blocks
internal import FEC

/// One participant: sans-I/O, driven by one thread.
///
/// After every input (a train of datagrams counts as one) take all `nextOutput()`; come back at `deadline`.
/// Finding the host is in ParticipantDiscovery.swift, data in ParticipantReceiver.swift, reports in
/// ParticipantReports.swift, and what happens when multicast does not arrive in ParticipantHearing.swift.
package struct ParticipantMachine: ~Copyable {
    /// Where the machine stands with its host.
    enum State {
        /// No host, or not settled on one.
        case searching
        /// The connection is being made.
        case connecting
        /// JOIN has been sent.
        case joining
        /// Accepted: the session has or has not started.
        case inSession
        /// DONE has been sent; only END is missing.
        case closing
        case ended
    }

    /// What a screen shows of the session.
    package internal(set) var progress = ParticipantProgress()

    let configuration: ParticipantConfiguration
    /// Who this is in JOIN: it gives back a seat, so only the host may see it.
    let participant: GUID
    /// What SEEK, which everybody on the network sees, carries instead; nothing leads from it to `participant`.
    let seeker: GUID
    private var outputs: [ParticipantOutput] = []
    private var outputsTaken = 0

    // The host.
    var state = State.searching
    var candidates: [Candidate] = []
    var firstFound: UInt64?
    /// Since when more than one host has announced the session, until one of them is gone.
    var disputeSince: UInt64?
    /// How many announcements that a session has ended may be checked.
    var signatures: SignatureBudget
    var host: Candidate?
    var hostEndpoint: Endpoint?
    /// Set by the first ACCEPT; from then on only this image under this key is taken.
    var accepted: AcceptedSession? {
        didSet {
            expected = accepted.map {
                Expected(session: $0.session, maximumSealedBytes: $0.maximumSealedBytes)
            }
        }
    }
    private(set) var expected: Expected?
    var sources: [Address] = []
    var joins: UInt32 = 0
    var nonce: [UInt8] = []
    var framer = MessageFramer(longestBody: MessageType.chunk.maximumBodyBytes)
    var nextSeek: UInt64
    var searchSince: UInt64
    var stateSince: UInt64
    var lastHeard: UInt64
    var hasStarted = false
    var isRejoining = false
    /// Whether a host that could not be reached must be given time before the next attempt.
    var retryAt: UInt64 = 0

    // Chunks.
    var needed: ChunkSet?
    /// Chunks that are needed and not done.
    var remaining = ChunkSet()
    /// Chunks that the pipeline has.
    var inPipeline: Set<UInt32> = []
    var assemblies: [UInt32: Assembly] = [:]
    /// The chunk whose symbols are expected next, and its places.
    var latest: Assembly?
    var latestPlaces: SymbolPlaces?
    let decoder = StripeDecoder()
    var assembliesBegun: UInt64 = 0
    var pool: ReassemblyPool
    var failures: [UInt32: Int] = [:]
    /// Chunks that only TCP may bring.
    var insisted = ChunkSet()
    /// Chunks that came over TCP when there was no buffer.
    var declined = ChunkSet()
    /// Chunks in the pipeline of which TCP has brought a copy: the host does not send them again by itself.
    var broughtOverControl: Set<UInt32> = []
    var isComplete = false
    var outcome: PipelineOutcome?

    // Reports.
    var reporting = Reporting()
    /// Whether multicast arrives (ParticipantHearing.swift).
    var hearing = Hearing()

    /// Checks the configuration; `now` is in nanoseconds of a clock that never goes back.
    package init(configuration: ParticipantConfiguration, now: UInt64) throws(ConfigurationError) {
        guard (1...255).contains(configuration.name.utf8.count) else {
            throw ConfigurationError(description: "a session's name has 1 to 255 bytes")
        }
        guard configuration.entropy.count == Specification.nonceBytes, configuration.identity.mac.count == 6
        else {
            throw ConfigurationError(description: "a participant has 32 random bytes and a MAC address of 6")
        }
        self.configuration = configuration
        func identifier(_ label: String) -> GUID {
            GUID(random: Array(Digest.of(configuration.entropy + Array(label.utf8)).bytes[..<16]))
        }
        participant = identifier("participant")
        seeker = identifier("seek")
        pool = ReassemblyPool(limit: configuration.poolBytes, hasMemory: !configuration.countsOnly)
        signatures = SignatureBudget(now: now)
        nextSeek = now
        searchSince = now
        stateSince = now
        lastHeard = now
    }

    // MARK: Inputs from the pipeline

    /// Says which chunks are to be received, once, after `accepted`.
    ///
    /// An empty set is complete at once. Chunks the image does not have are left out.
    package mutating func need(_ chunks: ChunkSet, now: UInt64) {
        guard needed == nil, let accepted else { return }
        let real = chunks.subtracting(chunks.subtracting(accepted.existing))
        needed = real
        remaining = real
        progress.chunksNeeded = real.count
        sendNeed()
        completeIfDone()
    }

    /// The chunk's content is on the disk (or proven to be right); its buffer goes back by `bufferReleased`.
    package mutating func chunkDone(_ chunk: UInt32, now: UInt64) {
        guard inPipeline.remove(chunk) != nil else { return }
        remaining.remove(chunk)
        insisted.remove(chunk)
        broughtOverControl.remove(chunk)
        failures[chunk] = nil
        progress.chunksDone += 1
        reporting.unreported.insert(chunk)
        completeIfDone()
    }

    /// The chunk's seal or content is wrong: it is asked for again, the third time the session is given up.
    package mutating func chunkFailed(_ chunk: UInt32, reason: String, now: UInt64) {
        guard inPipeline.remove(chunk) != nil else { return }
        let count = (failures[chunk] ?? 0) + 1
        failures[chunk] = count
        let wasOverControl = broughtOverControl.remove(chunk) != nil
        send(NoticeMessage(level: .warning, text: "chunk \(chunk): \(reason)").encode())
        switch count {
        case 1 where !wasOverControl && now <= reporting.lastHeardOf + Tuning.unseenPatience: break
        case 1, 2:
            insisted.insert(chunk)
            send(NeedMessage(mode: .overControl, chunks: ChunkSet([chunk])).encode())
        default: stop(reason: "chunk \(chunk) came wrong over TCP as well: \(reason)", now: now)
        }
    }

    /// Gives a frame's buffer back.
    package mutating func bufferReleased(_ buffer: ReassemblyBuffer, now: UInt64) {
        pool.giveBack(buffer)
        guard !declined.isEmpty, state == .inSession else { return }
        send(NeedMessage(mode: .overControl, chunks: declined).encode())
        declined = ChunkSet()
    }

    /// Chunks of the longest length that there is memory for now, and with all of it free; 0 before a host let us in.
    package var bufferRoom: (free: Int, all: Int) {
        guard let longest = accepted?.maximumSealedBytes else { return (0, 0) }
        return (pool.room(for: longest), pool.limit / max(longest, 1))
    }

    /// What the pipeline measured, for the next reports.
    package mutating func figures(_ figures: PipelineFigures) { reporting.figures = figures }

    /// The pipeline is through, one way or the other; `ended` follows.
    package mutating func finished(_ outcome: PipelineOutcome, now: UInt64) {
        guard state != .ended, self.outcome == nil else { return }
        switch outcome {
        case .failed(let reason): stop(reason: reason, now: now)
        case .done:
            self.outcome = outcome
            // Before START nobody is done: a participant that needs nothing waits for it as well.
            if state == .inSession, reporting.hasStarted { sendDone(now: now) }
        }
    }

    /// Leaves the session; the host is told the reason.
    package mutating func stop(reason: String, now: UInt64) {
        guard state != .ended else { return }
        if state == .inSession || state == .joining { send(AbortMessage(reason: reason).encode()) }
        end(.failed(reason))
    }

    /// Lets time pass.
    package mutating func advance(now: UInt64) {
        watchHearing(now: now)
        settleDispute(now: now)
        switch state {
        case .searching: search(now: now)
        case .connecting, .joining:
            if now >= stateSince + Tuning.handshakePatience {
                hostIsGone("the host does not answer", now: now)
            }
        case .inSession:
            if now >= lastHeard + Specification.silence {
                hostIsGone("nothing has been heard of the host for 5 seconds", now: now)
            } else if now >= reporting.next {
                report(now: now)
            }
        case .closing:
            if now >= stateSince + Tuning.handshakePatience { end(.done) }
        case .ended: break
        }
    }

    // MARK: Outputs

    /// The next thing for the driver to do, in order.
    package mutating func nextOutput() -> ParticipantOutput? {
        guard outputsTaken < outputs.count else {
            outputs.removeAll(keepingCapacity: true)
            outputsTaken = 0
            return nil
        }
        outputsTaken += 1
        return outputs[outputsTaken - 1]
    }

    /// When to call `advance` again at the latest; nil: it has ended.
    package func deadline(now: UInt64) -> UInt64? {
        switch state {
        case .searching where disputeSince != nil: nextSeek
        case .searching: firstFound.map { min(nextSeek, max($0 + Tuning.settleTime, retryAt)) } ?? nextSeek
        case .connecting, .joining, .closing: stateSince + Tuning.handshakePatience
        case .inSession: min(reporting.next, lastHeard + Specification.silence)
        case .ended: nil
        }
    }

    // MARK: Within

    mutating func emit(_ output: ParticipantOutput) { outputs.append(output) }

    mutating func send(_ bytes: [UInt8]) { emit(.send(bytes)) }

    mutating func enter(_ state: State, now: UInt64) {
        self.state = state
        stateSince = now
    }

    func sendNeedMessage() -> [UInt8] { NeedMessage(mode: .all, chunks: remaining).encode() }

    /// Says what is still needed, if the pipeline has said it and the host can hear it.
    mutating func sendNeed() {
        guard needed != nil, state == .inSession else { return }
        send(sendNeedMessage())
        // NEED replaces what the host knew, so chunks that must come over TCP are named again.
        let again = insisted.union(declined)
        declined = ChunkSet()
        let open = again.subtracting(again.subtracting(remaining))
        if !open.isEmpty { send(NeedMessage(mode: .overControl, chunks: open).encode()) }
    }

    private mutating func completeIfDone() {
        guard needed != nil, remaining.isEmpty, !isComplete else { return }
        isComplete = true
        discardAssemblies()
        emit(.leaveGroup)
        emit(.event(.complete))
    }

    mutating func sendDone(now: UInt64) {
        guard case .done(let bytes, let text) = outcome else { return }
        send(DoneMessage(chunks: UInt64(progress.chunksDone), bytes: bytes, text: text).encode())
        enter(.closing, now: now)
    }

    mutating func end(_ result: ParticipantEnd) {
        guard state != .ended else { return }
        let wasConnected = state != .searching
        state = .ended
        if accepted != nil, !isComplete { emit(.leaveGroup) }
        if wasConnected { emit(.close) }
        emit(.event(.ended(result)))
    }
}
