// What the API, the console and `imgserv status` show: plain values, with the names that JSON has.

/// Where a session that this server hosts, or has hosted, stands.
package struct SessionView: Codable, Equatable, Sendable {
    package enum State: String, Codable, Sendable {
        case registering, running, ended
    }

    /// One participant's figures.
    package struct Participant: Codable, Equatable, Sendable {
        package var name: String
        /// "52:54:00:12:34:56".
        package var mac: String
        package var address: String
        /// One of "joined", "receiving", "silent", "finished", "failed", "lost".
        package var state: String
        /// 0 to 100.
        package var percent: Double
        package var chunksNeeded: Int
        package var chunksDone: Int
        /// Bytes per second, as it last reported.
        package var writeRate: UInt64
        /// Symbols lost, of those sent to it, in percent.
        package var lost: Double
        /// Its outcome in one sentence, once there is one.
        package var result: String?
    }

    /// Counts up with each session of this daemon: two sessions of one name can be told apart.
    package var id: Int
    package var name: String
    package var state: State
    /// The image's name in the catalogue, or its path.
    package var image: String
    package var registered: Int
    package var needed: Int
    /// "3/2": registered and still needed.
    package var standing: String
    /// Of all participants' chunks, 0 to 100.
    package var percent: Double
    /// Bytes of payload per second that the sender may use now.
    package var rate: UInt64
    /// Seconds until the last open participant is expected to be done; nil while nobody can tell.
    package var eta: UInt64?
    /// Seconds until it starts by itself; nil where nothing is due.
    package var startsIn: UInt64?
    /// The number of the automatic session it is a run of.
    package var automatic: Int64?
    /// Seconds since 1970 (UTC).
    package var createdAt: Int64
    package var startedAt: Int64?
    package var endedAt: Int64?
    /// What came of it in one sentence, once it has ended, and whether every participant is done.
    package var outcome: String?
    package var isComplete: Bool?
    package var participants: [Participant]
}

/// What `POST /api/v1/sessions` and `imgserv mcast` ask for.
package struct HostRequest: Codable, Equatable, Sendable {
    package var name: String
    /// An image of the catalogue, by name; either this or `path`.
    package var image: String?
    /// An image file of this machine, absolute: only for administrators on the local socket.
    package var path: String?
    /// 1 to 1000.
    package var clients: Int?
    /// Minutes after the last registration, 0 to 1440.
    package var minutes: Double?
    /// Mbit/s.
    package var rate: Int?
    /// 1 to 255.
    package var ttl: Int?
    /// Minutes, 0 to 1440.
    package var linger: Double?
    /// An interface of the server, by name.
    package var interface: String?

    package init(name: String) { self.name = name }
}

/// One condition of a rule as the API and the forms write it.
package struct ConditionView: Codable, Equatable, Sendable {
    /// "AND" or "OR": what joins it to all that stand before it; of the first one it says nothing.
    package var junction: String
    /// A raw value of `Attribute`.
    package var attribute: String
    /// A raw value of `Operator`.
    package var comparison: String
    package var value: String

    package init(junction: String = "AND", attribute: String, comparison: String, value: String) {
        self.junction = junction
        self.attribute = attribute
        self.comparison = comparison
        self.value = value
    }
}

/// An automatic session as it is written by an administrator.
package struct AutomaticSessionDraft: Codable, Equatable, Sendable {
    package var name: String
    /// The image of the catalogue that the participants get; either this or `master`.
    package var image: String?
    /// The MAC address of the workstation whose disks the participants get.
    package var master: String?
    package var clients: Int?
    package var minutes: Int?
    package var deleteWhenDone: Bool?
    package var enabled: Bool?
    /// MAC addresses of workstations that take part whatever the rule says.
    package var members: [String]?
    package var rule: [ConditionView]?

    package init(name: String) { self.name = name }
}

/// An automatic session of the server's list.
package struct AutomaticSessionView: Codable, Equatable, Sendable {
    package var number: Int64
    package var name: String
    package var image: String?
    package var master: String?
    package var clients: Int
    package var minutes: Int
    package var deleteWhenDone: Bool
    package var enabled: Bool
    package var members: [String]
    package var rule: [ConditionView]
    /// The rule as people read it, "" without one.
    package var ruleText: String
    package var run: Int
    /// The session that is its present run, while it is hosted.
    package var session: String?
}

/// A workstation in the inventory.
package struct WorkstationView: Codable, Equatable, Sendable {
    package struct Disk: Codable, Equatable, Sendable {
        package var size: UInt64
        package var model: String
    }

    package var mac: String
    package var otherMACs: [String]
    package var name: String
    package var addresses: [String]
    package var cpu: String
    /// Bytes.
    package var memory: UInt64
    package var disks: [Disk]
    package var biosVendor: String
    package var product: String
    package var serial: String
    package var assetTag: String
    package var networkCards: [String]
    package var video: [String]
    /// "bios" or "uefi".
    package var firmware: String
    /// Seconds since 1970 (UTC).
    package var firstSeen: Int64
    package var lastSeen: Int64
    /// What it was last told, when, and what came of it; "" and nil before the first order.
    package var lastWork: String
    package var lastWorkAt: Int64?
    package var lastOutcome: String
    /// Whether that outcome was a success; nil while it is open.
    package var lastIsDone: Bool?
    /// The identifier of the image that is on it, as far as is known.
    package var installed: String?
    /// Whether the next restore is wanted even where the image is on it already.
    package var forced: Bool
    /// What it would be told if it asked now, and why.
    package var next: String
}

