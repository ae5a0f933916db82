// The messages between workstation and imaging server: golden bytes, damage, and which orders may be obeyed.
import Blocks
import SessionProtocol
import SessionSimulation
import Testing

@Suite struct WorkMessageTests {
    static let names = [
        "ask", "order", "outcome", "noted", "role", "fetch", "offer", "store", "room", "frame",
    ]
    /// Those of the session's control plane that the work plane has too.
    static let shared = ["refuse", "need", "chunk", "notice", "done", "abort", "end"]

    private static let number: UInt64 = 0x0102_0304_0506_0708
    private static let mac: [UInt8] = [2, 0, 0, 0, 0, 1]

    private func decode(_ bytes: [UInt8]) throws(DecodeError) -> WorkMessage? {
        var framer = WorkFramer()
        bytes.withBytes { framer.append($0) }
        return try framer.next()
    }

    /// The encoding by the program of what each golden message says.
    private func encoded(_ name: String) throws -> [UInt8] {
        let key = try #require(Golden.hostKey)
        let session = try #require(Golden.sessionKey).publicKey
        switch name {
        case "ask":
            var pc = Workstation(mac: WorkMessageTests.mac)
            pc.otherMACs = [[2, 0, 0, 0, 0, 2]]
            pc.networkCards = ["8086:15b8 e1000e"]
            pc.firmware = .uefi
            pc.memory = 8 << 30
            pc.addresses = [Golden.ipv4, Golden.ipv6]
            (pc.name, pc.cpu, pc.biosVendor) = ("pcü1", "CPU 9", "Maker")
            (pc.product, pc.serial, pc.assetTag) = ("Box 3", "S1", "A7")
            pc.disks = [Workstation.Disk(size: 500_107_862_016, model: "Disk 500")]
            pc.video = ["10de:1c82"]
            return AskMessage(nonce: Golden.nonce, workstation: pc).encode()
        case "order":
            var order = OrderMessage(
                nonce: Golden.nonce, serverKey: key.publicKey, order: WorkMessageTests.number, verb: .takePart
            )
            (order.seconds, order.clients, order.minutes) = (30, 5, 15)
            (order.image, order.hostKey) = (Golden.image, session)
            (order.session, order.imageName, order.server) = ("lab1", "win11", "10.0.0.2")
            order.reason = "session lab1: rule 'RAM > 4000' matched"
            return order.encode(signedBy: key)
        case "outcome":
            var outcome = OutcomeMessage(
                order: WorkMessageTests.number, mac: WorkMessageTests.mac, isDone: false,
                text: "the disk sda is too small")
            (outcome.image, outcome.bytes, outcome.milliseconds) = (Golden.image, 4_194_304_000, 61_000)
            return outcome.encode()
        case "noted": return NotedMessage(order: WorkMessageTests.number).encode()
        case "role":
            return RoleMessage(order: WorkMessageTests.number, hostKey: session, image: Golden.image).encode()
        case "fetch":
            return FetchMessage(
                nonce: Golden.nonce, knownImage: Golden.image, image: "win11", host: "pc1",
                mac: WorkMessageTests.mac
            ).encode()
        case "offer":
            return OfferMessage(
                nonce: Golden.nonce, serverKey: key.publicKey, session: Golden.session, image: Golden.image,
                sessionKey: session, manifest: Array("{}".utf8), existing: Golden.chunks
            ).encode(signedBy: key)
        case "store":
            var store = StoreMessage(
                nonce: Golden.nonce, imageID: Golden.image, mostBytes: 1 << 40, mac: WorkMessageTests.mac,
                image: "win11", host: "pc1", manifest: Array("{}".utf8), existing: Golden.chunks)
            store.order = WorkMessageTests.number
            return store.encode()
        case "room":
            return RoomMessage(
                nonce: Golden.nonce, serverKey: key.publicKey, image: Golden.image, stored: Golden.chunks
            ).encode(signedBy: key)
        default: return FrameMessage(chunk: 300, frame: Golden.frame).encode()
        }
    }

