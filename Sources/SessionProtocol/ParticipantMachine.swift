// The participant's side of a session as a state machine: time, datagrams and messages in; the same and frames out.
package import Blocks

/// One participant: sans-I/O, driven by one thread.
///
/// After every input (a train of datagrams counts as one) take all `nextOutput()`; come back at `deadline`.
package struct ParticipantMachine {
    package private(set) var progress = ParticipantProgress()
    private var outputs: [ParticipantOutput] = []

    /// Checks the configuration; `now` is in nanoseconds of a clock that never goes back.
    package init(configuration: ParticipantConfiguration, now: UInt64) throws(ConfigurationError) {}

    // MARK: Inputs from the network

    /// Takes a datagram that came to the discovery port.
    package mutating func discovery(_ bytes: RawSpan, from: Endpoint, now: UInt64) {}
    /// The connection asked for by `connect` stands; `peer` is the host's address, the only source of data.
    package mutating func controlConnected(peer: Endpoint, now: UInt64) {}
    /// Takes bytes of the control connection as they come, in pieces of any size.
    package mutating func controlReceived(_ bytes: RawSpan, now: UInt64) {}
    package mutating func controlDisconnected(reason: String, now: UInt64) {}
    /// Takes one datagram of the data port.
    package mutating func datagram(_ bytes: RawSpan, from: Address, now: UInt64) {}
    /// The kernel's count of datagrams it dropped for want of room in the socket (SO_RXQ_OVFL), since its start.
    package mutating func socketDrops(_ total: UInt32) {}

    // MARK: Inputs from the pipeline

    /// Says which chunks are to be received, once, after `accepted`.
    ///
    /// An empty set is complete at once.
    package mutating func need(_ chunks: ChunkSet, now: UInt64) {}
    /// The chunk's content is on the disk (or proven to be right); its buffer goes back by `bufferReleased`.
    package mutating func chunkDone(_ chunk: UInt32, now: UInt64) {}
    /// The chunk's seal or content is wrong: it is asked for again.
    package mutating func chunkFailed(_ chunk: UInt32, reason: String, now: UInt64) {}
    package mutating func bufferReleased(_ buffer: ReassemblyBuffer, now: UInt64) {}
    package mutating func figures(_ figures: PipelineFigures) {}
    /// The pipeline is through, one way or the other; `ended` follows.
    package mutating func finished(_ outcome: PipelineOutcome, now: UInt64) {}
    /// Leaves the session; the host is told the reason.
    package mutating func stop(reason: String, now: UInt64) {}
    /// Lets time pass.
    package mutating func advance(now: UInt64) {}

    // MARK: Outputs

    package mutating func nextOutput() -> ParticipantOutput? { outputs.popLast() }
    /// When to call `advance` again at the latest; nil: only after an input.
    package func deadline(now: UInt64) -> UInt64? { nil }
}
