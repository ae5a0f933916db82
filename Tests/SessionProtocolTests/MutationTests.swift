// Every decoder against damaged golden bytes: a typed error or a valid value, never a trap, never a byte too many.
import Blocks
import SessionProtocol
import SessionSimulation
import Testing

@Suite struct MutationTests {
    /// Damages `bytes` in one of several ways.
    private func mutate(_ bytes: [UInt8], _ random: inout SplitMix) -> [UInt8] {
        var copy = bytes
        for _ in 0..<Int.random(in: 1...4, using: &random) where !copy.isEmpty {
            let index = Int.random(in: 0..<copy.count, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: copy[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: copy[index] = [0, 1, 0x7f, 0x80, 0xff][Int.random(in: 0..<5, using: &random)]
            case 2:
                copy.removeSubrange(index..<min(copy.count, index + Int.random(in: 1...9, using: &random)))
            case 3: copy.insert(contentsOf: random.bytes(Int.random(in: 1...9, using: &random)), at: index)
            case 4: copy.replaceSubrange(index..<min(copy.count, index + 4), with: [0xff, 0xff, 0xff, 0xff])
            default: copy = Array(copy[..<index])
            }
        }
        return copy
    }

    private func decode(_ type: MessageType, _ body: [UInt8]) throws(DecodeError) -> ControlMessage {
        try body.withBytes { (span) throws(DecodeError) in try ControlMessage(type, span) }
    }

    @Test(arguments: Golden.messages)
    func messages(name: String) throws {
        let golden = try Golden.bytes(name)
        let type = try #require(MessageType(rawValue: UInt16(golden[4])))
        let body = Array(golden[8...])
        for count in 0..<body.count {
            #expect(throws: DecodeError.self, "\(name) cut to \(count) bytes") {
                try decode(type, Array(body[..<count]))
            }
        }
        var random = SplitMix(seed: 1)
        var valid = 0
        for _ in 0..<4000 {
            let mutated = mutate(body, &random)
            do throws(DecodeError) {
                let message = try decode(type, mutated)
                valid += 1
                // What was taken can be written again, and means the same.
                if let again = encode(message) {
                    #expect(try decode(type, Array(again[8...])) == message, "\(name) \(mutated.hex)")
                }
            } catch {
                #expect(!error.description.isEmpty)
            }
        }
        #expect(valid < 4000, "no mutation was refused")
    }

    private func encode(_ message: ControlMessage) -> [UInt8]? {
        switch message {
        case .join(let message): message.encode()
        case .accept: nil
        case .refuse(let message): message.encode()
        case .need(let message): message.encode()
        case .report(let message): message.encode()
        case .chunk(let message): message.encode()
        case .start(let message): message.encode()
        case .notice(let message): message.encode()
        case .done(let message): message.encode()
        case .abort(let message): message.encode()
        case .end(let message): message.encode()
        }
    }

    @Test(arguments: Golden.datagrams)
    func datagrams(name: String) throws {
        let golden = try Golden.bytes(name)
        func decode(_ bytes: [UInt8]) throws(DecodeError) {
            try bytes.withBytes { (span) throws(DecodeError) in
                switch name {
                case "symbol": _ = try SymbolHeader(from: span)
                case "beacon": _ = try Beacon(from: span)
                case "seek": _ = try SeekMessage(from: span)
                default: _ = try AnnounceMessage(from: span)
                }
            }
        }
        try decode(golden)
        for count in 0..<golden.count {
            #expect(throws: DecodeError.self, "\(name) cut to \(count) bytes") {
                try decode(Array(golden[..<count]))
            }
        }
        var random = SplitMix(seed: 2)
        for _ in 0..<2000 {
            let mutated = mutate(golden, &random)
            do throws(DecodeError) {
                try decode(mutated)
                if name == "announce" { #expect(mutated == golden, "a changed ANNOUNCE was believed") }
            } catch {
                #expect(!error.description.isEmpty)
            }
        }
    }

