// Automatic sessions, the policy for all other workstations, and referrals in the store.
internal import Blocks
internal import FoundationEssentials
internal import GRDB

extension Store {
    /// The automatic sessions in their order.
    package func sessionList() throws -> SessionList { try read { try sessionList(in: $0) } }

    /// Changes the list, in one transaction.
    ///
    /// A new session's number comes from `nextSessionNumber`, asked for before. What workstations have done in sessions
    /// that are gone is forgotten.
    /// - Throws: Whatever `body` throws, and nothing has changed.
    package func changeSessions<T>(_ body: (inout SessionList) throws -> T) throws -> T {
        try write { db in
            var list = try sessionList(in: db)
            let before = list
            let result = try body(&list)
            if list != before { try put(list, in: db) }
            return result
        }
    }

    /// A number that no session has had, whether it is used then or not.
    package func nextSessionNumber() throws -> Int64 {
        try write { db in
            guard
                let number = try Int64.fetchOne(
                    db, sql: "UPDATE sessionNumber SET last = last + 1 RETURNING last")
            else { throw unreadable("no last session number") }
            return number
        }
    }

    /// What workstations that no session claims are told.
    package func unclaimedPolicy() throws -> UnclaimedPolicy {
        try read { db in
            guard let row = try Row.fetchOne(db, sql: "SELECT * FROM unclaimedPolicy"),
                let action = UnclaimedPolicy.Action(row["action"], image: row["image"])
            else { throw unreadable("a policy") }
            return UnclaimedPolicy(action, isRepeated: row["isRepeated"])
        }
    }

    /// Sets the policy; for every workstation it begins anew.
    package func setUnclaimedPolicy(_ policy: UnclaimedPolicy) throws {
        try write { db in
            let (action, image) = policy.action.stored
            try db.execute(
                sql: "UPDATE unclaimedPolicy SET action = ?, image = ?, isRepeated = ?",
                arguments: [action, image, policy.isRepeated])
            try db.execute(sql: "UPDATE workstation SET policyOrders = 0, isPolicyDone = 0")
        }
    }

    package func referrals() throws -> [ReferralView] {
        try read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM referral ORDER BY place").map {
                ReferralView(workstations: $0["workstations"], server: $0["server"])
            }
        }
    }

    package func setReferrals(_ referrals: [ReferralView]) throws {
        try write { db in
            try db.execute(sql: "DELETE FROM referral")
            for (place, referral) in referrals.enumerated() {
                try db.execute(
                    sql: "INSERT INTO referral VALUES (?, ?, ?)",
                    arguments: [place, referral.workstations, referral.server])
            }
        }
    }

    private func sessionList(in db: Database) throws -> SessionList {
        let members = Dictionary(
            grouping: try Row.fetchAll(db, sql: "SELECT * FROM sessionMember ORDER BY session, place"),
            by: { $0["session"] as Int64 })
        let sessions = try Row.fetchAll(db, sql: "SELECT * FROM session ORDER BY place").map { row in
            try session(row, members: (members[row["number"]] ?? []).map { [UInt8]($0["mac"] as Data) })
        }
        do {
            return try SessionList(sessions)
        } catch {
            throw ServerError("\(name) holds sessions that cannot be: \(error)")
        }
    }

    private func session(_ row: Row, members: [[UInt8]]) throws -> AutomaticSession {
        let source: AutomaticSession.Source
        if let image = row["image"] as String? {
            source = .image(image)
        } else {
            source = .workstation([UInt8](row["master"] as Data))
        }
        var session = AutomaticSession(number: row["number"], name: row["name"], source: source)
        session.clients = row["clients"]
        session.minutes = row["minutes"]
        session.isDeletedWhenDone = row["isDeletedWhenDone"]
        session.isEnabled = row["isEnabled"]
        session.members = members
        session.run = row["run"]
        if let text = row["rule"] as String? {
            guard let rule = Rule(stored: text) else {
                throw unreadable("a rule of session \(session.name)")
            }
            session.rule = rule
        }
        return session
    }

    private func put(_ list: SessionList, in db: Database) throws {
        try db.execute(sql: "DELETE FROM session")
        for (place, session) in list.sessions.enumerated() {
            var (image, master): (String?, Data?) = (nil, nil)
            switch session.source {
            case .image(let name): image = name
            case .workstation(let mac): master = Data(mac)
            }
            try db.execute(
                sql: """
                    INSERT INTO session (number, place, name, image, master, clients, minutes, isDeletedWhenDone,
                        isEnabled, rule, run)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    session.number, place, session.name, image, master, session.clients, session.minutes,
                    session.isDeletedWhenDone, session.isEnabled, try session.rule?.stored, session.run,
                ])
            for (place, mac) in session.members.enumerated() {
                try db.execute(
                    sql: "INSERT INTO sessionMember (mac, session, place) VALUES (?, ?, ?)",
                    arguments: [Data(mac), session.number, place])
            }
        }
        try db.execute(
            sql: "DELETE FROM workstationRun WHERE session NOT IN (SELECT number FROM session)")
    }
}

extension UnclaimedPolicy.Action {
    /// Nil for a word that is none, and for an image where none belongs or is missing.
    fileprivate init?(_ word: String, image: String?) {
        switch (word, image) {
        case ("nothing", nil): self = .nothing
        case ("restore", let image?): self = .restore(image)
        case ("capture", nil): self = .capture
        case ("shell", nil): self = .shell
        default: return nil
        }
    }

    fileprivate var stored: (word: String, image: String?) {
        switch self {
        case .nothing: ("nothing", nil)
        case .restore(let image): ("restore", image)
        case .capture: ("capture", nil)
        case .shell: ("shell", nil)
        }
    }
}

extension Rule {
    /// Reads what `stored` wrote; nil where a condition is none that this version knows.
    fileprivate init?(stored text: String) {
        guard let views = StoredJSON.value([ConditionView].self, from: text) else { return nil }
        var conditions: [(Junction, Condition)] = []
        for view in views {
            guard let junction = Junction(rawValue: view.junction),
                let attribute = Attribute(rawValue: view.attribute),
                let comparison = Operator(rawValue: view.comparison),
                let condition = try? Condition(attribute, comparison, view.value)
            else { return nil }
            conditions.append((junction, condition))
        }
        guard let first = conditions.first,
            let rule = try? Rule(first.1, Array(conditions.dropFirst()))
        else { return nil }
        self = rule
    }

    /// Its conditions as JSON, by the names the API has for them too.
    fileprivate var stored: String {
        get throws {
            try StoredJSON.text(
                conditions.map { junction, condition in
                    ConditionView(
                        junction: junction.rawValue, attribute: condition.attribute.rawValue,
                        comparison: condition.comparison.rawValue, value: condition.value)
                })
        }
    }
}
