// Two hosts of one name: who gives way, who is told, and what the participants do meanwhile.
import Blocks
import SessionProtocol
import SessionSimulation
import Testing

@Suite struct TwoHostsTests {
    private static let key = SplitMixBytes.make(777)

    /// Another host of the name, with another key and an image of its own, at 10.0.0.153.
    private func other(
        _ scene: Scene, _ image: SimulatedImage, _ change: (inout HostConfiguration) -> Void = { _ in }
    ) throws -> SimulatedHost {
        try scene.host(
            participants: 3, image: image, key: TwoHostsTests.key, address: 0x0a00_0099, change)
    }

    /// Two masters begin at nearly the same moment: the one with the smaller key remains, and everybody ends up with it.
    @Test(arguments: [211, 212, 213] as [UInt64], [0, 1, 900] as [UInt64])
    func twoMastersBecomeOne(seed: UInt64, delay: UInt64) throws {
        let scene = Scene(seed: seed, chunks: 10)
        let image = SimulatedImage.mixed(seed: 777, count: 10)
        let all = try scene.participants(3)
        let one = try scene.host(participants: 3) { $0.yields = true }
        scene.world.run(limit: delay * ms) { false }
        let two = try other(scene, image) { $0.yields = true }
        scene.world.runToEnd()
        let isOneFirst = one.key.lexicographicallyPrecedes(two.key)
        let (winner, loser) = isOneFirst ? (one, two) : (two, one)
        scene.expectEnd(winner, complete: true)
        scene.expectEnd(loser, complete: false)
        #expect(loser.machine.otherHost?.endpoint == winner.endpoint)
        #expect(loser.machine.otherHost?.fingerprint == winner.configuration.hostKey.publicKey.fingerprint)
        #expect(winner.machine.otherHost == nil)
        #expect(loser.end?.1 == "the session lab1 is hosted by \(winner.named)")
        scene.expectComplete(all, with: winner.image)
        // The two agree at once, and nobody waits until the loser is found to be silent.
        #expect(try #require(milliseconds(loser.log, "ended")) < 1_000 + delay + 100, "\(loser.log)")
        for participant in all {
            let accepted = try #require(milliseconds(participant.log, "accepted"))
            #expect(accepted < 3_000 + delay, "\(participant.log)")
        }
    }

    /// When a log's first entry with `word` was made, in milliseconds.
    private func milliseconds(_ log: [String], _ word: String) -> UInt64? {
        log.first { $0.contains(word) }.flatMap { UInt64($0.prefix { $0.isNumber }) }
    }

    /// The smaller key counts only before the start: whoever is running stays.
    @Test(arguments: [211, 212, 213, 214] as [UInt64], [false, true])
    func aMasterGivesWayToARunningHost(seed: UInt64, bothYield: Bool) throws {
        let scene = Scene(seed: seed)
        let host = try scene.host(participants: 2) {
            $0.rate = 2_000_000
            $0.yields = bothYield
        }
        let all = try scene.participants(2)
        scene.world.run(limit: 600_000 * ms) { all[0].disk.count > 3 }
        let master = try other(scene, .mixed(seed: 777, count: 10)) { $0.yields = true }
        let late = try scene.participants(1)
        scene.world.run(limit: 1_000 * ms) { false }
        #expect(master.end?.0 == false)
        #expect(master.machine.otherHost?.isRunning == true)
        scene.world.runToEnd()
        scene.expectComplete(all + late)
        scene.expectEnd(host, complete: true)
    }

    /// A network in two halves, each with its master and participants that have joined it, becomes whole.
    @Test(arguments: [211, 212, 213] as [UInt64])
    func participantsOfTheOneThatYieldsTakePartAnew(seed: UInt64) throws {
        let scene = Scene(seed: seed, chunks: 10)
        let one = try scene.host(participants: 4) { $0.yields = true }
        let two = try other(scene, .mixed(seed: 777, count: 10)) {
            $0.yields = true
            $0.participants = 4
        }
        let all = try scene.participants(4)
        let right = Set(all[2...].map(\.endpoint) + [two.endpoint])
        scene.world.isCut = { right.contains($0) != right.contains($1) }
        scene.world.run(limit: 20_000 * ms) { false }
        #expect(one.machine.session.joined == 2 && two.machine.session.joined == 2)
        scene.world.isCut = nil
        scene.world.runToEnd()
        let isOneFirst = one.key.lexicographicallyPrecedes(two.key)
        let (winner, loser) = isOneFirst ? (one, two) : (two, one)
        scene.expectComplete(all, with: winner.image)
        scene.expectEnd(winner, complete: true)
        #expect(all.map(\.yieldedHosts) == (isOneFirst ? [0, 0, 1, 1] : [1, 1, 0, 0]))
        // Their screens name the host that has the session now; the loser's does not say that they gave up.
        let moved = isOneFirst ? all[2...] : all[..<2]
        #expect(moved.allSatisfy { $0.log.contains { $0.contains("is hosted by \(winner.named)") } })
        #expect(!loser.log.contains { $0.contains("aborted") })
    }

    /// One of two hosts dies without a word: its silence tells, and the participant takes the other.
    @Test func aHostThatFallsSilentIsOutOfIt() throws {
        let scene = Scene(seed: 220, chunks: 10)
        let host = try scene.host()
        let rogue = try other(scene, .mixed(seed: 777, count: 10))
        let all = try scene.participants(1)
        scene.world.run(limit: 1_000 * ms) { false }
        rogue.crash(silently: true)
        #expect(all[0].log.contains { $0.contains("two hosts announce the session lab1: 10.0.0.") })
        scene.world.runToEnd()
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
    }

