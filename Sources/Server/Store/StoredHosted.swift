// Sessions that are hosted now, and the masters of automatic sessions, in the store: what a crash must not lose.
package import Blocks
internal import FoundationEssentials
internal import GRDB
package import SessionProtocol

/// How a master workstation hosts a session.
package struct SessionRole: Equatable, Sendable {
    package let key: PublicKey
    package let image: GUID

    package init(key: PublicKey, image: GUID) {
        self.key = key
        self.image = image
    }
}

extension Store {
    /// Remembers that a session is hosted, and whether its data flows.
    func rememberHosted(_ plan: SessionPlan, hasStarted: Bool) throws {
        let text = try StoredJSON.text(plan)
        try write { db in
            try db.execute(
                sql: """
                    INSERT INTO hosted (name, plan, hasStarted) VALUES (?, ?, ?)
                    ON CONFLICT (name) DO UPDATE SET plan = excluded.plan, hasStarted = excluded.hasStarted
                    """,
                arguments: [plan.name, text, hasStarted])
        }
    }

    /// The session has ended.
    func forgetHosted(_ name: String) throws {
        try write { try $0.execute(sql: "DELETE FROM hosted WHERE name = ?", arguments: [name]) }
    }

    /// The sessions that were hosted when the store was last written to.
    func hostedSessions() throws -> [(plan: SessionPlan, hasStarted: Bool)] {
        try read { db in
            try Row.fetchAll(db, sql: "SELECT plan, hasStarted FROM hosted ORDER BY name").map { row in
                guard let plan = StoredJSON.value(SessionPlan.self, from: row["plan"]) else {
                    throw unreadable("a hosted session")
                }
                return (plan, row["hasStarted"])
            }
        }
    }

    /// Takes down under which key, and with which image, the master of a run of an automatic session hosts it; the last
    /// word counts.
    package func setRole(session: Int64, run: Int, _ role: SessionRole) throws {
        try write { db in
            try db.execute(sql: "DELETE FROM role WHERE session = ?", arguments: [session])
            try db.execute(
                sql: "INSERT INTO role (session, run, key, image) VALUES (?, ?, ?, ?)",
                arguments: [session, run, Data(role.key.bytes), Data(role.image.bytes)])
        }
    }

    /// The session has no master at present.
    func removeRole(session: Int64) throws {
        try write { try $0.execute(sql: "DELETE FROM role WHERE session = ?", arguments: [session]) }
    }

    /// What the master that has taken its role in this run said of it; nil while none has.
    package func role(session: Int64, run: Int) throws -> SessionRole? {
        try read { db in
            let row = try Row.fetchOne(
                db, sql: "SELECT key, image FROM role WHERE session = ? AND run = ? AND image NOT NULL",
                arguments: [session, run])
            return row.map { row in
                SessionRole(
                    key: PublicKey([UInt8](row["key"] as Data)), image: GUID([UInt8](row["image"] as Data)))
            }
        }
    }
}
