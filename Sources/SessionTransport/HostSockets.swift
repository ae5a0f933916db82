// The three sockets of a host: control, discovery and data.
internal import Linux
internal import SessionProtocol
internal import SystemPackage

/// The sockets of one session on one interface.
struct HostSockets {
    let interface: NetworkInterface
    let address: IPAddress
    let listener: TCPListener
    let controlPort: UInt16
    let discovery: UDPSocket
    let data: UDPSocket
    let dataPort: UInt16
    /// Speed of the link, nil where it does not say, and whether there is one at all.
    let linkMegabits: Int?
    let isHardware: Bool
    /// Ports from `dataPort` on that the data is spread over.
    let streams: Int
    /// The session's group as discovery and data reach it.
    let group: Address
    private let discoveryGroup: SocketAddress
    /// The group's data ports in the order of streams.
    let dataGroups: [SocketAddress]

    /// From this speed on, in Mbit/s, one receive queue of a network card is too slow for a session.
    private static let severalStreams = 10_000

    /// Binds the preferred ports, or any free ones where those are taken.
    init(name: String, on host: HostInterface, ttl: UInt8, streams: Int? = nil) throws {
        interface = host.interface
        address = host.address
        isHardware = host.interface.isHardware
        linkMegabits = host.interface.linkSpeed
        let count = streams ?? (linkMegabits ?? 0 >= HostSockets.severalStreams ? 4 : 1)
        self.streams = count
        let family = address.family
        group = Address.group(of: name, family: family.protocolForm)
        guard let groupAddress = group.socketForm else {
            throw TransportError("session \(name) has no group")
        }

        func own(_ port: UInt16) -> SocketAddress { host.interface.reaching(host.address, port: port) }
        listener = try HostSockets.preferring(Specification.controlPort) { port throws(SystemError) in
            try TCPListener(on: own(port))
        }
        controlPort = try listener.localAddress().port

        // The port is shared: every host and participant of a machine hears discovery.
        discovery = try UDPSocket(family)
        try discovery.shareAddress()
        try discovery.bind(to: SocketAddress(.any(family), port: Specification.discoveryPort))
        try discovery.join(groupAddress, interface: interface.index)
        try discovery.setMulticast(interface: interface.index, ttl: ttl)
        discovery.setBuffers(receive: 4 << 20, send: 1 << 20)
        discoveryGroup = interface.reaching(groupAddress, port: Specification.discoveryPort)

        // Bound alone, so that a second host takes another port; shared from then on, so that a participant of this
        // machine can listen.
        // Several streams begin behind the port of discovery, which everybody on the network listens to.
        let preferred = count > 1 ? Specification.discoveryPort + 1 : Specification.dataPort
        data = try HostSockets.preferring(preferred) { port throws(SystemError) in
            let socket = try UDPSocket(family)
            try socket.bind(to: own(port))
            return socket
        }
        try data.shareAddress()
        try data.setMulticast(interface: interface.index, ttl: ttl)
        try data.reportFullQueues()
        data.setBuffers(receive: 4096, send: TrainLength.sendBuffer(own: linkMegabits))
        let dataPort = try data.localAddress().port
        self.dataPort = dataPort
        dataGroups = (0..<count).map { stream in
            host.interface.reaching(groupAddress, port: dataPort &+ UInt16(stream))
        }
    }

    /// Sends a datagram of discovery to everyone on the interface.
    func announce(_ bytes: [UInt8]) {
        // Discovery is repeated every second: what cannot be sent now is not worth an error.
        _ = try? discovery.send(bytes, to: discoveryGroup)
        if address.family == .v4 {
            _ = try? discovery.send(
                bytes, to: interface.reaching(.broadcast, port: Specification.discoveryPort))
        }
    }

    /// Reminds switches that this host listens to the group, on which participants look for it.
    func reportMembership() {
        // Without the right to do so a good network works all the same.
        try? MembershipReport.send(discoveryGroup.address, interface: interface.index)
    }

    /// Sends a datagram of discovery to one participant.
    func answer(_ bytes: [UInt8], to endpoint: Endpoint) {
        guard let address = endpoint.address.socketForm else { return }
        _ = try? discovery.send(bytes, to: interface.reaching(address, port: endpoint.port))
    }

    private static func preferring<Socket>(
        _ port: UInt16, _ make: (UInt16) throws(SystemError) -> Socket
    ) throws(SystemError) -> Socket {
        do throws(SystemError) {
            return try make(port)
        } catch  where error.errno == .addressInUse {
            return try make(0)
        }
    }
}
