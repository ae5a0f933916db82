// What a master workstation needs of the transport: is somebody hosting already, who gives way, sentences, its own frames.
import Blocks
import Linux
import SessionProtocol
import SessionTransport
import Synchronization
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct MasterTests {
    private func find(
        _ lan: NamespaceLAN, on machine: String, patience: UInt64 = 5 * second, interface: String? = nil
    ) throws -> FoundHost? {
        try lan.thread(on: machine) {
            try HostSearch.find(session: "test", interface: interface, patience: patience) { false }
        }.join()
    }

    private func visit(_ lan: NamespaceLAN, _ station: Int, _ image: MadeUpImage) -> Thread<Visit> {
        lan.thread(on: lan.stations[station]) { Visitor(ParticipantSettings(name: "test"), image).run() }
    }

    // MARK: Is somebody hosting already?

    @Test(arguments: [NamespaceLAN.Family.ipv4, .ipv6, .linkLocal])
    func aSearchFindsTheHostAndJoinsNothing(_ family: NamespaceLAN.Family) throws {
        let lan = try NamespaceLAN(stations: 2, family: family)
        let image = MadeUpImage(chunks: 600, payloadBytes: 1 << 18)
        #expect(try find(lan, on: lan.stations[0], patience: second / 2) == nil)
        let host = try Hosting(image, on: lan, participants: 2) { $0.rate = 50 }
        let began = MonotonicClock.now()
        let found = try #require(try find(lan, on: lan.stations[0]))
        #expect(MonotonicClock.now() - began < 2 * second)
        #expect(found.endpoint == host.runner.endpoint)
        #expect(found.fingerprint == host.runner.fingerprint)
        #expect(!found.isRunning && found.joined == 0 && found.needed == 2)
        #expect(host.runner.snapshot.participants.isEmpty)
        // From the machine that hosts, and by the name of an interface, it is found as well.
        #expect(try find(lan, on: lan.host)?.fingerprint == host.runner.fingerprint)
        #expect(
            try find(lan, on: lan.stations[0], interface: "eth0")?.fingerprint == host.runner.fingerprint)

        let guests = [visit(lan, 0, image), visit(lan, 1, image)]
        try waitUntil { host.runner.snapshot.session.state == .running }
        let running = try #require(try find(lan, on: lan.stations[0]))
        #expect(running.isRunning && running.joined == 2 && running.needed == 0)
        host.runner.stop(reason: "the test is over")
        #expect(try host.outcome().isComplete == false)
        for guest in guests { #expect(try guest.join().failure?.contains("the test is over") == true) }
        #expect(try find(lan, on: lan.stations[0], patience: second) == nil, "the session has ended")
    }

    /// A pinned key settles which of two hosts is meant; without one neither is taken.
    @Test func aSearchWithAPinnedKeyPassesOthersOver() throws {
        let lan = try NamespaceLAN(stations: 2)
        let image = MadeUpImage(chunks: 2, payloadBytes: 1 << 16)
        let hosts = try [lan.host, lan.stations[0]].map {
            try Hosting(image, on: lan, participants: 2, machine: $0)
        }
        for host in hosts {
            let key = host.runner.fingerprint
            let found = try lan.thread(on: lan.stations[1]) {
                try HostSearch.find(session: "test", interface: nil, pinned: key, patience: 5 * second) {
                    false
                }
            }.join()
            #expect(found?.fingerprint == key)
        }
        let stranger = try #require(PrivateKey(seed: Random.bytes(32))).publicKey.fingerprint
        let nobody = try lan.thread(on: lan.stations[1]) {
            try HostSearch.find(session: "test", interface: nil, pinned: stranger, patience: 2 * second) {
                false
            }
        }.join()
        #expect(nobody == nil)
        let error = try #require(throws: TransportError.self) { try find(lan, on: lan.stations[1]) }
        for host in hosts { #expect(error.description.contains("\(host.runner.fingerprint)")) }
        for host in hosts {
            host.runner.stop(reason: "the test is over")
            _ = try host.outcome()
        }
    }

    /// What is announced once in a while by somebody who neither answers nor listens.
    @Test(arguments: [
        (SessionSnapshot.State.registering, false, "test", true), (.ended, false, "test", false),
        (.registering, true, "test", false), (.registering, false, "other", false),
    ])
    func aSearchBelievesOnlyWhatIsSignedAndGoesOn(
        state: SessionSnapshot.State, isForged: Bool, name: String, isFound: Bool
    ) throws {
        let lan = try NamespaceLAN(stations: 1)
        let key = try #require(PrivateKey(seed: Random.bytes(32)))
        let group = Address.group(of: "test", family: .ipv4)
        var datagram = AnnounceMessage(
            state: state, session: 7, joined: 3, needed: 2, controlPort: 1998, dataPort: 997,
            hostKey: key.publicKey, group: group, name: name,
            addresses: [try #require(Address(networkBytes: [10, 77, 0, 1]))]
        ).encode(signedBy: key)
        if isForged { datagram[20] ^= 1 }
        let isOver = Flag()
        let announcing = lan.thread(on: lan.host) { [datagram] in
            let interface = try #require(try NetworkInterface.usable().first)
            let target = try #require(IPAddress(bytes: group.networkBytes))
            let socket = try UDPSocket(.v4)
            try socket.setMulticast(interface: interface.index, ttl: 16)
            while !isOver.isSet.load(ordering: .relaxed) {
                _ = try socket.send(datagram, to: interface.reaching(target, port: 998))
                MonotonicClock.sleep(nanoseconds: 100_000_000)
            }
        }
        let found = try find(lan, on: lan.stations[0], patience: second)
        isOver.isSet.store(true, ordering: .relaxed)
        try announcing.join()
        #expect((found != nil) == isFound)
        guard let found else { return }
        #expect(found.endpoint.description == "10.77.0.1:1998")
        #expect(found.fingerprint == key.publicKey.fingerprint && found.joined == 3 && found.needed == 2)
    }

    @Test func aSearchEndsWhenItIsToldTo() throws {
        let lan = try NamespaceLAN(stations: 1)
        let began = MonotonicClock.now()
        let found = try lan.thread(on: lan.stations[0]) {
            try HostSearch.find(session: "test", interface: nil, patience: 60 * second) {
                MonotonicClock.now() > began + second / 2
            }
        }.join()
        #expect(found == nil)
        #expect(MonotonicClock.now() - began < 2 * second)
        let error = #expect(throws: TransportError.self) {
            try find(lan, on: lan.stations[0], interface: "eth7")
        }
        #expect(error?.description == "this machine has no interface eth7; it has lo, eth0")
    }

    /// A station without a role: it searches, somebody presses m, and the same process hosts.
    @Test func aParticipantThatSearchesMakesWayForAHost() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = MadeUpImage(chunks: 4, payloadBytes: 1 << 16)
        let searcher = try lan.thread(on: lan.host) {
            try ParticipantRunner(ParticipantSettings(name: "test")) { _ in }
        }.join()
        try waitUntil { (try? sockets(lan.host).contains(998)) ?? false }
        let waiting = Thread("join") { () -> String in
            do {
                _ = try searcher.join()
                return "joined"
            } catch { return "\(error)" }
        }
        let began = MonotonicClock.now()
        searcher.cancel(reason: "this machine becomes the master")
        #expect(try waiting.join() == "this machine becomes the master")
        #expect(MonotonicClock.now() - began < second)
        #expect(try sockets(lan.host) == [])
        let host = try Hosting(image, on: lan, participants: 1)
        #expect(host.runner.endpoint.port == 998 && host.runner.dataEndpoint.port == 997)
        #expect(try visit(lan, 0, image).join().failure == nil)
        #expect(try host.outcome().isComplete)
    }

    /// The UDP ports that are bound in a namespace.
    private func sockets(_ machine: String) throws -> Set<Int> {
        let text = try run(
            "ip", "netns", "exec", machine, "sh", "-c", "cat /proc/net/udp /proc/net/udp6 2>/dev/null || true"
        )
        return Set(
            text.split(separator: "\n").compactMap { line -> Int? in
                let words = line.split(separator: " ")
                guard words.count > 3, words[0].hasSuffix(":") else { return nil }
                return words[1].split(separator: ":").last.flatMap { Int($0, radix: 16) }
            })
    }

    // MARK: Two masters

    /// On two machines, and on one: of two that begin at the same moment one remains, and it serves everyone.
    @Test(arguments: [NamespaceLAN.Family.ipv4, .ipv6], [false, true])
    func ofTwoMastersOneRemains(_ family: NamespaceLAN.Family, onOneMachine: Bool) throws {
        let lan = try NamespaceLAN(stations: 3, family: family)
        let image = MadeUpImage(chunks: 6, payloadBytes: 1 << 16)
        let guests = [visit(lan, 0, image), visit(lan, 1, image)]
        let masters = try [lan.host, onOneMachine ? lan.host : lan.stations[2]].map { machine in
            try Hosting(image, on: lan, participants: 2, machine: machine) { $0.yields = true }
        }
        let visits = try guests.map { try $0.join() }
        let outcomes = try masters.map { try $0.outcome() }
        let winner = try #require(outcomes.firstIndex { $0.isComplete })
        let (stayed, gone) = (masters[winner].runner, outcomes[1 - winner])
        #expect(outcomes[winner].otherHost == nil && !gone.isComplete)
        #expect(gone.otherHost?.endpoint == stayed.endpoint)
        #expect(gone.otherHost?.fingerprint == stayed.fingerprint)
        #expect(
            gone.text == "the session test is hosted by \(stayed.endpoint.address) (\(stayed.fingerprint))")
        for visit in visits {
            #expect(visit.failure == nil, "\(visit.events)")
            #expect(visit.fingerprint == stayed.fingerprint.description)
        }
    }

    /// Whoever has joined a host that gives way learns from whom the session is to be had, and can begin anew at once.
    @Test func participantsOfTheOneThatYieldsAreToldWhereToGo() throws {
        let lan = try NamespaceLAN(stations: 2)
        let image = MadeUpImage(chunks: 6, payloadBytes: 1 << 16)
        let keys = try (0..<2).map { _ in try #require(PrivateKey(seed: Random.bytes(32))) }
            .sorted { $0.publicKey.bytes.lexicographicallyPrecedes($1.publicKey.bytes) }
        let loser = try Hosting(
            image, on: lan, participants: nil,
            change: {
                $0.hostKey = keys[1]
                $0.yields = true
            })
        let runner = try lan.thread(on: lan.stations[0]) {
            try ParticipantRunner(ParticipantSettings(name: "test")) { _ in }
        }.join()
        runner.need(try runner.join().existing)
        let winner = try Hosting(image, on: lan, participants: 2, machine: lan.stations[1]) {
            $0.hostKey = keys[0]
        }
        // A room is not led away by a host that nobody waits for.
        var settings = ParticipantSettings(name: "test")
        settings.pinned = keys[0].publicKey.fingerprint
        let faithful = Visitor(settings, image)
        let guest = lan.thread(on: lan.host) { faithful.run() }
        let sentence =
            "the session test is hosted by \(winner.runner.endpoint.address) (\(winner.runner.fingerprint))"
        let error = #expect(throws: HostYielded.self) { try runner.nextFrame() }
        #expect(error?.description == sentence)
        try runner.finish(.failed(sentence))
        #expect(try loser.outcome().text == sentence)
        #expect(try visit(lan, 0, image).join().fingerprint == winner.runner.fingerprint.description)
        #expect(try guest.join().failure == nil)
        #expect(try winner.outcome().isComplete)
    }

    /// A disk that answers nothing must not hold up the end: whoever reads it is told that nobody waits.
    @Test func theEndOfASessionEndsItsReads() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = MadeUpImage(chunks: 4, payloadBytes: 1 << 16)
        let host = try Hosting(image, on: lan, participants: 1, frames: DeadDisk())
        let guest = visit(lan, 0, image)
        try waitUntil { host.runner.snapshot.session.state == .running }
        host.runner.stop(reason: "the test is over")
        #expect(try host.outcome().isComplete == false)
        #expect(try guest.join().failure?.contains("the test is over") == true)
    }

    @Test func hostsThatStayTellOfEachOther() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = MadeUpImage(chunks: 2, payloadBytes: 1 << 16)
        let one = try Hosting(image, on: lan, participants: 1)
        let two = try Hosting(image, on: lan, participants: 1, machine: lan.stations[0])
        for (hosting, other) in [(one, two), (two, one)] {
            let runner = other.runner
            let sentence =
                "another host announces the session test: \(runner.endpoint.address) (\(runner.fingerprint))"
            try waitUntil { hosting.events.list.withLock { $0.contains { $0.contains(sentence) } } }
        }
        for hosting in [one, two] {
            hosting.runner.stop(reason: "the test is over")
            let outcome = try hosting.outcome()
            #expect(outcome.otherHost == nil && outcome.text == "the test is over")
        }
    }

    // MARK: Hosting

    @Test func startsAtATimeWithoutANumber() throws {
        let lan = try NamespaceLAN(stations: 2)
        let image = MadeUpImage(chunks: 4, payloadBytes: 1 << 16)
        let began = MonotonicClock.now()
        let host = try Hosting(image, on: lan, participants: nil) {
            $0.registrationTimeout = nil
            $0.startDelay = 4 * second
        }
        let visits = try [visit(lan, 0, image), visit(lan, 1, image)].map { try $0.join() }
        #expect(MonotonicClock.now() - began > 4 * second)
        for visit in visits { #expect(visit.failure == nil, "\(visit.events)") }
        // Nobody is still needed, however many are there (on a busy machine the second may come after the start).
        let waits = Set(visits.flatMap(\.events).filter { $0.hasPrefix("waiting ") })
        #expect(!waits.isEmpty && waits.isSubset(of: ["waiting 1/0", "waiting 2/0"]), "\(waits)")
        let outcome = try host.outcome()
        #expect(outcome.isComplete && outcome.participants.count == 2)
    }

    @Test func sentencesReachEarlyAndLateParticipants() throws {
        let lan = try NamespaceLAN(stations: 2)
        let image = MadeUpImage(chunks: 4, payloadBytes: 1 << 16)
        let host = try Hosting(image, on: lan, participants: 2)
        host.runner.notify("disk /dev/sda is read a second time")
        let early = visit(lan, 0, image)
        try waitUntil { host.runner.snapshot.session.joined == 1 }
        host.runner.notify("disk /dev/sda: 3 sectors cannot be read")
        let late = visit(lan, 1, image)
        for visit in [try early.join(), try late.join()] {
            #expect(visit.failure == nil)
            for sentence in [" is read a second time", ": 3 sectors cannot be read"] {
                #expect(
                    visit.events.count { $0 == "notice disk /dev/sda\(sentence)" } == 1, "\(visit.events)")
            }
        }
        #expect(try host.outcome().isComplete)
        let shown = host.events.list.withLock { $0.count { $0.hasPrefix("notice(\"disk /dev/sda") } }
        #expect(shown == 2)
    }

    /// What the screen of a master says of a machine whose disk is too small, and that it stays to be seen.
    @Test func aParticipantThatDoesNotFitIsNamed() throws {
        let lan = try NamespaceLAN(stations: 2)
        let image = MadeUpImage(chunks: 4, payloadBytes: 1 << 16)
        let roll = HostRoll()
        let lines = Events()
        let host = try Hosting(
            image, on: lan, participants: nil,
            told: { event in
                if let line = roll.sentence(event) { lines.list.withLock { $0.append(line) } }
            })
        roll.attend(host.runner)
        try lan.thread(on: lan.stations[0]) {
            var settings = ParticipantSettings(name: "test")
            settings.disks = [DiskSummary(text: "sda SMALL", size: 1 << 30)]
            let runner = try ParticipantRunner(settings) { _ in }
            _ = try runner.join()
            try runner.finish(.failed("/dev/sda is too small: 1.07 GB of 4.29 GB"))
        }.join()
        let guest = visit(lan, 1, image)
        try waitUntil { host.runner.snapshot.session.joined == 1 }
        host.runner.startNow()
        #expect(try guest.join().failure == nil)
        let outcome = try host.outcome()
        #expect(outcome.isComplete)
        let name = MachineIdentity.hostName
        let address = outcome.participants[0].endpoint.address
        let told = lines.list.withLock { $0 }
        #expect(told.contains("\(name) (\(address)) joined; registered 1"), "\(told)")
        #expect(
            told.contains("\(name) (\(address)) cannot take part: /dev/sda is too small: 1.07 GB of 4.29 GB"),
            "\(told)")
        #expect(told.contains { $0.hasSuffix("is done") })
        #expect(outcome.participants[0].state == .failed)
        #expect(outcome.participants[0].result == "/dev/sda is too small: 1.07 GB of 4.29 GB")
        #expect(outcome.participants[0].disks == [DiskSummary(text: "sda SMALL", size: 1 << 30)])
        #expect(outcome.participants[0].mac.count == 6)
    }

    /// A provider of several frames at a time is asked for several: none of the first answers before all have been asked.
    @Test func severalFramesAreGotAtATime() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = MadeUpImage(chunks: 24, payloadBytes: 1 << 16)
        let frames = TogetherFrames(image, atATime: 6)
        let host = try Hosting(image, on: lan, participants: 1, frames: frames)
        #expect(try visit(lan, 0, image).join().failure == nil)
        #expect(try host.outcome().isComplete)
        #expect(frames.most == 6)
    }

    /// Port 998 is discovery's, on which every machine listens: no stream of data goes there.
    @Test func streamsLeaveOutThePortOfDiscovery() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = MadeUpImage(chunks: 12, payloadBytes: 1 << 16)
        let host = try Hosting(image, on: lan, participants: 1) { $0.streams = 2 }
        #expect(host.runner.dataEndpoint.port == 999)
        #expect(try visit(lan, 0, image).join().failure == nil)
        #expect(try host.outcome().isComplete)
    }
}

