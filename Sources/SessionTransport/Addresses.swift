// The protocol's addresses as sockets know them, and back; and the interface a session uses.
package import Linux
package import SessionProtocol

/// A reason why a session cannot go on: one sentence that names the host, peer or interface.
package struct TransportError: Error, Equatable, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

extension Address {
    /// The protocol's form of a socket's address; allocates nothing.
    package init(_ address: IPAddress) {
        switch address.family {
        case .v4: self.init(ipv4: UInt32(truncatingIfNeeded: address.low))
        case .v6: self.init(ipv6High: address.high, low: address.low)
        }
    }

    /// The socket's form of the address.
    var socketForm: IPAddress? { IPAddress(bytes: networkBytes) }
}

extension Endpoint {
    init(_ address: SocketAddress) { self.init(Address(address.address), port: address.port) }
}

extension IPAddress.Family {
    var protocolForm: Address.Family { self == .v4 ? .ipv4 : .ipv6 }
}

/// The interface a host sends by and the own address it sends from.
package struct HostInterface: Sendable {
    package let interface: NetworkInterface
    package let address: IPAddress

    /// Finds the interface to host on.
    ///
    /// An `address` must be one of this machine's own. Without `address` and `name` it is the interface of the default
    /// route, or the only one there is.
    package static func choose(named name: String?, address: IPAddress?) throws -> HostInterface {
        let all = try NetworkInterface.all()
        if let address {
            guard let found = all.first(where: { $0.addresses.contains { $0.address == address } }) else {
                throw TransportError("\(address) is not an address of this machine, which has \(list(all))")
            }
            guard name == nil || name == found.name else {
                throw TransportError("\(address) is an address of \(found.name), not of \(name ?? "")")
            }
            return HostInterface(interface: try usable(found), address: address)
        }
        let interface = try name.map { try named($0, in: all) } ?? byRoute(all)
        guard let address = interface.preferredAddress(.v4) ?? interface.preferredAddress(.v6) else {
            throw TransportError("interface \(interface.name) has no address")
        }
        return HostInterface(interface: interface, address: address)
    }

    /// The interface called `name`, if a session can use it.
    static func named(_ name: String, in all: [NetworkInterface]) throws -> NetworkInterface {
        guard let found = all.first(where: { $0.name == name }) else {
            let names = all.map(\.name).joined(separator: ", ")
            throw TransportError("this machine has no interface \(name); it has \(names)")
        }
        return try usable(found)
    }

    private static func usable(_ interface: NetworkInterface) throws -> NetworkInterface {
        guard interface.isUp else { throw TransportError("interface \(interface.name) is down") }
        guard interface.canMulticast, !interface.isLoopback else {
            throw TransportError("interface \(interface.name) cannot multicast")
        }
        return interface
    }

    private static func byRoute(_ all: [NetworkInterface]) throws -> NetworkInterface {
        let usable = all.filter { $0.isUp && !$0.isLoopback && $0.canMulticast && !$0.addresses.isEmpty }
        // Any far address shows the default route; nothing is sent to this one (RFC 5737, RFC 3849).
        for far in [IPAddress(ipv4: 0xc633_6401), IPAddress(ipv6High: 0x2001_0db8_0000_0000, low: 1)] {
            if let found = try NetworkInterface.toward(SocketAddress(far, port: 1)),
                usable.contains(where: { $0.index == found.index })
            {
                return found
            }
        }
        guard let only = usable.first else {
            throw TransportError(
                "this machine has no network interface that is up, has an address and can multicast")
        }
        guard usable.count == 1 else {
            throw TransportError("several interfaces could host; say which with if=NAME: \(list(usable))")
        }
        return only
    }

    private static func list(_ interfaces: [NetworkInterface]) -> String {
        let words = interfaces.flatMap { interface in
            interface.addresses.map { "\($0.address) on \(interface.name)" }
        }
        return words.isEmpty ? "none" : words.joined(separator: ", ")
    }
}
