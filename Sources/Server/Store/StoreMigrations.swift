// The store's tables, version by version: a migration that has been released is never changed.
internal import GRDB

/// The steps from an empty file to this version's tables.
enum StoreMigrations {
    static var all: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("v1") { db in try db.execute(sql: v1) }
        // The image that a master workstation makes; one that took its role before said none.
        migrator.registerMigration("v2") { db in
            try db.execute(sql: "ALTER TABLE role ADD COLUMN image BLOB CHECK (length(image) = 16)")
        }
        return migrator
    }

    /// Times are seconds since 1970, MAC addresses and identifiers BLOBs, unsigned 64-bit numbers their bit patterns.
    private static let v1 = """
        CREATE TABLE workstation (
            mac BLOB PRIMARY KEY NOT NULL CHECK (length(mac) = 6),
            facts TEXT NOT NULL,
            firstSeen INTEGER NOT NULL,
            lastSeen INTEGER NOT NULL,
            installed BLOB CHECK (length(installed) = 16),
            policyOrders INTEGER NOT NULL DEFAULT 0,
            isPolicyDone INTEGER NOT NULL DEFAULT 0,
            isForced INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        CREATE TABLE workstationInterface (
            mac BLOB PRIMARY KEY NOT NULL CHECK (length(mac) = 6),
            workstation BLOB NOT NULL REFERENCES workstation(mac) ON DELETE CASCADE
        ) STRICT;
        CREATE INDEX workstationInterfaceByWorkstation ON workstationInterface(workstation);
        CREATE TABLE workstationRun (
            workstation BLOB NOT NULL REFERENCES workstation(mac) ON DELETE CASCADE,
            session INTEGER NOT NULL,
            run INTEGER NOT NULL,
            sent INTEGER NOT NULL,
            isDone INTEGER NOT NULL,
            PRIMARY KEY (workstation, session, run)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE workOrder (
            place INTEGER PRIMARY KEY AUTOINCREMENT,
            id INTEGER NOT NULL UNIQUE,
            workstation BLOB NOT NULL REFERENCES workstation(mac) ON DELETE CASCADE,
            at INTEGER NOT NULL,
            verb INTEGER NOT NULL,
            session INTEGER,
            run INTEGER,
            sessionName TEXT NOT NULL,
            image TEXT NOT NULL,
            imageID BLOB CHECK (length(imageID) = 16),
            reason TEXT NOT NULL,
            endedAt INTEGER,
            isDone INTEGER,
            outcome TEXT NOT NULL,
            bytes INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX workOrderByWorkstation ON workOrder(workstation, place);
        CREATE TABLE session (
            number INTEGER PRIMARY KEY NOT NULL,
            place INTEGER NOT NULL UNIQUE,
            name TEXT NOT NULL UNIQUE,
            image TEXT,
            master BLOB CHECK (length(master) = 6),
            clients INTEGER NOT NULL,
            minutes INTEGER NOT NULL,
            isDeletedWhenDone INTEGER NOT NULL,
            isEnabled INTEGER NOT NULL,
            rule TEXT,
            run INTEGER NOT NULL,
            CHECK ((image IS NULL) <> (master IS NULL))
        ) STRICT;
        CREATE TABLE sessionMember (
            mac BLOB PRIMARY KEY NOT NULL CHECK (length(mac) = 6),
            session INTEGER NOT NULL REFERENCES session(number) ON DELETE CASCADE,
            place INTEGER NOT NULL,
            UNIQUE (session, place)
        ) STRICT;
        CREATE TABLE sessionNumber (
            last INTEGER NOT NULL
        ) STRICT;
        INSERT INTO sessionNumber VALUES (0);
        CREATE TABLE unclaimedPolicy (
            action TEXT NOT NULL,
            image TEXT,
            isRepeated INTEGER NOT NULL
        ) STRICT;
        INSERT INTO unclaimedPolicy VALUES ('nothing', NULL, 0);
        CREATE TABLE referral (
            place INTEGER PRIMARY KEY NOT NULL,
            workstations TEXT NOT NULL,
            server TEXT NOT NULL
        ) STRICT;
        CREATE TABLE event (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at INTEGER NOT NULL,
            level TEXT NOT NULL,
            kind TEXT NOT NULL,
            text TEXT NOT NULL,
            mac BLOB CHECK (length(mac) = 6)
        ) STRICT;
        CREATE INDEX eventByMAC ON event(mac, id) WHERE mac IS NOT NULL;
        CREATE TABLE counter (
            name TEXT PRIMARY KEY NOT NULL,
            value INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE hosted (
            name TEXT PRIMARY KEY NOT NULL,
            plan TEXT NOT NULL,
            hasStarted INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE role (
            session INTEGER PRIMARY KEY NOT NULL,
            run INTEGER NOT NULL,
            key BLOB NOT NULL CHECK (length(key) = 32)
        ) STRICT;
        CREATE TABLE user (
            name TEXT PRIMARY KEY NOT NULL,
            passwordHash TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE token (
            name TEXT PRIMARY KEY NOT NULL,
            digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
            at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        """
}
