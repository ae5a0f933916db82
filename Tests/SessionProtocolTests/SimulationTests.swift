// Whole sessions on a virtual clock: at the end every live participant has every byte and nothing else.
import Blocks
import SessionProtocol
import SessionSimulation
import Testing

@Suite struct SimulationTests {
    @Test(arguments: [1, 2, 3, 10, 100])
    func cleanNetwork(count: Int) throws {
        let scene = Scene(seed: UInt64(count))
        let host = try scene.host(participants: count)
        let all = try scene.participants(count)
        scene.world.runToEnd()
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
        // On a clean network every chunk goes out once, and nothing is repaired.
        #expect(host.machine.session.repairDatagrams == 0, "seed \(count)")
        #expect(host.sweptChunks == Array(scene.image.existing.numbers), "seed \(count)")
    }

    @Test(arguments: [0.001, 0.02, 0.1, 0.3], [1, 5])
    func independentLoss(loss: Double, count: Int) throws {
        let scene = Scene(seed: 100 + UInt64(loss * 1000))
        let host = try scene.host(participants: count)
        let all = try scene.participants(count, Faults(loss: loss))
        scene.world.runToEnd()
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
        // What is repaired is about what was lost, once for everyone: no repair storm.
        if loss <= 0.02 {
            let sent = Double(host.machine.session.datagrams - host.machine.session.repairDatagrams)
            let union = 1 - Double(repeatElement(1 - loss, count: count).reduce(1, *))
            #expect(Double(host.machine.session.repairDatagrams) < sent * union * 2 + 200, "loss \(loss)")
        }
    }

    @Test(arguments: 0..<6)
    func mixedFaults(seed: Int) throws {
        let kinds = [
            Faults(burst: 0.002, burstLength: 60), Faults(duplication: 0.1, reordering: 0.1),
            Faults(corruption: 0.01), Faults(loss: 0.02, burst: 0.001, burstLength: 200, reordering: 0.02),
            Faults(loss: 0.01, duplication: 0.05, reordering: 0.3, corruption: 0.005, delay: 20 * ms),
            Faults(loss: 0.01, bandwidth: 5_000_000),
        ]
        let scene = Scene(seed: 200 + UInt64(seed))
        let host = try scene.host(participants: 8)
        let all = try scene.participants(8, kinds[seed])
        scene.world.runToEnd()
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
    }

    /// Rooms as they come: any number, any faults, latecomers and the slow among them.
    @Test(arguments: 0..<24)
    func anyRoom(seed: UInt64) throws {
        let scene = Scene(seed: 1000 + seed, chunks: 24)
        var random = SplitMix(seed: 5000 + seed)
        let count = Int.random(in: 1...9, using: &random)
        let host = try scene.host(participants: count)
        for _ in 0..<count {
            var faults = Faults()
            if random.chance(0.5) { faults.loss = Double.random(in: 0...0.15, using: &random) }
            if random.chance(0.3) {
                faults.burst = 0.002
                faults.burstLength = Int.random(in: 2...300, using: &random)
            }
            if random.chance(0.3) { faults.duplication = 0.1 }
            if random.chance(0.3) { faults.reordering = 0.1 }
            if random.chance(0.3) { faults.corruption = 0.01 }
            if random.chance(0.3) { faults.delay = UInt64.random(in: 0...(50 * ms), using: &random) }
            if random.chance(0.2) { faults.diskRate = 2_000_000 }
            if random.chance(0.2) { faults.bandwidth = 3_000_000 }
            if random.chance(0.1) { faults.isDeaf = true }
            if random.chance(0.2) { faults.poolBytes = 1 << 20 }
            try scene.participants(1, faults)
        }
        scene.world.runToEnd()
        scene.expectComplete(scene.world.participants)
        scene.expectEnd(host, complete: true)
    }

    @Test func aFullRoomWithLoss() throws {
        let scene = Scene(seed: 90, chunks: 20)
        let host = try scene.host(participants: 100)
        let all = try scene.participants(
            100, Faults(loss: 0.01, burst: 0.0005, burstLength: 20, reordering: 0.01))
        scene.world.runToEnd()
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
    }

    @Test func differentNeeds() throws {
        let scene = Scene(seed: 7)
        let host = try scene.host(participants: 3)
        let all = try scene.participants(3, Faults(loss: 0.01))
        all[0].choose = { _ in ChunkSet() }
        all[1].choose = { ChunkSet($0.numbers.filter { $0 % 3 == 0 }) }
        scene.world.runToEnd()
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
        #expect(all[0].disk.isEmpty)
    }

    @Test func multicastDoesNotReachOne() throws {
        let scene = Scene(seed: 8)
        let host = try scene.host(participants: 3)
        let all = try scene.participants(2)
        let deaf = try scene.participants(1, Faults(isDeaf: true))
        scene.world.runToEnd()
        scene.expectComplete(all + deaf)
        scene.expectEnd(host, complete: true)
        #expect(deaf[0].machine.progress.chunksOverControl == scene.image.contents.count)
        // The one who knows the reason tells it, once; the host itself then says nothing.
        let lines = host.log.filter { $0.contains("does not reach") }
        #expect(lines.count == 1 && lines[0].contains("pc3"), "\(lines)")
        #expect(lines.allSatisfy { $0.contains("does not reach this machine: simulated") }, "\(lines)")
    }

