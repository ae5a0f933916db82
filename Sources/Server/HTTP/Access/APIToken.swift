// Tokens for programs: shown once, kept as their digest.
internal import Blocks
internal import Linux

/// A token as it goes out, once.
package struct APIToken: Sendable {
    private static let bytes = 32
    private static let prefix = "imgserv_"

    /// "imgserv_" and 64 hexadecimal digits: 256 random bits that a search for leaked secrets can find.
    package let text: String

    package init() { text = Self.prefix + Random.bytes(Self.bytes).hex }

    /// What the store keeps of a token: 256 random bits need no slow hash.
    package static func digest(of text: String) -> [UInt8] { Digest.of(Array(text.utf8)).bytes }
}

/// Names of administrators and tokens.
package enum AccessName {
    /// 1 to 64 letters, digits or one of "._@-" of ASCII.
    ///
    /// - Throws: `ServerError` for anything else.
    package static func check(_ name: String) throws {
        let isFit = name.utf8.allSatisfy { byte in
            let character = Character(UnicodeScalar(byte))
            return character.isASCII
                && (character.isLetter || character.isNumber || "._@-".contains(character))
        }
        guard (1...64).contains(name.utf8.count), isFit else {
            throw ServerError("a name has 1 to 64 letters, digits or any of . _ @ -", .invalid)
        }
    }
}
