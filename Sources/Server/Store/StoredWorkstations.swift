// Workstations in the store: the inventory, and what each has done.
internal import Blocks
internal import FoundationEssentials
internal import GRDB
package import SessionProtocol

/// A workstation as the server remembers it.
package struct WorkstationRecord: Equatable, Sendable {
    /// Its hardware as it last reported it, under the MAC address by which it was seen first.
    package var workstation: Workstation
    /// Seconds since 1970 (UTC).
    package var firstSeen: Int64
    package var lastSeen: Int64
    package var history: WorkHistory

    package init(workstation: Workstation, firstSeen: Int64, lastSeen: Int64, history: WorkHistory) {
        self.workstation = workstation
        self.firstSeen = firstSeen
        self.lastSeen = lastSeen
        self.history = history
    }
}

extension Store {
    /// Takes down that a workstation asks: counts it, adds it or brings its facts up to date, and keeps its history.
    ///
    /// A machine that asks from another of its interfaces is the machine it was: one of its MAC addresses is known, and
    /// no serial number speaks against it (an adapter that travels from machine to machine makes them no one machine).
    /// The record keeps the MAC address by which the machine was seen first.
    package func seen(_ workstation: Workstation, at moment: Int64) throws -> WorkstationRecord {
        try write { db in
            try count(in: db) { $0.requests += 1 }
            var known = workstation
            if let key = try keyOfRecord(for: workstation, in: db) {
                known = workstation.named(key)
                try db.execute(
                    sql: "UPDATE workstation SET facts = ?, lastSeen = ? WHERE mac = ?",
                    arguments: [try StoredJSON.text(StoredFacts(known)), moment, Data(key)])
            } else {
                try db.execute(
                    sql: "INSERT INTO workstation (mac, facts, firstSeen, lastSeen) VALUES (?, ?, ?, ?)",
                    arguments: [
                        Data(known.mac), try StoredJSON.text(StoredFacts(known)), moment, moment,
                    ])
            }
            try db.execute(
                sql: "DELETE FROM workstationInterface WHERE workstation = ?", arguments: [Data(known.mac)])
            for mac in [known.mac] + known.otherMACs {
                // An interface by which another machine goes stays that machine's.
                try db.execute(
                    sql: """
                        INSERT OR REPLACE INTO workstationInterface (mac, workstation)
                        SELECT ?1, ?2 WHERE ?1 = ?2 OR NOT EXISTS (SELECT 1 FROM workstation WHERE mac = ?1)
                        """, arguments: [Data(mac), Data(known.mac)])
            }
            guard let record = try record(known.mac, in: db) else { throw unreadable("a workstation") }
            return record
        }
    }

    /// All workstations, in the order in which they were seen first.
    package func workstations() throws -> [WorkstationRecord] {
        try read { db in
            let runs = Dictionary(
                grouping: try Row.fetchAll(db, sql: "SELECT * FROM workstationRun"),
                by: { $0["workstation"] as Data })
            return try Row.fetchAll(db, sql: "SELECT * FROM workstation ORDER BY firstSeen, mac").map {
                try record($0, runs: runs[$0["mac"]] ?? [])
            }
        }
    }

    /// The workstation that has an interface with this MAC address; nil where none is known.
    package func workstation(_ mac: [UInt8]) throws -> WorkstationRecord? {
        try read { db in try key(of: mac, in: db).flatMap { try record($0, in: db) } }
    }

    /// Forgets a workstation with its orders; nothing where it is not known.
    package func forget(_ mac: [UInt8]) throws {
        try write { db in
            guard let key = try key(of: mac, in: db) else { return }
            try db.execute(sql: "DELETE FROM workstation WHERE mac = ?", arguments: [Data(key)])
        }
    }

    /// Changes what is remembered of a workstation's work, in one transaction.
    ///
    /// - Throws: `ServerError` where there is no such workstation; whatever `body` throws, and nothing has changed.
    package func changeHistory<T>(of mac: [UInt8], _ body: (inout WorkHistory) throws -> T) throws -> T {
        try write { db in
            let key = try knownKey(of: mac, in: db)
            var history = try history(of: key, in: db)
            let result = try body(&history)
            try put(history, of: key, in: db)
            return result
        }
    }

    /// The same for all of these workstations that are known, in one transaction; returns why some could not be read.
    package func changeHistories(
        of macs: [[UInt8]], _ body: (inout WorkHistory) -> Void
    ) throws -> [ServerError] {
        try write { db in
            var failures: [ServerError] = []
            for mac in macs {
                guard let key = try key(of: mac, in: db) else { continue }
                do {
                    var history = try history(of: key, in: db)
                    body(&history)
                    try put(history, of: key, in: db)
                } catch let error as ServerError { failures.append(error) }
            }
            return failures
        }
    }

    /// The MAC address under which the workstation with this interface is kept.
    func knownKey(of mac: [UInt8], in db: Database) throws -> [UInt8] {
        guard let key = try key(of: mac, in: db) else {
            throw ServerError("there is no workstation \(mac.asMAC)", .notFound)
        }
        return key
    }

    func key(of mac: [UInt8], in db: Database) throws -> [UInt8]? {
        try Data.fetchOne(
            db, sql: "SELECT workstation FROM workstationInterface WHERE mac = ?", arguments: [Data(mac)]
        ).map(Array.init)
    }

    /// What is remembered of the workstation that is kept under `key`.
    func history(of key: [UInt8], in db: Database) throws -> WorkHistory {
        try record(key, in: db)?.history ?? WorkHistory()
    }

