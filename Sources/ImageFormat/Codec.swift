// How chunk content is encoded, and the choice of codec and level behind the word comp=.

/// The encoding of a frame's payload; the raw values are part of the format.
package enum Codec: UInt8, Sendable, CaseIterable {
    /// The content itself; an empty payload stands for zeros.
    case none = 0
    /// A zlib stream (RFC 1950).
    case zlib = 1
    /// One Zstandard frame (RFC 8878).
    case zstd = 2
}

/// A codec and the level it works at.
package struct Compression: Equatable, Sendable {
    package let codec: Codec
    /// zlib 1…9, zstd 1…19; meaningless for `.none`.
    package let level: Int32

    package init(_ codec: Codec, level: Int32) {
        self.codec = codec
        self.level = level
    }

    package static let none = Compression(.none, level: 0)
    package static let speed = Compression(.zstd, level: 1)
    package static let balanced = Compression(.zstd, level: 3)
    package static let size = Compression(.zstd, level: 12)

    /// What the words 0…9, none, speed, balanced and size stand for; nil for any other word.
    package init?(word: String) {
        switch word.lowercased() {
        case "none", "0": self = .none
        case "speed", "1": self = .speed
        case "balanced", "3": self = .balanced
        case "size", "7": self = .size
        case "2": self = Compression(.zstd, level: 2)
        case "4": self = Compression(.zstd, level: 5)
        case "5": self = Compression(.zstd, level: 7)
        case "6": self = Compression(.zstd, level: 9)
        case "8": self = Compression(.zstd, level: 15)
        case "9": self = Compression(.zstd, level: 19)
        default: return nil
        }
    }
}
