// Finds out whether somebody hosts a session already, without taking part in it.
internal import Blocks
package import Linux
package import SessionProtocol

/// The question who hosts a session of a name.
package enum HostSearch {
    /// How often it is asked, and how soon a cancellation is noticed, in nanoseconds.
    private static let interval = second / 2
    private static let attention = 100 * millisecond
    /// How long others may contradict somebody who answered, in nanoseconds.
    private static let contradiction = second
    /// Routers the question may pass.
    private static let ttl: UInt8 = 16
    /// Signatures that are checked: a flood of announcements must not keep the search busy.
    private static let mostChecks = 64

    /// The host as `locate` finds it.
    package static func find(
        session: String, interface: String?, pinned: Fingerprint? = nil, patience: UInt64,
        isCancelled: () -> Bool
    ) throws -> FoundHost? {
        try locate(
            session: session, interface: interface, pinned: pinned, patience: patience,
            isCancelled: isCancelled)?.host
    }

    /// The host that answers or announces the session within `patience` nanoseconds, on the interface called
    /// `interface` or on all; nil: nobody has, or `isCancelled` holds.
    ///
    /// It is asked for several times. Whoever answers is returned a second later: others may contradict it until then.
    /// A session that has ended does not count. With `pinned` only hosts with that key do. Blocks the calling thread, in
    /// whose network namespace it looks; afterwards no socket is left. `reached` names the interface where the host's
    /// address is link-local.
    ///
    /// - Throws: `TransportError` where there is no such interface, no discovery on this machine, or two hosts of the name.
    package static func locate(
        session: String, interface: String?, pinned: Fingerprint? = nil, patience: UInt64,
        isCancelled: () -> Bool
    ) throws -> (host: FoundHost, reached: SocketAddress)? {
        if let interface { _ = try HostInterface.named(interface, in: try NetworkInterface.all()) }
        let poller = try Poller()
        let finder = try HostFinder(session: session, ttl: ttl, poller: poller, firstToken: 0)
        let question = SeekMessage(participant: GUID(random: Random.bytes(16)), session: session).encode()
        let buffer = AlignedBuffer(capacity: 64 * 1024)
        var end = MonotonicClock.now() + patience
        var nextQuestion = MonotonicClock.now()
        var checks = 0
        var found: FoundHost?
        var ready: [Poller.Event] = []
        var other: FoundHost?
        while other == nil, !isCancelled() {
            let now = MonotonicClock.now()
            guard now < end else { break }
            if now >= nextQuestion {
                _ = finder.ask(question, on: interface)
                nextQuestion = now + interval
            }
            try poller.wait(until: min(end, nextQuestion, now + attention), into: &ready)
            for event in ready {
                finder.receive(event.token, into: buffer) { datagram, from in
                    guard other == nil, checks < mostChecks, AnnounceMessage.claims(session, in: datagram)
                    else { return }
                    // Strangers must not use up the checks of the one that is looked for.
                    if let pinned, (try? AnnounceMessage(unverified: datagram))?.hostKey.fingerprint != pinned
                    {
                        return
                    }
                    checks += 1
                    guard let announce = try? AnnounceMessage(from: datagram), announce.state != .ended else {
                        return
                    }
                    let host = FoundHost(announce, from: from.address)
                    if let found, found.fingerprint != host.fingerprint {
                        other = host
                    } else {
                        if found == nil { end = MonotonicClock.now() + contradiction }
                        found = host
                    }
                }
            }
        }
        if let found, let other {
            guard session != Specification.serverName else {
                throw TransportError(
                    "two imaging servers answer: \(found) and \(other); say which with SERVERKEY= or PROXYADDR="
                )
            }
            throw TransportError(
                "two hosts announce the session \(session): \(found) and \(other); end one of them first")
        }
        guard !isCancelled(), let found, let reached = finder.reaching(found.endpoint) else { return nil }
        return (found, reached)
    }
}
