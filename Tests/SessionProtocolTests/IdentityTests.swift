// Who the host is: returning hosts, strangers, replays. No byte of a stranger is ever taken.
import Blocks
import SessionProtocol
import SessionSimulation
import Testing

@Suite struct HostReturnsTests {
    /// Kills the host when a participant has some chunks, and starts another after a while.
    private func restart(
        _ scene: Scene, silently: Bool, _ next: () throws -> SimulatedHost?
    ) throws -> ([SimulatedParticipant], SimulatedHost?) {
        let host = try scene.host(participants: 3) { $0.rate = 2_000_000 }
        let all = try scene.participants(3, Faults(loss: 0.01))
        scene.world.run(limit: 600_000 * ms) { all[0].disk.count > 10 }
        host.crash(silently: silently)
        scene.world.run(limit: 3_000 * ms) { false }
        let returned = try next()
        scene.world.runToEnd()
        return (all, returned)
    }

    @Test(arguments: [false, true])
    func underTheSameKey(silently: Bool) throws {
        let scene = Scene(seed: 30)
        let (all, returned) = try restart(scene, silently: silently) { try scene.host(participants: 3) }
        scene.expectComplete(all)
        scene.expectEnd(try #require(returned), complete: true)
        for participant in all {
            #expect(participant.log.contains { $0.contains("lostHost") })
            #expect(participant.log.contains { $0.contains("rejoined") })
        }
        // It goes on where it was: what was there is not sent again to everyone.
        let chunks = scene.image.contents.count
        #expect(returned.map { $0.sweptChunks.count < chunks } == true)
    }

    @Test(arguments: [false, true])
    func underAnotherKey(silently: Bool) throws {
        let scene = Scene(seed: 31)
        let other = SplitMixBytes.make(99)
        let (all, _) = try restart(scene, silently: silently) { try scene.host(participants: 3, key: other) }
        for participant in all {
            guard case .failed(let reason) = participant.end else {
                Issue.record("ended with \(String(describing: participant.end))")
                continue
            }
            #expect(reason.hasPrefix("the session lab1 is now announced by another host: 10.0.0.1 ("))
            #expect(participant.disk.allSatisfy { scene.image.contents[$0.key] == $0.value })
        }
    }

    @Test func withAnotherImage() throws {
        let scene = Scene(seed: 32)
        let image = SimulatedImage.mixed(seed: 77, count: 10)
        let (all, _) = try restart(scene, silently: false) { try scene.host(participants: 3, image: image) }
        for participant in all {
            #expect(participant.end == .failed("the host refuses: the session lab1 now has another image"))
            #expect(participant.disk.allSatisfy { scene.image.contents[$0.key] == $0.value })
        }
    }

    @Test func never() throws {
        let scene = Scene(seed: 33)
        let (all, _) = try restart(scene, silently: false) { nil }
        for participant in all {
            #expect(participant.end == .failed("the host of the session lab1 did not come back"))
        }
    }
}

/// Random bytes for keys.
enum SplitMixBytes {
    static func make(_ seed: UInt64) -> [UInt8] {
        var random = SplitMix(seed: seed)
        return random.bytes(32)
    }
}

/// A participant that has sent JOIN, and the nonce in it.
private final class Joining {
    var machine: ParticipantMachine
    var nonce: [UInt8] = []

    init(_ machine: consuming ParticipantMachine) { self.machine = machine }
}

@Suite struct StrangerTests {
    private let stranger = SplitMixBytes.make(666)

    /// A host of the same name under another key, at another address, with an image of its own.
    private func rogue(_ scene: Scene) throws -> SimulatedHost {
        try scene.host(image: .mixed(seed: 666, count: 10), key: stranger, address: 0x0a00_0099)
    }

    @Test(arguments: [false, true])
    func strangerFirst(pinned: Bool) throws {
        let scene = Scene(seed: 40)
        let rogue = try rogue(scene)
        let all = try scene.participants(2, pinned: pinned ? scene.fingerprint : nil)
        scene.world.run(limit: 1_200 * ms) { false }
        let host = try scene.host(participants: 2)
        try expectNobodyFooled(scene, all, host: host, rogue: rogue, pinned: pinned)
    }

    @Test(arguments: [false, true], [300, 1_000, 4_000])
    func strangerSecond(pinned: Bool, delay: UInt64) throws {
        let scene = Scene(seed: 41)
        let host = try scene.host(participants: 3)
        let all = try scene.participants(2, pinned: pinned ? scene.fingerprint : nil)
        scene.world.run(limit: delay * ms) { false }
        let rogue = try rogue(scene)
        if pinned { try scene.participants(1) }
        scene.world.run(limit: 3_000 * ms) { false }
        if pinned { host.machine.startNow(now: scene.world.now) }
        host.pump()
        try expectNobodyFooled(scene, all, host: host, rogue: rogue, pinned: pinned)
    }

    private func expectNobodyFooled(
        _ scene: Scene, _ all: [SimulatedParticipant], host: SimulatedHost, rogue: SimulatedHost, pinned: Bool
    ) throws {
        scene.world.run(limit: 60_000 * ms) { all.allSatisfy { $0.end != nil } }
        #expect(rogue.machine.snapshots.isEmpty, "somebody joined the stranger")
        if pinned { return scene.expectComplete(all) }
        for participant in all {
            guard case .failed(let reason) = participant.end else {
                Issue.record("ended with \(String(describing: participant.end))")
                continue
            }
            #expect(reason.hasPrefix("two hosts announce the session lab1: 10.0.0."))
            #expect(reason.contains("10.0.0.1 (") && reason.contains("10.0.0.153 ("))
            #expect(participant.disk.isEmpty)
        }
    }

