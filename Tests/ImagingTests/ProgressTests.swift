// The model of progress: states, averages at the end, the session's figures, and queues that halt nobody.
import Blocks
import Imaging
import Linux
import SessionProtocol
import Synchronization
import Testing

struct ProgressTests {
    private let clock = TurnedClock()
    private let progress: Progress

    init() { progress = Progress(session: "lab1", clock: clock.hand) }

    private func figures(wire: UInt64, lost: Double? = nil) -> NetworkFigures {
        var figures = NetworkFigures()
        figures.wireBytes = wire
        figures.lossPercent = lost
        return figures
    }

    @Test func ratesAtTheEndAreAveragesOfTheTransfer() {
        progress.enter(.waiting)
        clock.turn(1000)
        progress.follow { [self] in figures(wire: 77) }
        progress.begin(
            .restoring, totalBytes: 9_000_000_000, totalChunks: 3,
            disks: [
                .init(name: "/dev/sda", totalBytes: 6_000_000_000, totalChunks: 2),
                .init(name: "/dev/sdb", totalBytes: nil, totalChunks: 1),
            ])
        // What came before the transfer is not of it.
        progress.follow { [self] in figures(wire: 77 + 4_500_000_000, lost: 0.5) }
        progress.add(content: 6_000_000_000, disk: 0)
        clock.turn(20)
        progress.add(content: 3_000_000_000, disk: 1)
        progress.enter(.finishing)
        clock.turn(10)
        let report = progress.complete()
        #expect(report.state == .done)
        #expect(report.transferTime == 30_000_000_000)
        #expect(report.elapsed == 1_030_000_000_000)
        #expect(report.wireBytes == 4_500_000_000)
        #expect(report.ratesText == "wire 150 MB/s, disk 18.0 GB/min")
        #expect(report.lossText == "lost 0.50 %")
        #expect(report.timeText == "30.0 s")
        #expect(report.disks.map(\.rate) == [200e6, 100e6])
        // By bytes where their sum is known, else by chunks.
        #expect(report.disks.map(\.percent) == [100, 100])
        #expect(report.chunks == 2)
        #expect(report.etaText == nil)
        // Once it has been told, nothing changes it.
        progress.finish("all of it")
        clock.turn(50)
        progress.add(content: 1, disk: 0)
        progress.add(frame: 1)
        progress.begin(.verifying, totalBytes: 1, totalChunks: 1)
        progress.fail("too late")
        #expect(progress.report() == report)
    }

    @Test func readingBackHasItsOwnTime() {
        progress.begin(
            .restoring, totalBytes: 1_000_000_000, totalChunks: 1, disks: [.init(name: "a", totalChunks: 1)])
        clock.turn(10)
        progress.add(content: 1_000_000_000, disk: 0)
        progress.begin(
            .verifying, totalBytes: 1_000_000_000, totalChunks: 1, disks: [.init(name: "a", totalChunks: 1)])
        #expect(progress.report().percentText == "0 %")
        clock.turn(4)
        progress.add(content: 500_000_000, disk: 0)
        #expect(progress.report().percentText == "50 %")
        #expect(progress.report().verifyTime == 4_000_000_000)
        progress.fault(disk: 0, "a does not read back as written")
        progress.fault(disk: 0, "and more")
        progress.enter(.finishing)
        clock.turn(3)
        let report = progress.complete()
        #expect(report.timeText == "10.0 s, read back in 4.0 s")
        #expect(report.diskBytes == 1_000_000_000)
        #expect(report.diskText == "disk 6.00 GB/min")
        #expect(report.disks[0].error == "a does not read back as written")
        #expect(report.disks[0].text == "a 100 %, disk 6.00 GB/min, a does not read back as written")
    }

