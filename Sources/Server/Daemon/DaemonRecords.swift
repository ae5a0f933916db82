// What administrators ask of workstations, images, policy and the log.
internal import Blocks
internal import Linux
internal import Logging
internal import SessionProtocol

extension Daemon {
    /// The server at a glance.
    package func status() throws -> ServerStatus {
        ServerStatus(
            version: Daemon.version, key: key.publicKey.fingerprint.description, uptime: uptime,
            images: configuration.images, freeBytes: try images.freeBytes(), counters: try store.counters(),
            transfers: transfers.views, sessions: sessions())
    }

    // MARK: Workstations

    /// All workstations that have ever asked.
    package func workstations() throws -> [WorkstationView] { try views(of: try store.workstations()) }

    /// One workstation with its past.
    package func workstation(_ mac: String) throws -> WorkstationDetail {
        let record = try record(mac)
        let orders = try store.orders(of: record.workstation.mac, limit: 100).map { order in
            WorkstationDetail.Order(
                at: order.at, work: order.work, reason: order.reason, outcome: order.outcome,
                isDone: order.isDone, endedAt: order.endedAt)
        }
        guard let view = try views(of: [record]).first else { throw noWorkstation(mac) }
        return WorkstationDetail(workstation: view, orders: orders)
    }

    /// Has the next restore sent even where the image is on the workstation already, or no longer.
    package func force(workstation mac: String, _ isForced: Bool, by administrator: Administrator) throws {
        let record = try record(mac)
        // Not while it is being answered: the answer puts down the history it has decided by.
        try desk.alone { try store.changeHistory(of: record.workstation.mac) { $0.isForced = isForced } }
        note(
            "\(administrator.name) \(isForced ? "wants" : "no longer wants") the image sent to "
                + "\(record.workstation.who) again",
            level: .info, kind: .administrator, mac: record.workstation.mac)
        changed()
    }

    /// Forgets a workstation and its past; it is known again when it asks.
    package func forget(workstation mac: String, by administrator: Administrator) throws {
        let record = try record(mac)
        try store.forget(record.workstation.mac)
        note(
            "\(administrator.name) had \(record.workstation.who) forgotten", level: .info,
            kind: .administrator)
        changed()
    }

    private func record(_ mac: String) throws -> WorkstationRecord {
        guard let bytes = MACText.bytes(mac) else {
            throw ServerError("'\(mac.onScreen)' is no MAC address: 12 hexadecimal digits", .invalid)
        }
        guard let record = try store.workstation(bytes) else { throw noWorkstation(mac) }
        return record
    }

    private func noWorkstation(_ mac: String) -> ServerError {
        ServerError("no workstation \(mac.onScreen) has ever asked", .notFound)
    }

    func views(of records: [WorkstationRecord]) throws -> [WorkstationView] {
        let last = try store.lastOrders()
        let policies = try desk.policies()
        let referrals = try store.referrals()
        return records.map { record in
            let one = record.workstation
            let order = last[one.mac]
            let decision = policies.decide(one, record.history) { images.identifier(of: $0) }
            let next: String
            if let referral = referrals.first(where: { WorkDesk.refers($0.workstations, to: one) }) {
                next = "the server \(referral.server) has its work"
            } else {
                next = decision.work.isNothing ? "nothing: \(decision.reason)" : decision.reason
            }
            return WorkstationView(
                mac: MACText.text(one.mac), otherMACs: one.otherMACs.map(MACText.text), name: one.name,
                addresses: one.addresses.map(\.description), cpu: one.cpu, memory: one.memory,
                disks: one.disks.map { .init(size: $0.size, model: $0.model) },
                biosVendor: one.biosVendor, product: one.product, serial: one.serial, assetTag: one.assetTag,
                networkCards: one.networkCards, video: one.video, firmware: one.firmware.rawValue,
                firstSeen: record.firstSeen, lastSeen: record.lastSeen, lastWork: order?.work ?? "",
                lastWorkAt: order?.at, lastOutcome: order?.outcome ?? "", lastIsDone: order?.isDone,
                installed: record.history.installed?.description, forced: record.history.isForced,
                next: next)
        }
    }

    // MARK: Policy and referrals

    package func policy() throws -> PolicyView {
        let policy = try store.unclaimedPolicy()
        return switch policy.action {
        case .nothing: PolicyView(action: "nothing", always: policy.isRepeated)
        case .restore(let image): PolicyView(action: "restore", image: image, always: policy.isRepeated)
        case .capture: PolicyView(action: "capture", always: policy.isRepeated)
        case .shell: PolicyView(action: "shell", always: policy.isRepeated)
        }
    }

