// Orders in the store: what each workstation was told, and what came of it.
package import Blocks
internal import FoundationEssentials
internal import GRDB
package import SessionProtocol

/// An order that a workstation was given.
package struct OrderRecord: Equatable, Sendable {
    /// Random: who knows it has the order.
    package var id: UInt64
    /// The workstation: the MAC address of its record.
    package var mac: [UInt8]
    /// Seconds since 1970 (UTC).
    package var at: Int64
    package var verb: WorkVerb
    /// The automatic session and its run; nil for other work.
    package var session: Int64?
    package var run: Int?
    package var sessionName = ""
    /// The image's name in the catalogue.
    package var image = ""
    package var imageID: GUID?
    package var reason = ""
    /// Nil while nothing has come of it.
    package var endedAt: Int64?
    package var isDone: Bool?
    package var outcome = ""
    /// Bytes that were written to the disks or read from them.
    package var bytes: UInt64 = 0

    package init(id: UInt64, mac: [UInt8], at moment: Int64, verb: WorkVerb) {
        self.id = id
        self.mac = mac
        at = moment
        self.verb = verb
    }
}

extension Store {
    /// Takes down an order and what its workstation's history becomes by it, before the order leaves.
    ///
    /// - Throws: `ServerError` where the workstation is not known, or where there is an order of this id.
    package func add(_ order: OrderRecord, history: WorkHistory) throws {
        try write { db in
            let key = try knownKey(of: order.mac, in: db)
            try db.execute(
                sql: """
                    INSERT INTO workOrder (id, workstation, at, verb, session, run, sessionName, image, imageID,
                        reason, endedAt, isDone, outcome, bytes)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    Int64(bitPattern: order.id), Data(key), order.at, Int(order.verb.rawValue), order.session,
                    order.run, order.sessionName, order.image, order.imageID.map { Data($0.bytes) },
                    order.reason, order.endedAt, order.isDone, order.outcome, Int64(bitPattern: order.bytes),
                ])
            try put(history, of: key, in: db)
        }
    }

    package func order(_ id: UInt64) throws -> OrderRecord? {
        try read { db in
            try Row.fetchOne(
                db, sql: "SELECT * FROM workOrder WHERE id = ?", arguments: [Int64(bitPattern: id)]
            ).map(order)
        }
    }

    /// A workstation's orders, the newest first.
    package func orders(of mac: [UInt8], limit: Int) throws -> [OrderRecord] {
        try read { db in
            guard let key = try key(of: mac, in: db) else { return [] }
            return try Row.fetchAll(
                db, sql: "SELECT * FROM workOrder WHERE workstation = ? ORDER BY place DESC LIMIT ?",
                arguments: [Data(key), limit]
            ).map(order)
        }
    }

    /// The newest order of each workstation that has one.
    package func lastOrders() throws -> [[UInt8]: OrderRecord] {
        try read { db in
            let rows = try Row.fetchAll(
                db,
                sql:
                    "SELECT * FROM workOrder WHERE place IN (SELECT max(place) FROM workOrder GROUP BY workstation)"
            )
            return Dictionary(try rows.map { row in try (order(row).mac, order(row)) }) { $1 }
        }
    }

    /// Takes down what came of an order, and what its workstation's history becomes by it.
    ///
    /// - Returns: Whether it was open: an outcome that comes twice counts once.
    package func close(
        order id: UInt64, at moment: Int64, isDone: Bool, outcome: String, bytes: UInt64,
        history change: (inout WorkHistory) -> Void
    ) throws -> Bool {
        try write { db in
            let closed = try Data.fetchOne(
                db,
                sql: """
                    UPDATE workOrder SET endedAt = ?, isDone = ?, outcome = ?, bytes = ?
                    WHERE id = ? AND endedAt IS NULL RETURNING workstation
                    """,
                arguments: [moment, isDone, outcome, Int64(bitPattern: bytes), Int64(bitPattern: id)])
            guard let key = closed.map(Array.init) else { return false }
            var history = try history(of: key, in: db)
            change(&history)
            try put(history, of: key, in: db)
            return true
        }
    }

    private func order(_ row: Row) throws -> OrderRecord {
        guard let verb = WorkVerb(rawValue: row["verb"]) else {
            throw unreadable("an order of kind \(row["verb"] as Int)")
        }
        let id = UInt64(bitPattern: row["id"])
        var order = OrderRecord(id: id, mac: [UInt8](row["workstation"] as Data), at: row["at"], verb: verb)
        order.session = row["session"]
        order.run = row["run"]
        order.sessionName = row["sessionName"]
        order.image = row["image"]
        order.imageID = (row["imageID"] as Data?).map { GUID([UInt8]($0)) }
        order.reason = row["reason"]
        order.endedAt = row["endedAt"]
        order.isDone = row["isDone"]
        order.outcome = row["outcome"]
        order.bytes = UInt64(bitPattern: row["bytes"])
        return order
    }
}