    @Test func aFailureKeepsWhatWasDone() {
        progress.begin(.receiving, totalBytes: 1000, totalChunks: 4)
        progress.add(content: 250, disk: 0)
        clock.turn(2)
        progress.fail("the network is gone")
        let report = progress.report()
        #expect(report.state == .failed)
        #expect(report.error == "the network is gone")
        #expect(report.percentText == "25 %")
        #expect(report.diskRate == 125)
    }

    /// A master is through, and then finds that somebody is not.
    @Test func whatIsCompleteMayHaveFailedAfterAll() {
        let inbox = progress.inbox()
        progress.begin(.sending, totalBytes: 1000, totalChunks: 4)
        progress.add(content: 1000, disk: 0)
        clock.turn(2)
        let figures = progress.complete()
        clock.turn(2)
        progress.fail("one machine is lost")
        progress.fail("and told again")
        progress.finish("or done")
        inbox.close()
        var report = progress.report()
        #expect(report.state == .failed && report.error == "one machine is lost")
        #expect(
            inbox.wait(until: .max).events.suffix(2) == [.report(report), .failed("one machine is lost")])
        (report.state, report.error) = (.done, nil)
        #expect(report == figures)
    }

    @Test func theLastFiguresOfASessionStay() {
        progress.follow { [self] in figures(wire: 1000, lost: 2) }
        progress.begin(.receiving, totalBytes: 1000, totalChunks: 4)
        progress.follow { [self] in figures(wire: 5000, lost: 3) }
        progress.settle()
        clock.turn(2)
        #expect(progress.complete().wireText == "wire 0.00 MB/s")
        #expect(progress.report().wireRate == 2000)
        #expect(progress.report().lossPercent == 3)
    }

    @Test func nothingTransferredIsNoRate() {
        let report = progress.complete()
        #expect(report.ratesText == "wire 0.00 MB/s, disk 0.00 GB/min")
        #expect(report.timeText == "0.0 s")
    }

    @Test func almostAllIsNotAll() {
        progress.begin(.restoring, totalBytes: 10_000, totalChunks: 2)
        progress.add(content: 9_999, disk: 7)
        #expect(progress.report().percentText == "99 %")
        progress.add(content: 1, disk: 7)
        #expect(progress.report().percentText == "100 %")
    }

    @Test func aLocalJobHasAFileInsteadOfAWire() {
        let local = Progress(clock: clock.hand)
        local.begin(.capturing, totalBytes: 1000, totalChunks: 1)
        for _ in 0..<20 {
            clock.turn(0.2)
            local.add(frame: 11_200_000)
            _ = local.report()
        }
        #expect(local.report().wireText == "file 56.0 MB/s")
        #expect(local.report().lossText == nil)
    }

    @Test(arguments: [(0, "0 %"), (0.0001, "<0.01 %"), (0.05, "0.05 %"), (1.25, "1.25 %"), (100, "100 %")])
    func lossIsNeverRoundedAway(_ percent: Double, _ text: String) { #expect(percent.asLoss == text) }

    @Test func registration() {
        progress.enter(.waiting)
        progress.register(joined: 3, stillNeeded: 2)
        #expect(progress.report().registrationText == "registered/still needed 3/2")
        progress.follow {
            var figures = NetworkFigures()
            (figures.joined, figures.stillNeeded, figures.startsIn) = (4, 1, 65)
            return figures
        }
        #expect(progress.report().registrationText == "registered/still needed 4/1, starts in 1:05")
    }
}

