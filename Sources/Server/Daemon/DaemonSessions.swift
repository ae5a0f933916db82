// What administrators ask of sessions: hosted now, and automatic ones.
internal import Blocks
internal import Linux
internal import Logging
internal import SessionProtocol

extension Daemon {
    /// Sessions that are hosted now, then those that have ended, the newest first in each.
    package func sessions() -> [SessionView] { board.all.map(\.view) }

    /// The newest session of this name.
    package func session(_ name: String) -> SessionView? {
        (board.hosted(name) ?? board.all.first { $0.plan.name == name })?.view
    }

    /// Hosts a session at an administrator's word.
    package func host(_ request: HostRequest, by administrator: Administrator) throws -> SessionView {
        var plan: SessionPlan
        switch (request.image, request.path) {
        case (let image?, nil):
            plan = SessionPlan(name: request.name, image: image, path: try images.path(of: image))
        case (nil, let path?):
            guard administrator.isLocal else {
                throw ServerError(
                    "over the network an image is named as in the catalogue, not by a path", .forbidden)
            }
            guard path.hasPrefix("/") else { throw ServerError("'\(path)' is no absolute path", .invalid) }
            plan = SessionPlan(name: request.name, image: path, path: path)
        default: throw ServerError("a session needs an image, by its name or (locally) by its path", .invalid)
        }
        func within<T: Comparable>(_ value: T?, _ range: ClosedRange<T>, _ what: String) throws -> T? {
            guard let value else { return nil }
            guard range.contains(value) else { throw ServerError("\(what), not \(value)", .invalid) }
            return value
        }
        plan.clients = try within(request.clients, 1...1000, "a session takes 1 to 1000 machines") ?? 1
        plan.minutes = try within(request.minutes, 0...1440, "a session waits up to 1440 minutes") ?? 5
        plan.rate = try within(request.rate, 1...1_000_000, "a rate is 1 to 1000000 Mbit/s")
        plan.ttl = try within(request.ttl, 1...255, "multicast may pass 1 to 255 routers") ?? 16
        plan.linger = try within(request.linger, 0...1440, "a session lingers up to 1440 minutes") ?? 2
        plan.interface = request.interface ?? configuration.interface
        plan.address = request.interface == nil ? configuration.address : nil
        let session = try host(plan)
        note("\(administrator.name) hosts session \(plan.name)", level: .info, kind: .administrator)
        return session.view
    }

    /// Ends a session; its participants are told who did.
    package func stop(session name: String, by administrator: Administrator) throws {
        guard let session = board.hosted(name) else { throw noSession(name) }
        note("\(administrator.name) stops session \(name)", level: .info, kind: .administrator)
        session.stop("the session was stopped by \(administrator.name)")
    }

    /// Starts a session with whoever is there.
    package func startNow(session name: String, by administrator: Administrator) throws {
        guard let session = board.hosted(name) else { throw noSession(name) }
        note("\(administrator.name) starts session \(name)", level: .info, kind: .administrator)
        session.startNow()
    }

    private func noSession(_ name: String) -> ServerError {
        ServerError("no session \(name.onScreen) is hosted", .notFound)
    }

    // MARK: Automatic sessions

    /// The automatic sessions in their order.
    package func automaticSessions() throws -> [AutomaticSessionView] {
        try store.sessionList().sessions.map(view)
    }

    /// Adds an automatic session at the end of the list.
    package func create(
        _ draft: AutomaticSessionDraft, by administrator: Administrator
    ) throws -> AutomaticSessionView {
        let session = try read(draft, number: try store.nextSessionNumber(), run: 1)
        try policy { try store.changeSessions { try $0.put(session) } }
        note(
            "\(administrator.name) made automatic session \(session.name)", level: .info, kind: .administrator
        )
        changed()
        return view(session)
    }

    /// Puts what the draft says in the place of an automatic session; a run that is hosted and differs is stopped.
    package func change(
        automatic number: Int64, to draft: AutomaticSessionDraft, by administrator: Administrator
    ) throws -> AutomaticSessionView {
        let wanted = try read(draft, number: number, run: 1)
        let (old, new) = try changingSessions { list -> (AutomaticSession, AutomaticSession) in
            let old = try find(number, in: list)
            var new = wanted
            new.run = old.run
            if draft.enabled == nil { new.isEnabled = old.isEnabled }
            // Another image, or another master, is work of its own, also for those who had the first.
            let isAnother = new.source != old.source || new.name != old.name
            if (new.isEnabled && !old.isEnabled) || isAnother { new.run += 1 }
            try list.put(new)
            return (old, new)
        }
        let isHostedAsWas = old.source == new.source && old.name == new.name && new.isEnabled
        if !isHostedAsWas { stopRun(of: old, because: "\(administrator.name) changed the automatic session") }
        note(
            "\(administrator.name) changed automatic session \(new.name)", level: .info, kind: .administrator)
        changed()
        return view(new)
    }

    /// Deletes an automatic session; its run ends if one is hosted.
    package func delete(automatic number: Int64, by administrator: Administrator) throws {
        let old = try changingSessions { list in
            let old = try find(number, in: list)
            list.remove(number)
            return old
        }
        stopRun(of: old, because: "\(administrator.name) deleted the automatic session")
        note(
            "\(administrator.name) deleted automatic session \(old.name)", level: .info, kind: .administrator)
        changed()
    }

