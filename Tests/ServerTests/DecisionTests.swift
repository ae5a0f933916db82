// What workstations are told to do, and that no order can be given for ever.
import Blocks
import Server
import SessionProtocol
import Testing

private let base = GUID(random: .init(repeating: 1, count: 16))
private let other = GUID(random: .init(repeating: 2, count: 16))
private func catalogue(_ name: String) -> GUID? { ["base": base, "other": other][name] }

private func session(
    _ number: Int64, _ name: String, _ change: (inout AutomaticSession) throws -> Void = { _ in }
) rethrows
    -> AutomaticSession
{
    var session = AutomaticSession(number: number, name: name, source: .image("base"))
    try change(&session)
    return session
}

@Suite struct DecisionTests {
    private let station = someWorkstation()
    private var mac: [UInt8] { station.mac }

    @Test func theFirstEnabledSessionThatClaimsWins() throws {
        let list = try SessionList([
            session(1, "off") {
                $0.members = [mac]
                $0.isEnabled = false
            },
            session(2, "others") { $0.rule = try Rule(Condition(.memory, .greater, "8000")) },
            session(3, "lab1") { $0.rule = try Rule(Condition(.memory, .greater, "4000")) },
            session(4, "lab2") { $0.rule = try Rule(Condition(.memory, .greater, "1000")) },
        ])
        let decision = Policies(sessions: list).decide(station, .init(), image: catalogue)
        #expect(
            decision
                == Decision(
                    work: .takePart(list.sessions[2]), reason: "session lab1: rule 'RAM > 4000' matched"))
        var moved = list
        moved.move(4, by: -1)
        #expect(moved.sessions.map(\.number) == [1, 2, 4, 3])
        #expect(
            Policies(sessions: moved).decide(station, .init(), image: catalogue).reason
                == "session lab2: rule 'RAM > 1000' matched")
    }

    @Test func whoIsNamedNeedsNoRule() throws {
        let list = try SessionList([session(1, "lab1") { $0.members = [[2, 0, 0, 0, 0, 1]] }])
        #expect(
            Policies(sessions: list).decide(station, .init(), image: catalogue).reason
                == "session lab1: this machine was named for it")
        let stranger = Workstation(mac: [2, 9, 9, 9, 9, 9])
        let told = Policies(sessions: list).decide(stranger, .init(), image: catalogue)
        #expect(told == Decision(work: .nothing, reason: "no session claims this machine"))
    }

    @Test func theMasterIsTheOneThatWasChosen() throws {
        var one = AutomaticSession(number: 1, name: "lab1", source: .workstation(mac))
        one.rule = try Rule(Condition(.memory, .greater, "1"))
        let policies = Policies(sessions: try SessionList([one]))
        #expect(policies.decide(station, .init(), image: catalogue).work == .master(one))
        var participant = station
        participant.mac = [2, 0, 0, 0, 0, 9]
        participant.otherMACs = []
        #expect(policies.decide(participant, .init(), image: catalogue).work == .takePart(one))
    }

    @Test func aSessionWithoutItsImageIsPassedOver() throws {
        let list = try SessionList([
            session(1, "lab1") {
                $0.source = .image("gone")
                $0.members = [mac]
            }
        ])
        let told = Policies(sessions: list).decide(station, .init(), image: catalogue)
        #expect(told == Decision(work: .nothing, reason: "session lab1: there is no image gone"))
    }

    @Test(arguments: [
        (UnclaimedPolicy(), Decision.Work.nothing, "no session claims this machine"),
        (UnclaimedPolicy(.shell), .shell, "the server's policy is a shell"),
        (UnclaimedPolicy(.capture), .capture, "the server's policy is to capture"),
        (UnclaimedPolicy(.restore("base")), .restore("base"), "the server's policy is image base"),
        (UnclaimedPolicy(.restore("gone")), .nothing, "there is no image gone"),
    ]) func whomNobodyClaimsThePolicyHas(_ policy: UnclaimedPolicy, _ work: Decision.Work, _ reason: String)
        throws
    {
        let told = Policies(sessions: try SessionList(), unclaimed: policy).decide(
            station, .init(), image: catalogue)
        #expect(told == Decision(work: work, reason: reason))
    }

    /// Whatever the lists say, whether the work succeeds or fails: after some starts there is nothing left to do.
    @Test(
        arguments: [.nothing, .restore("base"), .capture, .shell] as [UnclaimedPolicy.Action], [false, true])
    func nothingGoesOnForEver(_ action: UnclaimedPolicy.Action, _ isRepeated: Bool) throws {
        for succeeds in [true, false] {
            let list = try SessionList([
                session(1, "lab1") { $0.members = [mac] },
                session(2, "lab2") {
                    $0.source = .image("other")
                    $0.rule = try Rule(Condition(.memory, .greater, "1"))
                },
            ])
            let policies = Policies(sessions: list, unclaimed: .init(action, isRepeated: isRepeated))
            var history = WorkHistory()
            var orders = 0
            while orders < 100 {
                let decision = policies.decide(station, history, image: catalogue)
                // A shell is no work: "always" means always.
                if decision.work == .nothing || (decision.work == .shell && isRepeated && succeeds) { break }
                orders += 1
                history.note(decision.work)
                guard succeeds else { continue }
                let installed: GUID? =
                    switch decision.work {
                    case .takePart(let session): session.number == 1 ? base : other
                    case .restore(let name): catalogue(name)
                    default: nil
                    }
                history.finished(decision.work, installed: installed)
            }
            #expect(orders <= 3 * WorkHistory.attempts, "\(action) \(isRepeated) \(succeeds)")
            #expect(orders >= 2)
        }
    }

    /// Also into a run that is done or was given too often, and never for ever.
    @Test func aSessionIsGivenAgainByForceAndOnce() throws {
        let lab = session(1, "lab1") { $0.members = [mac] }
        let policies = Policies(sessions: try SessionList([lab]))
        for succeeds in [true, false] {
            var history = WorkHistory()
            if succeeds {
                history.note(.takePart(lab))
                history.finished(.takePart(lab), installed: base)
            } else {
                for _ in 0..<WorkHistory.attempts { history.note(.takePart(lab)) }
            }
            #expect(policies.decide(station, history, image: catalogue).work == .nothing)
            history.isForced = true
            let forced = policies.decide(station, history, image: catalogue)
            #expect(
                forced
                    == Decision(
                        work: .takePart(lab), reason: "session lab1: this machine was named for it, forced"))
            history.note(forced.work)
            #expect(!history.isForced && history.done.isEmpty && history.installed == nil)
            history.finished(forced.work, installed: base)
            #expect(policies.decide(station, history, image: catalogue).work == .nothing)
        }
        // Of two that it has done it gets the last one's image again, and what is still open comes first.
        var lab2 = session(2, "lab2") { $0.members = [] }
        lab2.rule = try Rule(Condition(.memory, .greater, "1"))
        let both = Policies(sessions: try SessionList([lab, lab2]))
        var twice = WorkHistory()
        for one in [lab, lab2] {
            twice.note(.takePart(one))
            twice.finished(.takePart(one), installed: base)
        }
        twice.isForced = true
        #expect(both.decide(station, twice, image: catalogue).work == .takePart(lab2))
        twice.done.remove(.init(session: 1, run: 1))
        #expect(both.decide(station, twice, image: catalogue).work == .takePart(lab))
        // A master has nothing to get.
        let own = AutomaticSession(number: 2, name: "lab2", source: .workstation(mac))
        var history = WorkHistory()
        history.note(.master(own))
        history.finished(.master(own), installed: nil)
        history.isForced = true
        let told = Policies(sessions: try SessionList([own])).decide(station, history, image: catalogue)
        #expect(told.work == .nothing)
    }

    @Test func anImageThatIsThereIsSentAgainOnlyByForceAndOnce() throws {
        let policies = Policies(
            sessions: try SessionList(), unclaimed: .init(.restore("base"), isRepeated: true))
        var history = WorkHistory()
        history.installed = base
        #expect(
            policies.decide(station, history, image: catalogue)
                == Decision(work: .nothing, reason: "image base is on this machine already"))
        history.isForced = true
        let forced = policies.decide(station, history, image: catalogue)
        #expect(
            forced == Decision(work: .restore("base"), reason: "the server's policy is image base, forced"))
        // The order was handed out: until it is done nobody knows what is on the disks, afterwards force is used up.
        history.note(forced.work)
        #expect(history.installed == nil && !history.isForced)
        #expect(policies.decide(station, history, image: catalogue).work == .restore("base"))
        history.finished(forced.work, installed: base)
        #expect(policies.decide(station, history, image: catalogue).work == .nothing)
    }

    /// What a session brought must not be overwritten by the policy for machines that no session claims.
    @Test func aMachineThatASessionHasDoneWithIsNotThePolicys() throws {
        var session = AutomaticSession(number: 1, name: "lab", source: .image("base"))
        session.members = [station.mac]
        let policies = Policies(
            sessions: try SessionList([session]), unclaimed: .init(.restore("other"), isRepeated: true))
        var history = WorkHistory()
        history.note(.takePart(session))
        history.finished(.takePart(session), installed: base)
        #expect(
            policies.decide(station, history, image: catalogue)
                == Decision(work: .nothing, reason: "session lab has been done here"))
        // Nor while the session's image is missing.
        #expect(policies.decide(station, WorkHistory()) { _ in nil }.work == .nothing)
    }

    /// A machine whose disk was begun to be overwritten does not count as having the image that was there before.
    @Test func anImageCountsAsGoneOnceAnotherIsOrdered() throws {
        let policies = Policies(
            sessions: try SessionList(), unclaimed: .init(.restore("base"), isRepeated: true))
        var history = WorkHistory()
        history.installed = base
        history.note(.takePart(AutomaticSession(number: 1, name: "lab", source: .image("other"))))
        #expect(policies.decide(station, history, image: catalogue).work == .restore("base"))
    }

    /// "Always" is not for ever: after a success, too, orders that nobody reports done come to an end.
    @Test func aRepeatedPolicyThatFailsEnds() throws {
        let policies = Policies(
            sessions: try SessionList(), unclaimed: .init(.restore("base"), isRepeated: true))
        var history = WorkHistory()
        history.note(.restore("base"))
        history.finished(.restore("base"), installed: base)
        var orders = 0
        history.installed = other
        while orders < 20, policies.decide(station, history, image: catalogue).work != .nothing {
            history.note(.restore("base"))
            orders += 1
        }
        #expect(orders == WorkHistory.attempts)
    }

    @Test func enablingASessionAnewIsARunOfItsOwn() throws {
        var list = try SessionList([session(1, "lab1") { $0.members = [mac] }])
        var history = WorkHistory()
        func decide() -> Decision { Policies(sessions: list).decide(station, history, image: catalogue) }
        history.note(decide().work)
        history.finished(decide().work, installed: base)
        #expect(decide() == Decision(work: .nothing, reason: "session lab1 has been done here"))
        list.enable(1, true)
        #expect(decide().work == .nothing, "it was enabled: no new run")
        list.finished(1)
        #expect(list.sessions[0].isEnabled == false)
        list.enable(1, true)
        #expect(decide().work == .takePart(list.sessions[0]))
    }

    @Test func aSessionMayGoWhenItIsDone() throws {
        var list = try SessionList([session(1, "lab1") { $0.isDeletedWhenDone = true }, session(2, "lab2")])
        list.finished(1)
        list.finished(2)
        #expect(list.sessions.map(\.name) == ["lab2"])
    }

    @Test func nobodyIsNamedTwice() throws {
        let m1: [UInt8] = [2, 0, 0, 0, 0, 1]
        let m2: [UInt8] = [2, 0, 0, 0, 0, 2]
        var list = try SessionList([
            session(1, "lab1") { $0.members = [m1] },
            session(2, "lab2") { $0.source = .workstation(m2) },
        ])
        let before = list
        for (change, reason) in try [
            (
                session(3, "lab3") { $0.members = [m1] },
                "02:00:00:00:00:01 is a participant of session lab1 already"
            ),
            (
                session(3, "lab3") { $0.members = [m2] },
                "02:00:00:00:00:02 is the master of session lab2 already"
            ),
            (
                session(3, "lab3") { $0.source = .workstation(m1) },
                "02:00:00:00:00:01 is a participant of session lab1"
            ),
            (
                session(3, "lab3") { $0.source = .workstation(m2) },
                "02:00:00:00:00:02 is the master of session lab2"
            ),
            (
                session(2, "lab2") { $0.members = [m1] },
                "02:00:00:00:00:01 is a participant of session lab1 already"
            ),
            (
                session(2, "lab2") {
                    $0.source = .workstation(m2)
                    $0.members = [m2]
                }, "cannot be master and participant"
            ),
            (session(3, "lab3") { $0.members = [[3], [3]] }, "names a workstation twice"),
            (session(3, "lab1"), "there is a session lab1 already"), (session(3, ""), "1 to 255 bytes"),
            (session(3, "a\u{1b}[2J"), "that can be shown"),
            (session(3, "x") { $0.clients = 0 }, "takes 1 to 1000 clients, not 0"),
            (session(3, "x") { $0.minutes = 1441 }, "waits 1 to 1440 minutes, not 1441"),
        ] {
            let error = #expect(throws: PolicyError.self) { try list.put(change) }
            #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
            #expect(list == before)
        }
        // Its own former self is not in its way.
        try list.put(session(1, "lab1") { $0.members = [m1, [2, 0, 0, 0, 0, 3]] })
        #expect(list.sessions[0].members.count == 2)
    }
}
