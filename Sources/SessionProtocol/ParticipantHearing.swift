// Whether multicast reaches a participant: noticed before the start if possible, explained once, taken back once.

/// A group that does not arrive, for whoever finds out why.
package struct MulticastSilence: Sendable {
    /// The host's address, for people.
    package let host: Address
    /// The addresses data may come from.
    package let sources: [Address]
    /// The identifier that is in every datagram of the session.
    package let session: UInt64
    package let group: Address
    /// The first UDP port of the data plane.
    package let port: UInt16
    /// Streams of the data plane, each on a port of its own counted up from `port`.
    package let streams: Int
    /// Since when the participant has listened, or multicast had been back (nanoseconds of the machine's clock).
    package let since: UInt64
    /// When the last datagram came after `since`; nil: none has.
    package let lastHeard: UInt64?

    package init(
        host: Address, sources: [Address], session: UInt64, group: Address, port: UInt16, streams: Int,
        since: UInt64, lastHeard: UInt64?
    ) {
        self.host = host
        self.sources = sources
        self.session = session
        self.group = group
        self.port = port
        self.streams = streams
        self.since = since
        self.lastHeard = lastHeard
    }
}

/// What a participant knows of the data plane's arriving.
struct Hearing {
    /// When the group was joined, or multicast came back; nil: not yet.
    var since: UInt64?
    /// When the last datagram of the session came.
    var lastHeard: UInt64 = 0
    /// When it began to look as if multicast did not arrive: the reason is being looked for.
    var suspectedSince: UInt64?
    /// Why it does not arrive, as far as that is known yet.
    var reason: String?
    /// Since when multicast counts as not arriving; nil: it arrives, or there is still time.
    var deafSince: UInt64?
    /// Whether both screens show the reason.
    var isExplained = false
    /// When datagrams began to come again.
    var backSince: UInt64?

    init(since: UInt64? = nil) { self.since = since }
}

extension ParticipantMachine {
    /// Notices when multicast does not arrive although the host lives, and when it does again.
    mutating func watchHearing(now: UInt64) {
        guard state == .inSession, !isComplete, let since = hearing.since, let accepted, let hostEndpoint
        else { return }
        if let deafSince = hearing.deafSince { return watchReturn(deafSince, now: now) }
        // The host sends a beacon ten times a second and a sign of life on the connection every second: if these ended
        // as well, it is the host that is silent, and neither this machine nor the network is to blame.
        let quietSince = max(since, hearing.lastHeard)
        if let suspectedSince = hearing.suspectedSince, suspectedSince < quietSince {
            hearing.suspectedSince = nil
            hearing.reason = nil
        }
        if hearing.suspectedSince == nil, now >= quietSince + Tuning.suspiciousSilence,
            lastHeard >= quietSince + Tuning.suspiciousSilence - Specification.announceInterval
        {
            hearing.suspectedSince = now
            emit(
                .diagnose(
                    MulticastSilence(
                        host: hostEndpoint.address, sources: sources,
                        session: accepted.session, group: accepted.group, port: accepted.dataPort,
                        streams: reporting.streamCount, since: since,
                        lastHeard: hearing.lastHeard > since ? hearing.lastHeard : nil)))
        }
        guard now >= quietSince + Tuning.unseenPatience,
            lastHeard >= quietSince + Tuning.unseenPatience - Specification.announceInterval
        else { return }
        hearing.deafSince = now
        // What the next report says must not be what was heard long before the start.
        reporting.hasHeard = false
        explain()
    }

    /// Multicast is back once datagrams have come for a second without a gap as long as that: a stray one now and then
    /// is of no use, and must not make the host change its mind each time.
    private mutating func watchReturn(_ deafSince: UInt64, now: UInt64) {
        guard hearing.lastHeard > deafSince, now < hearing.lastHeard + Tuning.returnTime else {
            hearing.backSince = nil
            return explain()
        }
        let backSince = hearing.backSince ?? hearing.lastHeard
        hearing.backSince = backSince
        guard hearing.lastHeard >= backSince + Tuning.returnTime else {
            reporting.hasHeard = false
            return
        }
        let wasExplained = hearing.isExplained
        let lastHeard = hearing.lastHeard
        hearing = Hearing(since: backSince)
        hearing.lastHeard = lastHeard
        if wasExplained { tellBoth("multicast reaches this machine again") }
    }

    /// Answers `diagnose`: the sentence that says why multicast does not arrive, for this screen and the host's.
    package mutating func diagnosed(_ sentence: String, now: UInt64) {
        guard state == .inSession, hearing.suspectedSince != nil else { return }
        hearing.reason = sentence
        explain()
    }

    private mutating func explain() {
        guard let reason = hearing.reason, hearing.deafSince != nil, hearing.backSince == nil,
            !hearing.isExplained
        else { return }
        hearing.isExplained = true
        tellBoth(reason)
    }

    private mutating func tellBoth(_ text: String) {
        emit(.event(.notice(text)))
        send(NoticeMessage(level: .warning, text: text).encode())
    }
}
