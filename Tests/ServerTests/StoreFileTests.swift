// The store's file: who may read it, what older and newer versions made, damage, and a disk that is full.
import Blocks
import GRDB
import Linux
import Server
import SessionProtocol
import Testing
import TestSupport

private let goldens = GoldenFolder("Golden", beside: #filePath)

@Suite struct StoreFileTests {
    @Test func onlyItsOwnerMayReadIt() throws {
        try withTemporaryDirectory { directory in
            let state = "\(directory)/a/state"
            let store = try Store(path: "\(state)/imgserv.sqlite")
            try store.count { $0.requests += 1 }
            #expect(try run("stat", "-c", "%a", state) == "700\n")
            for file in ["imgserv.sqlite", "imgserv.sqlite-wal", "imgserv.sqlite-shm"] {
                #expect(try run("stat", "-c", "%a", "\(state)/\(file)") == "600\n")
            }
        }
    }

    @Test func aCommittedTransactionIsOnTheMedium() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/imgserv.sqlite"
            let store = try Store(path: path)
            // What another process may set does not hold here: each commit is flushed.
            #expect(try store.durability() == Durability(journal: "wal", synchronous: 2, foreignKeys: true))
            try store.count { $0.failures = 3 }
            // A second process sees it while the first still has the file.
            #expect(try Store(path: path).counters().failures == 3)
        }
    }

    /// A file as version 1 made it, with a row in every table.
    @Test func aStoreOfVersion1IsReadAndWritten() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/imgserv.sqlite"
            let script = String(decoding: try goldens.read("store-v1.sql"), as: UTF8.self)
            try DatabaseQueue(path: path).writeWithoutTransaction {
                try $0.execute(sql: script)
                try $0.execute(sql: "INSERT INTO role VALUES (3, 4, zeroblob(32))")
            }
            let store = try Store(path: path)
            // A master of version 1 did not say which image it makes: it has to take its role again.
            #expect(try store.role(session: 3, run: 4) == nil)

            let mac: [UInt8] = [0x52, 0x54, 0, 0x12, 0x34, 0xab]
            let record = try #require(try store.workstation([2, 0, 0, 0, 0, 1]))
            #expect(record.workstation == someWorkstation())
            #expect(record.firstSeen == 1000 && record.lastSeen == 2000)
            let image = GUID([UInt8](repeating: 7, count: 16))
            #expect(record.history.installed == image)
            #expect(record.history.done == [.init(session: 2, run: 1)])
            #expect(record.history.sent == [.init(session: 2, run: 1): 1, .init(session: 3, run: 4): 2])
            #expect(record.history.policyOrders == 1)
            #expect(!record.history.isPolicyDone && record.history.isForced)
            let order = try #require(try store.order(.max))
            #expect(order.mac == mac && order.verb == .restore && order.imageID == image && order.bytes == 12)
            #expect(order.isDone == false && order.endedAt == 2100 && order.outcome == "no disk")
            #expect(try store.order(5)?.endedAt == nil)
            let sessions = try store.sessionList().sessions
            #expect(sessions.map(\.name) == ["lab2", "lab1"])
            #expect(sessions[0].source == .workstation([2, 9, 9, 9, 9, 9]) && sessions[0].rule == nil)
            #expect(sessions[1].rule?.description == "RAM > 4000 OR CPU contains i5")
            #expect(sessions[1].members == [[2, 0, 0, 0, 0, 8], mac])
            #expect(try store.unclaimedPolicy() == UnclaimedPolicy(.restore("base.img"), isRepeated: true))
            #expect(try store.referrals() == [ReferralView(workstations: "10.1.0.0/16", server: "10.1.0.5")])
            #expect(try store.events(before: nil, limit: 9, mac: mac).map(\.text) == ["seen"])
            #expect(try store.counters().bytesSent == 1 << 40)
            #expect(try store.users().map(\.name) == ["anna"])
            #expect(try store.tokens().map(\.digest) == [[UInt8](repeating: 3, count: 32)])

            #expect(try store.nextSessionNumber() == 4)
            _ = try store.seen(someWorkstation(), at: 3000)
            #expect(try Store(path: path).workstation(mac)?.lastSeen == 3000)
        }
    }

    /// A file of version 1 that is brought up to date has the tables that an empty file gets.
    @Test func everyVersionsTablesBecomeTheSame() throws {
        func tables(_ database: DatabaseQueue) throws -> [String] {
            try database.read {
                try String.fetchAll($0, sql: "SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name")
                    .map { $0.split(whereSeparator: \.isWhitespace).joined(separator: " ") }
            }
        }
        try withTemporaryDirectory { directory in
            let path = "\(directory)/imgserv.sqlite"
            _ = try Store(path: path)
            let old = "\(directory)/old.sqlite"
            let script = String(decoding: try goldens.read("store-v1.sql"), as: UTF8.self)
            try DatabaseQueue(path: old).writeWithoutTransaction { try $0.execute(sql: script) }
            _ = try Store(path: old)
            #expect(try tables(DatabaseQueue(path: path)) == tables(DatabaseQueue(path: old)))
        }
    }

    @Test func aStoreOfANewerVersionIsRefused() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/imgserv.sqlite"
            _ = try Store(path: path)
            try DatabaseQueue(path: path).write {
                try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('v999')")
            }
            let error = #expect(throws: ServerError.self) { try Store(path: path) }
            #expect(
                error?.description
                    == "\(path) was written by a newer imgserv than this one; start that one, or move the file away"
            )
        }
    }

    @Test func aDamagedFileIsRefusedByItsName() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/imgserv.sqlite"
            let garbage = try Descriptor(opening: path, [.writeOnly, .create])
            try garbage.write([UInt8](repeating: 0x5a, count: 8192), at: 0)
            let error = #expect(throws: ServerError.self) { try Store(path: path) }
            #expect(error?.description.hasPrefix("\(path) is damaged (") == true)

            // One page in the middle of a good file.
            let second = "\(directory)/second.sqlite"
            do {
                let store = try Store(path: second)
                for number in 0..<500 {
                    try store.addEvent(
                        level: "info", kind: "server", text: "event \(number)", mac: nil, at: 1)
                }
            }
            let pages = try DatabaseQueue(path: second).writeWithoutTransaction {
                try $0.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
                return try Int.fetchAll(
                    $0, sql: "SELECT rootpage FROM sqlite_master WHERE name IN ('workOrder', 'event')")
            }
            let file = try Descriptor(opening: second, .readWrite)
            for page in pages {
                try file.write([UInt8](repeating: 0xa5, count: 4096), at: UInt64(page - 1) * 4096)
            }
            let damage = #expect(throws: ServerError.self) { try Store(path: second) }
            #expect(damage?.description.hasPrefix("\(second) is damaged (") == true)
        }
    }

    @Test func aRowThatCannotBeIsRefusedByItsName() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/imgserv.sqlite"
            let script = String(decoding: try goldens.read("store-v1.sql"), as: UTF8.self)
            try DatabaseQueue(path: path).writeWithoutTransaction { try $0.execute(sql: script) }
            try DatabaseQueue(path: path).write {
                try $0.execute(sql: "UPDATE session SET rule = '[{}]' WHERE rule NOT NULL")
                try $0.execute(sql: "UPDATE workstation SET facts = '{}'")
            }
            let store = try Store(path: path)
            for call in [{ _ = try store.sessionList() }, { _ = try store.workstations() }] {
                let error = #expect(throws: ServerError.self) { try call() }
                #expect(error?.description.hasPrefix("\(path) holds ") == true)
            }
        }
    }

    @Test func aFullDiskIsOneSentenceAndHarmsNothing() throws {
        try withSmallDisk(kibibytes: 1024) { directory in
            let path = "\(directory)/state/imgserv.sqlite"
            let store = try Store(path: path)
            let text = String(repeating: "x", count: 10_000)
            var stored = 0
            let error = #expect(throws: ServerError.self) {
                for _ in 0..<1000 {
                    try store.addEvent(level: "info", kind: "server", text: text, mac: nil, at: 1)
                    stored += 1
                }
            }
            #expect(error?.kind == .full && error?.description.hasPrefix("\(path) cannot grow: ") == true)
            #expect(try store.events(before: nil, limit: 1000, mac: nil).count == stored)
            try run("mount", "-o", "remount,size=4m", directory)
            try store.addEvent(level: "info", kind: "server", text: text, mac: nil, at: 1)
            #expect(try Store(path: path).events(before: nil, limit: 1000, mac: nil).count == stored + 1)
        }
    }

    @Test func theOldestEventsMakeRoom() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/imgserv.sqlite"
            let store = try Store(path: path)
            try store.addEvent(level: "info", kind: "server", text: "first", mac: nil, at: 1)
            // As if all the others had been written.
            try DatabaseQueue(path: path).write {
                try $0.execute(
                    sql:
                        "INSERT INTO event (id, at, level, kind, text) VALUES (?, 1, 'info', 'server', 'last')",
                    arguments: [Store.keptEvents])
            }
            #expect(try store.events(before: nil, limit: 9, mac: nil).map(\.text) == ["last", "first"])
            try store.addEvent(level: "info", kind: "server", text: "one more", mac: nil, at: 1)
            #expect(try store.events(before: nil, limit: 9, mac: nil).map(\.text) == ["one more", "last"])
        }
    }
}
