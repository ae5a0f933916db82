// The server's memory: an SQLite file in the state directory, and how it is opened.
internal import FoundationEssentials
internal import GRDB
internal import Linux

/// What the server keeps: workstations, orders, sessions, policy, events, counters, administrators.
///
/// Every call is one transaction, waits until it is on the medium (SQLite's `synchronous = FULL`), may come from any
/// thread, and throws `ServerError` that names the file. Do not call the store from a closure given to it.
package final class Store: Sendable {
    /// The file's name in the state directory.
    package static let fileName = "imgserv.sqlite"
    /// How long another process that holds the file is waited for, in seconds.
    private static let busySeconds = 5.0

    /// The file, or "the store in memory".
    let name: String
    private let queue: DatabaseQueue

    /// Opens the file at `path`; makes it (mode 0600) and its directory (mode 0700) where they are missing.
    ///
    /// - Throws: `ServerError` where the file is damaged, is no store, or was written by a newer version.
    package init(path: String) throws {
        name = path
        do {
            if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
                try PrivateFile.makeDirectory(String(path[..<slash]))
            }
            // SQLite gives its journals the mode of the file.
            let file = try Descriptor(opening: path, [.readWrite, .create, .noFollow], mode: 0o600)
            try file.setMode(0o600)
            try file.close()
        } catch {
            throw ServerError(error.description)
        }
        var configuration = Store.configuration
        configuration.journalMode = .wal
        queue = try Store.translating(path) { try DatabaseQueue(path: path, configuration: configuration) }
        try prepare()
    }

    /// A store that lives as long as the process.
    package init(inMemory: ()) throws {
        name = "the store in memory"
        queue = try Store.translating(name) { try DatabaseQueue(configuration: Store.configuration) }
        try prepare()
    }

    private static var configuration: Configuration {
        var configuration = Configuration()
        configuration.foreignKeysEnabled = true
        configuration.busyMode = .timeout(busySeconds)
        configuration.label = "imgserv.store"
        return configuration
    }

    /// Proves the file, and brings its tables up to this version.
    private func prepare() throws {
        try Store.translating(name) {
            try queue.writeWithoutTransaction { db in
                // The journal mode sets it lower; a transaction that was answered must survive a power cut.
                try db.execute(sql: "PRAGMA synchronous = FULL")
                let findings = try String.fetchAll(db, sql: "PRAGMA quick_check(1)")
                guard findings == ["ok"] else {
                    throw Store.damaged(name, findings.first ?? "it cannot be checked")
                }
                guard try !StoreMigrations.all.hasBeenSuperseded(db) else {
                    throw ServerError(
                        "\(name) was written by a newer imgserv than this one; start that one, or move the file away"
                    )
                }
            }
            try StoreMigrations.all.migrate(queue)
        }
    }

    /// How the file is kept, as SQLite says.
    package func durability() throws -> Durability {
        try Store.translating(name) {
            try queue.inDatabase { db in
                Durability(
                    journal: try String.fetchOne(db, sql: "PRAGMA journal_mode") ?? "",
                    synchronous: try Int.fetchOne(db, sql: "PRAGMA synchronous") ?? 0,
                    foreignKeys: try Bool.fetchOne(db, sql: "PRAGMA foreign_keys") ?? false)
            }
        }
    }

    /// One transaction that may write.
    func write<T>(_ body: (Database) throws -> T) throws -> T {
        try Store.translating(name) { try queue.write(body) }
    }

    /// One transaction that only reads.
    func read<T>(_ body: (Database) throws -> T) throws -> T {
        try Store.translating(name) { try queue.read(body) }
    }

    /// Runs `body` and words what SQLite says; other errors pass as they are.
    private static func translating<T>(_ name: String, _ body: () throws -> T) throws -> T {
        do {
            return try body()
        } catch let error as DatabaseError {
            let message = error.message ?? "SQLite's error \(error.extendedResultCode.rawValue)"
            switch error.resultCode {
            case .SQLITE_CORRUPT, .SQLITE_NOTADB: throw damaged(name, message)
            case .SQLITE_FULL: throw ServerError("\(name) cannot grow: \(message)", .full)
            case .SQLITE_BUSY, .SQLITE_LOCKED:
                throw ServerError("\(name) is used by another process: \(message)", .busy)
            default: throw ServerError("\(name): \(message)")
            }
        }
    }

    private static func damaged(_ name: String, _ what: String) -> ServerError {
        ServerError("\(name) is damaged (\(what)); put a backup in its place, or move it away to begin anew")
    }

    /// Why a row cannot be read: somebody has changed the file by other means.
    func unreadable(_ what: String) -> ServerError {
        ServerError("\(name) holds \(what) that this version cannot read")
    }
}

/// What a store promises of a transaction that has been answered.
package struct Durability: Equatable, Sendable {
    package var journal: String
    /// 2 is FULL: every commit waits for the medium.
    package var synchronous: Int
    package var foreignKeys: Bool

    package init(journal: String, synchronous: Int, foreignKeys: Bool) {
        self.journal = journal
        self.synchronous = synchronous
        self.foreignKeys = foreignKeys
    }
}

/// Values that are kept as JSON text in one column.
enum StoredJSON {
    static func text(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// Nil where the text is not the JSON of such a value.
    static func value<T: Decodable>(_ type: T.Type, from text: String) -> T? {
        try? JSONDecoder().decode(type, from: Data(text.utf8))
    }
}
