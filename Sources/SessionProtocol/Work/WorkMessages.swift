// The messages between a workstation and the imaging server: what is to be done, what came of it, and images over TCP.
//
// They travel on connections to the server's own port, with the header of every control message (Messages.swift); a type
// is known on either kind of connection, never on both, but for those that are named below without a layout.
// "text", "name", "address" and "set" are those of Messages.swift.
//
//     type       body
//  32 ASK        0 u8 lowest version  1 u8 highest  2 u8 firmware (0 BIOS, 1 UEFI)  3 u8 zero  4 nonce[32]
//                36 u64 bytes of memory  44 u8 interfaces (1 or more, the one that asks first), per interface: mac[6],
//                name card; u8 addresses, per address [17]; name host, name CPU, name BIOS vendor, name product,
//                name serial, name asset tag; u8 disks, per disk: u64 bytes, name model; u8 video, per card: name
//  33 ORDER      0 signature[64] by the server's key over context, then the body from 64 on
//                64 nonce[32]  96 server key[32]  128 u64 order  136 u8 verb  137 u8 zero  138 u16 seconds
//                140 u16 clients  142 u16 minutes  144 image GUID[16] (zero: none)  160 host key[32] (zero: none)
//                192 name session, name image, name server, text reason
//                verbs: 0 nothing  1 take part  2 be master  3 restore  4 capture  5 shell  6 ask that server
//                7 ask again in so many seconds
//  34 OUTCOME    0 u64 order  8 mac[6]  14 u8 result (0 done, 1 failed)  15 u8 zero  16 image GUID[16] (zero: none)
//                32 u64 bytes  40 u64 milliseconds  48 text
//  35 NOTED      0 u64 order
//  36 ROLE       0 u64 order  8 host key[32]  40 image GUID[16]: the master has taken its role under this key
//  37 FETCH      0 u8 lowest version  1 u8 highest  2 u16 zero  4 nonce[32]  36 known image GUID[16] (zero: none)
//                52 name image, name host, mac[6]
//  38 OFFER      0 signature[64] by the server's key over context, then the body from 64 on
//                64 nonce[32]  96 server key[32]  128 u64 session  136 image GUID[16]  152 session key[32]
//                184 u32 count and manifest, set existing
//  39 STORE      0 u8 lowest version  1 u8 highest  2 u16 zero  4 nonce[32]  36 image GUID[16]  52 u64 order (0: none)
//                60 u64 bytes at most  68 mac[6]  74 u16 zero  76 name image, name host, u32 count and manifest,
//                set existing
//  40 ROOM       0 signature[64] by the server's key over context, then the body from 64 on
//                64 nonce[32]  96 server key[32]  128 image GUID[16]  144 set stored
//  41 FRAME      0 u32 chunk  4 u32 length  8 frame (no seal)
//
// FETCH is answered by OFFER or REFUSE; the workstation then sends NEED, and the server a CHUNK for each of its chunks,
// its seal made by the session key. DONE or ABORT ends it, and the server's END. STORE is answered by ROOM or REFUSE; the
// workstation then sends a FRAME for each chunk that is not stored, and DONE; the server's END (outcome 0) says that the
// image has its name. NOTICE may come at any time.
package import Blocks

/// The types of messages of the work plane with their numbers on the wire.
package enum WorkMessageType: UInt16, CaseIterable, Sendable {
    case refuse = 3
    case need = 4
    case chunk = 6
    case notice = 8
    case done = 9
    case abort = 10
    case end = 11
    case ask = 32
    case order, outcome, noted, role, fetch, offer, store, room, frame

    /// The longest body of this type that is read; a longer one ends the connection.
    package var maximumBodyBytes: Int {
        switch self {
        case .refuse, .notice, .done, .abort, .end, .order, .outcome, .noted, .role, .fetch: 4096
        case .ask: 64 * 1024
        case .need: Specification.maximumChunkSetBytes + 64
        case .chunk, .frame: Specification.maximumSealedFrameBytes + 64
        case .offer, .store: Specification.maximumManifestBytes + Specification.maximumChunkSetBytes + 2048
        case .room: Specification.maximumChunkSetBytes + 1024
        }
    }
}

