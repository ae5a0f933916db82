// Sessions that are hosted, and automatic sessions.
internal import Blocks
internal import HTTPTypes
internal import Hummingbird

extension Routes {
    func addSessions() {
        let site = site
        let daemon = site.daemon
        add(.get, "/api/v1/sessions", for: .administrator) { _, _ in
            try site.json(try await site.work { daemon.sessions() })
        }
        add(.post, "/api/v1/sessions", for: .administrator) { request, context in
            let wanted = try await site.json(HostRequest.self, of: request)
            let administrator = context.administrator
            return try site.json(
                try await site.work { try daemon.host(wanted, by: administrator) }, .created)
        }
        add(.get, "/api/v1/sessions/{name}", for: .administrator) { _, context in
            let name = try context.parameter("name")
            guard let session = try await site.work({ daemon.session(name) }) else {
                throw ServerError("there is no session \(name.onScreen)", .notFound)
            }
            return try site.json(session)
        }
        add(.delete, "/api/v1/sessions/{name}", for: .administrator) { _, context in
            let (name, administrator) = (try context.parameter("name"), context.administrator)
            try await site.work { try daemon.stop(session: name, by: administrator) }
            return site.done
        }
        add(.post, "/api/v1/sessions/{name}/start", for: .administrator) { _, context in
            let (name, administrator) = (try context.parameter("name"), context.administrator)
            try await site.work { try daemon.startNow(session: name, by: administrator) }
            return site.done
        }
    }

    func addAutomaticSessions() {
        let site = site
        let daemon = site.daemon
        add(.get, "/api/v1/automatic", for: .administrator) { _, _ in
            try site.json(try await site.work { try daemon.automaticSessions() })
        }
        add(.post, "/api/v1/automatic", for: .administrator) { request, context in
            let draft = try await site.json(AutomaticSessionDraft.self, of: request)
            let administrator = context.administrator
            return try site.json(
                try await site.work { try daemon.create(draft, by: administrator) }, .created)
        }
        add(.get, "/api/v1/automatic/{number}", for: .administrator) { _, context in
            let number = try site.number(try context.parameter("number"), "an automatic session")
            let all = try await site.work { try daemon.automaticSessions() }
            guard let session = all.first(where: { $0.number == number }) else {
                throw ServerError("there is no automatic session with the number \(number)", .notFound)
            }
            return try site.json(session)
        }
        add(.put, "/api/v1/automatic/{number}", for: .administrator) { request, context in
            let number = try site.number(try context.parameter("number"), "an automatic session")
            let draft = try await site.json(AutomaticSessionDraft.self, of: request)
            let administrator = context.administrator
            return try site.json(
                try await site.work { try daemon.change(automatic: number, to: draft, by: administrator) })
        }
        add(.delete, "/api/v1/automatic/{number}", for: .administrator) { _, context in
            let number = try site.number(try context.parameter("number"), "an automatic session")
            let administrator = context.administrator
            try await site.work { try daemon.delete(automatic: number, by: administrator) }
            return site.done
        }
        add(.post, "/api/v1/automatic/{number}/move", for: .administrator) { request, context in
            let number = try site.number(try context.parameter("number"), "an automatic session")
            let places = try await site.json(MoveRequest.self, of: request).by
            let administrator = context.administrator
            try await site.work { try daemon.move(automatic: number, by: places, as: administrator) }
            return site.done
        }
        add(.post, "/api/v1/automatic/{number}/enable", for: .administrator) { request, context in
            let number = try site.number(try context.parameter("number"), "an automatic session")
            let isEnabled = try await site.json(EnableRequest.self, of: request).enabled
            let administrator = context.administrator
            try await site.work { try daemon.enable(automatic: number, isEnabled, by: administrator) }
            return site.done
        }
        add(.post, "/api/v1/rules/preview", for: .administrator) { request, _ in
            let wanted = try await site.json(PreviewRequest.self, of: request)
            return try site.json(
                try await site.work {
                    try daemon.matching(rule: wanted.rule ?? [], members: wanted.members ?? [])
                })
        }
    }
}

/// By how many places an automatic session moves towards the end of the list; negative: towards its front.
private struct MoveRequest: Decodable, Sendable { let by: Int }

private struct EnableRequest: Decodable, Sendable { let enabled: Bool }

/// The rule and the members of an automatic session that somebody is writing.
private struct PreviewRequest: Decodable, Sendable {
    let rule: [ConditionView]?
    let members: [String]?
}
