// What the host believes, and what it bounds, when peers break the rules.
import Blocks
import SessionProtocol
import SessionSimulation
import Testing

@Suite struct HostRulesTests {
    @Test func doneBeforeTheStartIsNotBelieved() throws {
        let host = try Spoken(seed: 60, participants: 2)
        host.join(1, number: 1)
        host.need(1)
        host.done(1, chunks: host.existing.count)
        #expect(host.closed == [1])
        #expect(host.machine.snapshots[0].state != .finished)
    }

    @Test func doneWithoutNeedIsNotBelieved() throws {
        let host = try Spoken(seed: 61, participants: 1)
        host.join(1, number: 1)
        // It speaks, so it is waited for, and yet never says what it needs.
        host.wait(3_000 * ms)
        host.say(1, NoticeMessage(level: .state).encode())
        host.wait(3_000 * ms)
        #expect(host.machine.session.state == .running)
        host.done(1, chunks: 0)
        #expect(host.closed == [1])
        #expect(host.machine.snapshots[0].state != .finished)
        #expect(host.events.contains { $0.contains("said DONE with 0 chunks, no NEED") })
    }

    @Test func doneWithLessThanAskedForIsNotBelieved() throws {
        let host = try Spoken(seed: 62, participants: 1)
        host.join(1, number: 1)
        host.need(1)
        #expect(host.machine.session.state == .running)
        host.done(1, chunks: host.existing.count - 1)
        #expect(host.closed == [1])
        #expect(host.machine.snapshots[0].state != .finished)
        #expect(host.machine.snapshots[0].chunksDone == 0)
        host.wait(300_000 * ms)
        #expect(host.end?.0 == false)
        #expect(host.machine.snapshots[0].chunksDone == 0)
    }

    @Test func doneWithEverythingIs() throws {
        let host = try Spoken(seed: 63, participants: 1)
        host.join(1, number: 1)
        host.need(1)
        host.done(1, chunks: host.existing.count)
        #expect(host.machine.snapshots[0].state == .finished)
        #expect(host.machine.snapshots[0].chunksDone == host.existing.count)
        #expect(host.end?.0 == true)
    }

    @Test func whoGivesUpBeforeTheStartWasNeverPartOfIt() throws {
        let host = try Spoken(seed: 64, participants: 2)
        host.join(1, number: 1)
        host.say(1, AbortMessage(reason: "the disk sda is too small").encode())
        for id in [2, 3] as [ConnectionID] {
            host.join(id, number: Int(id))
            host.need(id)
        }
        for id in [2, 3] as [ConnectionID] { host.done(id, chunks: host.existing.count) }
        #expect(host.end?.0 == true)
        #expect(host.end?.1 == "everyone is through")
    }

    /// Its old connection seems to stand for minutes, and its new one would be a second machine.
    @Test func aMachineThatIsSwitchedOffAndOnCountsOnce() throws {
        let host = try Spoken(seed: 67, participants: 2)
        host.join(1, number: 1, run: 8)
        host.need(1)
        host.wait(6_000 * ms)
        #expect(host.machine.session.joined == 0 && host.machine.session.stillNeeded == 2)
        host.join(2, number: 1, run: 9)
        host.need(2)
        #expect(host.machine.session.joined == 1 && host.machine.session.state == .registering)
        #expect(host.closed.contains(1))
        host.join(3, number: 3)
        host.need(3)
        #expect(host.machine.session.state == .running)
        for id in [2, 3] as [ConnectionID] { host.done(id, chunks: host.existing.count) }
        #expect(host.end?.0 == true, "\(host.end?.1 ?? "")")
    }