    @Test func theRoomDoesNotWaitForASlowParticipant() throws {
        func secondsOfTheFast(withSlow: Bool) throws -> UInt64 {
            let scene = Scene(seed: 9, chunks: 400)
            let host = try scene.host(participants: withSlow ? 6 : 5)
            let fast = try scene.participants(5, Faults(diskRate: 50_000_000, poolBytes: 1 << 20))
            let slow =
                withSlow
                ? try scene.participants(1, Faults(diskRate: 2_500_000, poolBytes: 1 << 20)) : []
            let start = scene.world.now
            scene.world.run(limit: 600_000 * ms) { fast.allSatisfy { $0.end != nil } }
            let time = scene.world.now - start
            scene.world.runToEnd()
            scene.expectComplete(fast + slow)
            scene.expectEnd(host, complete: true)
            return time
        }
        let alone = try secondsOfTheFast(withSlow: false)
        let together = try secondsOfTheFast(withSlow: true)
        #expect(together < alone + alone / 5, "\(alone / ms) ms alone, \(together / ms) ms with a slow one")
    }

    @Test(arguments: [false, true])
    func oneDies(silently: Bool) throws {
        let scene = Scene(seed: 10)
        let host = try scene.host(participants: 3) { $0.linger = 30_000 * ms }
        let all = try scene.participants(3)
        scene.world.run(limit: 600_000 * ms) { all[1].disk.count > 5 }
        all[1].crash(silently: silently)
        let death = scene.world.now
        scene.world.run(limit: 600_000 * ms) { all[0].end != nil && all[2].end != nil }
        #expect(scene.world.now - death < 5_000 * ms, "the others waited")
        scene.world.runToEnd()
        scene.expectComplete([all[0], all[2]])
        scene.expectEnd(host, complete: false)
        #expect(host.machine.snapshots[1].state == .lost)
        #expect(scene.world.now - death >= 30_000 * ms)
    }

    @Test func oneComesBackAsANewRun() throws {
        let scene = Scene(seed: 11)
        let host = try scene.host(participants: 3)
        let all = try scene.participants(3)
        scene.world.run(limit: 600_000 * ms) { all[1].disk.count > 5 }
        all[1].crash(silently: false)
        let again = try SimulatedParticipant(scene.world, number: 2)
        scene.world.runToEnd()
        scene.expectComplete([all[0], all[2], again])
        scene.expectEnd(host, complete: true)
    }

    @Test(arguments: [false, true])
    func aConnectionBreaks(deafToo: Bool) throws {
        let scene = Scene(seed: 12)
        let host = try scene.host(participants: 2)
        let all = try scene.participants(2, Faults(loss: 0.01))
        scene.world.run(limit: 600_000 * ms) { all[0].disk.count > 5 }
        all[0].faults.isDeaf = deafToo
        for connection in scene.world.connections.values where connection.participant === all[0] {
            connection.breakDown()
        }
        scene.world.runToEnd()
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
    }

    @Test func lateJoin() throws {
        let scene = Scene(seed: 13, chunks: 60)
        let host = try scene.host(participants: 2) { $0.rate = 1_000_000 }
        let all = try scene.participants(2)
        scene.world.run(limit: 600_000 * ms) { all[0].disk.count > 30 }
        let late = try SimulatedParticipant(scene.world, number: 3)
        scene.world.runToEnd()
        scene.expectComplete(all + [late])
        scene.expectEnd(host, complete: true)
        // No chunk goes out again while somebody lacks the first copy of another.
        let first = host.sweptChunks.prefix(scene.image.contents.count)
        #expect(Array(first) == Array(scene.image.existing.numbers))
        #expect(host.sweptChunks.count < 2 * scene.image.contents.count)
    }

    @Test func registrationTimeout() throws {
        let scene = Scene(seed: 14, chunks: 5)
        let host = try scene.host(participants: 3) { $0.registrationTimeout = 10_000 * ms }
        scene.world.run(limit: 60_000 * ms) { false }
        #expect(host.machine.session.state == .registering, "nobody is there yet")
        let first = try scene.participants(1)
        scene.world.run(limit: 8_000 * ms) { false }
        #expect(host.machine.session.joined == 1 && host.machine.session.needed == 3)
        // The second one arms the wait anew.
        let second = try scene.participants(1)
        scene.world.run(limit: 8_000 * ms) { false }
        #expect(host.machine.session.state == .registering)
        scene.world.runToEnd()
        scene.expectComplete(first + second)
        scene.expectEnd(host, complete: true)
    }

    @Test func startByHand() throws {
        let scene = Scene(seed: 15, chunks: 5)
        let host = try scene.host(participants: 3)
        host.machine.startNow(now: scene.world.now)
        #expect(host.machine.session.state == .registering, "nobody is there")
        let all = try scene.participants(2)
        scene.world.run(limit: 30_000 * ms) { false }
        #expect(host.machine.session.state == .registering)
        host.machine.startNow(now: scene.world.now)
        host.pump()
        scene.world.runToEnd()
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
    }

