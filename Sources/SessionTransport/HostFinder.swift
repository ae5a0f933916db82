// Asking for hosts on every interface and hearing what they announce, for participants and whoever only wants to know.
internal import Linux
internal import SessionProtocol
internal import SystemPackage

/// The discovery sockets of each family of addresses this kernel has, as one loop uses them.
final class HostFinder {
    /// Datagrams taken from a socket before other events get their turn.
    private static let turn = 256
    /// Link-local hosts whose interface is remembered.
    private static let rememberedScopes = 64

    private let sockets: [DiscoverySockets]
    private let firstToken: UInt64
    /// Interfaces that link-local hosts were heard on.
    private var scopes: [Address: UInt32] = [:]

    /// Binds the sockets and adds them to `poller`, with at most 4 tokens from `firstToken` on.
    init(session name: String, ttl: UInt8, poller: Poller, firstToken: UInt64) throws {
        // A kernel without one of the families does with the other.
        sockets = [IPAddress.Family.v4, .v6].compactMap { family in
            try? DiscoverySockets(family, session: name, ttl: ttl)
        }
        self.firstToken = firstToken
        guard !sockets.isEmpty else { throw TransportError("this machine has neither IPv4 nor IPv6") }
        for (index, one) in sockets.enumerated() {
            let token = firstToken + UInt64(index) * 2
            try poller.add(one.asking.number, token: token, .readable)
            if let listening = one.listening {
                try poller.add(listening.number, token: token + 1, .readable)
            }
        }
    }

    /// Sends to everyone on the interface called `name`, nil: on all; returns whether anything went out.
    func ask(_ bytes: [UInt8], on name: String?) -> Bool {
        // Read again each time, since links come up late.
        let interfaces = discoveryInterfaces(named: name)
        var sent = false
        for one in sockets where one.ask(bytes, on: interfaces) { sent = true }
        return sent
    }

    /// Sends to one endpoint; asking is repeated, so what cannot be sent now is not worth an error.
    func ask(_ bytes: [UInt8], _ endpoint: Endpoint) {
        guard let target = reaching(endpoint),
            let one = sockets.first(where: { $0.family == target.address.family })
        else { return }
        _ = try? one.asking.send(bytes, to: target)
    }

    /// The endpoint as sockets know it, with the interface where it is link-local and was heard.
    func reaching(_ endpoint: Endpoint) -> SocketAddress? {
        guard let address = endpoint.address.socketForm else { return nil }
        return SocketAddress(address, port: endpoint.port, scope: scopes[endpoint.address] ?? 0)
    }

    /// Hands what has come to the socket of `token` to `take`, up to a fair share; `buffer` is used meanwhile.
    func receive(_ token: UInt64, into buffer: AlignedBuffer, _ take: (RawSpan, Endpoint) -> Void) {
        let index = Int(token - firstToken)
        guard sockets.indices.contains(index / 2) else { return }
        let one = sockets[index / 2]
        guard let socket = index % 2 == 0 ? one.asking : one.listening else { return }
        for _ in 0..<HostFinder.turn {
            guard let arrival = unsafe try? socket.receive(into: buffer.bytes) else { return }
            let from = Endpoint(arrival.from)
            if from.address.isLinkLocal {
                if scopes.count >= HostFinder.rememberedScopes { scopes.removeAll() }
                scopes[from.address] = arrival.from.scope
            }
            buffer.withBytes(arrival.count) { take($0, from) }
        }
    }
}
