// The numbers of the session protocol: what both sides must agree on, apart from what is ours to tune.

/// Numbers that are part of the protocol: changing one of them breaks peers (Documentation/PROTOCOL.md).
package enum Specification {
    /// The version of the protocol this program speaks, and the lowest it still understands.
    package static let version: UInt8 = 1
    package static let lowestVersion: UInt8 = 1

    /// Preferred TCP port of a host's control plane, and the UDP port of discovery (SEEK and ANNOUNCE).
    package static let controlPort: UInt16 = 998
    package static let discoveryPort: UInt16 = 998
    /// Preferred UDP port of the data plane.
    package static let dataPort: UInt16 = 997

    /// Bytes of a SYMBOL's header and of its payload: with UDP and IPv6 headers 32 + 1408 + 48 = 1488, which fits
    /// an Ethernet frame of 1500 bytes and leaves 12 bytes for a tunnel's or a VLAN's tag.
    package static let symbolHeaderBytes = 32
    package static let symbolBytes = 1408
    /// Bytes of a SYMBOL datagram, the largest of the data plane.
    package static let datagramBytes = symbolHeaderBytes + symbolBytes
    /// Bytes of a BEACON datagram.
    package static let beaconBytes = 48
    /// The most source symbols one stripe has; with parity a stripe stays below the 256 symbols of GF(2⁸).
    package static let stripeSymbols = 128

    /// Bytes of an Ed25519 public key, a private seed, a signature and so of a seal.
    package static let keyBytes = 32
    package static let signatureBytes = 64
    package static let sealBytes = signatureBytes
    /// Bytes of a nonce.
    package static let nonceBytes = 32

    /// Bytes of a frame's prefix: kind u16, header length u16, payload length u32.
    package static let framePrefixBytes = 8
    /// The longest frame with its seal: 32 767 symbols of 1408 bytes would be 46 MB; a chunk is 4 MiB by default.
    package static let maximumSealedFrameBytes = 32 * 1024 * 1024

    /// Bytes of a control message's own header: length, type, flags.
    package static let messageHeaderBytes = 8
    /// The longest manifest an ACCEPT may carry.
    package static let maximumManifestBytes = 1024 * 1024
    /// The longest encoding of a set of chunks: 2 bytes for each of half a million ranges.
    package static let maximumChunkSetBytes = 1024 * 1024
    /// The longest text of a NOTICE, ABORT, END or REFUSE, in bytes of UTF-8.
    package static let maximumTextBytes = 1024
    /// The longest REPORT: it must never queue behind itself on a slow link.
    package static let reportBytes = 1200
    /// The most bytes the missing numbers of one stripe may take in a REPORT.
    package static let missingRunBytes = 8
    /// The most addresses an ANNOUNCE or ACCEPT lists, disks a JOIN lists, and data streams a session has.
    package static let maximumAddresses = 8
    package static let maximumDisks = 64
    /// The most interfaces, addresses and video cards an ASK lists.
    package static let maximumInterfaces = 16
    /// TCP port of the imaging server: where workstations ask for work and images travel without a session.
    ///
    /// It is that of a session's control plane; a daemon has it first, and its sessions take others.
    package static let workPort: UInt16 = controlPort
    /// The name under which SEEK and ANNOUNCE mean the imaging server itself; no session may have it.
    package static let serverName = "*imaging server*"
    package static let maximumStreams = 8

    /// How many chunks travel over one participant's control connection at a time.
    package static let chunksInFlight = 4
    /// A chunk that at least this many participants need goes by multicast.
    package static let multicastDemand = 3
    /// Silence after which nobody waits for a peer, in nanoseconds.
    package static let silence: UInt64 = 5 * second
    /// Time between two announcements of a host, and between a peer's signs of life, in nanoseconds.
    package static let announceInterval: UInt64 = second
    /// Shortest and longest time between a participant's reports, in nanoseconds.
    package static let shortestReportInterval: UInt64 = 100 * millisecond
    package static let longestReportInterval: UInt64 = second
}