    @Test func stopTellsEveryone() throws {
        let scene = Scene(seed: 16)
        let host = try scene.host(participants: 2)
        let all = try scene.participants(2)
        scene.world.run(limit: 600_000 * ms) { all[0].disk.count > 5 }
        host.machine.stop(reason: "interrupted at the server", now: scene.world.now)
        host.pump()
        scene.world.runToEnd()
        for participant in all {
            #expect(participant.end == .failed("the host ended the session: interrupted at the server"))
        }
        scene.expectEnd(host, complete: false)
    }

    @Test func anUnreadableChunkEndsTheSession() throws {
        let scene = Scene(seed: 17, chunks: 12)
        let host = try scene.host { configuration in
            var existing = configuration.existing
            existing.insert(2)
            configuration.existing = existing
        }
        let all = try scene.participants(1)
        scene.world.runToEnd()
        #expect(
            all[0].end
                == .failed(
                    "the host ended the session: the host cannot read chunk 2 of the image: no such chunk"))
        scene.expectEnd(host, complete: false)
    }

    @Test func aRefusedPlanLeavesTheOthersAlone() throws {
        let scene = Scene(seed: 18)
        let host = try scene.host(participants: 2)
        let all = try scene.participants(2)
        let refusing = try scene.participants(1)[0]
        scene.world.run(limit: 600_000 * ms) { refusing.accepted != nil }
        refusing.machine.stop(reason: "the disk sda is too small", now: scene.world.now)
        refusing.pump()
        scene.world.runToEnd()
        scene.expectComplete(all)
        #expect(refusing.end == .failed("the disk sda is too small"))
        // It gave up before the start, so it was never part of the session.
        scene.expectEnd(host, complete: true)
        #expect(host.machine.snapshots.contains { $0.result == "the disk sda is too small" })
    }

    @Test func aChunkThatIsDamagedOnTheHost() throws {
        let scene = Scene(seed: 19, chunks: 12)
        let host = try scene.host()
        let all = try scene.participants(1)
        // Every symbol of one chunk is damaged on the way: after two attempts it comes over TCP.
        let victim = scene.image.existing.first ?? 0
        all[0].damage = { datagram in
            guard datagram[1] == 1, UInt32(datagram[16]) == victim, datagram[17] == 0 else { return }
            datagram[700] ^= 1
        }
        scene.world.runToEnd()
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
        #expect(all[0].badFrames == 2)
        #expect(all[0].machine.progress.chunksOverControl == 1)
    }

    /// Nothing but TCP reaches it, and the first copies of one chunk that TCP brings are wrong.
    @Test(arguments: [1, 2, 3])
    func aChunkThatIsDamagedOverTCP(copies: Int) throws {
        let scene = Scene(seed: 20, chunks: 12)
        let host = try scene.host()
        let all = try scene.participants(1, Faults(isDeaf: true))
        let victim = scene.image.existing.first ?? 0
        var left = copies
        all[0].damageControl = { message in
            guard message.count > 100, message[4] == 6, UInt32(message[8]) == victim, left > 0 else { return }
            left -= 1
            message[60] ^= 1
        }
        scene.world.runToEnd()
        #expect(left == 0)
        #expect(all[0].badFrames == copies)
        if copies < 3 {
            scene.expectComplete(all)
        } else {
            let sentence = "\(String(describing: all[0].end))"
            #expect(sentence.contains("chunk \(victim) came wrong over TCP as well"), "\(sentence)")
        }
        scene.expectEnd(host, complete: copies < 3)
    }

    /// Whoever knows the identifier of JOIN could take the seat: the network must not see it.
    @Test func theIdentifierOfJoinIsNotInSeek() throws {
        let scene = Scene(seed: 21, chunks: 12)
        try scene.host()
        let one = try scene.participants(1)[0]
        scene.world.runToEnd()
        let body = Specification.messageHeaderBytes
        try #require(one.firstMessage.count > body + 64)
        let secret = Array(one.firstMessage[body + 48..<body + 64])
        #expect(!one.seeks.isEmpty)
        #expect(Set(secret).count > 4)
        for datagram in one.seeks {
            for start in 0...(datagram.count - 16) {
                #expect(Array(datagram[start..<start + 16]) != secret)
            }
        }
    }

    /// The host is lost between the last chunk and DONE: who comes back is through, with the same host or the next.
    @Test(arguments: [false, true])
    func theHostIsLostBeforeDone(another: Bool) throws {
        let scene = Scene(seed: 22, chunks: 12)
        let host = try scene.host()
        let all = try scene.participants(1)
        scene.world.run(limit: 600_000 * ms) { all[0].disk.count == scene.image.contents.count }
        #expect(all[0].end == nil)
        var last = host
        if another {
            host.crash(silently: false)
            last = try scene.host()
        } else {
            for connection in scene.world.connections.values {
                connection.breakDown()
            }
        }
        scene.world.runToEnd()
        scene.expectComplete(all)
        scene.expectEnd(last, complete: true)
        #expect(all[0].log.contains { $0.contains("rejoined") })
    }
}
