-- A store as version 1 of its tables was: what imgserv 0.1 left behind. Never changed; a newer version gets a file of its own.
CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY);
INSERT INTO grdb_migrations VALUES ('v1');
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

INSERT INTO workstation VALUES (x'5254001234ab', '{"addresses":[[10,1,2,3],[253,0,0,0,0,0,0,1,0,0,0,0,0,0,0,7]],"assetTag":"","biosVendor":"Dell Inc.","cpu":"Intel(R) Core(TM) i5-8500","disks":[{"model":"SAMSUNG MZVLB256","size":256060514304},{"model":"WDC","size":2000398934016}],"firmware":"uefi","memory":4294967296,"name":"","networkCards":["8086:15bb e1000e"],"otherMACs":[[2,0,0,0,0,1]],"product":"OptiPlex 7060","serial":"ABC1234","video":[]}', 1000, 2000, x'07070707070707070707070707070707', 1, 0, 1);
INSERT INTO workstationInterface VALUES (x'5254001234ab', x'5254001234ab'), (x'020000000001', x'5254001234ab');
INSERT INTO workstationRun VALUES (x'5254001234ab', 2, 1, 1, 1), (x'5254001234ab', 3, 4, 2, 0);
INSERT INTO workOrder (id, workstation, at, verb, session, run, sessionName, image, imageID, reason, endedAt, isDone,
    outcome, bytes)
VALUES (-1, x'5254001234ab', 2000, 3, NULL, NULL, '', 'base.img', x'07070707070707070707070707070707', 'the policy', 2100, 0, 'no disk', 12),
    (5, x'5254001234ab', 2200, 1, 3, 4, 'lab1', 'base.img', NULL, 'named', NULL, NULL, '', 0);
INSERT INTO session VALUES (3, 1, 'lab1', 'base.img', NULL, 5, 15, 0, 1, '[{"attribute":"memory","comparison":">","junction":"AND","value":"4000"},{"attribute":"cpu","comparison":"contains","junction":"OR","value":"i5"}]', 4),
    (2, 0, 'lab2', NULL, x'020909090909', 3, 1, 1, 0, NULL, 1);
INSERT INTO sessionMember VALUES (x'020000000008', 3, 0), (x'5254001234ab', 3, 1);
UPDATE sessionNumber SET last = 3;
UPDATE unclaimedPolicy SET action = 'restore', image = 'base.img', isRepeated = 1;
INSERT INTO referral VALUES (0, '10.1.0.0/16', '10.1.0.5');
INSERT INTO event VALUES (1, 1000, 'info', 'workstation', 'seen', x'5254001234ab');
INSERT INTO counter VALUES ('bytesSent', 1099511627776), ('requests', 2);
INSERT INTO user VALUES ('anna', 'scrypt');
INSERT INTO token VALUES ('ci', x'0303030303030303030303030303030303030303030303030303030303030303', 900);
