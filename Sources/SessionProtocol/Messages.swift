// The messages of the control plane: all layouts first, then one encoder and one decoder for each.
//
// All integers are little endian. A message is a header of 8 bytes and a body:
//
//     0 u32 length of the body   4 u16 type   6 u16 flags: bit 0 "must understand"
//
// An unknown type is skipped unless its flag says "must understand". Bytes of a body beyond the fields below are
// ignored, so that a later version can append. "text" is u16 count and UTF-8; "name" is u8 count and UTF-8;
// "address" is family u8 (4 or 6) and 16 bytes; "set" is a ChunkSet: varint count, then gap and length per range.
//
//     type      body
//   1 JOIN      0 u8 lowest version  1 u8 highest  2 u16 zero  4 nonce[32]  36 u32 link Mbit/s  40 mac[6]
//               46 u16 zero  48 participant GUID[16]  64 known image GUID[16] (zero: none)
//               80 name session, name name, name serial, u8 disks, per disk: u64 bytes, name text
//   2 ACCEPT    0 signature[64] by the host key over context, then the body from 64 on
//               64 nonce[32]  96 u8 version  97 u8 streams  98 u16 report slot  100 u32 longest frame + seal
//               104 u64 session  112 image GUID[16]  128 host key[32]  160 session key[32]
//               192 u16 data port  194 group address[17]  211 u8 addresses, per address [17]
//               then u32 count and manifest, set existing
//   3 REFUSE    0 u8 lowest version  1 u8 highest  2 u16 code  4 text reason
//   4 NEED      0 u8 mode (0 this is all, 1 also these over TCP)  1 zero[3]  4 set
//   5 REPORT    0 u8 streams  1 u8 bit 0: nothing heard since the last one  2 u16 free buffers  4 u32 chunks done in all
//               8 u32 write KiB/s  12 u32 decode KiB/s  16 u32 symbols received  20 u32 lost on the wire
//               24 u32 in the socket  28 u32 for want of a buffer (the four since the last report)
//               32 u32 held below: `held` is complete for smaller chunk numbers (0xffffffff: for all)
//               36 u32 highest sequence per stream, then set done since the last report, set held,
//               u16 chunks, per chunk: u32 chunk, u8 generation, u16 stripes, per stripe:
//               u16 stripe, u8 lacking, u8 count and missing runs (a number; bit 7: a byte more - 1 follows)
//   6 CHUNK     0 u32 chunk  4 u32 length  8 frame and seal
//   7 START     0 u16 participants  2 u16 report interval ms  4 u32 sequence of the first datagram
//   8 NOTICE    0 u8 level (0 state, 1 warning, 2 error)  1 u8 state  2 u16 joined  4 u16 needed  6 text
//   9 DONE      0 u64 chunks  8 u64 bytes  16 text
//  10 ABORT     0 text reason
//  11 END       0 u8 outcome (0 your DONE counts, 1 the session was stopped, 2 another host has it: join anew)
//               1 u8 zero  2 text
package import Blocks

/// The types of control messages with their numbers on the wire.
package enum MessageType: UInt16, CaseIterable, Sendable {
    case join = 1
    case accept, refuse, need, report, chunk, start, notice, done, abort, end

    /// The longest body of this type that is read; a longer one ends the connection.
    var maximumBodyBytes: Int {
        switch self {
        case .join: 32 * 1024
        case .accept: Specification.maximumManifestBytes + Specification.maximumChunkSetBytes + 1024
        case .refuse, .notice, .done, .abort, .end: 4096
        case .need: Specification.maximumChunkSetBytes + 64
        case .report: Specification.reportBytes
        case .chunk: Specification.maximumSealedFrameBytes + 64
        case .start: 1024
        }
    }
}

/// The longest body of an unknown type that is skipped.
let maximumUnknownBodyBytes = 64 * 1024

/// Bit 0 of a message's flags: who does not know the type must end the connection.
let mustUnderstand: UInt16 = 1

