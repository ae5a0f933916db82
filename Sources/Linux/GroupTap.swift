// A look at what comes in for a group before this machine's own filters decide about it.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A UDP datagram as it came in by an interface.
package struct TappedDatagram: Hashable, Sendable {
    package let source: IPAddress
    /// The UDP port it is for.
    package let port: UInt16
    /// The first bytes of what it carries, at most `GroupTap.payloadBytes`.
    package let payload: [UInt8]

    /// Reads an IPv4 or IPv6 packet that begins with its IP header; nil: it is no UDP datagram, or a later fragment.
    package init?(packet: [UInt8]) {
        guard let version = packet.first.map({ $0 >> 4 }) else { return nil }
        let header: Int
        switch version {
        case 4:
            header = Int(packet[0] & 15) * 4
            guard header >= 20, packet.count >= header + 8, packet[9] == UInt8(IPPROTO_UDP),
                packet[6] & 0x1f == 0, packet[7] == 0,
                let source = IPAddress(bytes: packet[12..<16])
            else { return nil }
            self.source = source
        case 6:
            header = 40
            guard packet.count >= header + 8, packet[6] == UInt8(IPPROTO_UDP),
                let source = IPAddress(bytes: packet[8..<24])
            else { return nil }
            self.source = source
        default: return nil
        }
        port = UInt16(packet[header + 2]) << 8 | UInt16(packet[header + 3])
        payload = Array(packet[(header + 8)...].prefix(GroupTap.payloadBytes))
    }
}

/// Sees the datagrams for one group as an interface receives them: before packet filters and routing.
package final class GroupTap: Sendable {
    /// The most bytes of a datagram's payload that are kept.
    package static let payloadBytes = 64
    /// The longest IP header, UDP's, and the payload.
    private static let snapBytes = 60 + 8 + payloadBytes

    private let descriptor: Descriptor

    /// The number to wait on; it stays owned by the tap.
    package var number: Int32 { descriptor.number }

    /// Begins to look at what comes in for `group` by `interface` (an index); own datagrams are left out.
    ///
    /// - Throws: `SystemError` without the right to open packet sockets (CAP_NET_RAW).
    package init(_ group: IPAddress, interface: UInt32) throws(SystemError) {
        var raw = SocketAddress(group, port: 0).raw
        let number = try systemCall("look at what comes in for \(group)") {
            unsafe clinux_tap(interface, &raw, UInt32(GroupTap.snapBytes))
        }
        descriptor = Descriptor(owning: number, name: "packet socket")
    }

    /// The next datagram; nil when none is waiting, or once `deadline` (nanoseconds of `MonotonicClock`) has come.
    package func next(until deadline: UInt64) throws(SystemError) -> TappedDatagram? {
        var bytes = [UInt8](repeating: 0, count: GroupTap.snapBytes)
        while MonotonicClock.now() < deadline {
            let capacity = bytes.count
            let (count, error) = withErrno { unsafe recv(number, &bytes, capacity, 0) }
            if count >= 0 {
                guard let datagram = TappedDatagram(packet: Array(bytes.prefix(count))) else { continue }
                return datagram
            }
            switch error {
            case .resourceTemporarilyUnavailable: return nil
            case .interrupted: continue
            default: throw SystemError("look at what comes in", error)
            }
        }
        return nil
    }
}