    /// A host that was found and is gone again leaves the machine free, to become the master itself for one.
    @Test func aHostThatGoesBeforeItLetsAnybodyInIsForgotten() throws {
        let scene = Scene(seed: 225)
        let host = try scene.host()
        let all = try scene.participants(1)
        scene.world.run(limit: 60_000 * ms) { all[0].log.contains { $0.contains("found(") } }
        #expect(!all[0].log.contains { $0.contains("accepted") })
        host.machine.stop(reason: "the host was stopped by hand", now: scene.world.now)
        host.pump()
        scene.world.run(limit: 5_000 * ms) { false }
        #expect(all[0].log.contains { $0.contains("lostSight") }, "\(all[0].log)")
    }

    /// A session that starts while two hosts announce it is not trusted, though it was joined before.
    @Test func nothingIsWrittenWhileTwoHostsAreThere() throws {
        let scene = Scene(seed: 221)
        let host = try scene.host(participants: nil)
        let all = try scene.participants(2)
        scene.world.run(limit: 10_000 * ms) { false }
        #expect(host.machine.session.joined == 2)
        _ = try other(scene, .mixed(seed: 777, count: 10))
        scene.world.run(limit: 1_000 * ms) { false }
        #expect(all.allSatisfy { $0.end == nil }, "they wait for one of the two to give way")
        host.machine.startNow(now: scene.world.now)
        host.pump()
        scene.world.run(limit: 10_000 * ms) { false }
        for one in all {
            guard case .failed(let reason) = one.end else {
                Issue.record("ended with \(String(describing: one.end))")
                continue
            }
            #expect(reason.hasPrefix("two hosts announce the session lab1: 10.0.0."), "\(reason)")
            #expect(one.disk.isEmpty)
        }
    }

    @Test func hostsThatStayAreToldOfOnce() throws {
        let scene = Scene(seed: 222)
        let host = try scene.host(participants: nil)
        let two = try other(scene, .mixed(seed: 777, count: 10))
        scene.world.run(limit: 10_000 * ms) { false }
        for (one, another) in [(host, two), (two, host)] {
            let sentence = "another host announces the session lab1: \(another.named)"
            #expect(one.log.count { $0.contains(sentence) } == 1)
            #expect(one.end == nil)
        }
    }

    /// Announcements with good signatures under a thousand keys, and with bad ones.
    @Test func aFloodOfAnnouncementsIsCheap() throws {
        let host = try Spoken(seed: 223, participants: nil)
        func announce(_ number: Int, isForged: Bool = false, name: String = "lab1") throws {
            let key = try #require(PrivateKey(seed: SplitMixBytes.make(UInt64(1000 + number))))
            let address = Address(ipv4: 0x0a00_0200 + UInt32(number))
            var bytes = AnnounceMessage(
                state: .registering, session: UInt64(number), joined: 0, needed: 1, controlPort: 998,
                dataPort: 997, hostKey: key.publicKey, group: Address.group(of: "lab1", family: .ipv4),
                name: name, addresses: [address]
            ).encode(signedBy: key)
            if isForged { bytes[20] ^= 1 }
            bytes.withBytes { host.machine.discovery($0, from: Endpoint(address, port: 998), now: host.now) }
            host.take()
        }
        // Forged ones use up what may be checked at once; nobody is told of them.
        for number in 0..<100 { try announce(number, isForged: true) }
        try announce(100)
        #expect(host.events.isEmpty)
        // A second later the next ones are looked at; more than eight keys are not.
        host.wait(1_000 * ms)
        for number in 101..<116 { try announce(number, name: "lab2") }
        #expect(host.events.isEmpty)
        for number in 200..<240 { try announce(number) }
        #expect(host.events.count == 8)
        // Each of them is answered once, so that the other one knows as well.
        let announcements = host.broadcasts.count
        for number in 200..<240 { try announce(number) }
        #expect(host.events.count == 8 && host.broadcasts.count == announcements)
    }

    /// Whoever has a room that waits keeps it, whatever the keys; the newcomer goes, whatever the keys.
    @Test(arguments: [211, 212, 213, 214] as [UInt64])
    func aRoomThatWaitsIsNotLedAway(seed: UInt64) throws {
        let scene = Scene(seed: seed)
        let host = try scene.host(participants: 4) { $0.yields = true }
        let all = try scene.participants(3)
        scene.world.run(limit: 600_000 * ms) { host.machine.session.joined == 3 }
        scene.world.run(limit: 5_000 * ms) { false }
        let newcomer = try other(scene, .mixed(seed: 777, count: 10)) { $0.yields = true }
        scene.world.run(limit: 10_000 * ms) { false }
        #expect(newcomer.end?.0 == false)
        #expect(newcomer.machine.otherHost?.endpoint == host.endpoint)
        #expect(host.machine.session.state == .registering && host.machine.session.joined == 3)
        host.machine.startNow(now: scene.world.now)
        host.pump()
        scene.world.runToEnd()
        scene.expectComplete(all)
    }

    /// What the host itself has sent comes back to it: by the loop of multicast, and by broadcast.
    @Test func itsOwnAnnouncementsAreNotAnothers() throws {
        let host = try Spoken(seed: 224, participants: nil) { $0.yields = true }
        host.wait(1_000 * ms)
        let own = try #require(host.broadcasts.first)
        let from = Endpoint(Address(ipv4: 0x0a00_0001), port: 998)
        own.withBytes { host.machine.discovery($0, from: from, now: host.now) }
        host.take()
        #expect(host.events.isEmpty && host.end == nil)
    }
}

extension SimulatedHost {
    fileprivate var key: [UInt8] { configuration.hostKey.publicKey.bytes }

    /// As sentences name it.
    fileprivate var named: String { "\(address) (\(configuration.hostKey.publicKey.fingerprint))" }
}
