// Whether an answer of a server may be obeyed: signed by the pinned key, for this question, in time.
internal import Blocks

/// One question to a server, and what its answers are checked against.
///
/// No wall clock is trusted: what counts is how long ago *this machine* made its nonce.
package struct OrderCheck: Sendable {
    /// How long after its question an order may be obeyed, in nanoseconds.
    package static let validity = 60 * second

    package let nonce: [UInt8]
    private let askedAt: UInt64
    private let pinned: Fingerprint?

    /// `now` is the monotonic clock's time in nanoseconds; without `pinned` any server's key will do.
    package init(nonce: [UInt8], now: UInt64, pinned: Fingerprint?) {
        self.nonce = nonce
        askedAt = now
        self.pinned = pinned
    }

    /// Throws one sentence where the order must not be obeyed.
    package func check(_ order: OrderMessage, _ signed: SignedPart, now: UInt64) throws(OrderRefusal) {
        try check(order.serverKey, order.nonce, signed, SignatureContext.order, "order")
        guard now >= askedAt, now - askedAt <= OrderCheck.validity else {
            throw OrderRefusal(
                "the order came \((now &- askedAt) / second) s after the question; it is valid for "
                    + "\(OrderCheck.validity / second) s")
        }
    }

    /// Throws one sentence where the offer of an image is not for this question.
    package func check(_ offer: OfferMessage, _ signed: SignedPart) throws(OrderRefusal) {
        try check(offer.serverKey, offer.nonce, signed, SignatureContext.offer, "offer")
    }

    /// Throws one sentence where the answer to a STORE is not for this question.
    package func check(_ room: RoomMessage, _ signed: SignedPart) throws(OrderRefusal) {
        try check(room.serverKey, room.nonce, signed, SignatureContext.room, "answer")
    }

    private func check(
        _ key: PublicKey, _ nonce: [UInt8], _ signed: SignedPart, _ context: [UInt8], _ what: String
    ) throws(OrderRefusal) {
        if let pinned, key.fingerprint != pinned {
            throw OrderRefusal(
                "the \(what) comes from a server with the key \(key.fingerprint), not from the one with the key \(pinned)"
            )
        }
        guard signed.isSigned(by: key, context: context) else {
            throw OrderRefusal("the signature of the server's \(what) does not match")
        }
        guard nonce == self.nonce else {
            throw OrderRefusal("the \(what) is the answer to somebody else's question, or to an earlier one")
        }
    }
}

/// Why an order is not obeyed: one sentence.
package struct OrderRefusal: Error, Equatable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}