/// What a workstation is to do.
package enum WorkVerb: UInt8, Sendable, CaseIterable {
    /// There is nothing to do: the workstation goes on to its local disk.
    case nothing = 0
    /// Take part in `session`, whose host has `hostKey`.
    case takePart
    /// Be the master of `session`, which starts at `clients` machines or `minutes` after the last one registered.
    case master
    /// Restore `image` from the server.
    case restore
    /// Capture this machine's disks to the server as `image`.
    case capture
    /// Give the person a shell.
    case shell
    /// Ask the server at `server`; the outcome is reported here too.
    case refer
    /// Ask again in `seconds`.
    case wait
}

/// ASK, workstation to server: who it is, and a nonce that the answer must carry.
package struct AskMessage: Equatable, Sendable {
    package var lowestVersion = Specification.lowestVersion
    package var highestVersion = Specification.version
    /// 32 random bytes, new for every question.
    package var nonce: [UInt8]
    package var workstation: Workstation

    package init(nonce: [UInt8], workstation: Workstation) {
        self.nonce = nonce
        self.workstation = workstation
    }
}

/// ORDER, server to workstation: what it is to do, signed with its nonce.
package struct OrderMessage: Equatable, Sendable {
    package var nonce: [UInt8]
    /// The key that signed it.
    package var serverKey: PublicKey
    /// Random; who reports the outcome names it.
    package var order: UInt64
    package var verb: WorkVerb
    /// Seconds until the next question, for `wait`.
    package var seconds: UInt16 = 0
    package var clients: UInt16 = 0
    package var minutes: UInt16 = 0
    /// The image's identifier, where it is known beforehand.
    package var image: GUID?
    /// The key of the session's host, for `takePart`.
    package var hostKey: PublicKey?
    package var session = ""
    package var imageName = ""
    /// Address or name of another server.
    package var server = ""
    /// For the screen: what was decided and why.
    package var reason = ""

    package init(nonce: [UInt8], serverKey: PublicKey, order: UInt64, verb: WorkVerb) {
        self.nonce = nonce
        self.serverKey = serverKey
        self.order = order
        self.verb = verb
    }
}

/// OUTCOME, workstation to server: what came of an order.
package struct OutcomeMessage: Equatable, Sendable {
    package var order: UInt64
    /// 6 bytes.
    package var mac: [UInt8]
    package var isDone: Bool
    /// The image that is on the workstation's disks now, or that was made of them.
    package var image: GUID?
    /// Bytes of content.
    package var bytes: UInt64 = 0
    package var milliseconds: UInt64 = 0
    package var text: String

    package init(order: UInt64, mac: [UInt8], isDone: Bool, text: String) {
        self.order = order
        self.mac = mac
        self.isDone = isDone
        self.text = text
    }
}

/// NOTED, server to workstation: the outcome, or the role, is in the server's books.
package struct NotedMessage: Equatable, Sendable {
    package var order: UInt64

    package init(order: UInt64) { self.order = order }
}

/// ROLE, master workstation to server: it hosts the session now, under this key, with this image.
package struct RoleMessage: Equatable, Sendable {
    package var order: UInt64
    package var hostKey: PublicKey
    /// The image that it makes of its disks while it sends it.
    package var image: GUID

    package init(order: UInt64, hostKey: PublicKey, image: GUID) {
        self.order = order
        self.hostKey = hostKey
        self.image = image
    }
}

/// FETCH, workstation to server: the image of this name, please.
package struct FetchMessage: Equatable, Sendable {
    package var lowestVersion = Specification.lowestVersion
    package var highestVersion = Specification.version
    package var nonce: [UInt8]
    /// The image it has begun to receive, if it comes back: another one is refused.
    package var knownImage: GUID?
    package var image: String
    package var host: String
    package var mac: [UInt8]

    package init(nonce: [UInt8], knownImage: GUID? = nil, image: String, host: String, mac: [UInt8]) {
        self.nonce = nonce
        self.knownImage = knownImage
        self.image = image
        self.host = host
        self.mac = mac
    }
}

/// OFFER, server to workstation: the image, signed with the workstation's nonce.
package struct OfferMessage: Equatable, Sendable {
    package var nonce: [UInt8]
    package var serverKey: PublicKey
    /// What the seals of this transfer are made with.
    package var session: UInt64
    package var image: GUID
    package var sessionKey: PublicKey
    package var manifest: [UInt8]
    package var existing: ChunkSet

    package init(
        nonce: [UInt8], serverKey: PublicKey, session: UInt64, image: GUID, sessionKey: PublicKey,
        manifest: [UInt8], existing: ChunkSet
    ) {
        self.nonce = nonce
        self.serverKey = serverKey
        self.session = session
        self.image = image
        self.sessionKey = sessionKey
        self.manifest = manifest
        self.existing = existing
    }
}

