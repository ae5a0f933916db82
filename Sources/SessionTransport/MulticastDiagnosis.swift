// Why multicast does not reach this machine: one look at the evidence, one sentence.
internal import Blocks
internal import Linux
package import SessionProtocol
internal import SystemPackage

/// Looks for the reason on a thread of its own, so that the session goes on meanwhile.
struct MulticastDiagnosis {
    /// How long the look takes at the longest: ten beacons and one announcement fall into it.
    static let lookTime = 1200 * millisecond
    /// Datagrams of the session after which nothing more needs to be seen.
    static let enough = 3

    /// The interface the group was joined on; nil: there is none.
    var interface: NetworkInterface?
    /// Why the group could not be joined, if it could not.
    var joinFailure: String?

    init(interface: NetworkInterface? = nil) { self.interface = interface }

    /// Calls `answer` once, from another thread and within about 1.2 s, with the sentence for the screens.
    func begin(_ silence: MulticastSilence, _ answer: @escaping @Sendable (String) -> Void) {
        let (interface, joinFailure) = (interface, joinFailure)
        // It inherits the network namespace of the session's thread.
        _ = Thread("diagnosis") {
            let evidence = MulticastEvidence(silence, on: interface, joinFailure: joinFailure)
            answer(evidence.sentence(about: silence))
        }
    }
}

/// What can be told of multicast that does not arrive.
package struct MulticastEvidence: Equatable, Sendable {
    /// What the interface has received while the session's socket got nothing.
    package struct Look: Equatable, Sendable {
        /// Datagrams of the session, from its host to its group and port.
        package var ofSession = 0
        /// Somebody's datagrams for the same group and another port.
        package var ofOtherPorts = 0
        /// Who sent datagrams of the session without being its host.
        package var stranger: Address?
        /// The host's address that its datagrams came from.
        package var source: Address?
        /// Packets the reverse path filter dropped meanwhile: of the whole machine, whoever sent them.
        package var reversePathDrops: UInt64 = 0

        package init() {}
    }

    /// The interface's name.
    package var interface: String
    /// Why the group could not be joined.
    package var joinFailure: String?
    package var canMulticast = true
    /// Nil: this machine may not look, or could not.
    package var look: Look?
    /// Why looking failed, unless it is that this machine may not.
    package var lookFailure: String?
    /// Whether what goes to the host leaves by another interface.
    package var isRouteElsewhere = false
    /// Whether the host is on this machine: packet sockets do not see what a machine sends to itself.
    package var isHostHere = false
    /// Seconds since the last datagram, or since the group was joined if there was none.
    package var silentFor: UInt64 = 0
    /// Seconds in which datagrams came; nil: none ever has.
    package var heardFor: UInt64?

    package init(interface: String) { self.interface = interface }

    /// Gathers the evidence; takes up to `MulticastDiagnosis.lookTime`.
    init(_ silence: MulticastSilence, on joined: NetworkInterface?, joinFailure: String?) {
        self.init(interface: joined?.name ?? "the interface")
        self.joinFailure = joinFailure
        heardFor = silence.lastHeard.map { ($0 - silence.since).roundedSeconds }
        if joinFailure == nil, let joined {
            // As it is now: it may have changed since the group was joined.
            let all = (try? NetworkInterface.all()) ?? []
            canMulticast = all.first { $0.index == joined.index }?.canMulticast ?? false
            let own = all.flatMap(\.addresses).map { Address($0.address) }
            isHostHere = own.contains { silence.sources.contains($0) }
            do {
                look = try Look(silence, on: joined)
            } catch let error as SystemError where MulticastEvidence.isForbidden(error) {
                lookFailure = nil
            } catch {
                lookFailure = "\(error)"
            }
            isRouteElsewhere = MulticastEvidence.isRoute(to: look?.source ?? silence.host, notBy: joined)
        }
        silentFor = (MonotonicClock.now() - (silence.lastHeard ?? silence.since)).roundedSeconds
    }

    private static func isForbidden(_ error: SystemError) -> Bool {
        error.errno == .notPermitted || error.errno == .permissionDenied
    }

    /// Whether the kernel sends to `host` by another interface; not if it has no route or does not say.
    private static func isRoute(to host: Address, notBy interface: NetworkInterface) -> Bool {
        guard let address = host.socketForm,
            let route = try? NetworkInterface.toward(SocketAddress(address, port: 1))
        else { return false }
        return route.index != interface.index
    }

    /// The sentence for the screens of this machine and of the host.
    package func sentence(about silence: MulticastSilence) -> String {
        "multicast from \(silence.host) does not reach this machine: \(reason(silence)); continuing over TCP"
    }

    /// What is to be said of a look that was not possible.
    private var blind: String {
        guard look == nil else { return "" }
        guard let lookFailure else { return ", and this machine may not look at \(interface) for the reason" }
        return ", and looking at \(interface) for the reason failed (\(lookFailure))"
    }

    private func reason(_ silence: MulticastSilence) -> String {
        if let joinFailure { return joinFailure }
        let listening = silence.group.family == .ipv4 ? "IGMP" : "MLD"
        if let look, look.ofSession > 0 {
            return look.reversePathDrops > 0 && isRouteElsewhere
                ? """
                it arrives at \(interface), but the reverse path filter (rp_filter) drops it, because the route \
                to \(silence.host) is not by \(interface)
                """
                : "it arrives at \(interface), but this machine drops it, most likely in its packet filter"
        }
        if let stranger = look?.stranger {
            return "it arrives at \(interface) from \(stranger), which is not an address of the host"
        }
        if !canMulticast { return "\(interface) cannot multicast" }
        if let look, look.ofOtherPorts > 0 {
            return """
                datagrams for group \(silence.group) arrive at \(interface), but none for UDP port \
                \(silence.port): something on the way filters by port
                """
        }
        let group = "no datagram for group \(silence.group)"
        let place = look == nil ? "been received" : "arrived at \(interface)"
        if isHostHere {
            let time = heardFor.map { "for \(silentFor) s, after \($0) s in which they came" }
            return """
                \(group) has been received \(time ?? "in the \(silentFor) s since it was joined"); the host is on this \
                machine, where what gets lost between them cannot be seen: a packet filter may drop it, or the host \
                may send by another interface than \(interface)
                """
        }
        if let heardFor {
            return """
                \(group) has \(place) for \(silentFor) s, after \(heardFor) s in which they came\(blind): a switch \
                that snoops \(listening) without a querier forgets a group like that
                """
        }
        return """
            \(group) has \(place) in the \(silentFor) s since it was joined\(blind): a switch or router on the way \
            does not pass it on (\(listening) snooping without a querier, a filter, another VLAN)
            """
    }
}

