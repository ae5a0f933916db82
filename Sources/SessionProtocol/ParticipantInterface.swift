// What goes into and comes out of the participant machine: configuration, outputs and events.
package import Blocks

/// A disk as a participant describes it to the host's screen.
package struct DiskSummary: Hashable, Sendable {
    /// What people call it: kernel name and model, at most 255 bytes.
    package var text: String
    /// Bytes.
    package var size: UInt64

    package init(text: String, size: UInt64) {
        self.text = text
        self.size = size
    }
}

/// Who a participant says it is.
package struct ParticipantIdentity: Hashable, Sendable {
    /// Each text at most 255 bytes of UTF-8; longer ones are cut.
    package var name: String
    package var serial: String
    /// 6 bytes.
    package var mac: [UInt8]
    package var linkMegabits: UInt32
    /// At most 64.
    package var disks: [DiskSummary]

    package init(
        name: String, serial: String = "", mac: [UInt8], linkMegabits: UInt32 = 0, disks: [DiskSummary] = []
    ) {
        self.name = name
        self.serial = serial
        self.mac = mac
        self.linkMegabits = linkMegabits
        self.disks = disks
    }
}

/// What a participant is told when it is made; all its randomness comes in here.
package struct ParticipantConfiguration: Sendable {
    /// The session's name, 1 to 255 bytes of UTF-8.
    package var name: String
    package var identity: ParticipantIdentity
    /// 32 random bytes: nonces and the participant's own identifier are derived from them.
    package var entropy: [UInt8]
    /// The only host key that is believed, if one is pinned.
    package var pinned: Fingerprint?
    /// Memory for chunks on their way, in bytes.
    package var poolBytes: Int = 256 << 20
    /// For simulations of large rooms: symbols are counted, but their bytes neither stored nor solved for, so that
    /// frames come empty.
    package var countsOnly = false
    /// How long a lost host is searched for, in nanoseconds.
    package var reconnectPatience: UInt64 = 120 * second
    /// How long the first host is searched for, in nanoseconds; nil waits for ever.
    package var searchPatience: UInt64?

    package init(name: String, identity: ParticipantIdentity, entropy: [UInt8], pinned: Fingerprint? = nil) {
        self.name = name
        self.identity = identity
        self.entropy = entropy
        self.pinned = pinned
    }
}

extension ParticipantIdentity {
    /// Whether both are the same machine, as far as what machines say of themselves tells.
    func isSameMachine(as other: ParticipantIdentity) -> Bool {
        mac == other.mac && name == other.name && serial == other.serial
    }
}

/// What the host told about its session, all of it signed by the host's key.
package struct AcceptedSession: Sendable {
    package let session: UInt64
    package let image: GUID
    package let manifest: [UInt8]
    /// The chunks the image has, table frames included.
    package let existing: ChunkSet
    package let hostKey: PublicKey
    /// Checks the seals of this session's frames; for the threads that decode them.
    package let seals: SealVerifier
    package let group: Address
    package let dataPort: UInt16
    /// The longest frame with its seal, in bytes.
    package let maximumSealedBytes: Int
}

/// A chunk whose frame and seal have arrived; *not* checked yet (see `SealVerifier.check`).
package struct ReceivedFrame: Sendable {
    package let chunk: UInt32
    /// The frame, then its seal, `length` bytes in all; give it back with `bufferReleased`.
    package let buffer: ReassemblyBuffer
    package let length: Int
    /// Checks its seal; a host that comes back has other seals, so each frame has its own.
    package let seals: SealVerifier
}

/// What the driver does for a participant.
package enum ParticipantOutput: Sendable {
    /// Sends a datagram of discovery.
    case datagram(DiscoveryTarget, [UInt8])
    /// Makes a TCP connection and answers with `controlConnected` or `controlDisconnected`.
    case connect(Endpoint)
    /// Sends bytes on the control connection, in order.
    case send([UInt8])
    /// Closes the control connection once everything sent on it is out, and forgets it.
    case close
    /// Joins the group on the interface of the route to the host and hands over its datagrams of `streams` ports,
    /// counted up from `port`.
    case joinGroup(Address, port: UInt16, streams: Int)
    /// Leaves the group: nothing of it is needed any more.
    case leaveGroup
    /// Finds out, beside everything else, why multicast does not arrive, and answers with `diagnosed`.
    case diagnose(MulticastSilence)
    case event(ParticipantEvent)
}

/// What happened, for the pipeline and the screen.
package enum ParticipantEvent: Sendable {
    /// A host answered; its fingerprint is for the screen. It is not joined yet.
    case found(Endpoint, Fingerprint)
    /// The host let us in (the first time): plan, then call `need`, or `stop` with a reason.
    case accepted(AcceptedSession)
    /// How many have joined and how many the host waits for, while the session has not started.
    case waiting(joined: Int, stillNeeded: Int)
    case started
    /// A chunk is whole: check, decode, write; then `bufferReleased` and `chunkDone` or `chunkFailed`.
    case frame(ReceivedFrame)
    /// Every needed chunk is done: flush, put the tables, re-read; then call `finished`.
    case complete
    /// A sentence for the screen.
    case notice(String)
    /// The host is gone, with the reason; it is being searched for and what has been received stays.
    case lostHost(String)
    /// The host that was found is not one after all, or is gone before it let us in: the search goes on.
    case lostSight
    case rejoined
    /// The end; nothing more comes.
    case ended(ParticipantEnd)
}

/// How a participant's session ended.
package enum ParticipantEnd: Equatable, Sendable {
    /// Everything was written and the host knows, or could not be told any more.
    case done
    /// One sentence that says why not.
    case failed(String)
    /// Before anything was sent the host gave way to another one, which the sentence names: whoever still wants the session
    /// joins anew.
    case yielded(String)
}

/// What the pipeline measured, for the host's screen.
package struct PipelineFigures: Sendable {
    /// Bytes per second since the last call.
    package var writeRate: UInt64 = 0
    package var decodeRate: UInt64 = 0

    package init(writeRate: UInt64 = 0, decodeRate: UInt64 = 0) {
        self.writeRate = writeRate
        self.decodeRate = decodeRate
    }
}

/// What the pipeline reports at its end.
package enum PipelineOutcome: Sendable {
    /// Everything is on the disk, flushed and read back: bytes written and a text for the host's screen.
    case done(bytes: UInt64, text: String)
    case failed(String)
}

/// What a screen shows of a participant's own session.
package struct ParticipantProgress: Sendable {
    package var chunksNeeded = 0
    package var chunksDone = 0
    /// All of this session's that arrived, with those that were there already or found no buffer.
    package var symbolsReceived: UInt64 = 0
    package var symbolsRepeated: UInt64 = 0
    package var lostOnWire: UInt64 = 0
    package var lostInSocket: UInt64 = 0
    package var lostForWantOfBuffers: UInt64 = 0
    package var chunksOverControl = 0
    /// Bytes of their frames and seals.
    package var bytesOverControl: UInt64 = 0
    /// Chunks of the longest length that there is memory for now, and with all of it free; 0 before `accepted`.
    package var freeBuffers = 0
    package var buffers = 0
    /// Datagrams that were not of this session, of a wrong source or malformed.
    package var foreignDatagrams: UInt64 = 0

    package init() {}
}
