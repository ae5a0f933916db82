// Participants that multicast does not reach, on a virtual clock: when they notice, who says so and how often.
import Blocks
import SessionProtocol
import SessionSimulation
import Testing

@Suite struct DeafSimulationTests {
    /// What the screens say of multicast: of the host, and of the participant itself.
    private func lines(_ log: [String]) -> [String] { log.filter { $0.contains("multicast") } }

    /// Two are needed and only a deaf one is there.
    private func waitingScene(seed: UInt64) throws -> (Scene, SimulatedHost, SimulatedParticipant) {
        let scene = Scene(seed: seed)
        let host = try scene.host(participants: 2)
        let deaf = try scene.participants(1, Faults(isDeaf: true))[0]
        scene.world.run(limit: 30_000 * ms) { false }
        return (scene, host, deaf)
    }

    @Test func reasonComesBeforeTheStartAndOnce() throws {
        let (scene, host, deaf) = try waitingScene(seed: 31)
        #expect(lines(host.log).count == 1, "\(host.log)")
        #expect(lines(deaf.log).count == 1, "\(deaf.log)")
        #expect(
            lines(host.log).allSatisfy { $0.contains("pc1") && $0.contains("does not reach this machine") })
        #expect(deaf.disk.isEmpty)
        let other = try scene.participants(1)
        // The first chunk does not wait for another three seconds.
        scene.world.run(limit: 30_000 * ms) { host.machine.session.state == .running }
        let start = scene.world.now
        scene.world.run(limit: 30_000 * ms) { !deaf.disk.isEmpty }
        #expect(scene.world.now - start < 1000 * ms, "\((scene.world.now - start) / ms) ms")
        scene.world.runToEnd()
        scene.expectComplete([deaf] + other)
        scene.expectEnd(host, complete: true)
        #expect(deaf.machine.progress.chunksOverControl == scene.image.contents.count)
        #expect(lines(host.log).count == 1 && lines(deaf.log).count == 1)
        #expect(lines(other[0].log).isEmpty)
    }

    @Test func multicastThatComesBackIsToldOnce() throws {
        let (scene, host, deaf) = try waitingScene(seed: 32)
        deaf.faults.isDeaf = false
        scene.world.run(limit: 10_000 * ms) { false }
        #expect(lines(host.log).count == 2, "\(host.log)")
        #expect(lines(deaf.log).count == 2, "\(deaf.log)")
        let words = "multicast reaches this machine again"
        #expect(lines(host.log)[1].contains(words) && lines(deaf.log)[1].contains(words))
        let other = try scene.participants(1)
        scene.world.runToEnd()
        scene.expectComplete([deaf] + other)
        #expect(deaf.machine.progress.chunksOverControl == 0)
        #expect(lines(host.log).count == 2 && lines(deaf.log).count == 2)
    }

    @Test func hostSpeaksForAParticipantThatDoesNot() throws {
        let scene = Scene(seed: 33, chunks: 400)
        let host = try scene.host(participants: 2)
        let all = try scene.participants(2, Faults(diskRate: 400_000))
        all[0].explains = false
        scene.world.run(limit: 30_000 * ms) { all[0].disk.count >= 10 }
        all[0].faults.isDeaf = true
        scene.world.run(limit: 30_000 * ms) { !lines(host.log).isEmpty }
        all[0].faults.isDeaf = false
        scene.world.runToEnd()
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
        let said = lines(host.log)
        #expect(said.count == 2, "\(said)")
        #expect(said.first?.contains("multicast does not reach pc1") == true, "\(said)")
        #expect(said.last?.contains("multicast reaches pc1") == true, "\(said)")
        #expect(lines(all[0].log).isEmpty && lines(all[1].log).isEmpty)
    }

    /// One stray datagram now and then is not multicast, and not worth a line each time.
    @Test func strayDatagramsAreNotAReturn() throws {
        let (scene, host, deaf) = try waitingScene(seed: 34)
        for _ in 0..<10 {
            deaf.faults.isDeaf = false
            scene.world.run(limit: 300 * ms) { false }
            deaf.faults.isDeaf = true
            scene.world.run(limit: 5000 * ms) { false }
        }
        #expect(lines(host.log).count == 1, "\(host.log)")
        #expect(lines(deaf.log).count == 1, "\(deaf.log)")
    }

    /// Nor does one change how a running session serves it.
    @Test func strayDatagramsDoNotEndTheServiceOverTCP() throws {
        let scene = Scene(seed: 35, chunks: 400)
        let host = try scene.host(participants: 2)
        let all = try scene.participants(2, Faults(diskRate: 100_000))
        all[0].faults.isDeaf = true
        scene.world.run(limit: 60_000 * ms) { all[0].disk.count >= 10 }
        for _ in 0..<5 {
            all[0].faults.isDeaf = false
            scene.world.run(limit: 300 * ms) { false }
            all[0].faults.isDeaf = true
            scene.world.run(limit: 5000 * ms) { false }
        }
        #expect(all.allSatisfy { $0.end == nil })
        scene.world.runToEnd()
        scene.expectComplete(all)
        #expect(lines(host.log).count == 1, "\(lines(host.log))")
        #expect(lines(all[0].log).count == 1, "\(lines(all[0].log))")
        // All but the few that came whole among the stray datagrams.
        #expect(all[0].machine.progress.chunksOverControl >= scene.image.contents.count - 10)
    }

    /// A chunk that takes longer to come than a silence may last is no silence.
    @Test func slowChunksAreHeard() throws {
        let scene = Scene(seed: 36)
        let host = try scene.host(participants: 2) { $0.rate = 100_000 }
        let all = try scene.participants(2)
        scene.world.runToEnd(limit: 3_600_000 * ms)
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
        #expect(lines(host.log).isEmpty, "\(lines(host.log))")
        #expect(all.allSatisfy { lines($0.log).isEmpty && $0.machine.progress.chunksOverControl == 0 })
    }
}