    /// The same message written again; nil for those that only the server's key can write.
    private func again(_ message: WorkMessage) -> [UInt8]? {
        switch message {
        case .refuse(let message): message.encode()
        case .need(let message): message.encode()
        case .chunk(let message): message.encode()
        case .notice(let message): message.encode()
        case .done(let message): message.encode()
        case .abort(let message): message.encode()
        case .end(let message): message.encode()
        case .ask(let message): message.encode()
        case .order, .offer, .room: nil
        case .outcome(let message): message.encode()
        case .noted(let message): message.encode()
        case .role(let message): message.encode()
        case .fetch(let message): message.encode()
        case .store(let message): message.encode()
        case .frame(let message): message.encode()
        }
    }

    @Test(arguments: names) func message(name: String) throws {
        let golden = try Golden.bytes(name)
        let bytes = try encoded(name)
        // Ed25519 signatures of this library are not the same twice: what is signed is compared, and verified below.
        let isSigned = ["order", "offer", "room"].contains(name)
        #expect(
            isSigned ? bytes[72...] == golden[72...] : bytes == golden,
            "the program's \(name) is \(bytes.hex)")
        let message = try #require(try decode(golden))
        if let again = again(message) { #expect(again == golden) }
        let key = try #require(Golden.hostKey).publicKey
        let check = OrderCheck(nonce: Golden.nonce, now: 5, pinned: key.fingerprint)
        switch message {
        case .order(let order, let signed): try check.check(order, signed, now: 6)
        case .offer(let offer, let signed): try check.check(offer, signed)
        case .room(let room, let signed): try check.check(room, signed)
        default: #expect(!isSigned)
        }
        // A later version may append fields: what is known stays the same, and a signature covers them.
        guard !isSigned else { return }
        var longer = golden + [1, 2, 3]
        longer[0] += 3
        #expect(try decode(longer) == message)
    }

    @Test(arguments: names + shared) func damage(name: String) throws {
        let golden = try Golden.bytes(name)
        let type = try #require(WorkMessageType(rawValue: UInt16(golden[4])))
        let body = Array(golden[8...])
        func decode(_ bytes: [UInt8]) throws(DecodeError) -> WorkMessage {
            try bytes.withBytes { (span) throws(DecodeError) in try WorkMessage(type, span) }
        }
        for count in 0..<body.count {
            #expect(throws: DecodeError.self, "\(name) cut to \(count) bytes") {
                try decode(Array(body[..<count]))
            }
        }
        var random = SplitMix(seed: 9)
        for _ in 0..<3000 {
            let mutated = damaged(body, &random)
            do throws(DecodeError) {
                let message = try decode(mutated)
                if let again = again(message) {
                    #expect(try self.decode(again) == message, "\(name) \(mutated.hex)")
                }
            } catch {
                #expect(!error.description.isEmpty)
            }
        }
    }

    /// Damages `bytes` in one of several ways.
    private func damaged(_ bytes: [UInt8], _ random: inout SplitMix) -> [UInt8] {
        var copy = bytes
        for _ in 0..<Int.random(in: 1...4, using: &random) where !copy.isEmpty {
            let index = Int.random(in: 0..<copy.count, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0: copy[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: copy[index] = [0, 1, 0x7f, 0x80, 0xff][Int.random(in: 0..<5, using: &random)]
            case 2: copy.removeSubrange(index..<min(copy.count, index + 3))
            case 3: copy.insert(contentsOf: random.bytes(5), at: index)
            default: copy.replaceSubrange(index..<min(copy.count, index + 4), with: [0xff, 0xff, 0xff, 0xff])
            }
        }
        return copy
    }

    @Test func aStreamInPiecesIsTheSame() throws {
        let all = try (WorkMessageTests.names + WorkMessageTests.shared).flatMap { try Golden.bytes($0) }
        var framer = WorkFramer()
        var found = 0
        for start in stride(from: 0, to: all.count, by: 7) {
            all.withBytes(in: start..<min(all.count, start + 7)) { framer.append($0) }
            while try framer.next() != nil { found += 1 }
        }
        #expect(found == 17)
        #expect(framer.isEmpty)
    }

    @Test func whatIsTooLongIsRefusedBeforeItComes() throws {
        var framer = WorkFramer()
        // OUTCOME with a body of 1 MiB.
        let header: [UInt8] = [0, 0, 16, 0, 34, 0, 1, 0]
        header.withBytes { framer.append($0) }
        #expect(throws: DecodeError.self) { try framer.next() }
    }
}

