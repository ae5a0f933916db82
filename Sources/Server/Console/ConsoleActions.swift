// What the console's forms do.
internal import Blocks
internal import Hummingbird

extension Routes {
    /// Forms of sessions: hosted now, and automatic ones.
    func addSessionActions() {
        post("/sessions/host") { daemon, _, context in
            let form = HostForm(context.form)
            do {
                let session = try daemon.host(try form.request(), by: context.administrator)
                return .go("/sessions/running/\(session.id)?done=hosted")
            } catch let error as ServerError {
                return .again(try daemon.hostPage(form, error: error.description), error)
            }
        }
        post("/sessions/running/{id}/start") { daemon, request, context in
            let session = try daemon.hosted(try request.lastParts(2)[0])
            try daemon.startNow(session: try session.openName, by: context.administrator)
            return .go("/sessions/running/\(session.id)?done=started")
        }
        post("/sessions/running/{id}/stop") { daemon, request, context in
            let session = try daemon.hosted(try request.lastParts(2)[0])
            do {
                try daemon.stop(session: try session.openName, by: context.administrator)
            } catch let error as ServerError {
                return .again(.confirmStop(session, error: error.description), error)
            }
            return .go("/sessions/running/\(session.id)?done=stopped")
        }
        post("/sessions/preview") { daemon, _, context in
            let preview = daemon.preview(SessionForm(context.form), known: try daemon.workstations().count)
            return .part(Templates.render("preview", preview.fields))
        }
        post("/sessions/new") { daemon, _, context in
            try Self.save(nil, daemon, context) { draft in
                _ = try daemon.create(draft, by: context.administrator)
                return .go("/sessions?done=created")
            }
        }
        post("/sessions/automatic/{number}") { daemon, request, context in
            let number = try daemon.automaticSession(try request.lastParts(1)[0]).number
            return try Self.save(number, daemon, context) { draft in
                _ = try daemon.change(automatic: number, to: draft, by: context.administrator)
                return .go("/sessions?done=saved")
            }
        }
        post("/sessions/automatic/{number}/move") { daemon, request, context in
            let number = try daemon.automaticSession(try request.lastParts(2)[0]).number
            guard let places = context.form["by"].flatMap(Int.init) else {
                throw ServerError("the form does not say how far to move the session", .invalid)
            }
            try daemon.move(automatic: number, by: places, as: context.administrator)
            return .go("/sessions?done=moved")
        }
        post("/sessions/automatic/{number}/enable") { daemon, request, context in
            let number = try daemon.automaticSession(try request.lastParts(2)[0]).number
            let isEnabled = context.form["enabled"] == "yes"
            try daemon.enable(automatic: number, isEnabled, by: context.administrator)
            return .go("/sessions?done=\(isEnabled ? "enabled" : "disabled")")
        }
        post("/sessions/automatic/{number}/delete") { daemon, request, context in
            let session = try daemon.automaticSession(try request.lastParts(2)[0])
            do {
                try daemon.delete(automatic: session.number, by: context.administrator)
            } catch let error as ServerError {
                return .again(.confirmDelete(session, error: error.description), error)
            }
            return .go("/sessions?done=deleted-session")
        }
    }

    /// The form of an automatic session: saved, or shown again with what a button of it has changed.
    private static func save(
        _ number: Int64?, _ daemon: Daemon, _ context: ServerContext,
        _ store: (AutomaticSessionDraft) throws -> Posted
    ) throws -> Posted {
        var form = SessionForm(context.form)
        let word = context.form["do"] ?? "save"
        guard word == "save" else {
            form.edit(word)
            return .edited(try daemon.formPage(form, number: number))
        }
        do {
            return try store(try form.draft())
        } catch let error as ServerError {
            return .again(try daemon.formPage(form, number: number, error: error.description), error)
        }
    }

    /// Forms of workstations, images and settings.
    func addOtherActions() {
        post("/workstations/{mac}/force") { daemon, request, context in
            let mac = try request.lastParts(2)[0]
            let isForced = context.form["forced"] == "yes"
            try daemon.force(workstation: mac, isForced, by: context.administrator)
            return .go("/workstations/\(mac.asQueryValue)?done=\(isForced ? "forced" : "unforced")")
        }
        post("/workstations/{mac}/forget") { daemon, request, context in
            try daemon.forget(workstation: try request.lastParts(2)[0], by: context.administrator)
            return .go("/workstations?done=forgotten")
        }
        post("/images/{name}/delete") { daemon, request, context in
            let image = try daemon.image(try request.lastParts(2)[0])
            do {
                try daemon.delete(image: image.name, by: context.administrator)
            } catch let error as ServerError {
                return .again(.confirmDelete(image, error: error.description), error)
            }
            return .go("/images?done=deleted-image")
        }
        post("/settings/policy") { daemon, _, context in
            let policy = Page.policy(context.form)
            do {
                try daemon.setPolicy(policy, by: context.administrator)
            } catch let error as ServerError {
                return .again(try daemon.settingsPage(policy, policyError: error.description), error)
            }
            return .go("/settings?done=policy")
        }
        post("/settings/referrals") { daemon, _, context in
            let referrals = Page.referrals(context.form)
            do {
                try daemon.setReferrals(referrals, by: context.administrator)
            } catch let error as ServerError {
                return .again(
                    try daemon.settingsPage(nil, referrals, referralsError: error.description), error)
            }
            return .go("/settings?done=referrals")
        }
    }
}

extension SessionView {
    /// Its name, by which the daemon knows it, while it is hosted.
    fileprivate var openName: String {
        get throws {
            guard state != .ended else {
                throw ServerError("session \(name.onScreen) has ended already", .conflict)
            }
            return name
        }
    }
}
