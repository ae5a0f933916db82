// When a session starts: by number, by hand, by the wait for the next one, at a time; whichever comes first.
import Blocks
import SessionProtocol
import SessionSimulation
import Testing

@Suite struct StartTests {
    @Test func withoutANumberNobodyStartsIt() throws {
        let scene = Scene(seed: 200, chunks: 5)
        let host = try scene.host(participants: nil)
        let all = try scene.participants(4)
        scene.world.run(limit: 120_000 * ms) { false }
        let session = host.machine.session
        #expect(session.state == .registering && session.joined == 4)
        #expect(session.needed == 0 && session.stillNeeded == 0 && session.startsAt == nil)
        // The participants' screens show no number that is missing either.
        #expect(all.allSatisfy { $0.log.contains { $0.contains("waiting(joined: 4, stillNeeded: 0)") } })
        host.machine.startNow(now: scene.world.now)
        host.pump()
        scene.world.runToEnd()
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
    }

    @Test func theWaitIsArmedAnewByEachRegistration() throws {
        let host = try Spoken(seed: 201, participants: nil) { $0.registrationTimeout = 10_000 * ms }
        host.wait(60_000 * ms)
        #expect(host.machine.session.state == .registering && host.machine.session.startsAt == nil)
        for number in 1...3 {
            host.join(ConnectionID(number), number: number)
            host.need(ConnectionID(number))
            #expect(host.machine.session.startsAt == host.now + 10_000 * ms)
            // Whoever says nothing for five seconds counts as silent.
            for _ in 1...3 {
                host.wait(3_000 * ms)
                for number in 1...number {
                    host.say(ConnectionID(number), NoticeMessage(level: .state).encode())
                }
            }
            #expect(host.machine.session.state == .registering)
        }
        host.wait(1_000 * ms)
        #expect(host.machine.session.state == .running)
        #expect(host.machine.snapshots.allSatisfy { $0.state == .receiving })
    }

    @Test func atATimeWithWhoeverIsThere() throws {
        let scene = Scene(seed: 202, chunks: 5)
        let time = scene.world.now + 20_000 * ms
        let host = try scene.host(participants: nil) { $0.startTime = time }
        #expect(host.machine.session.startsAt == time)
        let all = try scene.participants(3)
        scene.world.run(limit: 60_000 * ms) { host.machine.session.state != .registering }
        #expect((time...time + 2 * ms).contains(scene.world.now))
        #expect(host.machine.session.startsAt == nil)
        scene.world.runToEnd()
        scene.expectComplete(all)
        scene.expectEnd(host, complete: true)
    }

    @Test func atATimeWithNobodyItStartsWithTheFirst() throws {
        let host = try Spoken(seed: 203, participants: nil) { [now = 1_000 * ms] in
            $0.startTime = now + 5_000 * ms
            $0.registrationTimeout = 60_000 * ms
        }
        host.wait(30_000 * ms)
        #expect(host.machine.session.state == .registering)
        // A time that is past must not be a deadline, or the driver would never sleep.
        #expect((host.machine.deadline(now: host.now) ?? 0) > host.now)
        host.join(1, number: 1)
        host.wait(100 * ms)
        #expect(host.machine.session.state == .registering, "it has not said what it needs")
        host.need(1)
        #expect(host.machine.session.state == .running)
    }

    @Test func whoeverPlansForLongIsNotWaitedFor() throws {
        let host = try Spoken(seed: 204, participants: nil) { $0.startTime = 5_000 * ms }
        host.join(1, number: 1)
        host.wait(4_000 * ms)
        host.say(1, NoticeMessage(level: .state).encode())
        host.wait(4_900 * ms)
        #expect(host.machine.session.state == .registering)
        host.say(1, NoticeMessage(level: .state).encode())
        host.wait(100 * ms)
        #expect(host.machine.session.state == .running)
    }

    /// Each of the three in turn is the first to come.
    @Test(arguments: [0, 1, 2])
    func whicheverComesFirst(first: Int) throws {
        let far: UInt64 = 1_000_000 * ms
        let host = try Spoken(seed: 205, participants: first == 0 ? 2 : 3) {
            $0.registrationTimeout = first == 1 ? 2_000 * ms : far
            $0.startTime = first == 2 ? 3_000 * ms : far
        }
        for id in [1, 2] as [ConnectionID] {
            host.join(id, number: Int(id))
            host.need(id)
            #expect((host.machine.session.state == .running) == (first == 0 && id == 2))
        }
        #expect(host.machine.session.startsAt == (first == 0 ? nil : 3_000 * ms))
        host.wait(1_999 * ms)
        #expect((host.machine.session.state == .running) == (first == 0))
        host.wait(1 * ms)
        #expect(host.machine.session.state == .running)
    }