    @Test func strangerAfterTheStart() throws {
        let scene = Scene(seed: 42)
        let host = try scene.host(participants: 2) { $0.rate = 2_000_000 }
        let all = try scene.participants(2)
        scene.world.run(limit: 600_000 * ms) { all[0].disk.count > 5 }
        let rogue = try rogue(scene)
        scene.world.run(limit: 60_000 * ms) { all.allSatisfy { $0.end != nil } }
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
        #expect(rogue.machine.snapshots.isEmpty)
    }

    @Test func wrongPinnedKey() throws {
        let scene = Scene(seed: 43)
        let host = try scene.host()
        let pin = PrivateKey(seed: stranger)?.publicKey.fingerprint
        let all = try scene.participants(1, pinned: pin)
        scene.world.run(limit: 20_000 * ms) { false }
        #expect(all[0].end == nil && all[0].accepted == nil && all[0].disk.isEmpty)
        #expect(host.machine.snapshots.isEmpty)
    }

    /// A stranger that answers in the host's place: everything it can do without the key is refused.
    @Test func answersWithoutTheKey() throws {
        let world = Simulation(seed: 44)
        let host = try #require(PrivateKey(seed: world.random.bytes(32)))
        let other = try #require(PrivateKey(seed: stranger))
        let address = Address(ipv4: 0x0a00_0001)
        let group = Address.group(of: "lab1", family: .ipv4)
        let announce = AnnounceMessage(
            state: .registering, session: 1, joined: 0, needed: 1, controlPort: 998, dataPort: 997,
            hostKey: host.publicKey, group: group, name: "lab1", addresses: [address])
        let identity = ParticipantIdentity(name: "pc1", mac: [2, 0, 0, 0, 0, 1])
        func join() throws -> Joining {
            let joining = Joining(
                try ParticipantMachine(
                    configuration: ParticipantConfiguration(
                        name: "lab1", identity: identity, entropy: world.random.bytes(32)), now: 0))
            announce.encode(signedBy: host).withBytes {
                joining.machine.discovery($0, from: Endpoint(address, port: 998), now: 0)
            }
            joining.machine.advance(now: 2_000 * ms)
            joining.machine.controlConnected(peer: Endpoint(address, port: 998), now: 2_000 * ms)
            while let output = joining.machine.nextOutput() {
                if case .send(let bytes) = output { joining.nonce = Array(bytes[12..<44]) }
            }
            #expect(joining.nonce.count == 32)
            return joining
        }
        func accept(_ nonce: [UInt8], _ key: PublicKey, signedBy signer: PrivateKey) -> [UInt8] {
            AcceptMessage(
                nonce: nonce, slot: 0, maximumSealedBytes: 5000, session: 1,
                image: GUID(random: stranger[..<16].map { $0 }),
                hostKey: key, sessionKey: other.publicKey, dataPort: 997, group: group, addresses: [address],
                manifest: [], existing: ChunkSet([1])
            ).encode(signedBy: signer)
        }
        func isAccepted(_ make: ([UInt8]) -> [UInt8]) throws -> Bool {
            let joining = try join()
            make(joining.nonce).withBytes { joining.machine.controlReceived($0, now: 2_001 * ms) }
            var isAccepted = false
            while let output = joining.machine.nextOutput() {
                if case .event(.accepted) = output { isAccepted = true }
            }
            return isAccepted
        }
        #expect(try isAccepted { accept($0, host.publicKey, signedBy: host) })
        // Replayed: the right key's answer to an older nonce.
        let old = try join().nonce
        #expect(try !isAccepted { _ in accept(old, host.publicKey, signedBy: host) })
        // Signed by another key, or naming another one.
        #expect(try !isAccepted { accept($0, host.publicKey, signedBy: other) })
        #expect(try !isAccepted { accept($0, other.publicKey, signedBy: other) })
        // One bit of the signed part turned: image, session key, manifest length, chunks.
        for bit in stride(from: 8 * 72, to: 8 * 300, by: 61) {
            #expect(
                try !isAccepted { nonce in
                    var bytes = accept(nonce, host.publicKey, signedBy: host)
                    guard bit / 8 < bytes.count else { return [] }
                    bytes[bit / 8] ^= 1 << UInt8(bit % 8)
                    return bytes
                }, "bit \(bit)")
        }
    }

    /// Somebody sends datagrams with the host's own address and session: a repair more, never a wrong byte.
    @Test func forgedDatagrams() throws {
        let scene = Scene(seed: 45)
        let host = try scene.host(participants: 2)
        let all = try scene.participants(2)
        var random = SplitMix(seed: 45)
        var forged = 0
        scene.world.tap = { host, datagram in
            guard datagram[1] == 1, random.chance(0.05) else { return }
            var copy = datagram
            switch forged % 4 {
            case 0: for index in 32..<copy.count { copy[index] = 0xff }
            case 1: copy[3] = 7
            case 2: copy[16] ^= 1
            default: copy[20] ^= 0x10
            }
            forged += 1
            for participant in scene.world.participants where participant.group != nil {
                participant.link(copy, from: host.address)
            }
        }
        scene.world.runToEnd()
        #expect(forged > 20)
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
    }

    @Test func datagramsFromElsewhereAreNotTaken() throws {
        let scene = Scene(seed: 46)
        let host = try scene.host(participants: 1)
        let all = try scene.participants(1)
        scene.world.tap = { _, datagram in
            for participant in scene.world.participants where participant.group != nil {
                participant.link(datagram, from: Address(ipv4: 0x0a00_0063))
            }
        }
        scene.world.runToEnd()
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
        #expect(all[0].machine.progress.foreignDatagrams >= host.machine.session.datagrams)
        #expect(all[0].machine.progress.symbolsRepeated == 0)
    }
}
