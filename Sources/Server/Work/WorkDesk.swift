// Decides what a workstation that asks is to do, takes the order down before it leaves, and closes it when it is done.
internal import Blocks
internal import Linux
internal import Logging
internal import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// Where workstations get their work.
package final class WorkDesk: Sendable {
    /// Seconds after which a workstation asks again: while a session's master has not begun, and while a name is taken.
    private static let masterPause: UInt16 = 5
    private static let conflictPause: UInt16 = 30

    /// The server's key, which signs what `answer` returns.
    let signingKey: PrivateKey
    private let store: Store
    private let images: ImageCatalogue
    private let board: SessionBoard
    /// Where the administrator wants sessions to be hosted.
    private let place: (interface: String?, address: String?)
    /// Tells the administrators: text, level, workstation.
    private let note: @Sendable (String, Logger.Level, [UInt8]?) -> Void
    /// Something was taken down that may decide what a workstation starts next.
    private let changed: @Sendable () -> Void
    /// One question at a time: what is decided is taken down before the next one is looked at.
    private let lock = Mutex(())

    init(
        key: PrivateKey, store: Store, images: ImageCatalogue, board: SessionBoard,
        configuration: ServerConfiguration,
        note: @escaping @Sendable (String, Logger.Level, [UInt8]?) -> Void,
        changed: @escaping @Sendable () -> Void
    ) {
        signingKey = key
        self.store = store
        self.images = images
        self.board = board
        place = (configuration.interface, configuration.address)
        self.note = note
        self.changed = changed
    }

    /// The answer to a workstation's question; `local` is the own address it was asked at.
    ///
    /// The order is in the store before this returns.
    func answer(_ ask: AskMessage, from peer: Address, at local: Address) throws -> OrderMessage {
        var workstation = ask.workstation
        if !workstation.addresses.contains(peer) { workstation.addresses.insert(peer, at: 0) }
        // It is known from now on, also where there is nothing for it.
        defer { changed() }
        return try lock.withLock { _ in
            let known = try store.seen(workstation, at: WallClock.now())
            var order = OrderMessage(
                nonce: ask.nonce, serverKey: signingKey.publicKey, order: WorkDesk.newOrder(), verb: .nothing)
            if let server = try referral(of: known.workstation) {
                order.verb = .refer
                order.server = server
                order.reason = "the server \(server) has this machine's work"
                try store.count { $0.referrals += 1 }
                try take(order, .nothing, of: known, history: known.history)
                return order
            }
            let decision = try policies().decide(known.workstation, known.history) {
                images.identifier(of: $0)
            }
            let work = try fill(&order, by: decision, for: known.workstation, at: local)
            switch work {
            case .nothing:
                note("\(known.workstation.who) was told: \(order.reason)", .debug, known.workstation.mac)
            default:
                // Who did not get the answer asks again: that is the same order, and counts once. Force is used up by an
                // order of its own.
                let isForced = known.history.isForced && order.verb != .master
                if !isForced, let open = try openOrder(like: order, work, of: known.workstation) {
                    order.order = open.id
                    order.imageName = open.image
                    return order
                }
                var history = known.history
                history.note(work)
                if order.verb == .master, case .master(let session) = work {
                    try store.removeRole(session: session.number)
                }
                try take(order, work, of: known, history: history)
            }
            return order
        }
    }

    /// Runs `body` while no workstation is answered.
    func alone<T>(_ body: () throws -> T) throws -> T { try lock.withLock { _ in try body() } }

    /// Everything that decides, as it stands now.
    func policies() throws -> Policies {
        Policies(sessions: try store.sessionList(), unclaimed: try store.unclaimedPolicy())
    }

    /// How long an order that was given counts as the answer to the same question, in seconds.
    private static let repetition: Int64 = 60

    /// The order of a moment ago that says the same; nil where there is none that is still open.
    private func openOrder(
        like order: OrderMessage, _ work: Decision.Work, of workstation: Workstation
    ) throws -> OrderRecord? {
        guard let last = try store.orders(of: workstation.mac, limit: 1).first, last.isDone == nil,
            last.verb == order.verb, last.sessionName == order.session, last.imageID == order.image,
            WallClock.now() - last.at < WorkDesk.repetition, last.at <= WallClock.now()
        else { return nil }
        switch work {
        case .takePart(let session), .master(let session):
            return last.session == session.number && last.run == session.run ? last : nil
        case .capture: return last
        default: return last.image == order.imageName ? last : nil
        }
    }

    private static func newOrder() -> UInt64 {
        Random.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) } | 1
    }

    private func referral(of workstation: Workstation) throws -> String? {
        try store.referrals().first { WorkDesk.refers($0.workstations, to: workstation) }?.server
    }

    /// Whether another server has the workstation's work.
    func isReferred(_ workstation: Workstation) throws -> Bool { try referral(of: workstation) != nil }

    /// The identifier of an image of the catalogue; nil where there is none of this name.
    func identifier(_ image: String) -> GUID? { images.identifier(of: image) }

    /// Whether the text of a referral (a network, an address or a MAC address) means the workstation.
    static func refers(_ text: String, to workstation: Workstation) -> Bool {
        // An address first: 192.168.100.100 has twelve digits too.
        if let network = Network(text) { return workstation.addresses.contains { network.contains($0) } }
        guard let mac = MACText.bytes(text) else { return false }
        return ([workstation.mac] + workstation.otherMACs).contains(mac)
    }

    /// Makes the order of a decision; returns what it is in the end.
    private func fill(
        _ order: inout OrderMessage, by decision: Decision, for workstation: Workstation, at local: Address
    ) throws -> Decision.Work {
        order.reason = decision.reason
        switch decision.work {
        case .nothing: return .nothing
        case .takePart(let session):
            order.session = session.name
            switch session.source {
            case .image(let name):
                do {
                    let hosted = try host(session, image: name, at: local)
                    order.image = hosted.image
                    order.hostKey = signingKey.publicKey
                } catch let error as ServerError {
                    wait(&order, WorkDesk.conflictPause, "\(order.reason); \(error)")
                    return .nothing
                }
            case .workstation(let master):
                guard let role = try store.role(session: session.number, run: session.run) else {
                    wait(
                        &order, WorkDesk.masterPause,
                        "\(order.reason); its master \(MACText.text(master)) has not begun yet")
                    return .nothing
                }
                order.hostKey = role.key
                order.image = role.image
            }
            order.verb = .takePart
        case .master(let session):
            order.verb = .master
            order.session = session.name
            order.clients = UInt16(clamping: session.clients)
            order.minutes = UInt16(clamping: session.minutes)
        case .restore(let name):
            order.verb = .restore
            order.imageName = name
            order.image = images.identifier(of: name)
        case .capture:
            order.verb = .capture
            order.imageName = WorkDesk.imageName(of: workstation, at: WallClock.now())
        case .shell: order.verb = .shell
        }
        return decision.work
    }

    private func wait(_ order: inout OrderMessage, _ seconds: UInt16, _ reason: String) {
        order.verb = .wait
        order.seconds = seconds
        order.reason = reason
        order.session = ""
        order.image = nil
    }

    /// The session that is the present run of an automatic one; it is hosted if it is not yet.
    private func host(_ session: AutomaticSession, image: String, at local: Address) throws -> HostedSession {
        if let hosted = board.hosted(automatic: session.number, run: session.run) {
            // Somebody may have put another file under the name meanwhile.
            guard hosted.plan.image == image else {
                throw ServerError("session \(session.name) is hosted with another image", .conflict)
            }
            return hosted
        }
        var plan = SessionPlan(name: session.name, image: image, path: try images.path(of: image))
        plan.clients = session.clients
        plan.minutes = Double(session.minutes)
        // The network that asks is the one that takes part, unless the administrator says otherwise.
        plan.address = place.address
        plan.interface = place.interface ?? (plan.address == nil ? WorkDesk.interface(with: local) : nil)
        plan.automatic = session.number
        plan.run = session.run
        return try board.host(plan) { try store.rememberHosted($0, hasStarted: false) }
    }

    /// The name of the interface that has this own address.
    private static func interface(with address: Address) -> String? {
        let all = (try? NetworkInterface.all()) ?? []
        return all.first { one in
            !one.isLoopback && one.addresses.contains { Address($0.address) == address }
        }?.name
    }

    /// The name of the image that a workstation is captured to: its serial number or MAC address, and the time.
    static func imageName(of workstation: Workstation, at time: Int64) -> String {
        // The serial number alone does not do: whole rooms have "To be filled by O.E.M.".
        let serial = workstation.serial.filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
        let who = serial.isEmpty ? workstation.mac.hex : "\(serial.prefix(60))-\(workstation.mac.hex)"
        let moment = WallClock.text(time).filter { $0.isNumber }
        return "\(who)-\(moment.prefix(12)).img"
    }

    private func take(
        _ order: OrderMessage, _ work: Decision.Work, of known: WorkstationRecord, history: WorkHistory
    ) throws {
        var record = OrderRecord(
            id: order.order, mac: known.workstation.mac, at: WallClock.now(), verb: order.verb)
        switch work {
        case .takePart(let session), .master(let session):
            record.session = session.number
            record.run = session.run
        default: break
        }
        record.sessionName = order.session
        record.image = order.imageName
        record.imageID = order.image
        record.reason = order.reason
        try store.add(record, history: history)
        note("\(known.workstation.who): \(record.work) (\(order.reason))", .info, known.workstation.mac)
    }

    // MARK: What comes back

    /// The master has taken its role: from now on its participants are told its key.
    ///
    /// Only the machine that was given the order is believed, as long as it is open and of the session's present run, and
    /// its first key counts: a key decides whose disks a room gets.
    /// - Returns: Whether it is in the books now.
    func take(_ role: RoleMessage, from peer: Address) throws -> Bool {
        guard let record = try store.order(role.order), record.verb == .master, record.isDone == nil,
            let session = record.session, let run = record.run,
            try store.workstation(record.mac)?.workstation.addresses.contains(peer) ?? false,
            try store.sessionList().sessions.contains(where: { $0.number == session && $0.run == run }),
            try store.role(session: session, run: run).map({ $0.key == role.hostKey }) ?? true
        else {
            note("\(peer) claims to be a master that no open order named", .warning, nil)
            return false
        }
        try store.setRole(session: session, run: run, SessionRole(key: role.hostKey, image: role.image))
        note(
            "\(MACText.text(record.mac)) is the master of session \(record.sessionName), key \(role.hostKey.fingerprint)",
            .info, record.mac)
        return true
    }

    /// Whether two MAC addresses are of one workstation, which may ask from any of its interfaces.
    func isSame(_ one: [UInt8], _ other: [UInt8]) throws -> Bool {
        if one == other { return true }
        guard let known = try store.workstation(other)?.workstation else { return false }
        return ([known.mac] + known.otherMACs).contains(one)
    }

    /// Takes down what came of an order; what is not open, or not this machine's, changes nothing.
    ///
    /// - Returns: The run of an automatic session that is over with it: its master is done.
    func close(_ outcome: OutcomeMessage, from peer: Address) throws -> WorkHistory.Run? {
        guard let record = try store.order(outcome.order), try isSame(record.mac, outcome.mac) else {
            note("\(peer) reports the outcome of an order that it was not given", .warning, nil)
            return nil
        }
        let image = outcome.isDone && record.verb.installs ? outcome.image ?? record.imageID : nil
        let closed = try store.close(
            order: record.id, at: WallClock.now(), isDone: outcome.isDone, outcome: outcome.text,
            bytes: outcome.bytes
        ) { history in
            if outcome.isDone, let work = record.decided { history.finished(work, installed: image) }
        }
        guard closed else { return nil }
        changed()
        if !outcome.isDone { try store.count { $0.failures += 1 } }
        note(
            "\(MACText.text(record.mac)): \(record.work) \(outcome.isDone ? "is done" : "has failed"): \(outcome.text)",
            outcome.isDone ? .info : .warning, record.mac)
        guard record.verb == .master, let session = record.session, let run = record.run else { return nil }
        // It hosts no more: who asks now waits for its next role.
        try store.removeRole(session: session)
        return outcome.isDone ? WorkHistory.Run(session: session, run: run) : nil
    }
}

