// How a participant finds its host, makes sure that it is the right one, joins, and finds it again.
internal import Blocks

/// A host that announced the session under a key it holds.
struct Candidate {
    let key: PublicKey
    let endpoint: Endpoint
    let session: UInt64
    /// When it last announced the session, as far as can be told without checking every signature.
    var lastHeard: UInt64
}

extension ParticipantMachine {
    /// Takes a datagram that came to the discovery port.
    package mutating func discovery(_ bytes: RawSpan, from: Endpoint, now: UInt64) {
        guard state != .ended, state != .closing, let claim = try? AnnounceMessage(unverified: bytes),
            claim.name == configuration.name
        else { return }
        if let pinned = configuration.pinned, claim.hostKey.fingerprint != pinned { return }
        // Once data may be written, who else announces the name no longer matters: all data is signed.
        guard !hasStarted || state == .searching else { return }
        // Signatures are checked only for what is not known yet, and for few, so that a flood costs little.
        let known = candidates.firstIndex { $0.key == claim.hostKey && $0.session == claim.session }
        guard claim.state != .ended else {
            if let known { forget(known, after: bytes, now: now) }
            return
        }
        if let known {
            candidates[known].lastHeard = now
            return
        }
        let isOurs = claim.hostKey == accepted?.hostKey
        guard isOurs || candidates.count < Tuning.mostHosts, let announce = try? AnnounceMessage(from: bytes)
        else { return }
        guard announce.lowestVersion <= Specification.version,
            announce.highestVersion >= Specification.lowestVersion
        else {
            guard !isRejoining || isOurs else { return }
            let versions = "\(announce.lowestVersion) to \(announce.highestVersion)"
            return end(
                .failed("the host at \(from.address) speaks versions \(versions) of the protocol, not 1"))
        }
        let found = Candidate(
            key: announce.hostKey, endpoint: announce.endpoint(heardFrom: from.address),
            session: announce.session, lastHeard: now)
        candidates.removeAll { $0.key == found.key }
        candidates.append(found)
        if candidates.count > 1, disputeSince == nil, !hasStarted, !isRejoining {
            disputeSince = now
            emit(.event(.notice("\(dispute); waiting for one of them to give way")))
        }
        if firstFound == nil {
            firstFound = now
            emit(.event(.found(found.endpoint, found.key.fingerprint)))
        }
        if state == .searching { search(now: now) }
    }

    // MARK: Two hosts of one name

    /// The hosts that announce the session, as a sentence's beginning.
    private var dispute: String {
        let hosts = candidates.prefix(2).map { "\($0.endpoint.address) (\($0.key.fingerprint))" }
        return "two hosts announce the session \(configuration.name): \(hosts.joined(separator: " and "))"
    }

    /// A host says that its session has ended: it is none to choose any more.
    private mutating func forget(_ index: Int, after bytes: RawSpan, now: UInt64) {
        guard signatures.take(now: now), (try? AnnounceMessage(from: bytes)) != nil else { return }
        candidates.remove(at: index)
        if candidates.isEmpty {
            firstFound = nil
            if accepted == nil { emit(.event(.lostSight)) }
        }
        if disputeSince != nil { settleDispute(now: now) }
    }

    /// Looks again at two hosts that announced the session: whoever has ended or fallen silent is out of it.
    ///
    /// If both are still there after a while, neither is taken.
    mutating func settleDispute(now: UInt64) {
        guard let since = disputeSince, state != .ended, state != .closing else { return }
        // The host of the connection is there, whether its announcements arrive or not.
        let own = state == .inSession ? host?.key : nil
        candidates.removeAll { $0.key != own && now >= $0.lastHeard + Specification.silence }
        guard candidates.count > 1 else {
            disputeSince = nil
            if state == .searching, let one = candidates.first {
                emit(.event(.found(one.endpoint, one.key.fingerprint)))
            }
            return
        }
        guard now >= since + Tuning.disputeTime else { return }
        let there = candidates.count { $0.key == own || now < $0.lastHeard + Tuning.settleTime }
        if there > 1 { refuseBoth(now: now) }
    }

