// What the server remembers is what it was told: every value comes back, and nothing else changes.
import Blocks
import Linux
import Server
import SessionProtocol
import Testing
import TestSupport

private let mac: [UInt8] = [0x52, 0x54, 0, 0x12, 0x34, 0xab]
private let other: [UInt8] = [2, 0, 0, 0, 0, 1]
private let stranger: [UInt8] = [2, 9, 9, 9, 9, 9]
private let image = GUID(random: .init(repeating: 7, count: 16))

private func order(
    _ id: UInt64, of mac: [UInt8] = mac, at moment: Int64 = 100, _ verb: WorkVerb = .takePart
) -> OrderRecord {
    var order = OrderRecord(id: id, mac: mac, at: moment, verb: verb)
    order.session = 3
    order.run = 2
    order.sessionName = "lab1"
    order.image = "größe.img"
    order.imageID = image
    order.reason = "session lab1: rule 'RAM > 4000' matched"
    return order
}

/// Every comparison that a condition can have.
private func everyCondition() throws -> [Server.Condition] {
    try Attribute.allCases.flatMap { attribute in
        try attribute.operators.map { comparison in
            let value =
                switch attribute {
                case .memory, .diskSize: "4096"
                case .address: "10.1.0.0/16"
                case .mac: "52540012AB01"
                case .firmware: "UEFI"
                default: "it's \"größer\" \\ 1"
                }
            return try Server.Condition(attribute, comparison, value)
        }
    }
}

@Suite struct StoreTests {
    let store: Store

    init() throws { store = try Store(inMemory: ()) }