/// JOIN, participant to host: who it is.
package struct JoinMessage: Equatable, Sendable {
    package var lowestVersion: UInt8 = Specification.lowestVersion
    package var highestVersion: UInt8 = Specification.version
    package var nonce: [UInt8]
    /// Random, the same for every JOIN of one run of the program.
    package var participant: GUID
    /// The image the participant has begun to receive, if it comes back.
    package var knownImage: GUID?
    package var session: String
    package var identity: ParticipantIdentity

    package init(
        lowestVersion: UInt8 = Specification.lowestVersion,
        highestVersion: UInt8 = Specification.version, nonce: [UInt8], participant: GUID,
        knownImage: GUID? = nil, session: String, identity: ParticipantIdentity
    ) {
        self.lowestVersion = lowestVersion
        self.highestVersion = highestVersion
        self.nonce = nonce
        self.participant = participant
        self.knownImage = knownImage
        self.session = session
        self.identity = identity
    }
}

/// ACCEPT, host to participant: everything about the session, signed with the participant's nonce.
package struct AcceptMessage: Equatable, Sendable {
    package var nonce: [UInt8]
    package var version: UInt8 = Specification.version
    package var streams: UInt8 = 1
    package var slot: UInt16
    package var maximumSealedBytes: UInt32
    package var session: UInt64
    package var image: GUID
    package var hostKey: PublicKey
    package var sessionKey: PublicKey
    package var dataPort: UInt16
    package var group: Address
    package var addresses: [Address]
    package var manifest: [UInt8]
    package var existing: ChunkSet

    package init(
        nonce: [UInt8], version: UInt8 = Specification.version, streams: UInt8 = 1, slot: UInt16,
        maximumSealedBytes: UInt32, session: UInt64, image: GUID, hostKey: PublicKey,
        sessionKey: PublicKey, dataPort: UInt16, group: Address, addresses: [Address],
        manifest: [UInt8], existing: ChunkSet
    ) {
        self.nonce = nonce
        self.version = version
        self.streams = streams
        self.slot = slot
        self.maximumSealedBytes = maximumSealedBytes
        self.session = session
        self.image = image
        self.hostKey = hostKey
        self.sessionKey = sessionKey
        self.dataPort = dataPort
        self.group = group
        self.addresses = addresses
        self.manifest = manifest
        self.existing = existing
    }
}

/// REFUSE, host to participant: why it is not let in.
package struct RefuseMessage: Equatable, Sendable {
    /// Reasons with their numbers on the wire; others may come.
    package enum Code: UInt16, Sendable {
        case version = 1
        case name = 2
        case full = 3
        case ended = 4
        case image = 5
    }

    package var lowestVersion: UInt8 = Specification.lowestVersion
    package var highestVersion: UInt8 = Specification.version
    package var code: UInt16
    package var reason: String

    package init(
        lowestVersion: UInt8 = Specification.lowestVersion,
        highestVersion: UInt8 = Specification.version, code: UInt16, reason: String
    ) {
        self.lowestVersion = lowestVersion
        self.highestVersion = highestVersion
        self.code = code
        self.reason = reason
    }
}

/// NEED, participant to host: the chunks it still needs.
package struct NeedMessage: Equatable, Sendable {
    /// What the set means.
    package enum Mode: UInt8, Sendable {
        /// Everything still needed; replaces what was said before.
        case all = 0
        /// Chunks whose seal or content was wrong twice: over TCP, please.
        case overControl = 1
    }

    package var mode: Mode
    package var chunks: ChunkSet

    package init(
        mode: Mode, chunks: ChunkSet
    ) {
        self.mode = mode
        self.chunks = chunks
    }
}

/// CHUNK, either way: a frame with its seal over TCP.
package struct ChunkMessage: Equatable, Sendable {
    package var chunk: UInt32
    package var sealed: [UInt8]

    /// Bytes of the body in front of the frame.
    static let fixedBytes = 8

    package init(
        chunk: UInt32, sealed: [UInt8]
    ) {
        self.chunk = chunk
        self.sealed = sealed
    }
}

