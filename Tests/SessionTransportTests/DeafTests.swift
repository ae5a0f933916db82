// Multicast that does not arrive: both screens say why, once, and the session completes over TCP all the same.
import Blocks
import Linux
import SessionProtocol
import SessionTransport
import Synchronization
import TestSupport
import Testing

// One after the other: what is waited for here takes seconds of real time, beside simulations that take all there is.
@Suite(.serialized, .timeLimit(.minutes(10))) struct DeafTests {
    private static let prefix = "multicast from 10.77.0.1 does not reach this machine: "
    private static let back = "multicast reaches this machine again"

    /// What filters from the start is named before the start, on both screens.
    @Test(arguments: [NamespaceLAN.Obstacle.packetFilter, .switchPort, .portFilter])
    func reasonIsKnownBeforeTheStart(_ obstacle: NamespaceLAN.Obstacle) throws {
        let lan = try NamespaceLAN(stations: 2)
        try lan.obstruct(0, obstacle)
        let scene = try Listeners(lan)
        try scene.waitForReason(0)
        #expect(!scene.has(0, "started"))
        scene.hosting.runner.startNow()
        try scene.expectWhole()

        let group = scene.hosting.runner.dataEndpoint.address
        let lines = scene.lines(0)
        #expect(lines.count == 1, "\(lines)")
        #expect(lines.allSatisfy { $0.hasPrefix(DeafTests.prefix) && $0.hasSuffix("; continuing over TCP") })
        let reason =
            switch obstacle {
            case .packetFilter:
                "it arrives at eth0, but this machine drops it, most likely in its packet filter"
            case .switchPort: "no datagram for group \(group) has arrived at eth0 in the "
            case .portFilter:
                "datagrams for group \(group) arrive at eth0, but none for UDP port 997: something on the way filters"
            }
        #expect(lines.allSatisfy { $0.contains(reason) }, "\(lines)")
        #expect(scene.hostLines(0) == lines)
        // What the port filter drops reaches nobody; else the other one is not disturbed.
        let other = scene.lines(1)
        #expect(scene.hostLines(1) == other)
        #expect(obstacle == .portFilter ? other == lines : other.isEmpty, "\(other)")
        let outcome = try scene.hosting.outcome()
        #expect(outcome.isComplete, "\(outcome.text)")
        let deaf = outcome.participants.filter { $0.chunksOverControl == scene.image.existing.count }
        #expect(deaf.count == (obstacle == .portFilter ? 2 : 1))
    }

    @Test func packetFilterOfIPv6IsNamed() throws {
        let lan = try NamespaceLAN(stations: 1, family: .ipv6)
        try lan.obstruct(0, .packetFilter)
        let scene = try Listeners(lan)
        try scene.waitForReason(0)
        scene.hosting.runner.startNow()
        try scene.expectWhole()
        #expect(
            scene.lines(0) == [
                "multicast from fd77::1 does not reach this machine: it arrives at eth0, but this machine drops it, "
                    + "most likely in its packet filter; continuing over TCP"
            ])
        #expect(try scene.hosting.outcome().isComplete)
    }

    /// Multicast that ends in mid-session is noticed, explained and, when it is back, taken up again.
    @Test(arguments: [NamespaceLAN.Obstacle.packetFilter, .switchPort])
    func multicastEndsAndComesBack(_ obstacle: NamespaceLAN.Obstacle) throws {
        let lan = try NamespaceLAN(stations: 2)
        let scene = try Listeners(lan, chunks: 400, payloadBytes: 1 << 16, rate: 20)
        scene.hosting.runner.startNow()
        try waitUntil { scene.visitors[0].seen.withLock { $0.frames >= 20 } }
        try lan.obstruct(0, obstacle)
        // Each of these waits has a limit; that all of it happens before the end is what counts. How fast it is, the
        // simulations prove on their virtual clock.
        try scene.waitForReason(0)
        try waitUntil { scene.hosting.runner.snapshot.session.chunksOverControl > 0 }
        try lan.clear(0, obstacle)
        try waitUntil { scene.lines(0).count == 2 }
        try scene.expectWhole()

        let lines = scene.lines(0)
        #expect(lines.count == 2, "\(lines)")
        #expect(lines.last == DeafTests.back)
        let reason =
            obstacle == .packetFilter
            ? "it arrives at eth0, but this machine drops it, most likely in its packet filter"
            : " s in which they came: a switch that snoops IGMP without a querier forgets a group like that"
        #expect(lines[0].hasPrefix(DeafTests.prefix) && lines[0].contains(reason), "\(lines)")
        #expect(scene.hostLines(0) == lines)
        #expect(scene.lines(1).isEmpty)
        let outcome = try scene.hosting.outcome()
        #expect(outcome.isComplete, "\(outcome.text)")
        // Part of it came over TCP, and multicast served it before and after.
        let over = outcome.participants.map(\.chunksOverControl).max() ?? 0
        #expect(over > 0 && over < scene.image.existing.count - 20, "\(over)")
    }

    /// A switch that snoops without a querier keeps the group as long as it is reminded of it.
    @Test func remindedSwitchKeepsTheGroup() throws {
        let lan = try NamespaceLAN(stations: 1)
        try lan.snoopWithoutQuerier(membership: 600)
        let scene = try Listeners(lan) { $0.reminderInterval = second / 2 }
        // The group outlives its membership twice over and the participant's patience, with nothing but reminders.
        let until = MonotonicClock.now() + 13 * second
        while MonotonicClock.now() < until {
            MonotonicClock.sleep(nanoseconds: 100 * millisecond)
            #expect(scene.lines(0).isEmpty)
        }
        #expect(try lan.groupTable().contains("port p1 grp \(scene.hosting.runner.dataEndpoint.address) "))
        scene.hosting.runner.startNow()
        try scene.expectWhole()
        let outcome = try scene.hosting.outcome()
        #expect(outcome.isComplete, "\(outcome.text)")
        #expect(outcome.session.chunksOverControl == 0)
        #expect(scene.lines(0).isEmpty && scene.hostLines(0).isEmpty)
    }

    /// The same switch forgets it when no reminder gets through: the screens say so, and TCP brings everything.
    @Test func unremindedSwitchForgetsTheGroup() throws {
        let lan = try NamespaceLAN(stations: 1)
        try lan.snoopWithoutQuerier(membership: 600)
        let scene = try Listeners(lan) { $0.reminderInterval = second / 2 }
        let table = "port p1 grp \(scene.hosting.runner.dataEndpoint.address) "
        try waitUntil { (try? lan.groupTable().contains(table)) ?? false }
        try lan.withholdReports(0)
        try scene.waitForReason(0)
        #expect(try !lan.groupTable().contains(table))
        scene.hosting.runner.startNow()
        try scene.expectWhole()
        let lines = scene.lines(0)
        #expect(lines.count == 1, "\(lines)")
        #expect(
            lines.allSatisfy {
                $0.contains(
                    " s in which they came: a switch that snoops IGMP without a querier forgets a group like that"
                )
            }, "\(lines)")
        #expect(scene.hostLines(0) == lines)
        let outcome = try scene.hosting.outcome()
        #expect(outcome.isComplete, "\(outcome.text)")
        #expect(outcome.session.chunksOverControl == scene.image.existing.count)
    }

    @Test func groupThatCannotBeJoinedIsNamed() throws {
        let lan = try NamespaceLAN(stations: 1)
        let words = lan.command(on: lan.stations[0])
        try run(words + ["sh", "-c", "echo 0 > /proc/sys/net/ipv4/igmp_max_memberships"])
        let scene = try Listeners(lan)
        try scene.waitForReason(0)
        scene.hosting.runner.startNow()
        try scene.expectWhole()
        let group = scene.hosting.runner.dataEndpoint.address
        let lines = scene.lines(0)
        #expect(lines.count == 1, "\(lines)")
        let start = DeafTests.prefix + "cannot join group \(group) on interface "
        #expect(lines.allSatisfy { $0.hasPrefix(start) }, "\(lines)")
        #expect(scene.hostLines(0) == lines)
        #expect(try scene.hosting.outcome().isComplete)
    }

    @Test func interfaceWithoutMulticastIsNamed() throws {
        let lan = try NamespaceLAN(stations: 1)
        let scene = try Listeners(lan)
        try run("ip", "-n", lan.stations[0], "link", "set", "eth0", "multicast", "off")
        try lan.obstruct(0, .switchPort)
        try scene.waitForReason(0)
        scene.hosting.runner.startNow()
        try scene.expectWhole()
        #expect(scene.lines(0) == [DeafTests.prefix + "eth0 cannot multicast; continuing over TCP"])
        #expect(scene.hostLines(0) == scene.lines(0))
        #expect(try scene.hosting.outcome().isComplete)
    }

    @Test func reversePathFilterIsNamed() throws {
        let lan = try NamespaceLAN(stations: 1)
        try lan.leadBackBySecondInterface(0)
        let scene = try Listeners(lan) { $0.interface = "eth0" }
        try scene.waitForReason(0)
        scene.hosting.runner.startNow()
        try scene.expectWhole()
        #expect(
            scene.lines(0) == [
                DeafTests.prefix
                    + "it arrives at eth0, but the reverse path filter (rp_filter) drops it, because the route to "
                    + "10.77.0.1 is not by eth0; continuing over TCP"
            ])
        #expect(scene.hostLines(0) == scene.lines(0))
        #expect(try scene.hosting.outcome().isComplete)
    }

    /// The filter's counter is the whole machine's: that it rises does not make it the one to blame.
    @Test func dropsOfAnotherInterfaceAreNotBlamed() throws {
        let lan = try NamespaceLAN(stations: 1)
        try lan.addSecondInterface(0)
        try lan.obstruct(0, .packetFilter)
        let scene = try Listeners(lan) { $0.interface = "eth0" }
        let isOver = Mutex(false)
        // Everybody on the network gets these, and eth1 is not the way back to their sender.
        let broadcasts = lan.thread(on: lan.host) {
            let socket = try UDPSocket(.v4)
            let everybody = SocketAddress(try #require(IPAddress("10.77.0.255")), port: 9)
            while !isOver.withLock({ $0 }) {
                _ = try socket.send([1, 2, 3], to: everybody)
                MonotonicClock.sleep(nanoseconds: 2 * millisecond)
            }
        }
        defer { isOver.withLock { $0 = true } }
        try waitUntil { (try? lan.reversePathDrops(0)) ?? 0 > 0 }
        let before = try lan.reversePathDrops(0)
        try scene.waitForReason(0)
        #expect(try lan.reversePathDrops(0) > before)
        isOver.withLock { $0 = true }
        try broadcasts.join()
        scene.hosting.runner.startNow()
        try scene.expectWhole()
        #expect(
            scene.lines(0) == [
                DeafTests.prefix
                    + "it arrives at eth0, but this machine drops it, most likely in its packet filter; continuing "
                    + "over TCP"
            ])
        #expect(scene.hostLines(0) == scene.lines(0))
        #expect(try scene.hosting.outcome().isComplete)
    }
}