/// STORE, workstation to server: room for an image of this name, please.
package struct StoreMessage: Equatable, Sendable {
    package var lowestVersion = Specification.lowestVersion
    package var highestVersion = Specification.version
    package var nonce: [UInt8]
    package var imageID: GUID
    /// The order it is captured by, 0 where a person does.
    package var order: UInt64 = 0
    /// The most that the file can become, so that a full disk is known at the start.
    package var mostBytes: UInt64
    package var mac: [UInt8]
    package var image: String
    package var host: String
    package var manifest: [UInt8]
    package var existing: ChunkSet

    package init(
        nonce: [UInt8], imageID: GUID, mostBytes: UInt64, mac: [UInt8], image: String, host: String,
        manifest: [UInt8], existing: ChunkSet
    ) {
        self.nonce = nonce
        self.imageID = imageID
        self.mostBytes = mostBytes
        self.mac = mac
        self.image = image
        self.host = host
        self.manifest = manifest
        self.existing = existing
    }
}

/// ROOM, server to workstation: the chunks of the image that it has already, signed with the workstation's nonce.
package struct RoomMessage: Equatable, Sendable {
    package var nonce: [UInt8]
    package var serverKey: PublicKey
    package var image: GUID
    package var stored: ChunkSet

    package init(nonce: [UInt8], serverKey: PublicKey, image: GUID, stored: ChunkSet) {
        self.nonce = nonce
        self.serverKey = serverKey
        self.image = image
        self.stored = stored
    }
}

/// FRAME, workstation to server: a chunk of an image that is being stored; its content's hash is in its header.
package struct FrameMessage: Equatable, Sendable {
    package var chunk: UInt32
    package var frame: [UInt8]

    package init(chunk: UInt32, frame: [UInt8]) {
        self.chunk = chunk
        self.frame = frame
    }
}

/// A decoded message of the work plane.
package enum WorkMessage: Equatable, Sendable {
    case refuse(RefuseMessage)
    case need(NeedMessage)
    case chunk(ChunkMessage)
    case notice(NoticeMessage)
    case done(DoneMessage)
    case abort(AbortMessage)
    case end(EndMessage)
    case ask(AskMessage)
    case order(OrderMessage, signed: SignedPart)
    case outcome(OutcomeMessage)
    case noted(NotedMessage)
    case role(RoleMessage)
    case fetch(FetchMessage)
    case offer(OfferMessage, signed: SignedPart)
    case store(StoreMessage)
    case room(RoomMessage, signed: SignedPart)
    case frame(FrameMessage)

    /// Decodes a body of a known type.
    package init(_ type: WorkMessageType, _ body: RawSpan) throws(DecodeError) {
        switch type {
        case .refuse: self = .refuse(try RefuseMessage(from: body))
        case .need: self = .need(try NeedMessage(from: body))
        case .chunk: self = .chunk(try ChunkMessage(from: body))
        case .notice: self = .notice(try NoticeMessage(from: body))
        case .done: self = .done(try DoneMessage(from: body))
        case .abort: self = .abort(try AbortMessage(from: body))
        case .end: self = .end(try EndMessage(from: body))
        case .ask: self = .ask(try AskMessage(from: body))
        case .order:
            let signed = try SignedPart(from: body)
            self = .order(try OrderMessage(from: body), signed: signed)
        case .outcome: self = .outcome(try OutcomeMessage(from: body))
        case .noted: self = .noted(try NotedMessage(from: body))
        case .role: self = .role(try RoleMessage(from: body))
        case .fetch: self = .fetch(try FetchMessage(from: body))
        case .offer:
            let signed = try SignedPart(from: body)
            self = .offer(try OfferMessage(from: body), signed: signed)
        case .store: self = .store(try StoreMessage(from: body))
        case .room:
            let signed = try SignedPart(from: body)
            self = .room(try RoomMessage(from: body), signed: signed)
        case .frame: self = .frame(try FrameMessage(from: body))
        }
    }
}
