// What a decoder throws when bytes from a disk, a file or the network are not what they should be.

/// A reason why bytes could not be decoded.
package struct DecodeError: Error, Equatable, CustomStringConvertible {
    /// What kind of defect the bytes have.
    package enum Code: Equatable, Sendable {
        /// The bytes end before the value does.
        case truncated
        /// A field has a value outside its range, or fields contradict each other.
        case invalid
        /// A version, kind or feature that this program does not know.
        case unsupported
        /// A checksum or hash does not match the bytes.
        case corrupt
    }

    package let code: Code
    /// One clause that names the field and the offending value.
    package let description: String

    package init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }

    package static func truncated(_ what: String) -> DecodeError {
        DecodeError(.truncated, "\(what) is cut short")
    }
    package static func invalid(_ what: String) -> DecodeError { DecodeError(.invalid, what) }
    package static func unsupported(_ what: String) -> DecodeError { DecodeError(.unsupported, what) }
    package static func corrupt(_ what: String) -> DecodeError { DecodeError(.corrupt, what) }
}