private final class Flag: Sendable {
    let isSet = Atomic(false)
}

/// Frames of a made-up image, the first of which come only when as many as agreed have been asked for.
private final class TogetherFrames: FrameProvider {
    private let image: MadeUpImage
    let concurrency: Int
    private let condition = Condition()
    private let counts = Mutex((now: 0, most: 0))

    init(_ image: MadeUpImage, atATime count: Int) {
        self.image = image
        concurrency = count
    }

    /// The most calls that were under way together.
    var most: Int { counts.withLock { $0.most } }

    func frame(chunk: UInt32) throws -> [UInt8] {
        let deadline = MonotonicClock.now() + 10 * second
        return try condition.locked {
            counts.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
            defer { counts.withLock { $0.now -= 1 } }
            condition.signalAll()
            while most < concurrency {
                guard MonotonicClock.now() < deadline else {
                    throw TransportError("only \(most) frames were asked for at a time")
                }
                condition.wait(until: deadline)
            }
            return image.expected(chunk)
        }
    }
}

/// Frames of a disk whose every read takes until nobody wants it any more.
private final class DeadDisk: FrameProvider {
    private let hasEnded = Atomic<Bool>(false)

    func frame(chunk: UInt32) throws -> [UInt8] {
        while !hasEnded.load(ordering: .relaxed) { MonotonicClock.sleep(nanoseconds: 10 * millisecond) }
        throw TransportError("the capture was ended")
    }

    func end() { hasEnded.store(true, ordering: .relaxed) }
}
