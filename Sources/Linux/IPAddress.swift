// IPv4 and IPv6 addresses, with and without a port.
internal import CLinux

/// An IPv4 or IPv6 address.
package struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    /// Which protocol the address belongs to; the raw value is the version number.
    package enum Family: UInt8, Sendable { case v4 = 4, v6 = 6 }

    package let family: Family
    /// The first 8 bytes of an IPv6 address as a big-endian number; 0 for IPv4.
    package let high: UInt64
    /// The last 8 bytes of an IPv6 address, or the 4 bytes of an IPv4 address, as a big-endian number.
    package let low: UInt64

    init(family: Family, high: UInt64, low: UInt64) {
        self.family = family
        self.high = high
        self.low = low
    }

    /// Takes 4 or 16 bytes in network order; nil for any other number of bytes.
    package init?(bytes: some Collection<UInt8>) {
        func folded(_ part: some Sequence<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
        switch bytes.count {
        case 4: self.init(family: .v4, high: 0, low: folded(bytes))
        case 16: self.init(family: .v6, high: folded(bytes.prefix(8)), low: folded(bytes.suffix(8)))
        default: return nil
        }
    }

    /// Parses dotted or colon notation without a zone (C function `inet_pton`).
    package init?(_ text: String) {
        var raw = clinux_address()
        guard unsafe clinux_address_parse(text, &raw) == 1, let address = IPAddress(raw) else { return nil }
        self = address
    }

    /// The preferred address of a host by name, or an address (C function `getaddrinfo`); asking DNS may take seconds.
    ///
    /// - Throws: `NameError` with the resolver's reason.
    package init(resolving name: String) throws(NameError) {
        var raw = clinux_address()
        if let reason = unsafe clinux_address_resolve(name, &raw) {
            throw unsafe NameError(name: name, reason: String(cString: reason))
        }
        guard let address = IPAddress(raw) else {
            throw NameError(name: name, reason: "it has no IP address")
        }
        self = address
    }

    init?(_ raw: clinux_address) {
        guard let family = Family(rawValue: UInt8(truncatingIfNeeded: raw.family)) else { return nil }
        self.init(family: family, high: raw.high, low: raw.low)
    }

    /// An IPv4 address from its number: 10.0.0.1 is 0x0a00_0001.
    package init(ipv4 number: UInt32) { self.init(family: .v4, high: 0, low: UInt64(number)) }

    /// An IPv6 address from its two halves, as big-endian numbers.
    package init(ipv6High high: UInt64, low: UInt64) { self.init(family: .v6, high: high, low: low) }

    /// The 4 or 16 bytes in network order.
    package var bytes: [UInt8] {
        let lowBytes = (0..<8).map { UInt8(truncatingIfNeeded: low >> UInt64(56 - $0 * 8)) }
        if family == .v4 { return Array(lowBytes.suffix(4)) }
        return (0..<8).map { UInt8(truncatingIfNeeded: high >> UInt64(56 - $0 * 8)) } + lowBytes
    }

    package var isMulticast: Bool { family == .v4 ? low >> 28 == 0xe : high >> 56 == 0xff }
    package var isLoopback: Bool { family == .v4 ? low >> 24 == 127 : high == 0 && low == 1 }
    /// Whether the address only has a meaning together with an interface.
    package var isLinkLocal: Bool { family == .v4 ? low >> 16 == 0xa9fe : high >> 54 == 0xfe80 >> 6 }

    /// The address that stands for any of a machine's own.
    package static func any(_ family: Family) -> IPAddress { IPAddress(family: family, high: 0, low: 0) }
    /// The IPv4 address that reaches every machine on a link.
    package static let broadcast = IPAddress(family: .v4, high: 0, low: 0xffff_ffff)

    package var description: String {
        var raw = clinux_address(self, port: 0, scope: 0)
        var text = [CChar](repeating: 0, count: 64)
        let count = text.count
        guard unsafe clinux_address_text(&raw, &text, count) == 1 else { return "?" }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// An address with a port and, where the address alone does not say, the interface it is reached by.
package struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    package let address: IPAddress
    package let port: UInt16
    /// Index of the interface to leave by, or 0 for the one of the route.
    ///
    /// Needed for link-local IPv6 addresses, groups and broadcasts.
    package let scope: UInt32

    package init(_ address: IPAddress, port: UInt16, scope: UInt32 = 0) {
        self.address = address
        self.port = port
        self.scope = scope
    }

    init?(_ raw: clinux_address) {
        guard let address = IPAddress(raw) else { return nil }
        self.init(address, port: raw.port, scope: raw.scope)
    }

    var raw: clinux_address { clinux_address(address, port: port, scope: scope) }

    package var description: String {
        address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)"
    }
}

extension clinux_address {
    init(_ address: IPAddress, port: UInt16, scope: UInt32) {
        self.init(
            high: address.high, low: address.low, scope: scope, port: port,
            family: UInt16(address.family.rawValue))
    }
}

/// A host's name that is not known.
package struct NameError: Error, CustomStringConvertible {
    let name: String
    let reason: String

    package var description: String { "no address of '\(name)': \(reason)" }
}