struct NetworkFiguresTests {
    private func participant(
        _ name: String, _ state: ParticipantState, done: Int, of needed: Int, result: String? = nil
    ) -> ParticipantSnapshot {
        var one = ParticipantSnapshot(
            name: name, endpoint: Endpoint(Address(ipv4: 0x0a00_000b), port: 998), serial: "",
            mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56],
            disks: [DiskSummary(text: "sda \u{7}SSD", size: 500_000_000_000)], linkMegabits: 1000,
            state: state,
            chunksNeeded: needed, chunksDone: done)
        one.result = result
        return one
    }

    @Test func participantsFigures() {
        var progress = ParticipantProgress()
        #expect(NetworkFigures(progress).lossPercent == nil)
        progress.symbolsReceived = 900
        progress.lostOnWire = 60
        progress.lostInSocket = 40
        // They did arrive, and are counted there.
        progress.lostForWantOfBuffers = 50
        progress.bytesOverControl = 5
        progress.freeBuffers = 3
        progress.buffers = 64
        let figures = NetworkFigures(progress)
        #expect(figures.wireBytes == 900 * 1440 + 5)
        #expect(figures.lossPercent == 15)
        #expect(figures.freeBuffers == 3 && figures.buffers == 64)
        #expect(figures.machines.isEmpty)
    }

    @Test func mastersFigures() {
        var session = SessionSnapshot()
        session.needed = 5
        session.joined = 3
        session.startsAt = 90_000_000_000
        var figures = NetworkFigures(session, [], now: 48_000_000_000)
        #expect(figures.joined == 3 && figures.stillNeeded == 2 && figures.startsIn == 42)
        #expect(figures.fractionDone == nil && figures.lossPercent == nil)
        #expect(NetworkFigures(session, [], now: 100_000_000_000).startsIn == 0)

        session.state = .running
        session.datagrams = 1000
        session.bytesOverControl = 7
        var slow = participant("pc1", .receiving, done: 20, of: 100)
        (slow.received, slow.lostOnWire, slow.lostInSocket) = (800, 150, 50)
        slow.writeRate = 223_000_000
        slow.freeBuffers = 9
        let all = [
            slow, participant("p\u{1B}c2", .finished, done: 100, of: 100, result: "restored"),
            participant("pc3", .failed, done: 0, of: 100, result: "the disk\nsda is too small"),
            participant("pc4", .lost, done: 50, of: 100), participant("pc5", .joined, done: 0, of: 0),
        ]
        figures = NetworkFigures(session, all, now: 0)
        #expect(figures.joined == nil && figures.startsIn == nil)
        #expect(figures.wireBytes == 1_440_007)
        #expect(figures.lossPercent == 20)
        // Those that are gone do not count.
        #expect(figures.fractionDone == 0.6)
        #expect(
            figures.machines.map(\.text) == [
                "pc1 10.0.0.11 20 %, disk 13.4 GB/min, lost 20.0 %", "p?c2 10.0.0.11 100 %, finished",
                "pc3 10.0.0.11 0 %, the disk?sda is too small", "pc4 10.0.0.11 50 %, lost",
                "pc5 10.0.0.11, sda ?SSD 500 GB: joined",
            ])
        #expect(figures.machines.map(\.fits) == [true, true, true, true, nil])
        #expect(figures.machines[0].mac == "52:54:00:12:34:56")
        #expect(figures.machines[0].freeBuffers == 9)
        #expect(figures.machines[1].problem == nil)
    }

    @Test func aMastersBarIsThatOfItsMachines() {
        let clock = TurnedClock()
        let progress = Progress(session: "lab1", clock: clock.hand)
        progress.begin(.sending, totalBytes: 1_000_000, totalChunks: 100)
        let done = Mutex(0)
        progress.follow { [self] in
            var session = SessionSnapshot()
            session.state = .running
            return NetworkFigures(
                session, [participant("pc1", .receiving, done: done.withLock { $0 }, of: 100)], now: 0)
        }
        // Its own reading of the disks is no progress.
        progress.add(content: 5_000_000, disk: 0)
        for _ in 0..<40 {
            clock.turn(0.2)
            done.withLock { $0 += 1 }
            _ = progress.report()
        }
        let report = progress.report()
        #expect(report.diskBytes == 400_000 && report.chunks == 40)
        #expect(report.percentText == "40 %")
        #expect(report.diskRate == 50_000)
        #expect(report.secondsLeft == 12)
        // A late joiner sets it back; no rate is negative.
        done.withLock { $0 = 3 }
        clock.turn(0.2)
        #expect(progress.report().percentText == "3 %")
        #expect(progress.report().diskRate == 0)
        #expect(progress.report().secondsLeft == nil)
    }
}

