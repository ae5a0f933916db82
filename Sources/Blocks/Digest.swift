// SHA-256 (FIPS 180-4), the one hash of the project.
internal import Crypto

/// A SHA-256 value.
package struct Digest: Hashable, Sendable, CustomStringConvertible {
    /// Number of bytes of a digest.
    package static let byteCount = 32

    private let words: (UInt64, UInt64, UInt64, UInt64)

    /// Takes the first 32 bytes of `bytes`, which must have that many.
    package init(_ bytes: some Collection<UInt8>) {
        precondition(bytes.count == Digest.byteCount, "a SHA-256 value has 32 bytes")
        var words: [UInt64] = [0, 0, 0, 0]
        for (index, byte) in bytes.enumerated() { words[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8) }
        self.words = (words[0], words[1], words[2], words[3])
    }

    /// Reads 32 bytes and advances `offset`.
    package init(from bytes: RawSpan, at offset: inout Int) throws(DecodeError) {
        guard offset <= bytes.byteCount - Digest.byteCount else { throw .truncated("a SHA-256 value") }
        words = (
            try bytes.u64(at: &offset), try bytes.u64(at: &offset), try bytes.u64(at: &offset),
            try bytes.u64(at: &offset)
        )
    }

    /// The 32 bytes in the order of the standard.
    package var bytes: [UInt8] {
        var writer = ByteWriter(reserving: Digest.byteCount)
        writer.u64(words.0)
        writer.u64(words.1)
        writer.u64(words.2)
        writer.u64(words.3)
        return writer.bytes
    }

    package var description: String { bytes.hex }

    package static func == (left: Digest, right: Digest) -> Bool { left.words == right.words }

    package func hash(into hasher: inout Hasher) { hasher.combine(words.0) }

    /// The SHA-256 of `bytes`.
    package static func of(_ bytes: RawSpan) -> Digest {
        var hasher = DigestHasher()
        hasher.update(bytes)
        return hasher.finish()
    }

    /// The SHA-256 of `bytes`.
    package static func of(_ bytes: [UInt8]) -> Digest { bytes.withBytes { Digest.of($0) } }
}

/// An incremental SHA-256.
package struct DigestHasher {
    private var state = SHA256()

    package init() {}

    package mutating func update(_ bytes: RawSpan) {
        unsafe bytes.withUnsafeBytes { unsafe state.update(bufferPointer: $0) }
    }

    package mutating func update(_ bytes: [UInt8]) { bytes.withBytes { update($0) } }

    /// The hash of everything so far; more may follow.
    package func finish() -> Digest { Digest(Array(state.finalize())) }
}

extension Sequence<UInt8> {
    /// Lower-case hexadecimal digits.
    package var hex: String {
        let digits = Array("0123456789abcdef")
        return String(flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}
