// Every message and datagram against golden bytes, which an independent encoder made from the document.
import Blocks
import SessionProtocol
import TestSupport
import Testing

/// The golden files: lines of `field = hex`.
enum Golden {
    static let messages = [
        "join", "accept", "refuse", "need", "report", "chunk", "start", "notice", "done", "abort", "end",
    ]
    static let datagrams = ["symbol", "beacon", "seek", "announce"]

    static func bytes(_ name: String) throws -> [UInt8] {
        let file = try GoldenFolder("Golden", beside: #filePath).read("\(name).hex")
        let text = String(decoding: file, as: UTF8.self)
        var bytes: [UInt8] = []
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let digits = Array(try #require(line.split(separator: "=").last).filter(\.isHexDigit))
            for index in stride(from: 0, to: digits.count, by: 2) {
                bytes.append(try #require(UInt8(String(digits[index...index + 1]), radix: 16)))
            }
        }
        return bytes
    }

    static let hostKey = PrivateKey(seed: Array(0..<32))
    static let sessionKey = PrivateKey(seed: Array(32..<64))
    static let nonce = [UInt8](0x80..<0xa0)
    static let session: UInt64 = 0x1122_3344_5566_7788
    static let image = GUID(Array(0x40..<0x50))
    static let participant = GUID(Array(0x60..<0x70))
    static let chunks = ChunkSet([3, 4, 5, 300])
    static let group = Address.group(of: "lab1", family: .ipv4)
    static let ipv4 = Address(ipv4: 0xc000_0201)
    static let ipv6 = Address(ipv6High: 0x2001_0db8_0000_0000, low: 1)
    /// prefix, chunk number 300 and "head", then "abc".
    static let frame: [UInt8] = [1, 0, 8, 0, 3, 0, 0, 0, 0x2c, 1, 0, 0] + Array("headabc".utf8)
}

@Suite struct GoldenTests {
    /// What each golden message says, and its encoding by the program.
    private func expected(_ name: String) throws -> (ControlMessage, [UInt8]) {
        let hostKey = try #require(Golden.hostKey)
        switch name {
        case "join":
            let message = JoinMessage(
                nonce: Golden.nonce, participant: Golden.participant, knownImage: Golden.image,
                session: "lab1",
                identity: ParticipantIdentity(
                    name: "pcü1", serial: "S1", mac: [2, 0, 0, 0, 0, 1], linkMegabits: 1000,
                    disks: [DiskSummary(text: "sda Disk", size: 500_107_862_016)]))
            return (.join(message), message.encode())
        case "accept":
            let message = AcceptMessage(
                nonce: Golden.nonce, slot: 5, maximumSealedBytes: 4_194_604, session: Golden.session,
                image: Golden.image, hostKey: hostKey.publicKey,
                sessionKey: try #require(Golden.sessionKey).publicKey, dataPort: 997, group: Golden.group,
                addresses: [Golden.ipv4, Golden.ipv6], manifest: Array("{}".utf8), existing: Golden.chunks)
            let bytes = message.encode(signedBy: hostKey)
            let decoded = try bytes.withBytes(in: 8..<bytes.count) { (body) throws(DecodeError) in
                try ControlMessage(.accept, body)
            }
            guard case .accept(_, let signed) = decoded else { throw DecodeError.invalid("not an ACCEPT") }
            return (.accept(message, signed: signed), bytes)
        case "refuse":
            let message = RefuseMessage(
                code: RefuseMessage.Code.full.rawValue, reason: "the session lab1 is full")
            return (.refuse(message), message.encode())
        case "need":
            let message = NeedMessage(mode: .all, chunks: Golden.chunks)
            return (.need(message), message.encode())
        case "report":
            let message = ReportMessage(
                highest: [0xffff_fff0], freeBuffers: 60, chunksDone: 1000, writeRate: 102_400,
                decodeRate: 204_800,
                received: 9000, lostOnWire: 10, lostInSocket: 20, lostForWantOfBuffers: 30,
                done: ChunkSet([7]), held: Golden.chunks,
                gaps: [
                    ChunkGaps(
                        chunk: 300, generation: 2,
                        stripes: [
                            StripeGap(stripe: 0, lacking: 1, runs: [5]),
                            StripeGap(stripe: 1, lacking: 4, runs: [0, 0x89, 2]),
                            StripeGap(stripe: 2, lacking: 40, runs: []),
                        ])
                ])
            return (.report(message), message.encode())
        case "chunk":
            let key = try #require(Golden.sessionKey)
            let seal = try key.seal(Golden.frame, chunk: 300, session: Golden.session, image: Golden.image)
            let message = ChunkMessage(chunk: 300, sealed: Golden.frame + seal)
            return (.chunk(message), message.encode())
        case "start":
            let message = StartMessage(participants: 3, reportInterval: 100, sequence: 77)
            return (.start(message), message.encode())
        case "notice":
            let message = NoticeMessage(
                level: .warning, state: .running, joined: 3, needed: 2,
                text: "chunk 5: the seal does not match")
            return (.notice(message), message.encode())
        case "done":
            let message = DoneMessage(chunks: 1000, bytes: 4_194_304_000, text: "61 s")
            return (.done(message), message.encode())
        case "abort":
            let message = AbortMessage(reason: "the disk sda is too small")
            return (.abort(message), message.encode())
        default:
            let message = EndMessage(outcome: .finished, text: "thank you")
            return (.end(message), message.encode())
        }
    }

    @Test(arguments: Golden.messages)
    func message(name: String) throws {
        let golden = try Golden.bytes(name)
        let (message, encoded) = try expected(name)
        #expect(encoded == golden, "the program's \(name) is \(encoded.hex)")
        let type = try #require(MessageType(rawValue: UInt16(golden[4]) | UInt16(golden[5]) << 8))
        let decoded = try golden.withBytes(in: 8..<golden.count) { (body) throws(DecodeError) in
            try ControlMessage(type, body)
        }
        #expect(decoded == message)
        // A later version may append fields: what is known stays the same.
        guard name != "accept" else { return }
        let longer = try (golden + [1, 2, 3]).withBytes(in: 8..<golden.count + 3) {
            (body) throws(DecodeError) in
            try ControlMessage(type, body)
        }
        #expect(longer == message)
    }

    /// Texts reach other people's terminals.
    @Test func controlCharactersDoNotPass() throws {
        let bytes = AbortMessage(reason: "red \u{1b}[31m\r\nü").encode()
        let body = Array(bytes[8...])
        let message = try body.withBytes { (span) throws(DecodeError) in try ControlMessage(.abort, span) }
        #expect(message == .abort(AbortMessage(reason: "red ?[31m??ü")))
    }

    @Test func seek() throws {
        let golden = try Golden.bytes("seek")
        let seek = SeekMessage(participant: Golden.participant, session: "lab1")
        #expect(seek.encode() == golden)
        #expect(try golden.withBytes { (bytes) throws(DecodeError) in try SeekMessage(from: bytes) } == seek)
    }

    @Test func announce() throws {
        let golden = try Golden.bytes("announce")
        let key = try #require(Golden.hostKey)
        let announce = AnnounceMessage(
            state: .registering, session: Golden.session, joined: 2, needed: 3, controlPort: 998,
            dataPort: 997,
            hostKey: key.publicKey, group: Golden.group, name: "lab1", addresses: [Golden.ipv4])
        #expect(announce.encode(signedBy: key) == golden)
        #expect(
            try golden.withBytes { (bytes) throws(DecodeError) in try AnnounceMessage(from: bytes) }
                == announce)
    }

    @Test func beacon() throws {
        let golden = try Golden.bytes("beacon")
        let beacon = Beacon(
            state: .running, session: Golden.session, nextSequence: 77, cursor: 300, sweeps: 2,
            rate: 100_000_000,
            joined: 3, needed: 2)
        #expect(try golden.withBytes { (bytes) throws(DecodeError) in try Beacon(from: bytes) } == beacon)
        var written = [UInt8](repeating: 0xee, count: Specification.beaconBytes)
        unsafe written.withUnsafeMutableBytes { pointer in
            var span = unsafe pointer.mutableBytes
            beacon.write(to: &span, at: 0)
        }
        #expect(written == golden)
    }

    /// The golden SYMBOL is what a host makes of that chunk, and what a participant takes.
    @Test func symbol() throws {
        let golden = try Golden.bytes("symbol")
        #expect(golden.count == Specification.datagramBytes)
        let header = SymbolHeader(
            session: Golden.session, sequence: 0, chunk: 300, length: 83, stripe: 0, symbol: 0)
        #expect(
            try golden.withBytes { (bytes) throws(DecodeError) in try SymbolHeader(from: bytes) } == header)
        let key = try #require(Golden.sessionKey)
        let verifier = SealVerifier(session: Golden.session, image: Golden.image, key: key.publicKey)
        let length = try golden.withBytes(in: 32..<32 + 83) { (sealed) throws(DecodeError) in
            try verifier.check(sealed, chunk: 300)
        }
        #expect(length == Golden.frame.count)
        // Another chunk, session, image or key, and every bit of prefix, header and seal.
        for other in [
            SealVerifier(session: 1, image: Golden.image, key: key.publicKey),
            SealVerifier(session: Golden.session, image: Golden.participant, key: key.publicKey),
            SealVerifier(
                session: Golden.session, image: Golden.image, key: try #require(Golden.hostKey).publicKey),
        ] {
            #expect(throws: DecodeError.self) {
                try golden.withBytes(in: 32..<115) { (sealed) throws(DecodeError) in
                    try other.check(sealed, chunk: 300)
                }
            }
        }
        #expect(throws: DecodeError.self) {
            try golden.withBytes(in: 32..<115) { (sealed) throws(DecodeError) in
                try verifier.check(sealed, chunk: 3)
            }
        }
        for bit in 0..<83 * 8 where !(16..<19).contains(bit / 8) {
            var wrong = Array(golden[32..<115])
            wrong[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(throws: DecodeError.self, "bit \(bit)") {
                try wrong.withBytes { (sealed) throws(DecodeError) in try verifier.check(sealed, chunk: 300) }
            }
        }
    }

