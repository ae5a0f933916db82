// The list of sessions, and the page of one that runs or has ended.
internal import Blocks

/// What templates show of sessions.
enum SessionFields {
    /// A session that is hosted now.
    static func card(_ session: SessionView) -> Fields {
        let isRegistering = session.state == .registering
        var fields: Fields = [
            "id": session.id, "name": session.name, "state": session.state.rawValue,
            "tone": session.state == .running ? "live" : "", "image": session.image,
            "canStart": session.registered > 0, "count": session.registered,
            "needed": session.stillNeeded, "standing": session.standing,
            "percent": Words.progress(session.shownPercent),
            "percentText": Words.percent(session.shownPercent),
            "machines": Words.count(
                session.state == .ended ? session.participants.count : session.registered, "machine"),
            "isRegistering": isRegistering,
            "isOpen": session.state != .ended,
        ]
        fields["rate"] = session.state == .running ? Words.rate(session.rate).nonEmpty : nil
        if isRegistering {
            fields["eta"] = session.startsIn.map { "starts in \(Words.duration($0))" }
        } else {
            fields["eta"] = session.eta.map { "done in \(Words.duration($0))" }
        }
        return fields
    }

    static func ended(_ session: SessionView) -> Fields {
        var fields = card(session)
        let isComplete = session.isComplete ?? false
        fields["result"] = isComplete ? "done" : "not complete"
        fields["tone"] = isComplete ? "good" : "bad"
        fields["outcome"] = session.outcome.flatMap(\.nonEmpty).map(Words.sentence)
        fields["endedAt"] = session.endedAt.map { Words.time($0) }
        return fields
    }

    /// The list of automatic sessions.
    ///
    /// `images` are the names in the catalogue (one that is gone is marked), `running` the numbers of hosted sessions by
    /// those of the automatic sessions they are runs of, `names` those of workstations by MAC address.
    static func automatic(
        _ sessions: [AutomaticSessionView], images: Set<String>, running: [Int64: Int],
        names: [String: String]
    ) -> [Fields] {
        sessions.enumerated().map { index, session in
            let id = running[session.number]
            var fields: Fields = [
                "number": session.number, "name": session.name, "enabled": session.enabled,
                "source": session.image ?? "master \(names[session.master ?? ""] ?? session.master ?? "")",
                "isEmpty": session.rule.isEmpty && session.members.isEmpty,
                "starts": "\(Words.count(session.clients, "client")) or \(session.minutes) min",
                "afterwards": session.deleteWhenDone ? "then deleted" : "then disabled",
                "state": id != nil ? "running" : session.enabled ? "enabled" : "disabled",
                "tone": id != nil ? "live" : session.enabled ? "good" : "",
                "isFirst": index == 0, "isLast": index == sessions.count - 1,
            ]
            if let image = session.image, !images.contains(image) {
                fields["sourceProblem"] = "no such image"
            }
            fields["ruleText"] = session.ruleText.nonEmpty
            fields["members"] = session.members.isEmpty ? nil : "\(session.members.count) by name"
            fields["runningID"] = id
            return fields
        }
    }

    static func machine(_ one: SessionView.Participant) -> Fields {
        let tones = [
            "receiving": "live", "silent": "warn", "finished": "good", "failed": "bad", "lost": "bad",
        ]
        var fields: Fields = [
            "anchor": Words.anchor(one.mac + one.name), "mac": one.mac,
            "name": one.name.isEmpty ? one.mac : one.name, "address": one.address, "state": one.state,
            "tone": tones[one.state] ?? "", "percent": Words.progress(one.percent),
            "percentText": Words.percent(one.percent),
            "rate": one.state == "receiving" || one.state == "silent" ? "\(one.writeRate.asBytes)/s" : "",
            "lost": one.state == "joined" ? "" : "\(one.lost.fixed(1)) %",
        ]
        fields["result"] = one.result.flatMap(\.nonEmpty).map(Words.sentence)
        return fields
    }
}

extension SessionView {
    /// The second number of "3/2".
    var stillNeeded: String { standing.split(separator: "/").last.map(String.init) ?? "0" }

    /// Of a session that has ended, what its machines have; the rest is nobody's any more.
    var shownPercent: Double {
        guard state == .ended, !participants.isEmpty else { return percent }
        return participants.map(\.percent).reduce(0, +) / Double(participants.count)
    }
}

extension Page {
    package static func sessions(
        _ sessions: [SessionView], automatic: [AutomaticSessionView], images: [ImageView],
        workstations: [WorkstationView]
    ) -> Page {
        let open = sessions.filter { $0.state != .ended }
        let ended = sessions.filter { $0.state == .ended }
        let running = Dictionary(open.compactMap { one in one.automatic.map { ($0, one.id) } }) { first, _ in
            first
        }
        let names = Dictionary(workstations.map { ($0.mac, $0.name) }) { first, _ in first }
        var page = Page(
            "sessions", "Sessions", .sessions,
            [
                "running": open.map(SessionFields.card), "hasEnded": !ended.isEmpty,
                "ended": ended.map(SessionFields.ended), "hasAutomatic": !automatic.isEmpty,
                "automatic": SessionFields.automatic(
                    automatic, images: Set(images.filter { $0.problem == nil }.map(\.name)), running: running,
                    names: names),
            ])
        page.live = ["running", "automatic", "ended"]
        page.isMoving = !open.isEmpty
        page.address = "/sessions"
        return page
    }

    /// The page of a session that runs or has ended.
    package static func session(_ session: SessionView) -> Page {
        var fields = session.state == .ended ? SessionFields.ended(session) : SessionFields.card(session)
        if session.state == .ended { fields["state"] = fields["result"] }
        var facts: [Fields] = [["label": "Image", "value": session.image]]
        func add(_ label: String, _ value: String?, href: String? = nil) {
            guard let value, !value.isEmpty else { return }
            var fact: Fields = ["label": label, "value": value]
            fact["href"] = href
            facts.append(fact)
        }
        func add(_ label: String, at seconds: Int64?) {
            if let seconds { facts.append(["label": label, "value": "", "time": Words.time(seconds)]) }
        }
        let isWaiting = session.state != .ended && session.stillNeeded != "0"
        let machines = session.state == .ended ? session.participants.count : session.registered
        add("Machines", "\(machines)\(isWaiting ? ", \(session.stillNeeded) still needed" : "")")
        if session.state == .running { add("Rate", Words.rate(session.rate)) }
        if session.state != .ended {
            add("Starts", session.startsIn.map { "in \(Words.duration($0))" })
            add("Expected end", session.eta.map { "in \(Words.duration($0))" })
        }
        if let number = session.automatic {
            add("Run of", "automatic session \(session.name)", href: "/sessions/automatic/\(number)")
        }
        add("Created", at: session.createdAt)
        add("Started", at: session.startedAt)
        add("Ended", at: session.endedAt)
        fields["facts"] = facts
        fields["hasMachines"] = !session.participants.isEmpty
        fields["participants"] = session.participants.map(SessionFields.machine)
        var page = Page("running-page", "Session \(session.name)", .sessions, fields)
        page.live = ["running-detail"]
        page.isMoving = session.state != .ended
        page.address = "/sessions/running/\(session.id)"
        return page
    }
}
