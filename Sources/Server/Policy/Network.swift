// A network in CIDR notation (RFC 4632, RFC 4291 §2.3), or one address.
internal import Linux
package import SessionProtocol
internal import SessionTransport

/// The addresses whose first bits are given.
package struct Network: Equatable, Sendable {
    private let prefix: [UInt8]
    private let bits: Int

    /// Reads "10.1.0.0/16", "fd00::/8" or a single address; nil for anything else.
    ///
    /// Bits behind the prefix are not looked at: 10.1.2.3/16 is 10.1.0.0/16.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let address = IPAddress(String(parts[0])) else { return nil }
        prefix = Address(address).networkBytes
        guard parts.count == 2 else {
            bits = prefix.count * 8
            return
        }
        guard !parts[1].isEmpty, parts[1].utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }),
            let bits = Int(parts[1]), bits <= prefix.count * 8
        else { return nil }
        self.bits = bits
    }

    /// Whether the address, of the same family, lies in it.
    package func contains(_ address: Address) -> Bool {
        let bytes = address.networkBytes
        guard bytes.count == prefix.count else { return false }
        let whole = bits / 8
        guard bytes[..<whole] == prefix[..<whole] else { return false }
        let rest = bits % 8
        return rest == 0 || (bytes[whole] ^ prefix[whole]) >> UInt8(8 - rest) == 0
    }

    package static func == (left: Network, right: Network) -> Bool {
        guard left.bits == right.bits, let address = Address(networkBytes: right.prefix) else { return false }
        return left.contains(address)
    }
}