/// Numbers that are ours to tune: peers do not notice.
package enum Tuning {
    /// Time between two beacons while there is nothing else to send.
    package static let beaconInterval: UInt64 = 100 * millisecond
    /// Time between two SEEKs of a participant that waits.
    package static let seekInterval: UInt64 = second
    /// How long a participant listens for a second host of the same name before it joins the first: longer than
    /// `announceInterval`, so that every host has spoken once.
    package static let settleTime: UInt64 = 1500 * millisecond
    /// How long a participant that hears two hosts of one name waits for one of them to give way: each of them has spoken
    /// twice, and most likely to the other.
    package static let disputeTime: UInt64 = 3 * second
    /// Other hosts of the session's name that are told of, and hosts a participant chooses among.
    package static let mostHosts = 8
    /// Signatures of hosts not known yet that are checked in a row, and the nanoseconds after which one more is: a flood of
    /// announcements costs half a percent of a processor.
    package static let signatureBurst = 16
    package static let signatureInterval: UInt64 = 20 * millisecond
    /// Sentences of the host that those who join later are told as well.
    package static let keptSentences = 16
    /// How long the start waits for participants that have joined but not said what they need.
    package static let needPatience: UInt64 = 5 * second
    /// A connection that has not joined or been answered by then is given up.
    package static let handshakePatience: UInt64 = 10 * second
    /// Connections of one address that have not joined; whoever makes more must not keep others from joining.
    package static let strangersPerAddress = 16
    /// A chunk sent by multicast that a participant does not mention within this time has not reached it.
    package static let unseenPatience: UInt64 = 3 * second
    /// Silence of the data plane after which the reason is looked for, so that it is known after `unseenPatience`, before
    /// the host has brought what little may be left over TCP.
    package static let suspiciousSilence: UInt64 = 1500 * millisecond
    /// How long datagrams must have come again before multicast counts as back.
    package static let returnTime: UInt64 = second
    /// Participants up to which reports name missing symbols; in a larger room the union of what is missing is nearly
    /// always larger than the largest number, so parity is sent and only numbers matter.
    package static let namingParticipants = 16
    /// Symbols in a row that contradict what is known of a chunk until they are believed: a damaged one is not.
    package static let contradictions = 8
    /// A step of the sequence that a single datagram is believed: 92 MB of lost datagrams.
    package static let believedStep: UInt32 = 1 << 16
    /// What the token bucket holds at the start, and the least it may save up: 36 datagrams, 52 KB, which the
    /// smallest switch has room for.
    package static let firstBurstBytes = 36 * Specification.datagramBytes
    /// How many datagrams the sender waits for before it is woken: a train, which at 1 Gb/s is 0.2 ms.
    package static let trainDatagrams = 16
    /// Repairs take at most this share of the trains while the sweep has something to send: one in two.
    package static let repairTurn = 2
    /// Of that many datagrams one may go to those whom the room does not wait for, while somebody lacks a first copy.
    package static let stragglerTurn = 100
    /// The most datagrams that may be saved up for them.
    package static let stragglerCredit = 4096
    /// A participant is a straggler if it loses three times what the middle one does and this share more.
    package static let stragglerLoss = 0.02
    /// How long the repairs of a chunk are remembered that nobody asks for any more.
    package static let repairMemory: UInt64 = 30 * second
    /// Participants that must have reported before the rate is decided on, if there are so many.
    package static let deciders = 32
    /// How often the rate is looked at.
    package static let rateInterval: UInt64 = 100 * millisecond
    /// The rate a session starts with, in bytes of UDP payload per second, where no link is known to be slower: 1 Gb/s.
    package static let firstRate: UInt64 = 117_000_000
    /// How often it doubles until a limit shows.
    package static let doublingInterval: UInt64 = 10 * millisecond
    /// The rate never falls below this: 1 Mb/s.
    package static let lowestRate: UInt64 = 117_000
    /// Share lost on the wire that is put up with without looking whether sending less helps.
    package static let toleratedLoss = 0.03
    /// Bytes on the way to a participant from which on it counts as at its limit: they wait in its socket.
    ///
    /// More by what goes out in 5 ms, which the report itself takes.
    package static let backlogBytes = 16 << 20
    /// A participant that has at least `manyBuffers` is at its limit, though it has lost nothing yet, when less than this
    /// part of them is free.
    package static let scarceBuffers = 0.5
    package static let manyBuffers = 4
    /// Share lost in the socket that does not count as a limit.
    package static let toleratedOwnLoss = 0.01
    /// Chunks loaded ahead of the cursor.
    package static let readAhead = 4
    /// Chunks that may be on their way over TCP in the whole session, which bounds the host's memory.
    package static let chunksInFlightTotal = 16
    /// Time without progress after which the chunks on their way to a participant no longer count among those.
    package static let stallPatience: UInt64 = 10 * second
    /// Chunks that may be on their way to participants that make no progress; beyond it they are dropped.
    package static let chunksStalledTotal = 64
    /// Multicast passes after which a chunk goes over TCP whoever needs it: its stream does not arrive.
    package static let mostPasses = 8
    /// Multicast passes after which a chunk that few still need goes over TCP.
    package static let passesBeforeControl = 2
}

/// Nanoseconds of a millisecond and of a second.
package let millisecond: UInt64 = 1_000_000
package let second: UInt64 = 1_000_000_000