    private mutating func refuseBoth(now: UInt64) {
        stop(reason: "\(dispute); name the right one with key=FINGERPRINT", now: now)
    }

    /// Asks, and goes on once a host is settled on.
    mutating func search(now: UInt64) {
        if let patience = isRejoining ? configuration.reconnectPatience : configuration.searchPatience,
            now >= searchSince + patience
        {
            if outcome != nil { return end(.done) }
            return end(
                .failed(
                    isRejoining
                        ? "the host of the session \(configuration.name) did not come back"
                        : "no host of a session \(configuration.name) was found"))
        }
        if now >= nextSeek {
            nextSeek = now + Tuning.seekInterval
            emit(
                .datagram(
                    .everyone, SeekMessage(participant: seeker, session: configuration.name).encode()))
        }
        guard disputeSince == nil, let firstFound,
            now >= firstFound + (mustSettle ? Tuning.settleTime : 0), now >= retryAt
        else { return }
        let wanted = accepted.map(\.hostKey)
        guard let chosen = candidates.first(where: { wanted == nil || $0.key == wanted }) else {
            if let other = candidates.first, now >= firstFound + Tuning.settleTime {
                return end(
                    .failed(
                        """
                        the session \(configuration.name) is now announced by another host: \
                        \(other.endpoint.address) (\(other.key.fingerprint))
                        """))
            }
            return
        }
        host = chosen
        enter(.connecting, now: now)
        emit(.connect(chosen.endpoint))
    }

    /// A pinned key needs no waiting for others, nor does a host that is known already.
    private var mustSettle: Bool {
        configuration.pinned == nil && !candidates.contains { $0.key == accepted?.hostKey }
    }

    /// The connection asked for by `connect` stands; `peer` is the host's address, a source of data.
    package mutating func controlConnected(peer: Endpoint, now: UInt64) {
        guard state == .connecting else { return }
        joins += 1
        hostEndpoint = peer
        framer = MessageFramer(longestBody: MessageType.chunk.maximumBodyBytes)
        var writer = ByteWriter(reserving: 64)
        writer.append(configuration.entropy)
        writer.u32(joins)
        nonce = Digest.of(writer.bytes).bytes
        enter(.joining, now: now)
        send(
            JoinMessage(
                nonce: nonce, participant: participant, knownImage: accepted?.image,
                session: configuration.name,
                identity: configuration.identity
            ).encode())
    }

    /// The connection has ended, or could not be made; nothing more may be sent on it.
    package mutating func controlDisconnected(reason: String, now: UInt64) {
        switch state {
        case .connecting, .joining, .inSession: hostIsGone(reason, isConnected: false, now: now)
        case .closing: end(.done)
        case .searching, .ended: break
        }
    }

    /// Takes bytes of the control connection as they come, in pieces of any size.
    package mutating func controlReceived(_ bytes: RawSpan, now: UInt64) {
        guard state == .joining || state == .inSession || state == .closing else { return }
        framer.append(bytes)
        do throws(DecodeError) {
            while state == .joining || state == .inSession || state == .closing,
                let message = try framer.next()
            {
                handle(message, now: now)
            }
        } catch {
            hostIsGone("the host sent a malformed message: \(error)", now: now)
        }
    }

