// Passwords as the store keeps them: scrypt (RFC 7914), with its parameters and salt beside the result.
internal import Blocks
internal import Crypto
internal import CryptoExtras
internal import FoundationEssentials
internal import Linux

/// What is kept of a password: enough to know it again, not to know it.
///
/// As text: `scrypt$16$8$1$SALT$KEY`, that is log2(N), r, p, and salt and key in hexadecimal digits.
package struct PasswordHash: Sendable, CustomStringConvertible {
    /// N = 2^16 with r = 8 takes 64 MiB and about a sixth of a second.
    private static let usualExponent = 16
    private static let saltBytes = 16
    private static let keyBytes = 32
    /// What a person can remember and the server reads.
    package static let allowedBytes = 8...1024

    private let exponent: Int
    private let blockSize: Int
    private let parallelism: Int
    private let salt: [UInt8]
    private let key: [UInt8]

    /// Hashes a new password under a new salt; it takes a while.
    ///
    /// - Throws: `ServerError` for a password that is too short.
    package init(of password: String) throws {
        guard Self.allowedBytes.contains(password.utf8.count) else {
            throw ServerError(
                "a password has \(Self.allowedBytes.lowerBound) to \(Self.allowedBytes.upperBound) bytes",
                .invalid)
        }
        exponent = Self.usualExponent
        blockSize = 8
        parallelism = 1
        salt = Random.bytes(Self.saltBytes)
        key = try Self.derive(password, salt, Self.keyBytes, exponent, blockSize, parallelism)
    }

    /// Reads the text form; nil for anything else, and for parameters that would take the server's memory.
    package init?(_ text: String) {
        let parts = text.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0] == "scrypt",
            let exponent = Int(parts[1]), (10...20).contains(exponent),
            let blockSize = Int(parts[2]), (1...16).contains(blockSize),
            let parallelism = Int(parts[3]), (1...4).contains(parallelism),
            let salt = [UInt8](hex: parts[4]), (8...64).contains(salt.count),
            let key = [UInt8](hex: parts[5]), (16...64).contains(key.count)
        else { return nil }
        self.exponent = exponent
        self.blockSize = blockSize
        self.parallelism = parallelism
        self.salt = salt
        self.key = key
    }

    package var description: String {
        "scrypt$\(exponent)$\(blockSize)$\(parallelism)$\(salt.hex)$\(key.hex)"
    }

    /// Whether `password` is the one; it takes a while.
    package func matches(_ password: String) throws -> Bool {
        guard password.utf8.count <= Self.allowedBytes.upperBound else { return false }
        return try Self.derive(password, salt, key.count, exponent, blockSize, parallelism)
            .equalsInConstantTime(key)
    }

    private static func derive(
        _ password: String, _ salt: [UInt8], _ count: Int, _ exponent: Int, _ blockSize: Int,
        _ parallelism: Int
    ) throws -> [UInt8] {
        let key = try KDF.Scrypt.deriveKey(
            from: Array(password.utf8), salt: salt, outputByteCount: count, rounds: 1 << exponent,
            blockSize: blockSize, parallelism: parallelism)
        return unsafe key.withUnsafeBytes { unsafe Array($0) }
    }
}

extension [UInt8] {
    /// The bytes that pairs of hexadecimal digits stand for; nil for anything else.
    package init?(hex text: some StringProtocol) {
        let digits = text.utf8.map { Character(UnicodeScalar($0)).hexDigitValue }
        guard digits.count % 2 == 0, digits.allSatisfy({ $0 != nil }) else { return nil }
        let values = digits.compactMap { $0 }
        self = stride(from: 0, to: values.count, by: 2).map { UInt8(values[$0] << 4 | values[$0 + 1]) }
    }

    /// Compares without telling by its time where the two differ.
    package func equalsInConstantTime(_ other: [UInt8]) -> Bool {
        guard count == other.count else { return false }
        var difference: UInt8 = 0
        for (left, right) in zip(self, other) { difference |= left ^ right }
        return difference == 0
    }
}