/// A workstation with its past orders, the newest first.
package struct WorkstationDetail: Codable, Equatable, Sendable {
    package struct Order: Codable, Equatable, Sendable {
        /// Seconds since 1970 (UTC).
        package var at: Int64
        package var work: String
        package var reason: String
        package var outcome: String
        package var isDone: Bool?
        package var endedAt: Int64?
    }

    package var workstation: WorkstationView
    package var orders: [Order]
}

/// What the server has for workstations that no session claims.
package struct PolicyView: Codable, Equatable, Sendable {
    /// "nothing", "restore", "capture" or "shell".
    package var action: String
    /// For "restore": the image.
    package var image: String?
    /// Whether it is done whenever a workstation asks; otherwise once for each.
    package var always: Bool

    package init(action: String, image: String? = nil, always: Bool = false) {
        self.action = action
        self.image = image
        self.always = always
    }
}

/// Workstations that another server has the work for.
package struct ReferralView: Codable, Equatable, Sendable {
    /// A network such as 10.1.0.0/16, an address, or a MAC address.
    package var workstations: String
    /// Address or name of the server to ask.
    package var server: String

    package init(workstations: String, server: String) {
        self.workstations = workstations
        self.server = server
    }
}

/// An image of the catalogue.
package struct ImageView: Codable, Equatable, Sendable {
    package struct Disk: Codable, Equatable, Sendable {
        package var size: UInt64
        package var table: String
        package var model: String
    }

    package struct Partition: Codable, Equatable, Sendable {
        package var slot: Int
        package var disk: Int
        package var type: String
        package var name: String
        package var fileSystem: String
        package var label: String
        package var size: UInt64
        package var used: UInt64
    }

    package var name: String
    /// The identifier in it; "" where the file is no usable image.
    package var id: String
    /// Bytes of the file.
    package var fileBytes: UInt64
    /// Bytes of content.
    package var usedBytes: UInt64
    /// Seconds since 1970 (UTC).
    package var modifiedAt: Int64
    package var createdAt: String
    package var creator: String
    package var firmware: String
    package var disks: [Disk]
    package var partitions: [Partition]
    /// Sentences about who uses it: sessions by name, the policy.
    package var usedBy: [String]
    /// Why it cannot be used; nil for a whole image.
    package var problem: String?
}

/// A line of the server's log, as the store keeps it for the console.
package struct EventView: Codable, Equatable, Sendable {
    package var id: Int64
    /// Seconds since 1970 (UTC).
    package var at: Int64
    /// "info", "warning" or "error".
    package var level: String
    /// "session", "workstation", "image", "administrator" or "server".
    package var kind: String
    package var text: String
    package var mac: String?

    package init(id: Int64, at: Int64, level: String, kind: String, text: String, mac: String? = nil) {
        self.id = id
        self.at = at
        self.level = level
        self.kind = kind
        self.text = text
        self.mac = mac
    }
}

/// What an administrator expects to be counted, since the store was made.
package struct CountersView: Codable, Equatable, Sendable {
    /// Questions for work.
    package var requests: UInt64 = 0
    package var imagesSent: UInt64 = 0
    package var imagesReceived: UInt64 = 0
    package var referrals: UInt64 = 0
    package var bytesSent: UInt64 = 0
    package var bytesReceived: UInt64 = 0
    package var failures: UInt64 = 0
    package var sessions: UInt64 = 0

    package init() {}
}

/// A transfer of an image over TCP that is going on.
package struct TransferView: Codable, Equatable, Sendable {
    package var image: String
    package var workstation: String
    /// "send" or "receive".
    package var direction: String
    /// 0 to 100.
    package var percent: Double
    /// Bytes so far.
    package var bytes: UInt64
}

/// The server at a glance.
package struct ServerStatus: Codable, Equatable, Sendable {
    package var version: String
    /// The fingerprint of its key.
    package var key: String
    /// Seconds since the daemon's start.
    package var uptime: UInt64
    /// Where its images are, and the bytes that are free there.
    package var images: String
    package var freeBytes: UInt64
    package var counters: CountersView
    package var transfers: [TransferView]
    package var sessions: [SessionView]
}

/// Who asks the daemon for something.
package struct Administrator: Equatable, Sendable {
    /// For the log: "root, on the server itself", "anna, from 10.1.2.3", "token ci, from 10.1.2.3".
    package let name: String
    /// Whether the request came over the local socket, whose users may name any file.
    package let isLocal: Bool

    package init(name: String, isLocal: Bool) {
        self.name = name
        self.isLocal = isLocal
    }
}