@Suite struct OrderCheckTests {
    private let nonce = Golden.nonce
    private let made: UInt64 = 1_000 * second

    private func order(
        _ nonce: [UInt8], by key: PrivateKey, claiming other: PrivateKey? = nil,
        _ change: (inout [UInt8]) -> Void = { _ in }
    ) throws -> (OrderMessage, SignedPart) {
        var order = OrderMessage(nonce: nonce, serverKey: (other ?? key).publicKey, order: 1, verb: .restore)
        order.imageName = "win11"
        var bytes = order.encode(signedBy: key)
        change(&bytes)
        var framer = WorkFramer()
        bytes.withBytes { framer.append($0) }
        guard case .order(let message, let signed) = try framer.next() else {
            throw DecodeError.invalid("not an ORDER")
        }
        return (message, signed)
    }

    private func refusal(_ order: (OrderMessage, SignedPart), after: UInt64 = second, pinned: Bool = true)
        throws
        -> String?
    {
        let key = try #require(Golden.hostKey).publicKey
        let check = OrderCheck(nonce: nonce, now: made, pinned: pinned ? key.fingerprint : nil)
        do throws(OrderRefusal) {
            try check.check(order.0, order.1, now: made + after)
            return nil
        } catch { return error.description }
    }

    @Test func onlyTheAnswerOfThePinnedServerToThisQuestionInTime() throws {
        let (server, stranger) = (try #require(Golden.hostKey), try #require(Golden.sessionKey))
        #expect(try refusal(order(nonce, by: server)) == nil)
        #expect(try refusal(order(nonce, by: server), after: 60 * second) == nil)
        let late = try #require(try refusal(order(nonce, by: server), after: 61 * second))
        #expect(late.contains("61 s after the question"))
        // Replayed: the answer to another question, of this machine or of another.
        let replayed = try #require(try refusal(order(nonce.reversed(), by: server)))
        #expect(replayed.contains("somebody else's question"))
        // Another key, honestly signed; and the pinned one only claimed.
        #expect(
            try #require(try refusal(order(nonce, by: stranger))).contains("not from the one with the key"))
        let claimed = try #require(try refusal(order(nonce, by: stranger, claiming: server)))
        #expect(claimed.contains("signature"))
        // Forged: one bit of the verb, of the image's name, of the signature.
        for place in [8 + 136, 8 + 194, 8 + 3] {
            let forged = try order(nonce, by: server) { $0[place] ^= 2 }
            #expect(try #require(try refusal(forged)).contains("signature"), "\(place)")
        }
        // Without a pin any key will do, but not any signature or nonce.
        #expect(try refusal(order(nonce, by: stranger), pinned: false) == nil)
        #expect(try refusal(order(nonce.reversed(), by: stranger), pinned: false) != nil)
        #expect(try refusal(order(nonce, by: stranger, claiming: server), pinned: false) != nil)
    }

    @Test func aClockThatStandsBeforeTheQuestionObeysNothing() throws {
        let server = try #require(Golden.hostKey)
        let (message, signed) = try order(nonce, by: server)
        let check = OrderCheck(nonce: nonce, now: made, pinned: nil)
        #expect(throws: OrderRefusal.self) { try check.check(message, signed, now: made - 1) }
    }
}