    @Test func sealedFrames() throws {
        let key = try #require(Golden.sessionKey)
        let verifier = SealVerifier(session: Golden.session, image: Golden.image, key: key.publicKey)
        let sealed = Array(try Golden.bytes("chunk")[16...])
        #expect(sealed.count == 83)
        var random = SplitMix(seed: 3)
        for _ in 0..<3000 {
            let mutated = mutate(sealed, &random)
            guard
                let length = try? mutated.withBytes({ (span) throws(DecodeError) in
                    try verifier.check(span, chunk: 300)
                })
            else { continue }
            // Only the payload, which the content's hash covers, may differ under a seal that matches.
            #expect(length == 19 && mutated[..<16] == sealed[..<16] && mutated[19...] == sealed[19...])
        }
    }

    /// A whole host under a stream of damaged messages and datagrams: it refuses, and goes on for the others.
    @Test(arguments: 0..<8)
    func hostUnderFire(seed: UInt64) throws {
        let scene = Scene(seed: 300 + seed, chunks: 10)
        let host = try scene.host(participants: 1)
        var random = SplitMix(seed: seed)
        let stranger = Endpoint(Address(ipv4: 0x0a00_0063), port: 4000)
        var id: ConnectionID = 1 << 32
        var streams: [[UInt8]] = []
        let join = JoinMessage(
            nonce: Golden.nonce, participant: Golden.participant, session: "lab1",
            identity: ParticipantIdentity(name: "x", mac: [0, 0, 0, 0, 0, 0]))
        for name in Golden.messages { streams.append(try Golden.bytes(name)) }
        func attack() throws {
            id += 1
            host.machine.connected(id, from: stranger, now: scene.world.now)
            // Half of them join first, to get behind the door.
            if random.chance(0.5) {
                join.encode().withBytes { host.machine.received(id, $0, now: scene.world.now) }
            }
            for _ in 0..<4 {
                let stream = streams[Int.random(in: 0..<streams.count, using: &random)]
                let bytes = random.chance(0.5) ? mutate(stream, &random) : stream
                bytes.withBytes { host.machine.received(id, $0, now: scene.world.now) }
            }
            for name in Golden.datagrams {
                let bytes = mutate(try Golden.bytes(name), &random)
                bytes.withBytes { host.machine.discovery($0, from: stranger, now: scene.world.now) }
            }
            if random.chance(0.7) { host.machine.disconnected(id, reason: "gone", now: scene.world.now) }
            host.pump()
        }
        for _ in 0..<50 { try attack() }
        host.machine.startNow(now: scene.world.now)
        let all = try scene.participants(1, Faults(loss: 0.01))
        for _ in 0..<100 {
            scene.world.run(limit: 40 * ms) { false }
            if host.end == nil { try attack() }
        }
        scene.world.run(limit: 600_000 * ms) { all[0].end != nil || host.end != nil }
        // A stranger may end a session by finishing it before anybody joins; it never makes a wrong byte.
        #expect(all[0].disk.allSatisfy { scene.image.contents[$0.key] == $0.value })
        #expect(all[0].badFrames == 0)
    }

    /// A participant whose host sends damaged messages and datagrams: it refuses them and searches again.
    @Test(arguments: 0..<8)
    func participantUnderFire(seed: UInt64) throws {
        let scene = Scene(seed: 400 + seed, chunks: 10)
        try scene.host(participants: 1) { $0.rate = 2_000_000 }
        let all = try scene.participants(1)
        var random = SplitMix(seed: seed)
        let streams = try Golden.messages.map { try Golden.bytes($0) }
        let datagrams = try Golden.datagrams.map { try Golden.bytes($0) }
        for _ in 0..<40 {
            scene.world.run(limit: 100 * ms) { false }
            let now = scene.world.now
            for datagram in datagrams {
                let bytes = mutate(datagram, &random)
                bytes.withBytes {
                    all[0].machine.datagrams(
                        $0, segment: $0.byteCount, from: Address(ipv4: 0x0a00_0001), now: now)
                    all[0].machine.discovery(
                        $0, from: Endpoint(Address(ipv4: 0x0a00_0001), port: 998), now: now)
                }
            }
            if random.chance(0.1) {
                let stream = mutate(streams[Int.random(in: 0..<streams.count, using: &random)], &random)
                stream.withBytes { all[0].machine.controlReceived($0, now: now) }
            }
            all[0].pump()
        }
        scene.world.run(limit: 600_000 * ms) { all[0].end != nil }
        #expect(all[0].disk.allSatisfy { scene.image.contents[$0.key] == $0.value })
    }
}