    /// Moves an automatic session towards the front (negative) or the end of the list.
    package func move(automatic number: Int64, by places: Int, as administrator: Administrator) throws {
        let name = try policy {
            try store.changeSessions { list in
                let name = try find(number, in: list).name
                list.move(number, by: min(max(places, -10_000), 10_000))
                return name
            }
        }
        note("\(administrator.name) moved automatic session \(name)", level: .info, kind: .administrator)
        changed()
    }

    /// Enables an automatic session for a run of its own, or disables it: its run then ends.
    package func enable(automatic number: Int64, _ isEnabled: Bool, by administrator: Administrator) throws {
        let old = try changingSessions { list in
            let old = try find(number, in: list)
            list.enable(number, isEnabled)
            return old
        }
        if !isEnabled { stopRun(of: old, because: "\(administrator.name) disabled the automatic session") }
        note(
            "\(administrator.name) \(isEnabled ? "enabled" : "disabled") automatic session \(old.name)",
            level: .info, kind: .administrator)
        changed()
    }

    /// The known workstations that a rule, or the list of members, would take now.
    package func matching(rule: [ConditionView], members: [String]) throws -> [WorkstationView] {
        let (rule, members) = try policy { (try read(rule), try members.map(readMAC)) }
        var session = AutomaticSession(number: 0, name: "preview", source: .image(""))
        session.rule = rule
        session.members = members
        return try views(of: try store.workstations().filter { session.claim(on: $0.workstation) != nil })
    }

    /// Changes the list while no workstation is answered: nobody is sent into what has just been disabled.
    private func changingSessions<T>(_ body: (inout SessionList) throws -> T) throws -> T {
        try policy { try desk.alone { try store.changeSessions(body) } }
    }

    private func stopRun(of session: AutomaticSession, because reason: String) {
        board.hosted(automatic: session.number, run: session.run)?.stop(reason)
    }

    private func find(_ number: Int64, in list: SessionList) throws -> AutomaticSession {
        guard let found = list.sessions.first(where: { $0.number == number }) else {
            throw ServerError("there is no automatic session with the number \(number)", .notFound)
        }
        return found
    }

    /// Makes an administrator's mistake of what a policy refuses.
    private func policy<T>(_ body: () throws -> T) throws -> T {
        do { return try body() } catch let error as PolicyError {
            throw ServerError(error.description, error.isConflict ? .conflict : .invalid)
        }
    }

    private func read(
        _ draft: AutomaticSessionDraft, number: Int64, run: Int
    ) throws -> AutomaticSession {
        let source: AutomaticSession.Source
        switch (draft.image, draft.master) {
        case (let image?, nil):
            _ = try images.path(of: image)
            source = .image(image)
        case (nil, let master?): source = .workstation(try readMAC(master))
        default:
            throw ServerError(
                "an automatic session has an image or a master workstation, one of both", .invalid)
        }
        var session = AutomaticSession(number: number, name: draft.name, source: source)
        session.clients = draft.clients ?? AutomaticSession.usualClients
        session.minutes = draft.minutes ?? AutomaticSession.usualMinutes
        session.isDeletedWhenDone = draft.deleteWhenDone ?? false
        session.isEnabled = draft.enabled ?? true
        session.members = try (draft.members ?? []).map(readMAC)
        session.rule = try policy { try read(draft.rule ?? []) }
        session.run = run
        return session
    }

    private func readMAC(_ text: String) throws -> [UInt8] {
        guard let mac = MACText.bytes(text) else {
            throw ServerError("'\(text.onScreen)' is no MAC address: 12 hexadecimal digits", .invalid)
        }
        // One machine, whichever of its interfaces it is named by.
        return try store.workstation(mac)?.workstation.mac ?? mac
    }

    private func read(_ rule: [ConditionView]) throws -> Rule? {
        let conditions = try rule.map { one -> (Rule.Junction, Condition) in
            guard let attribute = Attribute(rawValue: one.attribute) else {
                throw ServerError("a rule cannot look at '\(one.attribute.onScreen)'", .invalid)
            }
            guard let comparison = Operator(rawValue: one.comparison) else {
                throw ServerError("a rule cannot compare by '\(one.comparison.onScreen)'", .invalid)
            }
            guard let junction = Rule.Junction(rawValue: one.junction.uppercased()) else {
                throw ServerError(
                    "conditions are joined by AND or OR, not by '\(one.junction.onScreen)'", .invalid)
            }
            return (junction, try Condition(attribute, comparison, one.value))
        }
        guard let first = conditions.first else { return nil }
        return try Rule(first.1, Array(conditions.dropFirst()))
    }

    private func view(_ session: AutomaticSession) -> AutomaticSessionView {
        var image: String?
        var master: String?
        switch session.source {
        case .image(let name): image = name
        case .workstation(let mac): master = MACText.text(mac)
        }
        return AutomaticSessionView(
            number: session.number, name: session.name, image: image, master: master,
            clients: session.clients, minutes: session.minutes, deleteWhenDone: session.isDeletedWhenDone,
            enabled: session.isEnabled, members: session.members.map(MACText.text),
            rule: (session.rule?.conditions ?? []).map { one in
                ConditionView(
                    junction: one.junction.rawValue, attribute: one.condition.attribute.rawValue,
                    comparison: one.condition.comparison.rawValue, value: one.condition.value)
            },
            ruleText: session.rule?.description ?? "", run: session.run,
            session: board.hosted(automatic: session.number, run: session.run)?.plan.name)
    }
}
