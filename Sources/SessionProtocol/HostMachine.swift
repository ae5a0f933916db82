// The host's side of a session as a state machine: time, messages and frames in; messages and datagrams out.
internal import Blocks

/// The host of one session: sans-I/O, driven by one thread.
///
/// After every input take all `nextOutput()`, then all `nextDatagram`, and come back at `deadline` at the latest.
package struct HostMachine {
    package private(set) var session = SessionSnapshot()
    /// Everyone who was let in, in the order of joining; indices stay.
    package private(set) var snapshots: [ParticipantSnapshot] = []
    private var outputs: [HostOutput] = []

    /// Checks the configuration; `now` is in nanoseconds of a clock that never goes back.
    package init(configuration: HostConfiguration, now: UInt64) throws(ConfigurationError) {
    }

    // MARK: Inputs

    package mutating func connected(_ connection: ConnectionID, from: Endpoint, now: UInt64) {}
    /// Takes bytes of a connection as they come, in pieces of any size.
    package mutating func received(_ connection: ConnectionID, _ bytes: RawSpan, now: UInt64) {}
    package mutating func disconnected(_ connection: ConnectionID, reason: String, now: UInt64) {}
    /// Takes a datagram that came to the discovery port.
    package mutating func discovery(_ bytes: RawSpan, from: Endpoint, now: UInt64) {}
    /// Answers `load`: the frame without a seal (reserve 64 bytes more and it is not copied).
    package mutating func frameLoaded(_ chunk: UInt32, _ frame: consuming [UInt8], now: UInt64) {}
    package mutating func frameFailed(_ chunk: UInt32, reason: String, now: UInt64) {}
    /// Starts at once with whoever is there.
    package mutating func startNow(now: UInt64) {}
    /// Ends the session for everyone; each participant is told the reason.
    package mutating func stop(reason: String, now: UInt64) {}
    /// Lets time pass.
    package mutating func advance(now: UInt64) {}

    // MARK: Outputs

    package mutating func nextOutput() -> HostOutput? { outputs.popLast() }

    /// Writes the next datagram of the data plane at `offset` and returns its length.
    ///
    /// `buffer` must have `Specification.datagramBytes` from `offset` on. Nil: nothing to send, or not yet.
    package mutating func nextDatagram(into buffer: inout MutableRawSpan, at offset: Int, now: UInt64) -> Int?
    { nil }

    /// When to call `advance` and `nextDatagram` again at the latest; nil: only after an input.
    package func deadline(now: UInt64) -> UInt64? { nil }
}
