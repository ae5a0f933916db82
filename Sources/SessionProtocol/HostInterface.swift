// What goes into and comes out of the host machine: configuration, outputs, events and what a screen shows.
package import Blocks

/// Names one control connection; the driver chooses the numbers and never uses one twice.
package typealias ConnectionID = UInt64

/// What a host is told when it is made; all randomness of the session comes in here.
package struct HostConfiguration: Sendable {
    /// The session's name, 1 to 255 bytes of UTF-8.
    package var name: String
    /// The session's identifier, random: it is in every datagram.
    package var session: UInt64
    /// The image's identifier: a participant that lost its host goes on only for the same one.
    package var image: GUID
    /// The image's manifest as in its file, at most 1 MiB; opaque here.
    package var manifest: [UInt8]
    /// The chunks the image has, table frames included.
    package var existing: ChunkSet
    /// The longest frame of the image in bytes, its seal not counted, or an upper limit.
    package var maximumFrameBytes: Int
    package var hostKey: PrivateKey
    package var sessionKey: PrivateKey
    /// The session starts when that many have joined; nil: their number never starts it.
    package var participants: Int? = 1
    /// It also starts when nobody has joined for that long (nanoseconds) and one is there; nil waits for ever.
    package var registrationTimeout: UInt64?
    /// It also starts at this time (nanoseconds of the driver's clock) with whoever is there; with nobody there, as
    /// soon as somebody is.
    package var startTime: UInt64?
    /// Whether this host, while nothing has started, gives way to another of the same name that is running already or
    /// has the smaller key: of two masters exactly one remains.
    package var yields = false
    /// The addresses participants reach this host at and data comes from, 1 to 8.
    package var addresses: [Address]
    package var controlPort: UInt16 = Specification.controlPort
    /// The group and UDP port of the data plane.
    package var group: Address
    package var dataPort: UInt16 = Specification.dataPort
    /// The highest rate of the data plane in bytes of UDP payload per second.
    package var rate: UInt64 = 100_000_000
    /// How long the session waits for silent participants once the others have finished, in nanoseconds.
    package var linger: UInt64 = 120 * second
    /// The memory for frames that are being sent, in bytes; at least two of the longest are kept.
    package var frameMemory: Int = 64 << 20
    /// Frames asked for ahead of the cursor, as far as `frameMemory` has room for them.
    package var readAhead: Int = Tuning.readAhead
    package var maximumParticipants: Int = 1024
    /// Streams of the data plane, 1 to 8, each on a UDP port of its own counted up from `dataPort`: a fast network
    /// card spreads the ports over its receive queues.
    package var streams: Int = 1

    package init(
        name: String, session: UInt64, image: GUID, manifest: [UInt8], existing: ChunkSet,
        maximumFrameBytes: Int, hostKey: PrivateKey, sessionKey: PrivateKey, addresses: [Address],
        group: Address
    ) {
        self.name = name
        self.session = session
        self.image = image
        self.manifest = manifest
        self.existing = existing
        self.maximumFrameBytes = maximumFrameBytes
        self.hostKey = hostKey
        self.sessionKey = sessionKey
        self.addresses = addresses
        self.group = group
    }
}

/// Why a session cannot be hosted as configured: one sentence.
package struct ConfigurationError: Error, CustomStringConvertible {
    package let description: String
}

/// What the driver does for the host.
package enum HostOutput: Sendable {
    /// Sends bytes on a control connection, in order. The machine bounds what is under way.
    case send(ConnectionID, [UInt8])
    /// Closes a connection once everything sent on it is out; no `disconnected` is expected for it.
    case close(ConnectionID)
    /// Sends a datagram of discovery.
    case datagram(DiscoveryTarget, [UInt8])
    /// Asks for the frame of a chunk: `frameLoaded` or `frameFailed` must follow, in any order and at any time.
    case load(UInt32)
    case event(HostEvent)
}

