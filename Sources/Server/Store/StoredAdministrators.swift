// Who may administer the server: users with a password, and tokens of programs, in the store.
internal import FoundationEssentials
internal import GRDB

/// A person who may log in.
package struct UserRecord: Equatable, Sendable {
    package var name: String
    /// What proves the password, in the form of the code that made it.
    package var passwordHash: String

    package init(name: String, passwordHash: String) {
        self.name = name
        self.passwordHash = passwordHash
    }
}

/// A program that may use the API.
package struct TokenRecord: Equatable, Sendable {
    package var name: String
    /// SHA-256 of the token: 32 bytes.
    package var digest: [UInt8]
    /// When it was made, in seconds since 1970 (UTC).
    package var at: Int64

    package init(name: String, digest: [UInt8], at moment: Int64) {
        self.name = name
        self.digest = digest
        at = moment
    }
}

extension Store {
    /// All users, by name.
    package func users() throws -> [UserRecord] {
        try read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM user ORDER BY name").map {
                UserRecord(name: $0["name"], passwordHash: $0["passwordHash"])
            }
        }
    }

    /// Adds a user, or gives an existing one another password.
    package func setUser(_ name: String, passwordHash: String) throws {
        try write { db in
            try db.execute(sql: "INSERT OR REPLACE INTO user VALUES (?, ?)", arguments: [name, passwordHash])
        }
    }

    /// - Throws: `ServerError` where there is no such user.
    package func removeUser(_ name: String) throws {
        try remove("user", name)
    }

    /// All tokens, by name.
    package func tokens() throws -> [TokenRecord] {
        try read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM token ORDER BY name").map {
                TokenRecord(name: $0["name"], digest: [UInt8]($0["digest"] as Data), at: $0["at"])
            }
        }
    }

    /// Adds a token by its digest of 32 bytes.
    ///
    /// - Throws: `ServerError` where there is a token of this name.
    package func addToken(name: String, digest: [UInt8], at moment: Int64) throws {
        try write { db in
            let isThere = try Bool.fetchOne(
                db, sql: "SELECT EXISTS (SELECT 1 FROM token WHERE name = ?)", arguments: [name])
            guard isThere == false else { throw ServerError("there is a token \(name) already", .conflict) }
            try db.execute(
                sql: "INSERT INTO token VALUES (?, ?, ?)", arguments: [name, Data(digest), moment])
        }
    }

    /// - Throws: `ServerError` where there is no such token.
    package func removeToken(_ name: String) throws {
        try remove("token", name)
    }

    private func remove(_ table: String, _ name: String) throws {
        try write { db in
            try db.execute(sql: "DELETE FROM \(table) WHERE name = ?", arguments: [name])
            guard db.changesCount > 0 else { throw ServerError("there is no \(table) \(name)", .notFound) }
        }
    }
}