    private mutating func handle(_ message: ControlMessage, now: UInt64) {
        lastHeard = now
        if state == .joining {
            switch message {
            case .accept(let accept, let signed): self.accept(accept, signed, now: now)
            case .refuse(let refuse): end(.failed("the host refuses: \(refuse.reason)"))
            default: hostIsGone("the host spoke before it accepted", now: now)
            }
            return
        }
        switch message {
        case .start(let start):
            // Nothing may be written while it is not clear which host is the right one.
            if disputeSince != nil { return refuseBoth(now: now) }
            reporting.schedule(start, slot: reporting.slot, now: now)
            if !hasStarted {
                hasStarted = true
                emit(.event(.started))
            }
            if outcome != nil, state == .inSession { sendDone(now: now) }
        case .notice(let notice):
            if !notice.text.isEmpty { emit(.event(.notice(notice.text))) }
            if notice.level == .state, !hasStarted {
                emit(.event(.waiting(joined: Int(notice.joined), stillNeeded: Int(notice.needed))))
            }
        case .chunk(let chunk): takeFromControl(chunk, now: now)
        case .end(let message):
            if state == .closing, message.outcome == .finished { return end(.done) }
            if message.outcome == .yielded, !hasStarted { return end(.yielded(message.text)) }
            end(.failed("the host ended the session: \(message.text)"))
        case .abort(let abort): end(.failed("the host ended the session: \(abort.reason)"))
        case .join, .accept, .refuse, .need, .report, .done:
            hostIsGone("the host sent a message that is not its to send", now: now)
        }
    }

    /// Takes an ACCEPT only if it answers our nonce under the key that announced the session.
    private mutating func accept(_ accept: AcceptMessage, _ signed: SignedPart, now: UInt64) {
        guard let host, accept.nonce == nonce, accept.hostKey == host.key,
            signed.isSigned(by: host.key, context: SignatureContext.accept)
        else {
            emit(.event(.notice("an answer that the host did not sign for us was refused")))
            return hostIsGone("the host could not prove who it is", now: now)
        }
        guard (Specification.lowestVersion...Specification.version).contains(accept.version) else {
            return stop(reason: "the host picked version \(accept.version) of the protocol", now: now)
        }
        guard Int(accept.maximumSealedBytes) <= configuration.poolBytes else {
            let most = UInt64(accept.maximumSealedBytes).asBytes
            let pool = UInt64(max(configuration.poolBytes, 0)).asBytes
            return stop(
                reason: "the image has frames of up to \(most), the buffers have only \(pool)", now: now)
        }
        if let accepted, accept.image != accepted.image {
            return stop(reason: "the session \(configuration.name) now has another image", now: now)
        }
        let isFirst = accepted == nil
        if accepted?.session != accept.session { forgetAssemblies() }
        let session = AcceptedSession(
            session: accept.session, image: accept.image, manifest: accept.manifest,
            existing: accept.existing,
            hostKey: accept.hostKey,
            seals: SealVerifier(session: accept.session, image: accept.image, key: accept.sessionKey),
            group: accept.group, dataPort: accept.dataPort, maximumSealedBytes: Int(accept.maximumSealedBytes)
        )
        accepted = session
        sources = accept.addresses + (hostEndpoint.map { [$0.address] } ?? [])
        enter(.inSession, now: now)
        lastHeard = now
        reporting.begin(slot: accept.slot, streams: Int(accept.streams), now: now)
        hearing = Hearing(since: now)
        isRejoining = false
        if isFirst { emit(.event(.accepted(session))) } else { emit(.event(.rejoined)) }
        if !isComplete { emit(.joinGroup(accept.group, port: accept.dataPort, streams: Int(accept.streams))) }
        sendNeed()
    }

    /// The connection is over: what has been received stays, and the host is looked for again.
    mutating func hostIsGone(_ reason: String, isConnected: Bool = true, now: UInt64) {
        if isConnected { emit(.close) }
        let wasInSession = state == .inSession
        candidates = []
        firstFound = nil
        disputeSince = nil
        host = nil
        // Not at once: a host that closes every connection must not be hammered.
        retryAt = now + Tuning.seekInterval
        nextSeek = now
        enter(.searching, now: now)
        if accepted != nil {
            if !isRejoining { searchSince = now }
            isRejoining = true
            if wasInSession { emit(.event(.lostHost(reason))) }
        } else {
            emit(.event(.lostSight))
            emit(.event(.notice("\(reason); searching again")))
        }
    }
}