/// Datagrams of the data plane that go out back to back: one buffer, one system call, cut apart by the kernel.
package struct Train: Equatable, Sendable {
    /// Number of datagrams, at least 1; they lie behind one another in the buffer.
    package let count: Int
    /// Bytes of each of them.
    package let datagramBytes: Int
    /// The stream, and so the UDP port counted from the session's data port, they belong to.
    package let stream: Int

    /// Bytes of all of them.
    package var byteCount: Int { count * datagramBytes }
}

/// Where a datagram of discovery goes.
package enum DiscoveryTarget: Hashable, Sendable {
    /// To the session's group at `Specification.discoveryPort`, and by broadcast where the family has it, and (from
    /// a participant) to the server whose address is known.
    case everyone
    case endpoint(Endpoint)
}

/// What happened, for a screen or a log.
package enum HostEvent: Sendable {
    /// Somebody joined (or came back): its snapshot's index in `HostMachine.snapshots`.
    case joined(Int)
    /// Somebody was not let in: address and reason.
    case refused(Endpoint, String)
    case started
    /// A participant's connection ended or it fell silent: it may come back.
    case silent(Int)
    case finished(Int)
    case aborted(Int, String)
    /// A sentence for the screen; it names the participant if it is about one.
    case notice(String)
    /// The session is over: true if everyone who was let in is done.
    case ended(Bool, String)
}

/// Where a participant stands.
package enum ParticipantState: String, Sendable {
    case joined, receiving, silent, finished, failed, lost
}

/// What a screen shows of one participant.
package struct ParticipantSnapshot: Sendable {
    package var name: String
    package var endpoint: Endpoint
    package var serial: String
    package var mac: [UInt8]
    package var disks: [DiskSummary]
    package var linkMegabits: UInt32
    package var state: ParticipantState
    package var chunksNeeded: Int
    package var chunksDone: Int
    /// Bytes per second as the participant last reported.
    package var writeRate: UInt64 = 0
    package var decodeRate: UInt64 = 0
    package var freeBuffers: Int = 0
    /// Symbols since the session's start: taken, and lost by cause.
    package var received: UInt64 = 0
    package var lostOnWire: UInt64 = 0
    package var lostInSocket: UInt64 = 0
    package var lostForWantOfBuffers: UInt64 = 0
    /// Chunks that went to it over TCP.
    package var chunksOverControl: Int = 0
    /// Its outcome in one sentence, once there is one.
    package var result: String?

    package init(
        name: String, endpoint: Endpoint, serial: String, mac: [UInt8], disks: [DiskSummary],
        linkMegabits: UInt32, state: ParticipantState, chunksNeeded: Int, chunksDone: Int
    ) {
        self.name = name
        self.endpoint = endpoint
        self.serial = serial
        self.mac = mac
        self.disks = disks
        self.linkMegabits = linkMegabits
        self.state = state
        self.chunksNeeded = chunksNeeded
        self.chunksDone = chunksDone
    }
}

/// What a screen shows of the session.
package struct SessionSnapshot: Sendable {
    /// Where the session stands.
    package enum State: UInt8, Sendable {
        case registering = 0
        case running = 1
        case ended = 2
    }

    package var state: State = .registering
    package var joined = 0
    /// The registrations at which the session starts; 0 where their number does not start it.
    package var needed = 0
    /// How many of them are missing, 0 where there is no number; people see "joined/still needed", as in "3/2".
    package var stillNeeded: Int { max(0, needed - joined) }
    /// The chunk the sweep is at, and how many sweeps it has begun.
    package var cursor: UInt32 = 0
    package var sweeps = 0
    /// Bytes of UDP payload per second the sender may use now.
    package var rate: UInt64 = 0
    package var datagrams: UInt64 = 0
    package var repairDatagrams: UInt64 = 0
    package var beacons: UInt64 = 0
    package var chunksSent: UInt64 = 0
    package var chunksOverControl = 0
    /// Bytes of their frames and seals.
    package var bytesOverControl: UInt64 = 0
    /// The earliest time known at which the session starts by itself (nanoseconds of the driver's clock); one that is past:
    /// with the first who registers.
    package var startsAt: UInt64?
    /// Bytes of the frames the host has in memory, those on order included, and the most they may take.
    package var frameBytes = 0
    package var frameBytesLimit = 0

    package init() {}
}
