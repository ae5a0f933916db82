// Lets workstations find this server, and hands on questions for its sessions that were sent straight to its address.
internal import Blocks
internal import Linux
internal import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// Answers SEEK on the port of discovery for as long as the daemon runs.
final class ServerBeacon: Sendable {
    /// How often links that came up later are looked for, in nanoseconds.
    private static let lookAgain = 10 * second
    /// Datagrams taken in a row.
    private static let turn = 64

    private let key: PrivateKey
    private let port: UInt16
    private let pass: @Sendable (_ datagram: [UInt8], _ session: String, _ from: SocketAddress) -> Void
    private let wakeup: Wakeup
    private let isStopped = Atomic(false)
    private let thread = Mutex<Thread<Void>?>(nil)
    private let identifier = Random.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }

    /// `port` is where workstations ask for work; `pass` gets what is for a session of this machine.
    init(
        key: PrivateKey, port: UInt16,
        pass: @escaping @Sendable (_ datagram: [UInt8], _ session: String, _ from: SocketAddress) -> Void
    ) throws {
        self.key = key
        self.port = port
        self.pass = pass
        wakeup = try Wakeup()
    }

    /// Begins to answer, on a thread of its own.
    func start() {
        let thread = Thread("beacon") { [self] in
            let loop = try BeaconLoop(self)
            while !isStopped.load(ordering: .relaxed) { try loop.turn() }
        }
        self.thread.withLock { $0 = thread }
    }

    func stop() {
        isStopped.store(true, ordering: .relaxed)
        wakeup.signal()
        try? thread.withLock { $0.take() }?.join()
    }

    /// The sockets of the beacon's thread.
    private final class BeaconLoop {
        private let beacon: ServerBeacon
        private let poller: Poller
        private let buffer = AlignedBuffer(capacity: 64 * 1024)
        /// Heard by everyone on the network: multicast and broadcast, and what is sent to an address without a socket.
        private var shared: [UDPSocket] = []
        /// Bound to one own address each: of several sockets on a port only such a one surely gets what is sent there.
        private var own: [IPAddress: UDPSocket] = [:]
        private var nextLook: UInt64 = 0

        init(_ beacon: ServerBeacon) throws {
            self.beacon = beacon
            poller = try Poller()
            try poller.add(beacon.wakeup.number, token: 0, .readable)
            for family in [IPAddress.Family.v4, .v6] {
                guard
                    let socket = try? ServerBeacon.socket(
                        SocketAddress(.any(family), port: Specification.discoveryPort))
                else { continue }
                shared.append(socket)
                try poller.add(socket.number, token: UInt64(socket.number), .readable)
            }
        }

        func turn() throws {
            if MonotonicClock.now() >= nextLook { look() }
            var ready: [Poller.Event] = []
            try poller.wait(until: nextLook, into: &ready)
            for socket in shared + Array(own.values) { read(socket) }
        }

        /// Joins the server's group on every link there is, and binds to every address.
        private func look() {
            nextLook = MonotonicClock.now() + ServerBeacon.lookAgain
            let interfaces = (try? NetworkInterface.usable()) ?? []
            for interface in interfaces {
                for socket in shared {
                    let group = Address.group(
                        of: Specification.serverName, family: socket.family == .v4 ? .ipv4 : .ipv6)
                    if let address = IPAddress(bytes: group.networkBytes) {
                        try? socket.join(address, interface: interface.index)
                    }
                }
            }
            let addresses = Set(interfaces.flatMap { $0.addresses.map(\.address) }.filter { !$0.isLinkLocal })
            for gone in own.keys where !addresses.contains(gone) {
                if let socket = own.removeValue(forKey: gone) { poller.remove(socket.number) }
            }
            for address in addresses where own[address] == nil {
                let target = SocketAddress(address, port: Specification.discoveryPort)
                guard let socket = try? ServerBeacon.socket(target) else { continue }
                own[address] = socket
                try? poller.add(socket.number, token: UInt64(socket.number), .readable)
            }
        }

        private func read(_ socket: UDPSocket) {
            let isShared = shared.contains { $0 === socket }
            for _ in 0..<ServerBeacon.turn {
                guard let arrival = unsafe try? socket.receive(into: buffer.bytes) else { return }
                let datagram: [UInt8] = buffer.withBytes(arrival.count) { span in
                    var offset = 0
                    return (try? span.array(arrival.count, at: &offset, "a datagram")) ?? []
                }
                guard
                    let seek = try? datagram.withBytes({ span throws(DecodeError) in
                        try SeekMessage(from: span)
                    })
                else { continue }
                if seek.session == Specification.serverName {
                    answer(arrival, on: socket)
                } else if !isShared {
                    beacon.pass(datagram, seek.session, arrival.from)
                }
            }
        }

        private func answer(_ arrival: Arrival, on socket: UDPSocket) {
            let all = (try? NetworkInterface.all()) ?? []
            let interface = all.first { $0.index == arrival.interface }
            let own = (interface?.addresses ?? []).map { Address($0.address) }
            let announcement = AnnounceMessage(
                state: .running, session: beacon.identifier, joined: 0, needed: 0, controlPort: beacon.port,
                dataPort: 0, hostKey: beacon.key.publicKey,
                group: .group(of: Specification.serverName, family: socket.family == .v4 ? .ipv4 : .ipv6),
                name: Specification.serverName,
                addresses: Array(own.prefix(Specification.maximumAddresses)))
            _ = try? socket.send(announcement.encode(signedBy: beacon.key), to: arrival.from)
        }
    }

    private static func socket(_ address: SocketAddress) throws(SystemError) -> UDPSocket {
        let socket = try UDPSocket(address.address.family)
        try socket.shareAddress()
        try socket.bind(to: address)
        return socket
    }
}