extension WorkVerb {
    /// Whether an image is on the machine when it is done.
    var installs: Bool { self == .takePart || self == .restore }
}

extension OrderRecord {
    /// What the workstation was told, for people.
    package var work: String {
        switch verb {
        case .nothing: "nothing"
        case .takePart: "take part in session \(sessionName)"
        case .master: "be the master of session \(sessionName)"
        case .restore: "restore image \(image)"
        case .capture: "capture its disks to \(image)"
        case .shell: "give a shell"
        case .refer: "ask another server"
        case .wait: "wait"
        }
    }

    /// The decision behind it, as far as the history counts it.
    fileprivate var decided: Decision.Work? {
        switch verb {
        case .takePart, .master:
            guard let session, let run else { return nil }
            var automatic = AutomaticSession(number: session, name: sessionName, source: .image(image))
            automatic.run = run
            return verb == .master ? .master(automatic) : .takePart(automatic)
        case .restore: return .restore(image)
        case .capture: return .capture
        case .shell: return .shell
        case .nothing, .refer, .wait: return nil
        }
    }
}

extension Workstation {
    /// The machine for people: "lab-7 (52:54:00:12:34:56)".
    var who: String {
        let text = MACText.text(mac)
        return name.isEmpty ? text : "\(name) (\(text))"
    }
}

/// MAC addresses as people write them.
package enum MACText {
    /// "52:54:00:12:34:56".
    package static func text(_ mac: [UInt8]) -> String { mac.asMAC }

    /// The 6 bytes of 12 hexadecimal digits, with or without separators; nil for anything else.
    package static func bytes(_ text: String) -> [UInt8]? {
        let digits = text.filter { !":-. ".contains($0) }.compactMap(\.hexDigitValue)
        let rest = text.filter { !$0.isHexDigit && !":-. ".contains($0) }
        guard digits.count == 12, rest.isEmpty else { return nil }
        return stride(from: 0, to: 12, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}
