// Addresses as the protocol writes them, and the multicast group that belongs to a session's name.
package import Blocks

/// An IPv4 or IPv6 address: family u8 and 16 bytes on the wire (IPv4 in the first four, the rest zero).
package struct Address: Hashable, Sendable, CustomStringConvertible {
    /// The family, with its value on the wire.
    package enum Family: UInt8, Sendable {
        case ipv4 = 4
        case ipv6 = 6
    }

    /// Bytes on the wire.
    package static let byteCount = 17

    package let family: Family
    /// The first and last eight bytes in network order, as one number each; IPv4 is in the top half of `high`.
    private let high: UInt64
    private let low: UInt64

    /// An IPv4 address from its number in host order: 10.0.0.1 is 0x0a00_0001.
    package init(ipv4: UInt32) {
        family = .ipv4
        high = UInt64(ipv4) << 32
        low = 0
    }

    /// An IPv6 address from its two halves in host order.
    package init(ipv6High: UInt64, low: UInt64) {
        family = .ipv6
        high = ipv6High
        self.low = low
    }

    /// An address from network-order bytes: 4 for IPv4, 16 for IPv6; nil for any other count.
    package init?(networkBytes bytes: [UInt8]) {
        func number(_ part: ArraySlice<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
        switch bytes.count {
        case 4: self.init(ipv4: UInt32(number(bytes[...])))
        case 16: self.init(ipv6High: number(bytes[..<8]), low: number(bytes[8...]))
        default: return nil
        }
    }

    /// The address in network order: 4 or 16 bytes.
    package var networkBytes: [UInt8] {
        let all = [high, low].flatMap { half in
            (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * $0)) }
        }
        return family == .ipv4 ? Array(all[..<4]) : all
    }

    /// The IPv4 number in host order; zero for IPv6.
    package var ipv4: UInt32 { family == .ipv4 ? UInt32(high >> 32) : 0 }

    /// Whether it is an IPv6 link-local address, which needs an interface to be used.
    package var isLinkLocal: Bool { family == .ipv6 && high >> 54 == 0xfe80 >> 6 }

    package var description: String {
        if family == .ipv4 { return networkBytes.map(String.init).joined(separator: ".") }
        return ipv6Text
    }

    /// RFC 5952 text: the longest run of at least two zero groups is shortened to "::".
    private var ipv6Text: String {
        let groups = [high, low].flatMap { half in
            (0..<4).map { UInt16(truncatingIfNeeded: half >> (48 - 16 * $0)) }
        }
        var best = 0..<0
        var start = 0
        while start < groups.count {
            var end = start
            while end < groups.count, groups[end] == 0 { end += 1 }
            if end - start > max(best.count, 1) { best = start..<end }
            start = max(end, start + 1)
        }
        func text(_ part: ArraySlice<UInt16>) -> String {
            part.map { String($0, radix: 16) }.joined(separator: ":")
        }
        guard !best.isEmpty else { return text(groups[...]) }
        return text(groups[..<best.lowerBound]) + "::" + text(groups[best.upperBound...])
    }

    package func encode(into writer: inout ByteWriter) {
        writer.u8(family.rawValue)
        writer.append(networkBytes)
        if family == .ipv4 { writer.append(zeros: 12) }
    }

    package init(from bytes: RawSpan, at offset: inout Int) throws(DecodeError) {
        let family = try bytes.u8(at: &offset)
        let all = try bytes.array(16, at: &offset, "an address")
        switch Family(rawValue: family) {
        case .ipv4:
            guard all[4...].allSatisfy({ $0 == 0 }), let address = Address(networkBytes: Array(all[..<4]))
            else {
                throw .invalid("an IPv4 address has bytes behind its four")
            }
            self = address
        case .ipv6:
            guard let address = Address(networkBytes: all) else {
                throw .invalid("an address has no 16 bytes")
            }
            self = address
        case nil: throw .unsupported("address family \(family)")
        }
    }

    /// The multicast group of the session `name`: 239.192.0.0/14 or ff15::/16, the low 18 bits from SHA-256(name).
    package static func group(of name: String, family: Family) -> Address {
        let digest = Digest.of(Array(name.utf8)).bytes
        let bits = digest[..<4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } & 0x3_ffff
        switch family {
        case .ipv4: return Address(ipv4: 0xefc0_0000 | bits)
        case .ipv6: return Address(ipv6High: 0xff15_0000_0000_0000, low: UInt64(bits))
        }
    }
}

/// An address and a port.
package struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    package let address: Address
    package let port: UInt16

    package init(_ address: Address, port: UInt16) {
        self.address = address
        self.port = port
    }

    package var description: String {
        address.family == .ipv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
    }
}
