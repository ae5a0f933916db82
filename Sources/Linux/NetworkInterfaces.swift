// The machine's network interfaces and the one that leads to a host.
internal import CLinux
internal import Glibc

/// A network interface and its addresses.
package struct NetworkInterface: Hashable, Sendable {
    /// An address of the interface with the length of its network prefix.
    package struct Address: Hashable, Sendable {
        package let address: IPAddress
        /// Bits of the network part.
        package let prefixLength: Int
        /// The address that reaches everybody on this network; IPv4 only.
        package let broadcast: IPAddress?
    }

    package let name: String
    /// The kernel's number for it, from 1.
    package let index: UInt32
    package let isUp: Bool
    package let isLoopback: Bool
    package let canMulticast: Bool
    /// The 6 bytes of its Ethernet address, or empty.
    package fileprivate(set) var mac: [UInt8] = []
    package fileprivate(set) var addresses: [Address] = []

    /// Whether there is hardware behind it, or what a virtual machine takes for hardware.
    ///
    /// Not so for veth, tap, bridges, VLANs and bonds.
    package var isHardware: Bool { unsafe clinux_has_device(name) != 0 }

    /// Speed of the link in Mbit/s; nil when the driver does not know, or it is no hardware.
    ///
    /// A veth says 10000 and a tap 10, whatever they carry; a bridge, a VLAN or a bond has no link of its own.
    package var linkSpeed: Int? {
        guard isHardware else { return nil }
        let speed = unsafe clinux_link_speed(name)
        return speed > 0 ? speed : nil
    }

    /// The address to use with peers of `family`: one that reaches beyond the link if there is one.
    package func preferredAddress(_ family: IPAddress.Family) -> IPAddress? {
        let own = addresses.filter { $0.address.family == family }.map(\.address)
        return own.first { !$0.isLinkLocal } ?? own.first
    }

    /// `address` as reached by this interface: link-local addresses, groups and broadcasts name it.
    package func reaching(_ address: IPAddress, port: UInt16) -> SocketAddress {
        let linkLocal = address.family == .v6 && address.isLinkLocal
        let scoped = linkLocal || address.isMulticast || address == .broadcast
        return SocketAddress(address, port: port, scope: scoped ? index : 0)
    }

    /// All interfaces in the order of their index (C function `getifaddrs`).
    package static func all() throws(SystemError) -> [NetworkInterface] {
        var entries = [clinux_interface](repeating: clinux_interface(), count: 128)
        while true {
            let capacity = Int32(entries.count)
            let count = Int(
                try systemCall("list the network interfaces") { unsafe clinux_interfaces(&entries, capacity) }
            )
            if count <= entries.count {
                entries.removeLast(entries.count - count)
                break
            }
            entries = [clinux_interface](repeating: clinux_interface(), count: count + 16)
        }
        var found: [UInt32: NetworkInterface] = [:]
        for entry in entries {
            var interface = found[entry.index] ?? NetworkInterface(entry)
            if entry.is_link != 0 {
                interface.mac = unsafe withUnsafeBytes(of: entry.mac) { unsafe Array($0.prefix(6)) }
            } else if let address = IPAddress(entry.address) {
                interface.addresses.append(
                    Address(
                        address: address, prefixLength: Int(entry.prefix),
                        broadcast: IPAddress(entry.broadcast)))
            }
            found[entry.index] = interface
        }
        return found.values.sorted { $0.index < $1.index }
    }

    /// Those a session can use: up, not loopback, able to multicast, with an address.
    package static func usable() throws(SystemError) -> [NetworkInterface] {
        try all().filter { $0.isUp && !$0.isLoopback && $0.canMulticast && !$0.addresses.isEmpty }
    }

    /// The own address from which datagrams to `host` would leave, by the kernel's routes; nil without a route.
    package static func sourceAddress(toward host: SocketAddress) throws(SystemError) -> IPAddress? {
        let socket = try UDPSocket(host.address.family)
        var raw = SocketAddress(host.address, port: max(host.port, 1), scope: host.scope).raw
        // Connecting a UDP socket sends nothing; it only asks the routing table.
        guard unsafe clinux_connect(socket.number, &raw) == 0 else { return nil }
        return try socket.localAddress().address
    }

    /// The interface of the route to `host`; nil without a route.
    package static func toward(_ host: SocketAddress) throws(SystemError) -> NetworkInterface? {
        let all = try all()
        if host.scope != 0 { return all.first { $0.index == host.scope } }
        guard let source = try sourceAddress(toward: host) else { return nil }
        return all.first { $0.addresses.contains { $0.address == source } }
    }

    private init(_ entry: clinux_interface) {
        name = unsafe withUnsafeBytes(of: entry.name) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        index = entry.index
        isUp = entry.flags & UInt32(IFF_UP) != 0
        isLoopback = entry.flags & UInt32(IFF_LOOPBACK) != 0
        canMulticast = entry.flags & UInt32(IFF_MULTICAST) != 0
    }
}