    @Test func byHandNeedsSomebody() throws {
        let host = try Spoken(seed: 206, participants: nil)
        host.machine.startNow(now: host.now)
        host.take()
        #expect(host.machine.session.state == .registering)
        #expect(host.events == ["notice(\"nobody has registered yet\")"])
        host.join(1, number: 1)
        host.machine.startNow(now: host.now)
        #expect(host.machine.session.state == .running)
    }

    @Test func whoJoinsAndLeavesDoesNotCount() throws {
        let host = try Spoken(seed: 207, participants: 2) { $0.startTime = 4_000 * ms }
        host.join(1, number: 1)
        host.need(1)
        host.say(1, AbortMessage(reason: "/dev/sda is too small").encode())
        host.join(2, number: 2)
        host.need(2)
        #expect(host.machine.session.state == .registering && host.machine.session.joined == 1)
        host.machine.disconnected(2, reason: "closed", now: host.now)
        host.wait(10_000 * ms)
        #expect(host.machine.session.state == .registering, "nobody is there")
        host.join(3, number: 3)
        host.need(3)
        #expect(host.machine.session.state == .running)
        host.done(3, chunks: host.existing.count)
        #expect(host.end?.0 == true)
    }

    /// A machine that cannot take part stays on the list with its reason, until it tries again.
    @Test func aRefusalStaysOnTheList() throws {
        let host = try Spoken(seed: 208, participants: nil)
        host.join(1, number: 1)
        host.say(1, AbortMessage(reason: "/dev/sda is too small").encode())
        host.join(2, number: 2)
        host.wait(60_000 * ms)
        #expect(host.machine.snapshots.map(\.state) == [.failed, .silent])
        #expect(host.machine.snapshots[0].result == "/dev/sda is too small")
        #expect(host.machine.snapshots[0].mac == [2, 0, 0, 0, 0, 1])
        // The same machine with a larger disk: its row is its own again, not a second one.
        host.join(3, number: 1, run: 10)
        #expect(host.machine.snapshots.count == 2)
        #expect(host.machine.snapshots[0].state == .joined && host.machine.snapshots[0].result == nil)
    }

    @Test func sentencesReachThoseThereAndThoseToCome() throws {
        let host = try Spoken(seed: 209, participants: nil)
        host.join(1, number: 1)
        host.machine.notify("disk /dev/sda: sectors 8 to 15 cannot be read", now: host.now)
        for number in 1...19 { host.machine.notify("sentence \(number)", now: host.now) }
        host.machine.notify("ä" + String(repeating: "é", count: 1000), now: host.now)
        host.take()
        #expect(host.sentences[1]?.count == 21)
        #expect(host.sentences[1]?.first == "disk /dev/sda: sectors 8 to 15 cannot be read")
        // A NOTICE carries 1024 bytes, cut at a character's end; the host's own screen shows everything.
        #expect(host.sentences[1]?.last?.utf8.count == 1024)
        #expect(host.events.contains { $0.hasPrefix("notice(\"ä") && $0.utf8.count > 2000 })
        #expect(host.events.count { $0.hasPrefix("notice") } == 21)
        // Whoever comes later gets the last ones, and again after it was away.
        let last = host.sentences[1]?.suffix(16).map(\.self)
        host.join(2, number: 2)
        #expect(host.sentences[2] == last)
        host.machine.disconnected(2, reason: "closed", now: host.now)
        host.join(3, number: 2)
        #expect(host.sentences[3] == last)
        host.machine.startNow(now: host.now)
        host.join(4, number: 4)
        #expect(host.sentences[4] == last)
    }

    @Test func aSessionThatNobodyFinishedIsNoSuccess() throws {
        let host = try Spoken(seed: 211, participants: nil)
        host.join(1, number: 1)
        host.say(1, AbortMessage(reason: "the disk sda is too small").encode())
        host.machine.stop(reason: "interrupted", now: host.now)
        host.take()
        #expect(host.end?.0 == false)
    }

    @Test func sentencesAreShownByParticipants() throws {
        let scene = Scene(seed: 210)
        let host = try scene.host(participants: 2) { $0.rate = 2_000_000 }
        let early = try scene.participants(2)
        scene.world.run(limit: 600_000 * ms) { early[0].disk.count > 3 }
        host.machine.notify("disk /dev/sda: 3 sectors cannot be read", now: scene.world.now)
        host.pump()
        let late = try scene.participants(1)
        scene.world.runToEnd()
        scene.expectComplete(early + late)
        for one in early + late {
            #expect(one.log.count { $0.contains("disk /dev/sda: 3 sectors cannot be read") } == 1)
        }
    }
}