    @Test func aWorkstationComesBackAsItIs() throws {
        let machine = someWorkstation()
        var full = machine
        full.name = "pc \u{301}1"
        full.assetTag = "A'; DROP TABLE workstation; --"
        full.video = ["10de:1234", ""]
        full.memory = .max
        let first = try store.seen(full, at: 1000)
        #expect(
            first
                == WorkstationRecord(
                    workstation: full, firstSeen: 1000, lastSeen: 1000, history: WorkHistory()))
        var bare = Workstation(mac: stranger)
        bare.firmware = .bios
        _ = try store.seen(bare, at: 900)
        #expect(try store.workstations().map(\.workstation) == [bare, full])
        #expect(try store.workstation(stranger)?.workstation == bare)
        #expect(try store.workstation([9, 9, 9, 9, 9, 9]) == nil)
        // New facts, the old history.
        try store.changeHistory(of: mac) { $0.isForced = true }
        let again = try store.seen(machine, at: 2000)
        #expect(again.workstation == machine)
        #expect(again.firstSeen == 1000 && again.lastSeen == 2000 && again.history.isForced)
        #expect(try store.workstations().count == 2)
    }

    @Test func aMachineThatAsksFromAnotherInterfaceIsTheSame() throws {
        var machine = someWorkstation()
        machine.networkCards = ["first", "second"]
        _ = try store.seen(machine, at: 1)
        var same = machine
        (same.mac, same.otherMACs, same.networkCards) = (other, [mac], ["second", "first"])
        let record = try store.seen(same, at: 2)
        #expect(record.workstation == machine, "it keeps the MAC address by which it was first seen")
        #expect(record.firstSeen == 1 && record.lastSeen == 2)
        #expect(try store.workstations().count == 1)
        #expect(try store.workstation(other) == record)
        // It asks from the second interface and names no other.
        same.otherMACs = []
        same.networkCards = ["second"]
        let bare = try store.seen(same, at: 3)
        #expect(bare.workstation.mac == mac && bare.workstation.otherMACs == [other])
        #expect(bare.workstation.networkCards == ["", "second"])
        // Calls by either address reach it.
        try store.add(order(1, of: other), history: bare.history)
        #expect(try store.order(1)?.mac == mac)
        #expect(try store.orders(of: other, limit: 9).count == 1)
        try store.forget(other)
        #expect(try store.workstations().isEmpty && store.order(1) == nil)
    }

    @Test func anAdapterThatTravelsMakesNoTwoMachinesOne() throws {
        var first = someWorkstation()
        first.serial = "A"
        _ = try store.seen(first, at: 1)
        var second = Workstation(mac: other)
        second.otherMACs = [stranger]
        second.serial = "B"
        #expect(try store.seen(second, at: 2).workstation == second)
        #expect(try store.workstations().count == 2)
        #expect(try store.workstation(other)?.workstation.serial == "B", "the adapter is where it was last")
        #expect(try store.workstation(mac)?.workstation.serial == "A")
        // The first one has it again: an address that is the name of another record stays that record's.
        _ = try store.seen(first, at: 3)
        #expect(try store.workstation(other)?.workstation.serial == "B")
        #expect(try store.workstations().count == 2)
    }

    @Test func aHistoryComesBackAsItIs() throws {
        _ = try store.seen(someWorkstation(), at: 1)
        var history = WorkHistory()
        history.installed = image
        history.done = [.init(session: 3, run: 1), .init(session: 4, run: 7)]
        history.sent = [.init(session: 3, run: 2): 2, .init(session: 4, run: 7): 1]
        history.policyOrders = 2
        history.isPolicyDone = true
        history.isForced = true
        try store.changeHistory(of: mac) { $0 = history }
        #expect(try store.workstation(mac)?.history == history)
        #expect(try store.workstations().first?.history == history)
        let returned = try store.changeHistory(of: mac) { history in
            history.done = []
            return history.sent.count
        }
        #expect(returned == 2)
        history.done = []
        #expect(try store.workstation(mac)?.history == history)
        #expect {
            try store.changeHistory(of: stranger) { _ in }
        } throws: { ($0 as? ServerError)?.kind == .notFound }
        // What fails changes nothing.
        #expect(throws: PolicyError.self) {
            try store.changeHistory(of: mac) { history in
                history.installed = nil
                throw PolicyError("no")
            }
        }
        #expect(try store.workstation(mac)?.history == history)
    }

    @Test func theRoleOfAMasterIsOfItsRun() throws {
        let role = SessionRole(key: PublicKey([UInt8](repeating: 3, count: 32)), image: image)
        try store.setRole(session: 4, run: 2, role)
        #expect(try store.role(session: 4, run: 2) == role)
        #expect(try store.role(session: 4, run: 3) == nil && store.role(session: 5, run: 2) == nil)
        let next = SessionRole(key: PublicKey([UInt8](repeating: 4, count: 32)), image: image)
        try store.setRole(session: 4, run: 3, next)
        #expect(try store.role(session: 4, run: 2) == nil && store.role(session: 4, run: 3) == next)
    }

    @Test func aRoomsHistoriesChangeTogether() throws {
        _ = try store.seen(someWorkstation(), at: 1)
        _ = try store.seen(Workstation(mac: stranger), at: 2)
        // By any of its interfaces; one that nobody knows is passed over.
        let failures = try store.changeHistories(of: [other, [9, 9, 9, 9, 9, 9], stranger]) { history in
            history.installed = image
            history.policyOrders += 1
        }
        #expect(failures.isEmpty)
        for mac in [mac, stranger] {
            let history = try #require(try store.workstation(mac)?.history)
            #expect(history.installed == image && history.policyOrders == 1)
        }
        #expect(try store.workstations().count == 2)
    }

    @Test func anOrderAndItsHistoryAreOneThing() throws {
        let record = try store.seen(someWorkstation(), at: 1)
        var history = record.history
        history.policyOrders = 1
        let given = order(.max, at: 5)
        try store.add(given, history: history)
        #expect(try store.order(.max) == given)
        #expect(try store.workstation(mac)?.history == history)
        // The same id again: neither the order nor the history.
        var more = history
        more.policyOrders = 2
        #expect(throws: ServerError.self) { try store.add(given, history: more) }
        #expect(try store.workstation(mac)?.history == history)
        #expect {
            try store.add(order(5, of: stranger), history: history)
        } throws: { ($0 as? ServerError)?.kind == .notFound }

        let closed = try store.close(order: .max, at: 9, isDone: true, outcome: "done", bytes: .max) {
            $0.installed = image
            $0.policyOrders = 0
        }
        #expect(closed)
        var done = given
        (done.endedAt, done.isDone, done.outcome, done.bytes) = (9, true, "done", .max)
        #expect(try store.order(.max) == done)
        #expect(try store.workstation(mac)?.history.installed == image)
        // An outcome that comes twice, and one of no order, count nothing.
        for id in [UInt64.max, 77] {
            #expect(
                try !store.close(order: id, at: 10, isDone: false, outcome: "no", bytes: 0) {
                    $0.installed = nil
                })
        }
        #expect(try store.order(.max) == done)
        #expect(try store.workstation(mac)?.history.installed == image)
    }

    @Test func ordersAreListedNewestFirst() throws {
        let record = try store.seen(someWorkstation(), at: 1)
        _ = try store.seen(Workstation(mac: stranger), at: 1)
        for verb in WorkVerb.allCases {
            try store.add(
                order(1000 - UInt64(verb.rawValue), at: 50, verb), history: record.history)
        }
        try store.add(order(3, of: stranger, .shell), history: WorkHistory())
        #expect(try store.orders(of: mac, limit: 100).map(\.verb) == WorkVerb.allCases.reversed())
        #expect(try store.orders(of: mac, limit: 2).map(\.id) == [993, 994])
        #expect(try store.lastOrders().mapValues(\.id) == [mac: 993, stranger: 3])
        try store.forget(mac)
        #expect(try store.lastOrders().keys.map { $0 } == [stranger])
        #expect(try store.orders(of: mac, limit: 100).isEmpty)
    }

    @Test func sessionsComeBackAsTheyAre() throws {
        let conditions = try everyCondition()
        var list: [AutomaticSession] = []
        // Rules of all conditions there are, 64 at most in one; both junctions.
        for start in stride(from: 0, to: conditions.count, by: 40) {
            let part = conditions[start..<min(start + 40, conditions.count)]
            var session = AutomaticSession(
                number: try store.nextSessionNumber(), name: "rules \(start)", source: .image("ü.img"))
            let rest = part.dropFirst().enumerated().map { index, condition in
                (index.isMultiple(of: 2) ? Rule.Junction.or : .and, condition)
            }
            session.rule = try Rule(part[start], rest)
            list.append(session)
        }
        var second = AutomaticSession(
            number: try store.nextSessionNumber(), name: "from a master", source: .workstation(mac))
        second.members = [stranger, other, [1, 2, 3, 4, 5, 6]]
        second.clients = 1000
        second.minutes = 1440
        second.isDeletedWhenDone = true
        second.isEnabled = false
        second.run = 9
        list.insert(second, at: 0)
        try store.changeSessions { sessions in for session in list { try sessions.put(session) } }
        #expect(try store.sessionList().sessions == list)

        try store.changeSessions { $0.move(list[0].number, by: 1) }
        list.swapAt(0, 1)
        #expect(try store.sessionList().sessions == list)
        // A name that is free again, and members that change places.
        try store.changeSessions { sessions in
            var changed = list[1]
            changed.members = [other, stranger]
            changed.name = list[0].name
            sessions.remove(list[0].number)
            try sessions.put(changed)
        }
        let after = try store.sessionList().sessions
        #expect(after.count == list.count - 1)
        #expect(after.first?.name == list[0].name && after.first?.members == [other, stranger])
        // What contradicts is refused, and nothing has changed.
        #expect(throws: PolicyError.self) {
            try store.changeSessions { sessions in
                sessions.remove(after[0].number)
                try sessions.put(AutomaticSession(number: 99, name: after[1].name, source: .image("a")))
            }
        }
        #expect(try store.sessionList().sessions == after)
    }

    @Test func sessionNumbersAreNeverUsedTwice() throws {
        let first = try store.nextSessionNumber()
        try store.changeSessions {
            try $0.put(AutomaticSession(number: first, name: "a", source: .image("a")))
        }
        try store.changeSessions { $0.remove(first) }
        #expect(try store.nextSessionNumber() == first + 1)
    }

    @Test func workInSessionsThatAreGoneIsForgotten() throws {
        _ = try store.seen(someWorkstation(), at: 1)
        try store.changeSessions { try $0.put(AutomaticSession(number: 4, name: "a", source: .image("a"))) }
        try store.changeHistory(of: mac) { $0.done = [.init(session: 4, run: 1), .init(session: 5, run: 1)] }
        try store.changeSessions { try $0.put(AutomaticSession(number: 6, name: "b", source: .image("a"))) }
        #expect(try store.workstation(mac)?.history.done == [.init(session: 4, run: 1)])
    }

    @Test(
        arguments: [
            UnclaimedPolicy.Action.nothing, .restore("base.img"), .capture, .shell,
        ], [true, false])
    func aPolicyComesBackAndBeginsAnew(_ action: UnclaimedPolicy.Action, _ isRepeated: Bool) throws {
        #expect(try store.unclaimedPolicy() == UnclaimedPolicy())
        _ = try store.seen(someWorkstation(), at: 1)
        try store.changeHistory(of: mac) { history in
            history.policyOrders = 3
            history.isPolicyDone = true
            history.installed = image
        }
        let policy = UnclaimedPolicy(action, isRepeated: isRepeated)
        try store.setUnclaimedPolicy(policy)
        #expect(try store.unclaimedPolicy() == policy)
        var history = WorkHistory()
        history.installed = image
        #expect(try store.workstation(mac)?.history == history)
    }

    @Test func referralsEventsCountersAndAdministratorsComeBack() throws {
        let referrals = [
            ReferralView(workstations: "10.1.0.0/16", server: "b"),
            ReferralView(workstations: "a", server: "b"),
        ]
        try store.setReferrals(referrals)
        #expect(try store.referrals() == referrals)
        try store.setReferrals([])
        #expect(try store.referrals().isEmpty)

        _ = try store.seen(someWorkstation(), at: 1)
        for number in 1...5 {
            try store.addEvent(
                level: "info", kind: "workstation", text: "event \(number)",
                mac: number.isMultiple(of: 2) ? other : nil, at: Int64(number))
        }
        #expect(try store.events(before: nil, limit: 2, mac: nil).map(\.text) == ["event 5", "event 4"])
        let page = try store.events(before: 4, limit: 9, mac: nil)
        #expect(page.map(\.id) == [3, 2, 1])
        #expect(
            page[1]
                == EventView(
                    id: 2, at: 2, level: "info", kind: "workstation", text: "event 2",
                    mac: "52:54:00:12:34:ab"))
        #expect(try store.events(before: nil, limit: 9, mac: mac).map(\.id) == [4, 2])

        try store.count { $0.bytesSent = .max }
        try store.count { counters in
            counters.requests += 1
            counters.imagesSent += 2
            counters.imagesReceived += 3
            counters.referrals += 4
            counters.bytesReceived += 5
            counters.failures += 6
            counters.sessions += 7
        }
        var counters = CountersView()
        // The workstation that was seen has asked too.
        (counters.requests, counters.imagesSent, counters.imagesReceived, counters.referrals) = (2, 2, 3, 4)
        (counters.bytesSent, counters.bytesReceived, counters.failures, counters.sessions) = (.max, 5, 6, 7)
        #expect(try store.counters() == counters)

        try store.setUser("anna", passwordHash: "one")
        try store.setUser("anna", passwordHash: "two")
        #expect(try store.users() == [UserRecord(name: "anna", passwordHash: "two")])
        let digest = [UInt8](repeating: 3, count: 32)
        try store.addToken(name: "ci", digest: digest, at: 8)
        #expect(try store.tokens() == [TokenRecord(name: "ci", digest: digest, at: 8)])
        #expect {
            try store.addToken(name: "ci", digest: [UInt8](repeating: 4, count: 32), at: 9)
        } throws: { ($0 as? ServerError)?.kind == .conflict }
        try store.removeToken("ci")
        try store.removeUser("anna")
        #expect(try store.users().isEmpty && store.tokens().isEmpty)
        #expect { try store.removeUser("anna") } throws: { ($0 as? ServerError)?.kind == .notFound }
    }

    @Test func manyThreadsLoseNothing() throws {
        try withTemporaryDirectory { directory in
            let store = try Store(path: "\(directory)/imgserv.sqlite")
            _ = try store.seen(someWorkstation(), at: 1)
            let threads = (0..<8).map { thread in
                Thread("store \(thread)") {
                    var numbers: [Int64] = []
                    for round in 0..<25 {
                        try store.count { $0.requests += 1 }
                        try store.changeHistory(of: mac) { $0.policyOrders += 1 }
                        numbers.append(try store.nextSessionNumber())
                        try store.addEvent(
                            level: "info", kind: "server", text: "\(thread) \(round)", mac: nil, at: 1)
                    }
                    return numbers
                }
            }
            let numbers = try threads.flatMap { try $0.join() }
            #expect(Set(numbers).count == 200)
            #expect(try store.counters().requests == 201)
            #expect(try store.workstation(mac)?.history.policyOrders == 200)
            #expect(try store.events(before: nil, limit: 1000, mac: nil).count == 200)
        }
    }
}

extension Store {
    /// One event in a transaction of its own.
    func addEvent(level: String, kind: String, text: String, mac: [UInt8]?, at moment: Int64) throws {
        try add([NewEvent(at: moment, level: level, kind: kind, text: text, mac: mac)])
    }
}