struct ProgressInboxTests {
    @Test func everybodyGetsEverythingInOrder() {
        let progress = Progress()
        let first = progress.inbox()
        progress.note("one")
        let second = progress.inbox()
        progress.note("two", .warning)
        progress.note("three", .error)
        progress.finish("all")
        first.close()
        second.close()
        let (events, isLast) = first.wait(until: .max)
        #expect(isLast)
        #expect(events.prefix(3) == [.notice("one"), .warning("two"), .error("three")])
        guard case .report(let report) = events[3] else {
            Issue.record("\(events)")
            return
        }
        #expect(report.state == .done)
        #expect(events[4...] == [.finished("all")])
        #expect(second.wait(until: .max).events == Array(events.dropFirst()))
    }

    @Test func everyChangeOfStateIsTold() {
        let progress = Progress()
        let inbox = progress.inbox()
        progress.enter(.searching)
        progress.begin(.receiving, totalBytes: 5, totalChunks: 1)
        progress.fail("no")
        inbox.close()
        let states = inbox.wait(until: .max).events.compactMap { event in
            if case .report(let report) = event { report.state } else { nil }
        }
        #expect(states == [.searching, .receiving, .failed])
    }

    @Test func whatNobodyReadsIsCountedAndTheEndIsKept() {
        let progress = Progress()
        let inbox = progress.inbox()
        for index in 0..<ProgressInbox.limit + 25 { progress.note("\(index)") }
        progress.finish("done")
        inbox.close()
        progress.note("after the end")
        let (events, isLast) = inbox.wait(until: .max)
        #expect(isLast)
        #expect(events.count == ProgressInbox.limit + 3)
        #expect(events[ProgressInbox.limit - 1] == .notice("\(ProgressInbox.limit - 1)"))
        #expect(events[ProgressInbox.limit] == .notice("and 25 more messages"))
        #expect(events.last == .finished("done"))
    }

    @Test func aDeadlineEndsTheWait() {
        let (events, isLast) = Progress().inbox().wait(until: MonotonicClock.now())
        #expect(events.isEmpty && !isLast)
    }

    /// A screen that does not go on: the job does, and the screen gets the rest when it goes on.
    @Test(.timeLimit(.minutes(10))) func aHaltedScreenHaltsNothing() {
        let progress = Progress()
        let halted = Condition()
        let isHalted = Mutex(true)
        let taken = Mutex<[ProgressEvent]>([])
        let listener = progress.listen(every: 3_600_000_000_000) { event in
            halted.locked { while isHalted.withLock({ $0 }) { halted.wait() } }
            taken.withLock { $0.append(event) }
        }
        progress.begin(.restoring, totalBytes: 1000, totalChunks: 100)
        for index in 0..<100 {
            progress.add(content: 10, disk: 0)
            progress.note("\(index)")
        }
        progress.finish("done")
        #expect(progress.report().percentText == "100 %")
        #expect(taken.withLock { $0.isEmpty })
        halted.locked {
            isHalted.withLock { $0 = false }
            halted.signalAll()
        }
        listener.finish()
        listener.finish()
        #expect(taken.withLock { $0.count } == 103)
        #expect(taken.withLock { $0.last } == .finished("done"))
    }

    @Test(.timeLimit(.minutes(10))) func reportsComeByThemselves() {
        let progress = Progress()
        progress.begin(.restoring, totalBytes: 1000, totalChunks: 100)
        let condition = Condition()
        let reports = Mutex(0)
        let listener = progress.listen(every: 1_000_000) { _ in
            condition.locked {
                reports.withLock { $0 += 1 }
                condition.signalAll()
            }
        }
        condition.locked { while reports.withLock({ $0 < 3 }) { condition.wait() } }
        listener.finish()
        #expect(reports.withLock { $0 } >= 3)
    }
}