/// A host that waits to be started by hand, and one participant on each station that has joined it.
final class Listeners: Sendable {
    let image: MadeUpImage
    let hosting: Hosting
    let visitors: [Visitor]
    private let addresses: [String]
    private let threads: [Thread<Visit>]

    init(
        _ lan: NamespaceLAN, chunks: Int = 8, payloadBytes: Int = 1 << 17, rate: Int = 100,
        change: (inout ParticipantSettings) -> Void = { _ in }
    ) throws {
        let image = MadeUpImage(chunks: chunks, payloadBytes: payloadBytes)
        self.image = image
        // One more than there are: it starts when the test says so.
        hosting = try Hosting(image, on: lan, participants: lan.stations.count + 1) {
            $0.rate = rate
            $0.registrationTimeout = nil
        }
        var settings = ParticipantSettings(name: "test")
        change(&settings)
        let visitors = lan.stations.map { [settings] _ in Visitor(settings, image) }
        self.visitors = visitors
        let network = lan.hostAddress.dropLast()
        addresses = visitors.indices.map { "\(network)\(11 + $0)" }
        threads = zip(lan.stations, visitors).map { station, visitor in
            lan.thread(on: station) { visitor.run() }
        }
        try waitUntil { visitors.allSatisfy { $0.seen.withLock { $0.events.contains("accepted") } } }
    }

