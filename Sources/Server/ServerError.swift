// Why the server does not do what it was asked to.

/// A reason why the server cannot do what it was asked to: one sentence, and what kind of reason it is.
package struct ServerError: Error, Equatable, CustomStringConvertible {
    /// What HTTP makes a status of.
    package enum Kind: Sendable {
        /// The request cannot be meant (400).
        case invalid
        /// Nobody may do that here (403).
        case forbidden
        /// There is no such thing (404).
        case notFound
        /// It contradicts what is there (409).
        case conflict
        /// Not now, perhaps later (503).
        case busy
        /// The disk is full (507).
        case full
        /// Something of the server's own went wrong (500).
        case failed
    }

    package let kind: Kind
    package let description: String

    package init(_ description: String, _ kind: Kind = .failed) {
        self.kind = kind
        self.description = description
    }
}