    package func setPolicy(_ view: PolicyView, by administrator: Administrator) throws {
        let action: UnclaimedPolicy.Action
        switch view.action {
        case "nothing": action = .nothing
        case "capture": action = .capture
        case "shell": action = .shell
        case "restore":
            guard let image = view.image else { throw ServerError("'restore' needs an image", .invalid) }
            _ = try images.path(of: image)
            action = .restore(image)
        default:
            throw ServerError(
                "a policy is nothing, restore, capture or shell, not '\(view.action.onScreen)'", .invalid)
        }
        try store.setUnclaimedPolicy(UnclaimedPolicy(action, isRepeated: view.always))
        note("\(administrator.name) set the policy: \(view.action)", level: .info, kind: .administrator)
        changed()
    }

    package func referrals() throws -> [ReferralView] { try store.referrals() }

    package func setReferrals(_ referrals: [ReferralView], by administrator: Administrator) throws {
        for one in referrals {
            guard MACText.bytes(one.workstations) != nil || Network(one.workstations) != nil else {
                throw ServerError(
                    "'\(one.workstations.onScreen)' is no network, address or MAC address", .invalid)
            }
            guard (1...255).contains(one.server.utf8.count),
                one.server.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || ".:-".contains($0)) })
            else { throw ServerError("'\(one.server.onScreen)' is no address or name of a server", .invalid) }
        }
        try store.setReferrals(referrals)
        note("\(administrator.name) set the referrals", level: .info, kind: .administrator)
        changed()
    }

    // MARK: Images

    package func imageList() throws -> [ImageView] {
        let users = try imageUsers()
        return images.list().map { image in
            var image = image
            image.usedBy = users(image.name)
            return image
        }
    }

    package func image(_ name: String) throws -> ImageView {
        var image = try images.image(name)
        image.usedBy = try imageUsers()(name)
        return image
    }

    /// Deletes an image that nobody uses.
    package func delete(image name: String, by administrator: Administrator) throws {
        let users = try imageUsers()(name)
        guard users.isEmpty else {
            throw ServerError("image \(name.onScreen) is in use: \(users.joined(separator: "; "))", .conflict)
        }
        try images.delete(name)
        note("\(administrator.name) deleted image \(name)", level: .info, kind: .administrator)
        changed()
    }

    /// Who uses an image, as sentences, by its name.
    private func imageUsers() throws -> (String) -> [String] {
        let hosted = board.all.filter(\.isHosted).map(\.plan)
        let automatic = try store.sessionList().sessions
        let policy = try store.unclaimedPolicy()
        let transfers = transfers.views
        return { name in
            hosted.filter { $0.image == name }.map { "session \($0.name) sends it" }
                + automatic.filter { $0.source == .image(name) }.map { "automatic session \($0.name)" }
                + (policy.action == .restore(name) ? ["the policy restores it"] : [])
                + transfers.filter { $0.image == name }.map { "\($0.workstation) transfers it" }
        }
    }

    // MARK: Log

    /// Lines of the log, the newest first: at most `limit`, those before `before`, those about the workstation `mac`.
    package func events(before: Int64?, limit: Int, mac: String?) throws -> [EventView] {
        var bytes: [UInt8]?
        if let mac {
            bytes = MACText.bytes(mac)
            if bytes == nil { throw ServerError("'\(mac.onScreen)' is no MAC address", .invalid) }
        }
        sink.flush()
        return try store.events(before: before, limit: min(max(limit, 1), 1000), mac: bytes)
    }
}

extension Decision.Work {
    var isNothing: Bool { self == .nothing }
}

extension Daemon {
    /// The boot configuration of a machine: imaging where it would get work, else its disk; `mac` as in a URL or file.
    package func bootFile(_ loader: BootLoader, mac: String) throws -> String {
        guard let bytes = MACText.bytes(mac) else {
            throw ServerError("'\(mac.onScreen)' is no MAC address: 12 hexadecimal digits", .invalid)
        }
        let isImaging = try boot.isImaging(bytes)
        return switch loader {
        case .grub: BootConfiguration.grub(imaging: isImaging)
        case .pxelinux: BootConfiguration.pxelinux(imaging: isImaging)
        }
    }
}

/// A boot loader that asks the server what to start.
package enum BootLoader: Sendable {
    case grub, pxelinux
}
