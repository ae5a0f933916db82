// What a participant is to take part in, and the frames it gets.
package import Linux
package import SessionProtocol

/// Which session to take part in and how.
package struct ParticipantSettings: Sendable {
    /// The session's name, 1 to 255 bytes of UTF-8.
    package var name: String
    /// The interface to use; nil: look for the host on all, then use that of the route to it.
    package var interface: String?
    /// The host's address, if it is known: it is asked directly as well.
    package var server: IPAddress?
    /// The only host key that is believed.
    package var pinned: Fingerprint?
    /// The disks, for the host's screen.
    package var disks: [DiskSummary] = []
    /// Memory for chunks on their way, in bytes.
    package var poolBytes = 256 << 20
    /// Nanoseconds the first host is searched for; nil waits for ever.
    package var searchPatience: UInt64?
    /// Nanoseconds a lost host is searched for.
    package var reconnectPatience: UInt64 = 120 * second
    /// Nanoseconds between two reminders of the group's membership to the switches in between.
    package var reminderInterval = membershipInterval
    /// Routers a search for the host may pass.
    package var ttl: UInt8 = 16

    package init(name: String) { self.name = name }
}

/// The host gave way to another one before anything was sent: whoever still wants the session takes part anew, with another
/// `ParticipantRunner`.
package struct HostYielded: Error, CustomStringConvertible {
    /// One sentence that names the other host.
    package let description: String
}

/// A frame that has arrived whole, with its seal verified; its content is not proven yet.
///
/// Whoever takes it gives it back by `ParticipantRunner.release`, exactly once.
package struct SessionFrame: Sendable {
    package let chunk: UInt32
    /// Bytes of the frame: prefix, header and payload.
    package let byteCount: Int
    let buffer: ReassemblyBuffer

    /// Calls `body` with the frame's bytes; they are valid only during the call.
    package func withBytes<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
        try buffer.withBytes { (span) throws(E) -> R in try body(span.extracting(0..<byteCount)) }
    }
}
