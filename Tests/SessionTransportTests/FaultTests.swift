// Sessions that do not go as planned: each must end, in time, with a sentence that says what happened.
import Blocks
import Linux
import SessionProtocol
import SessionTransport
import Synchronization
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct FaultTests {
    @Test func killedParticipantComesBack() throws {
        let lan = try NamespaceLAN(stations: 3)
        let image = MadeUpImage(chunks: 24, payloadBytes: 1 << 20)
        let host = try Hosting(image, on: lan, participants: 3) { $0.rate = 150 }
        let killed = Holder()
        let victim = Visitor(ParticipantSettings(name: "test"), image) { count in
            if count == 6 { killed.visitor.withLock { $0 }?.vanish() }
        }
        killed.visitor.withLock { $0 = victim }
        let others = lan.stations[1...].map { station in
            lan.thread(on: station) { Visitor(ParticipantSettings(name: "test"), image).run() }
        }
        let first = try lan.thread(on: lan.stations[0]) { victim.run() }.join()
        #expect(first.failure != nil)
        #expect(first.frames >= 6 && first.frames < image.existing.count)
        let again = try lan.thread(on: lan.stations[0]) {
            Visitor(ParticipantSettings(name: "test"), image).run()
        }.join()
        for visit in try [again] + others.map({ try $0.join() }) {
            #expect(visit.failure == nil)
            #expect(visit.frames == image.existing.count)
            #expect(visit.wrongFrames == 0)
        }
        let outcome = try host.outcome()
        #expect(outcome.isComplete, "\(outcome.text)")
        #expect(outcome.participants.count == 4)
        #expect(outcome.participants.count { $0.state == .finished } == 3)
    }

    @Test func stoppedHostTellsEveryone() throws {
        let lan = try NamespaceLAN(stations: 2)
        let image = MadeUpImage(chunks: 24, payloadBytes: 1 << 20)
        let host = try Hosting(image, on: lan, participants: 2) { $0.rate = 100 }
        let visits = lan.stations.map { station in
            lan.thread(on: station) {
                Visitor(ParticipantSettings(name: "test"), image) { count in
                    if count == 3 { host.runner.stop(reason: "the host was stopped by hand") }
                }.run()
            }
        }
        for visit in try visits.map({ try $0.join() }) {
            #expect(
                visit.failure?.contains("the host was stopped by hand") == true, "\(visit.failure ?? "none")")
            #expect(visit.frames < image.existing.count)
        }
        let outcome = try host.outcome()
        #expect(!outcome.isComplete)
        #expect(outcome.text.contains("the host was stopped by hand"), "\(outcome.text)")
    }

    @Test func waitingParticipantIsToldOfTheStop() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = MadeUpImage(chunks: 2, payloadBytes: 1 << 16)
        let host = try Hosting(image, on: lan, participants: 2)
        let visitor = Visitor(ParticipantSettings(name: "test"), image)
        let thread = lan.thread(on: lan.stations[0]) { visitor.run() }
        try waitUntil { visitor.seen.withLock { $0.events.contains("waiting 1/1") } }
        host.runner.stop(reason: "the host was stopped by hand")
        let visit = try thread.join()
        #expect(visit.failure?.contains("the host was stopped by hand") == true)
        #expect(visit.frames == 0)
        #expect(try !host.outcome().isComplete)
    }

    @Test func participantThatGivesUpIsReported() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = MadeUpImage(chunks: 24, payloadBytes: 1 << 20)
        let host = try Hosting(image, on: lan, participants: 1) { $0.rate = 100 }
        let holder = Holder()
        let visitor = Visitor(ParticipantSettings(name: "test"), image) { count in
            if count == 3 { holder.visitor.withLock { $0 }?.cancel("the disk is on fire") }
        }
        holder.visitor.withLock { $0 = visitor }
        let visit = try lan.thread(on: lan.stations[0]) { visitor.run() }.join()
        #expect(visit.failure?.contains("the disk is on fire") == true, "\(visit.failure ?? "none")")
        let outcome = try host.outcome()
        #expect(!outcome.isComplete)
        #expect(outcome.participants.first?.state == .failed)
        #expect(outcome.participants.first?.result?.contains("the disk is on fire") == true)
    }

    @Test func wrongKeyIsNotBelieved() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = MadeUpImage(chunks: 2, payloadBytes: 1 << 16)
        let host = try Hosting(image, on: lan, participants: 1)
        let other = try #require(PrivateKey(seed: Random.bytes(32))).publicKey.fingerprint
        var settings = ParticipantSettings(name: "test")
        settings.pinned = other
        settings.searchPatience = 3 * second
        let visit = try lan.thread(on: lan.stations[0]) { [settings] in Visitor(settings, image).run() }
            .join()
        #expect(visit.failure != nil)
        #expect(visit.frames == 0)
        #expect(host.runner.snapshot.participants.isEmpty)

        settings.pinned = host.runner.fingerprint
        let right = try lan.thread(on: lan.stations[0]) { [settings] in Visitor(settings, image).run() }
            .join()
        #expect(right.failure == nil)
        #expect(try host.outcome().isComplete)
    }

    @Test func twoKeysForOneNameAreRefused() throws {
        let lan = try NamespaceLAN(stations: 2)
        let image = MadeUpImage(chunks: 2, payloadBytes: 1 << 16)
        let host = try Hosting(image, on: lan, participants: 1)
        let rogue = try Hosting(image, on: lan, participants: 1, machine: lan.stations[1])
        let visit = try lan.thread(on: lan.stations[0]) {
            Visitor(ParticipantSettings(name: "test"), image).run()
        }.join()
        #expect(visit.frames == 0)
        let failure = visit.failure ?? "none"
        for hosting in [host, rogue] {
            #expect(failure.contains(hosting.runner.fingerprint.description), "\(failure)")
            #expect(failure.contains(hosting.runner.endpoint.address.description), "\(failure)")
            hosting.runner.stop(reason: "the test is over")
            _ = try hosting.outcome()
        }
    }

    @Test func blockedMulticastDoesNotHang() throws {
        let lan = try NamespaceLAN(stations: 1)
        try lan.blockMulticast()
        let image = MadeUpImage(chunks: 6, payloadBytes: 1 << 18)
        let host = try Hosting(image, on: lan, participants: 1)
        let visit = try lan.thread(on: lan.stations[0]) {
            Visitor(ParticipantSettings(name: "test"), image).run()
        }.join()
        let outcome = try host.outcome()
        #expect(visit.failure == nil, "\(visit.failure ?? "") \(visit.events)")
        #expect(visit.frames == image.existing.count)
        #expect(visit.wrongFrames == 0)
        #expect(outcome.isComplete, "\(outcome.text)")
        #expect(outcome.session.chunksOverControl >= image.existing.count)
    }

    @Test func unreadableChunkEndsTheSession() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = MadeUpImage(chunks: 6, payloadBytes: 1 << 18, broken: 3)
        let host = try Hosting(image, on: lan, participants: 1)
        let visit = try lan.thread(on: lan.stations[0]) {
            Visitor(ParticipantSettings(name: "test"), image).run()
        }.join()
        let outcome = try host.outcome()
        #expect(!outcome.isComplete)
        #expect(outcome.text.contains("unreadable"), "\(outcome.text)")
        #expect(visit.failure?.contains("unreadable") == true, "\(visit.failure ?? "none")")
    }

    @Test func secondHostOfAMachineTakesOtherPorts() throws {
        let lan = try NamespaceLAN(stations: 2)
        let image = MadeUpImage(chunks: 4, payloadBytes: 1 << 18)
        let first = try Hosting(image, on: lan, participants: 1)
        let second = try Hosting(image, on: lan, participants: 1) { $0.name = "other" }
        #expect(first.runner.endpoint.port == 998)
        #expect(first.runner.dataEndpoint.port == 997)
        #expect(second.runner.endpoint.port != 998)
        #expect(second.runner.dataEndpoint.port != 997)
        let names = ["test", "other"]
        let visits = zip(names, lan.stations).map { name, station in
            lan.thread(on: station) { Visitor(ParticipantSettings(name: name), image).run() }
        }
        for visit in try visits.map({ try $0.join() }) {
            #expect(visit.failure == nil)
            #expect(visit.frames == image.existing.count)
        }
        #expect(try first.outcome().isComplete)
        #expect(try second.outcome().isComplete)
    }

    @Test func participantOnTheHostsOwnMachine() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = MadeUpImage(chunks: 6, payloadBytes: 1 << 18)
        let host = try Hosting(image, on: lan, participants: 2)
        let visits = [lan.host, lan.stations[0]].map { machine in
            lan.thread(on: machine) { Visitor(ParticipantSettings(name: "test"), image).run() }
        }
        for visit in try visits.map({ try $0.join() }) {
            #expect(visit.failure == nil)
            #expect(visit.frames == image.existing.count)
        }
        let outcome = try host.outcome()
        #expect(outcome.isComplete)
        #expect(outcome.session.chunksOverControl == 0)
    }

    @Test func absentHostIsReported() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = MadeUpImage(chunks: 1, payloadBytes: 1 << 16)
        var settings = ParticipantSettings(name: "test")
        settings.searchPatience = second
        let visit = try lan.thread(on: lan.stations[0]) { [settings] in Visitor(settings, image).run() }
            .join()
        #expect(visit.failure?.contains("test") == true, "\(visit.failure ?? "none")")
    }

    @Test func searchCanBeCancelled() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = MadeUpImage(chunks: 1, payloadBytes: 1 << 16)
        let visitor = Visitor(ParticipantSettings(name: "test"), image)
        let thread = lan.thread(on: lan.stations[0]) { visitor.run() }
        try waitUntil { visitor.isRunning }
        let began = MonotonicClock.now()
        visitor.cancel("interrupted by hand")
        let visit = try thread.join()
        #expect(visit.failure == "interrupted by hand")
        #expect(MonotonicClock.now() - began < 5 * second)
    }

    @Test func searchWithoutAnInterfaceWaitsAndCanBeCancelled() throws {
        let lan = try NamespaceLAN(stations: 1)
        try run("ip", "-n", lan.stations[0], "link", "set", "eth0", "down")
        let image = MadeUpImage(chunks: 4, payloadBytes: 1 << 16)
        let visitor = Visitor(ParticipantSettings(name: "test"), image)
        let thread = lan.thread(on: lan.stations[0]) { visitor.run() }
        try waitUntil {
            visitor.seen.withLock {
                $0.events.contains("notice waiting for a network interface to come up with an address")
            }
        }
        // The link comes up late, as it does after a slow switch or DHCP server.
        try run("ip", "-n", lan.stations[0], "link", "set", "eth0", "up")
        let host = try Hosting(image, on: lan, participants: 1)
        #expect(try thread.join().failure == nil)
        #expect(try host.outcome().isComplete)
    }

    @Test func slowParticipantWithLittleMemoryGetsEverything() throws {
        let lan = try NamespaceLAN(stations: 2)
        let image = MadeUpImage(chunks: 24, payloadBytes: 1 << 20)
        let host = try Hosting(image, on: lan, participants: 2)
        var small = ParticipantSettings(name: "test")
        small.poolBytes = 4 << 20
        let slow = lan.thread(on: lan.stations[0]) { [small] in
            Visitor(small, image) { _ in MonotonicClock.sleep(nanoseconds: 50_000_000) }.run()
        }
        let fast = try lan.thread(on: lan.stations[1]) {
            Visitor(ParticipantSettings(name: "test"), image).run()
        }.join()
        let visit = try slow.join()
        for visit in [visit, fast] {
            #expect(visit.failure == nil, "\(visit.events)")
            #expect(visit.frames == image.existing.count)
            #expect(visit.wrongFrames == 0)
        }
        #expect(try host.outcome().isComplete)
    }

    @Test func startsWithWhoeverIsThere() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = MadeUpImage(chunks: 4, payloadBytes: 1 << 16)
        let host = try Hosting(image, on: lan, participants: 5) { $0.registrationTimeout = second }
        let visit = try lan.thread(on: lan.stations[0]) {
            Visitor(ParticipantSettings(name: "test"), image).run()
        }.join()
        #expect(visit.failure == nil)
        #expect(visit.events.contains("waiting 1/4"))
        #expect(try host.outcome().isComplete)
    }

    @Test func interfaceIsCheckedByName() throws {
        let lan = try NamespaceLAN(stations: 1)
        let sentence = try lan.thread(on: lan.stations[0]) { () -> String in
            var settings = ParticipantSettings(name: "test")
            settings.interface = "eth7"
            do {
                _ = try ParticipantRunner(settings) { _ in }
                return ""
            } catch { return "\(error)" }
        }.join()
        #expect(sentence == "this machine has no interface eth7; it has lo, eth0")
        let foreign = try lan.thread(on: lan.host) { () -> String in
            do {
                _ = try HostInterface.choose(named: nil, address: IPAddress("10.77.0.99"))
                return ""
            } catch { return "\(error)" }
        }.join()
        #expect(
            foreign
                == "10.77.0.99 is not an address of this machine, which has 127.0.0.1 on lo, 10.77.0.1 on eth0"
        )
    }
}

/// Lets a callback reach the visitor it belongs to.
final class Holder: Sendable {
    let visitor = Mutex<Visitor?>(nil)
}

/// Waits until `condition` holds, looking often; fails after 20 seconds.
func waitUntil(_ condition: () -> Bool) throws {
    let deadline = MonotonicClock.now() + 20 * second
    while !condition() {
        guard MonotonicClock.now() < deadline else {
            throw TransportError("what the test waits for did not come")
        }
        MonotonicClock.sleep(nanoseconds: 5_000_000)
    }
}