    /// A room does not start with a machine that is silent, nor forgets one that speaks again.
    @Test func whoIsSilentIsNotCountedUntilItSpeaks() throws {
        let host = try Spoken(seed: 68, participants: 2)
        host.join(1, number: 1)
        host.need(1)
        host.wait(6_000 * ms)
        host.join(2, number: 2)
        host.need(2)
        #expect(host.machine.session.state == .registering && host.machine.session.joined == 1)
        host.say(1, NoticeMessage(level: .state).encode())
        host.wait(1)
        #expect(host.machine.session.state == .running && host.machine.session.joined == 2)
    }

    @Test func theEndNamesThoseThatFailed() throws {
        let host = try Spoken(seed: 65, participants: 3)
        for id in [1, 2, 3] as [ConnectionID] {
            host.join(id, number: Int(id))
            host.need(id)
        }
        host.say(2, AbortMessage(reason: "sda: input/output error").encode())
        for id in [1, 3] as [ConnectionID] { host.done(id, chunks: host.existing.count) }
        #expect(host.end?.0 == false)
        #expect(host.end?.1 == "1 of 3 failed: pc2: sda: input/output error")
    }

    @Test func joiningAndLeavingDoesNotFillTheSession() throws {
        let host = try Spoken(seed: 66, participants: 2) { $0.maximumParticipants = 4 }
        for number in 1...50 {
            host.join(ConnectionID(number), number: number)
            #expect(host.machine.session.joined == 1)
            host.machine.disconnected(ConnectionID(number), reason: "closed", now: host.now)
            host.take()
        }
        #expect(host.closed.isEmpty)
        #expect(host.machine.snapshots.count == 4)
        for number in 101...102 {
            host.join(ConnectionID(number), number: number)
            host.need(ConnectionID(number))
        }
        #expect(host.closed.isEmpty)
        #expect(host.machine.session.state == .running)
        for number in 101...102 { host.done(ConnectionID(number), chunks: host.existing.count) }
        #expect(host.end?.0 == true)
        #expect(host.machine.snapshots.count { $0.state == .finished } == 2)
    }

    @Test func aFullSessionTakesNobodyElse() throws {
        let host = try Spoken(seed: 67, participants: 4) { $0.maximumParticipants = 3 }
        for number in 1...4 { host.join(ConnectionID(number), number: number) }
        #expect(host.closed == [4])
        #expect(host.machine.session.joined == 3)
    }

    /// As many as fill all places of TCP take nothing; one that does must get everything.
    @Test func thoseThatTakeNothingDoNotBlockTCP() throws {
        let host = try Spoken(seed: 68, participants: 5)
        let all: [ConnectionID] = [1, 2, 3, 4, 5]
        for id in all {
            host.join(id, number: Int(id))
            host.need(id)
        }
        func run(seconds: Int) {
            for _ in 0..<2 * seconds {
                for id in all {
                    let got = id == 5 ? ChunkSet(host.chunks[5] ?? []) : ChunkSet()
                    host.say(id, ReportMessage(hasHeard: false, done: got).encode())
                }
                host.wait(500 * ms)
            }
        }
        run(seconds: 8)
        #expect(host.chunks[5] == nil, "all places are taken")
        #expect((1...4).allSatisfy { host.chunks[$0]?.count == Specification.chunksInFlight })
        run(seconds: 22)
        #expect(ChunkSet(host.chunks[5] ?? []) == host.existing)
        #expect((1...4).allSatisfy { host.chunks[$0]?.count == Specification.chunksInFlight })
        host.done(5, chunks: host.existing.count)
        #expect(host.machine.snapshots[4].state == .finished)
    }

    @Test func idleConnectionsDoNotShutOthersOut() throws {
        let host = try Spoken(seed: 69, participants: 1) { $0.maximumParticipants = 4 }
        let stranger = Endpoint(Address(ipv4: 0x0a00_0063), port: 4000)
        for id in 1000..<1500 as Range<ConnectionID> {
            host.machine.connected(id, from: stranger, now: host.now)
            host.take()
        }
        #expect(host.closed.count == 500 - 16)
        host.join(1, number: 1)
        #expect(host.machine.session.joined == 1)
    }
}
