// Whole sessions over real sockets, on a LAN of network namespaces.
import Blocks
import Linux
import SessionProtocol
import SessionTransport
import Synchronization
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct SessionTests {
    @Test(arguments: [NamespaceLAN.Family.ipv4, .ipv6, .linkLocal])
    func threeParticipantsGetEveryByte(_ family: NamespaceLAN.Family) throws {
        let lan = try NamespaceLAN(stations: 3, family: family)
        let image = MadeUpImage(chunks: 24, payloadBytes: 1 << 20)
        let host = try Hosting(image, on: lan, participants: 3)
        let visits = try lan.stations.map { station in
            lan.thread(on: station) { Visitor(ParticipantSettings(name: "test"), image).run() }
        }.map { try $0.join() }
        let outcome = try host.outcome()
        for visit in visits { expectWhole(visit, image, host) }
        #expect(outcome.isComplete, "\(outcome.text)")
        #expect(outcome.participants.count == 3)
        #expect(outcome.participants.allSatisfy { $0.state == .finished })
        #expect(outcome.participants.allSatisfy { $0.chunksDone == image.existing.count })
        #expect(outcome.session.chunksOverControl == 0)
    }

    @Test(arguments: [NamespaceLAN.Family.ipv4, .ipv6])
    func dataIsSpreadOverPorts(_ family: NamespaceLAN.Family) throws {
        let lan = try NamespaceLAN(stations: 2, family: family)
        let image = MadeUpImage(chunks: 24, payloadBytes: 1 << 20)
        let host = try Hosting(image, on: lan, participants: 2) { $0.streams = 4 }
        let visits = try lan.stations.map { station in
            lan.thread(on: station) { Visitor(ParticipantSettings(name: "test"), image).run() }
        }.map { try $0.join() }
        let outcome = try host.outcome()
        for visit in visits {
            expectWhole(visit, image, host)
            #expect(visit.progress?.chunksOverControl == 0)
            // Gaps are counted within each stream: between them there are none.
            #expect(
                visit.bursts.datagrams <= visit.progress.map { Int($0.lostOnWire + $0.lostInSocket) } ?? 0)
        }
        #expect(outcome.isComplete, "\(outcome.text)")
    }

    @Test func lossIsRepaired() throws {
        let lan = try NamespaceLAN(stations: 3)
        try lan.setLoss(percent: 2)
        let image = MadeUpImage(chunks: 24, payloadBytes: 1 << 20)
        let host = try Hosting(image, on: lan, participants: 3)
        let visits = try lan.stations.map { station in
            lan.thread(on: station) { Visitor(ParticipantSettings(name: "test"), image).run() }
        }.map { try $0.join() }
        let outcome = try host.outcome()
        for visit in visits {
            expectWhole(visit, image, host)
            #expect((visit.progress?.lostOnWire ?? 0) > 100)
            // Else the LAN drops trains, and its losses are not the independent ones this test is about.
            #expect(
                visit.bursts.datagrams > 100 && visit.bursts.mean < 1.2, "mean burst \(visit.bursts.mean)")
        }
        #expect(outcome.isComplete, "\(outcome.text)")
        #expect(outcome.session.repairDatagrams > 0)
        for station in lan.stations { #expect(try lan.droppedDatagrams(at: station) > 100) }
    }

    private func expectWhole(_ visit: Visit, _ image: MadeUpImage, _ host: Hosting) {
        #expect(visit.failure == nil, "\(visit.events)")
        #expect(visit.frames == image.existing.count)
        #expect(visit.wrongFrames == 0)
        #expect(visit.fingerprint == host.runner.fingerprint.description)
    }
}