    @Test func fingerprints() throws {
        let key = try #require(Golden.hostKey).publicKey
        // SHA-256 of 03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8 begins 56475aa75463474c0285.
        let text = key.fingerprint.description
        #expect(text == "k3dx-xj4w-npdw-2awf")
        #expect(Fingerprint(text) == key.fingerprint)
        #expect(Fingerprint(text.uppercased().filter { $0 != "-" }) == key.fingerprint)
        #expect(Fingerprint("abcd-efgh-ijkm") == nil)
        #expect(Fingerprint("abcd-efgh-ijkm-npq0") == nil, "0 is not in the alphabet")
        #expect(try #require(Golden.sessionKey).publicKey.fingerprint != key.fingerprint)
    }

    @Test func addressesAndGroups() {
        #expect(Golden.group.description == "239.192.160.63")
        #expect(Address.group(of: "lab1", family: .ipv6).description == "ff15::a03f")
        #expect(Golden.ipv6.description == "2001:db8::1")
        #expect(Address(ipv6High: 0, low: 1).description == "::1")
        #expect(Address(ipv6High: 0xfe80 << 48, low: 0x0001_0000_0000_0002).description == "fe80::1:0:0:2")
        #expect(Endpoint(Golden.ipv4, port: 998).description == "192.0.2.1:998")
        #expect(Endpoint(Golden.ipv6, port: 998).description == "[2001:db8::1]:998")
        for name in ["lab1", "lab2", "ü", String(repeating: "x", count: 255)] {
            let group = Address.group(of: name, family: .ipv4)
            #expect(group.ipv4 >> 18 == 0xefc0_0000 >> 18)
            let six = Address.group(of: name, family: .ipv6)
            #expect(six.networkBytes[..<13].elementsEqual([0xff, 0x15] + [UInt8](repeating: 0, count: 11)))
            #expect(Array(six.networkBytes[14...]) == Array(group.networkBytes[2...]))
        }
    }

    @Test(arguments: [1, 1408, 1409, 128 * 1408, 128 * 1408 + 1, 4_194_304, 5_000_000])
    func stripeLayout(length: Int) {
        let layout = StripeLayout(length: length)
        #expect(layout.symbols == (length + 1407) / 1408)
        #expect(layout.stripes == (layout.symbols + 127) / 128)
        var counts = [Int](repeating: 0, count: layout.stripes)
        var bytes = 0
        for index in 0..<layout.symbols {
            let place = layout.place(of: index)
            #expect(
                Int(place.stripe) == index % layout.stripes && Int(place.symbol) == index / layout.stripes)
            #expect(layout.index(stripe: place.stripe, symbol: place.symbol) == index)
            counts[Int(place.stripe)] += 1
            bytes += layout.range(of: index).count
        }
        #expect(bytes == length)
        for (stripe, count) in counts.enumerated() {
            #expect(count == layout.sourceCount(of: stripe) && count <= 128)
            #expect(
                layout.index(stripe: UInt16(stripe), symbol: UInt16(count)) == nil,
                "parity is not a source symbol")
        }
        #expect(layout.index(stripe: UInt16(layout.stripes), symbol: 0) == nil)
    }
}
