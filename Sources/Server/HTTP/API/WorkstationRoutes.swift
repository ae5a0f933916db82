// Workstations, and what the server has for those that no session claims.
internal import HTTPTypes
internal import Hummingbird

extension Routes {
    func addWorkstations() {
        let site = site
        let daemon = site.daemon
        add(.get, "/api/v1/workstations", for: .administrator) { _, _ in
            try site.json(try await site.work { try daemon.workstations() })
        }
        add(.get, "/api/v1/workstations/{mac}", for: .administrator) { _, context in
            let mac = try context.parameter("mac")
            return try site.json(try await site.work { try daemon.workstation(mac) })
        }
        add(.delete, "/api/v1/workstations/{mac}", for: .administrator) { _, context in
            let (mac, administrator) = (try context.parameter("mac"), context.administrator)
            try await site.work { try daemon.forget(workstation: mac, by: administrator) }
            return site.done
        }
        add(.post, "/api/v1/workstations/{mac}/force", for: .administrator) { request, context in
            let (mac, administrator) = (try context.parameter("mac"), context.administrator)
            let isForced = try await site.json(ForceRequest.self, of: request).forced
            try await site.work { try daemon.force(workstation: mac, isForced, by: administrator) }
            return site.done
        }
        add(.get, "/api/v1/policy", for: .administrator) { _, _ in
            try site.json(try await site.work { try daemon.policy() })
        }
        add(.put, "/api/v1/policy", for: .administrator) { request, context in
            let policy = try await site.json(PolicyView.self, of: request)
            let administrator = context.administrator
            return try site.json(
                try await site.work {
                    try daemon.setPolicy(policy, by: administrator)
                    return try daemon.policy()
                })
        }
        add(.get, "/api/v1/referrals", for: .administrator) { _, _ in
            try site.json(try await site.work { try daemon.referrals() })
        }
        add(.put, "/api/v1/referrals", for: .administrator) { request, context in
            let referrals = try await site.json([ReferralView].self, of: request)
            let administrator = context.administrator
            return try site.json(
                try await site.work {
                    try daemon.setReferrals(referrals, by: administrator)
                    return try daemon.referrals()
                })
        }
    }
}

private struct ForceRequest: Decodable, Sendable { let forced: Bool }