extension MulticastEvidence.Look {
    /// Watches the interface, before its packet filter, until enough is seen or the time is over.
    init(_ silence: MulticastSilence, on interface: NetworkInterface) throws {
        guard let group = silence.group.socketForm else {
            throw TransportError("\(silence.group) is no group")
        }
        let dropsBefore = ReversePathFilter.drops() ?? 0
        let tap = try GroupTap(group, interface: interface.index)
        let poller = try Poller()
        try poller.add(tap.number, token: 0, .readable)
        let deadline = MonotonicClock.now() + MulticastDiagnosis.lookTime
        var ready: [Poller.Event] = []
        while ofSession < MulticastDiagnosis.enough, MonotonicClock.now() < deadline {
            try poller.wait(until: deadline, into: &ready)
            // A flood of other datagrams must not keep it here.
            while ofSession < MulticastDiagnosis.enough, let datagram = try tap.next(until: deadline) {
                note(datagram, silence)
            }
        }
        let drops = ReversePathFilter.drops() ?? 0
        reversePathDrops = drops > dropsBefore ? drops - dropsBefore : 0
    }

    private mutating func note(_ datagram: TappedDatagram, _ silence: MulticastSilence) {
        guard (Int(silence.port)..<Int(silence.port) + silence.streams).contains(Int(datagram.port)) else {
            ofOtherPorts += 1
            return
        }
        // SYMBOL and BEACON have the session's identifier at the same place.
        let place = 4
        guard datagram.payload.count >= place + 8 else { return }
        let session = datagram.payload[place..<place + 8].reversed().reduce(UInt64(0)) {
            $0 << 8 | UInt64($1)
        }
        guard session == silence.session else { return }
        let source = Address(datagram.source)
        guard silence.sources.contains(source) else {
            stranger = source
            return
        }
        ofSession += 1
        self.source = source
    }
}

extension UInt64 {
    /// Nanoseconds as whole seconds, rounded.
    fileprivate var roundedSeconds: UInt64 { (self + second / 2) / second }
}
