// The UDP sockets by which hosts are looked for on every interface.
internal import Linux
internal import SessionProtocol
internal import SystemPackage

/// Looks for hosts with one family of addresses.
final class DiscoverySockets {
    let family: IPAddress.Family
    /// Asks, and gets the answers meant for this participant alone.
    let asking: UDPSocket
    /// Hears what hosts tell everyone; nil where the port cannot be had.
    let listening: UDPSocket?
    private let group: IPAddress
    private var joined: Set<UInt32> = []

    init(_ family: IPAddress.Family, session name: String, ttl: UInt8) throws {
        self.family = family
        guard let group = Address.group(of: name, family: family.protocolForm).socketForm else {
            throw TransportError("session \(name) has no group")
        }
        self.group = group
        asking = try UDPSocket(family)
        try asking.bind(to: SocketAddress(.any(family), port: 0))
        try asking.setMulticast(interface: 0, ttl: ttl)
        do throws(SystemError) {
            let socket = try UDPSocket(family)
            try socket.shareAddress()
            try socket.bind(to: SocketAddress(.any(family), port: Specification.discoveryPort))
            listening = socket
        } catch {
            // Without the well-known port hosts are still found by asking.
            listening = nil
        }
    }

    /// Sends to everyone on `interfaces`, joining the group on those that are new; returns whether anything went out.
    func ask(_ bytes: [UInt8], on interfaces: [NetworkInterface]) -> Bool {
        var sent = false
        for interface in interfaces where interface.preferredAddress(family) != nil {
            if let listening, !joined.contains(interface.index),
                (try? listening.join(group, interface: interface.index)) != nil
            {
                joined.insert(interface.index)
            }
            let targets = family == .v4 ? [group, .broadcast] : [group]
            for target in targets {
                let address = interface.reaching(target, port: Specification.discoveryPort)
                if case .bytes = try? asking.send(bytes, to: address) { sent = true }
            }
        }
        return sent
    }
}

/// How often switches are reminded of a group, in nanoseconds.
let membershipInterval = 25 * second

/// The interfaces on which hosts are looked for: the one called `name`, nil: all that can be used now.
func discoveryInterfaces(named name: String?) -> [NetworkInterface] {
    let usable = (try? NetworkInterface.usable()) ?? []
    guard let name else { return usable }
    return usable.filter { $0.name == name }
}
