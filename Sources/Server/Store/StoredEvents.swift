// What happened, and how often, in the store.
internal import Blocks
internal import FoundationEssentials
internal import GRDB

/// Something that has happened, before it is in the store.
package struct NewEvent: Sendable {
    /// Seconds since 1970 (UTC).
    package var at: Int64
    /// info, warning or error.
    package var level: String
    package var kind: String
    package var text: String
    /// The workstation it is about, by any of its interfaces.
    package var mac: [UInt8]?

    package init(at: Int64, level: String, kind: String, text: String, mac: [UInt8]?) {
        self.at = at
        self.level = level
        self.kind = kind
        self.text = text
        self.mac = mac
    }
}

extension Store {
    /// Events that are kept; older ones make room.
    package static let keptEvents: Int64 = 100_000

    /// Takes down events of the server's log in their order, in one transaction.
    package func add(_ events: [NewEvent]) throws {
        try write { db in
            for event in events {
                let owner = try event.mac.map { try key(of: $0, in: db) ?? $0 }
                try db.execute(
                    sql: "INSERT INTO event (at, level, kind, text, mac) VALUES (?, ?, ?, ?, ?)",
                    arguments: [event.at, event.level, event.kind, event.text, owner.map { Data($0) }])
            }
            try db.execute(
                sql: "DELETE FROM event WHERE id <= ?", arguments: [db.lastInsertedRowID - Store.keptEvents])
        }
    }

    /// Events, the newest first: those before event `before`, and of one workstation only where `mac` is given.
    package func events(before: Int64?, limit: Int, mac: [UInt8]?) throws -> [EventView] {
        try read { db in
            let owner = try mac.map { try key(of: $0, in: db) ?? $0 }
            let rows = try Row.fetchAll(
                db,
                sql:
                    "SELECT * FROM event WHERE id < ?1 AND (?2 IS NULL OR mac = ?2) ORDER BY id DESC LIMIT ?3",
                arguments: [before ?? Int64.max, owner.map { Data($0) }, limit])
            return rows.map { row in
                EventView(
                    id: row["id"], at: row["at"], level: row["level"], kind: row["kind"], text: row["text"],
                    mac: (row["mac"] as Data?).map { [UInt8]($0).asMAC })
            }
        }
    }

    /// Changes the counters, in one transaction.
    package func count(_ change: (inout CountersView) -> Void) throws {
        try write { try count(in: $0, change) }
    }

    /// The same within a transaction.
    func count(in db: Database, _ change: (inout CountersView) -> Void) throws {
        let before = try counters(in: db)
        var after = before
        change(&after)
        for (name, path) in CountersView.stored where after[keyPath: path] != before[keyPath: path] {
            try db.execute(
                sql: "INSERT OR REPLACE INTO counter VALUES (?, ?)",
                arguments: [name, Int64(bitPattern: after[keyPath: path])])
        }
    }

    package func counters() throws -> CountersView { try read { try counters(in: $0) } }

    private func counters(in db: Database) throws -> CountersView {
        var counters = CountersView()
        let rows = try Row.fetchAll(db, sql: "SELECT * FROM counter")
        let values = Dictionary(rows.map { ($0["name"] as String, $0["value"] as Int64) }) { $1 }
        for (name, path) in CountersView.stored {
            counters[keyPath: path] = UInt64(bitPattern: values[name] ?? 0)
        }
        return counters
    }
}

extension CountersView {
    /// Each counter under the name it has in the store.
    fileprivate static var stored: [(name: String, path: WritableKeyPath<CountersView, UInt64>)] {
        [
            ("requests", \.requests), ("imagesSent", \.imagesSent), ("imagesReceived", \.imagesReceived),
            ("referrals", \.referrals), ("bytesSent", \.bytesSent), ("bytesReceived", \.bytesReceived),
            ("failures", \.failures), ("sessions", \.sessions),
        ]
    }
}