    /// The key of the record that is this machine's.
    private func keyOfRecord(for workstation: Workstation, in db: Database) throws -> [UInt8]? {
        if try record(workstation.mac, in: db) != nil { return workstation.mac }
        for mac in [workstation.mac] + workstation.otherMACs {
            guard let key = try key(of: mac, in: db), let record = try record(key, in: db) else { continue }
            let known = record.workstation.serial
            if known.isEmpty || workstation.serial.isEmpty || known == workstation.serial { return key }
        }
        return nil
    }

    private func record(_ key: [UInt8], in db: Database) throws -> WorkstationRecord? {
        guard
            let row = try Row.fetchOne(
                db, sql: "SELECT * FROM workstation WHERE mac = ?", arguments: [Data(key)])
        else { return nil }
        let runs = try Row.fetchAll(
            db, sql: "SELECT * FROM workstationRun WHERE workstation = ?", arguments: [Data(key)])
        return try record(row, runs: runs)
    }

    private func record(_ row: Row, runs: [Row]) throws -> WorkstationRecord {
        let mac = [UInt8](row["mac"] as Data)
        guard let workstation = StoredJSON.value(StoredFacts.self, from: row["facts"])?.workstation(mac)
        else {
            throw unreadable("facts of workstation \(mac.asMAC)")
        }
        var history = WorkHistory()
        history.installed = (row["installed"] as Data?).map { GUID([UInt8]($0)) }
        history.policyOrders = row["policyOrders"]
        history.isPolicyDone = row["isPolicyDone"]
        history.isForced = row["isForced"]
        for row in runs {
            let run = WorkHistory.Run(session: row["session"], run: row["run"])
            if row["isDone"] { history.done.insert(run) }
            if let sent = row["sent"] as Int?, sent > 0 { history.sent[run] = sent }
        }
        return WorkstationRecord(
            workstation: workstation, firstSeen: row["firstSeen"], lastSeen: row["lastSeen"], history: history
        )
    }

    /// Puts a history in the place of what was remembered.
    func put(_ history: WorkHistory, of key: [UInt8], in db: Database) throws {
        try db.execute(
            sql: """
                UPDATE workstation SET installed = ?, policyOrders = ?, isPolicyDone = ?, isForced = ?
                WHERE mac = ?
                """,
            arguments: [
                history.installed.map { Data($0.bytes) }, history.policyOrders, history.isPolicyDone,
                history.isForced, Data(key),
            ])
        try db.execute(sql: "DELETE FROM workstationRun WHERE workstation = ?", arguments: [Data(key)])
        for run in history.done.union(history.sent.keys) {
            try db.execute(
                sql: "INSERT INTO workstationRun VALUES (?, ?, ?, ?, ?)",
                arguments: [
                    Data(key), run.session, run.run, history.sent[run] ?? 0, history.done.contains(run),
                ])
        }
    }
}

extension Workstation {
    /// The same machine under another of its MAC addresses, or one it had: its interfaces in another order.
    fileprivate func named(_ key: [UInt8]) -> Workstation {
        guard key != mac else { return self }
        let macs = [mac] + otherMACs
        let cards = macs.indices.map { $0 < networkCards.count ? networkCards[$0] : "" }
        var named = self
        named.mac = key
        named.otherMACs = macs.filter { $0 != key }
        let first = macs.firstIndex(of: key).map { [cards[$0]] } ?? [""]
        named.networkCards = first + macs.indices.filter { macs[$0] != key }.map { cards[$0] }
        return named
    }
}

/// What a workstation says of itself, as JSON.
private struct StoredFacts: Codable {
    struct Disk: Codable {
        var size: UInt64
        var model: String
    }

    var name: String
    var otherMACs: [[UInt8]]
    /// 4 or 16 bytes each.
    var addresses: [[UInt8]]
    var cpu: String
    var memory: UInt64
    var disks: [Disk]
    var biosVendor: String
    var product: String
    var serial: String
    var assetTag: String
    var networkCards: [String]
    var video: [String]
    var firmware: String

    init(_ workstation: Workstation) {
        name = workstation.name
        otherMACs = workstation.otherMACs
        addresses = workstation.addresses.map(\.networkBytes)
        cpu = workstation.cpu
        memory = workstation.memory
        disks = workstation.disks.map { Disk(size: $0.size, model: $0.model) }
        biosVendor = workstation.biosVendor
        product = workstation.product
        serial = workstation.serial
        assetTag = workstation.assetTag
        networkCards = workstation.networkCards
        video = workstation.video
        firmware = workstation.firmware.rawValue
    }

    /// Nil where a value is none of its kind.
    func workstation(_ mac: [UInt8]) -> Workstation? {
        let addresses = addresses.compactMap { Address(networkBytes: $0) }
        guard let firmware = Workstation.Firmware(rawValue: firmware), addresses.count == self.addresses.count
        else { return nil }
        var workstation = Workstation(mac: mac)
        workstation.name = name
        workstation.otherMACs = otherMACs
        workstation.addresses = addresses
        workstation.cpu = cpu
        workstation.memory = memory
        workstation.disks = disks.map { Workstation.Disk(size: $0.size, model: $0.model) }
        workstation.biosVendor = biosVendor
        workstation.product = product
        workstation.serial = serial
        workstation.assetTag = assetTag
        workstation.networkCards = networkCards
        workstation.video = video
        workstation.firmware = firmware
        return workstation
    }
}