/// START, host to participant: data follows from this sequence number on.
package struct StartMessage: Equatable, Sendable {
    package var participants: UInt16
    /// Milliseconds.
    package var reportInterval: UInt16
    package var sequence: UInt32

    package init(
        participants: UInt16, reportInterval: UInt16, sequence: UInt32
    ) {
        self.participants = participants
        self.reportInterval = reportInterval
        self.sequence = sequence
    }
}

/// NOTICE, either way: a sign of life, the count of those who joined, or text for the other side's screen.
package struct NoticeMessage: Equatable, Sendable {
    /// How bad it is.
    package enum Level: UInt8, Sendable {
        case state = 0
        case warning = 1
        case error = 2
    }

    package var level: Level
    package var state: SessionSnapshot.State = .registering
    package var joined: UInt16 = 0
    package var needed: UInt16 = 0
    package var text: String = ""

    package init(
        level: Level, state: SessionSnapshot.State = .registering, joined: UInt16 = 0,
        needed: UInt16 = 0, text: String = ""
    ) {
        self.level = level
        self.state = state
        self.joined = joined
        self.needed = needed
        self.text = text
    }
}

/// DONE, participant to host: everything is on the disk and was read back.
package struct DoneMessage: Equatable, Sendable {
    package var chunks: UInt64
    package var bytes: UInt64
    package var text: String

    package init(
        chunks: UInt64, bytes: UInt64, text: String
    ) {
        self.chunks = chunks
        self.bytes = bytes
        self.text = text
    }
}

/// ABORT, either way: the sender leaves, and why.
package struct AbortMessage: Equatable, Sendable {
    package var reason: String

    package init(
        reason: String
    ) {
        self.reason = reason
    }
}

/// END, host to participant: the session is over for it.
package struct EndMessage: Equatable, Sendable {
    /// What the end means.
    package enum Outcome: UInt8, Sendable {
        case finished = 0
        case stopped = 1
        /// The host has given way to another one of the same name, before the start.
        case yielded = 2
    }

    package var outcome: Outcome
    package var text: String

    package init(
        outcome: Outcome, text: String
    ) {
        self.outcome = outcome
        self.text = text
    }
}

/// Any control message.
package enum ControlMessage: Equatable, Sendable {
    case join(JoinMessage)
    case accept(AcceptMessage, signed: SignedPart)
    case refuse(RefuseMessage)
    case need(NeedMessage)
    case report(ReportMessage)
    case chunk(ChunkMessage)
    case start(StartMessage)
    case notice(NoticeMessage)
    case done(DoneMessage)
    case abort(AbortMessage)
    case end(EndMessage)

    /// Decodes a body of a known type.
    package init(_ type: MessageType, _ body: RawSpan) throws(DecodeError) {
        switch type {
        case .join: self = .join(try JoinMessage(from: body))
        case .accept:
            let signed = try SignedPart(from: body)
            self = .accept(try AcceptMessage(from: body), signed: signed)
        case .refuse: self = .refuse(try RefuseMessage(from: body))
        case .need: self = .need(try NeedMessage(from: body))
        case .report: self = .report(try ReportMessage(from: body))
        case .chunk: self = .chunk(try ChunkMessage(from: body))
        case .start: self = .start(try StartMessage(from: body))
        case .notice: self = .notice(try NoticeMessage(from: body))
        case .done: self = .done(try DoneMessage(from: body))
        case .abort: self = .abort(try AbortMessage(from: body))
        case .end: self = .end(try EndMessage(from: body))
        }
    }
}

/// Bytes that begin with a signature over the rest.
package struct SignedPart: Equatable, Sendable {
    package let signature: [UInt8]
    package let signed: [UInt8]

    init(from bytes: RawSpan) throws(DecodeError) {
        var offset = 0
        signature = try bytes.array(Specification.signatureBytes, at: &offset, "a signature")
        signed = try bytes.array(bytes.byteCount - offset, at: &offset, "a signed part")
    }

    /// Whether `key` signed this for the purpose of `context`.
    func isSigned(by key: PublicKey, context: [UInt8]) -> Bool {
        key.verifies(signature, of: context + signed)
    }
}
