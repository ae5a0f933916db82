// 16-byte identifiers.

/// A 16-byte identifier, written as RFC 9562 text with its bytes in order.
package struct GUID: Hashable, Sendable, CustomStringConvertible {
    package let high: UInt64
    package let low: UInt64

    /// `bytes` must have 16 elements.
    package init(_ bytes: [UInt8]) {
        precondition(bytes.count == 16, "a GUID has 16 bytes")
        high = bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) }
        low = bytes[8...].reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// From the byte order of GPT and UEFI, the first three groups little endian; `bytes` must have 16 elements.
    package init(mixedEndian bytes: [UInt8]) {
        self.init(GUID.mixedOrder.map { bytes[$0] })
    }

    /// The bytes in the order of GPT and UEFI.
    package var mixedEndianBytes: [UInt8] {
        let bytes = self.bytes
        return GUID.mixedOrder.map { bytes[$0] }
    }

    private static let mixedOrder = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]

    /// Reads 16 bytes and advances `offset`.
    package init(from bytes: RawSpan, at offset: inout Int) throws(DecodeError) {
        self.init(try bytes.array(16, at: &offset, "an identifier"))
    }

    /// Parses `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, digits in either case.
    package init?(_ text: String) {
        let groups = text.split(separator: "-", omittingEmptySubsequences: false)
        guard groups.map(\.count) == [8, 4, 4, 4, 12], groups.allSatisfy({ $0.allSatisfy(\.isHexDigit) }),
            let high = UInt64(groups[0] + groups[1] + groups[2], radix: 16),
            let low = UInt64(groups[3] + groups[4], radix: 16)
        else { return nil }
        self.high = high
        self.low = low
    }

    /// A version 4 identifier (RFC 9562 §5.4) from 16 random bytes.
    package init(random bytes: [UInt8]) {
        var bytes = bytes
        bytes[6] = bytes[6] & 0x0f | 0x40
        bytes[8] = bytes[8] & 0x3f | 0x80
        self.init(bytes)
    }

    package var bytes: [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: high >> UInt64(56 - $0 * 8)) }
            + (0..<8).map { UInt8(truncatingIfNeeded: low >> UInt64(56 - $0 * 8)) }
    }

    package var description: String {
        let digits = Array(bytes.hex)
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }.joined(separator: "-")
    }
}