    func has(_ index: Int, _ event: String) -> Bool {
        visitors[index].seen.withLock { $0.events.contains(event) }
    }

    /// What the participant's screen says of multicast.
    func lines(_ index: Int) -> [String] {
        visitors[index].seen.withLock { visit in
            visit.events.filter { $0.hasPrefix("notice multicast") }.map { String($0.dropFirst(7)) }
        }
    }

    /// What the host's screen says of multicast to station `index`: the station's own words without its name, and what
    /// the host says by itself.
    func hostLines(_ index: Int) -> [String] {
        let name = "\(MachineIdentity.hostName) (\(addresses[index]))"
        return hosting.events.list.withLock { $0 }.filter { $0.contains(name) && $0.contains("multicast") }
            .map {
                let text = $0.replacing("notice(\"", with: "").replacing("\")", with: "")
                return text.hasPrefix("\(name): ") ? String(text.dropFirst(name.count + 2)) : text
            }
    }

    /// Waits for the first line about multicast.
    func waitForReason(_ index: Int) throws { try waitUntil { !lines(index).isEmpty } }

    /// Waits for the end: everybody has every byte.
    func expectWhole() throws {
        for visit in try threads.map({ try $0.join() }) {
            #expect(visit.failure == nil, "\(visit.failure ?? "") \(visit.events)")
            #expect(visit.frames == image.existing.count)
            #expect(visit.wrongFrames == 0)
        }
    }
}
