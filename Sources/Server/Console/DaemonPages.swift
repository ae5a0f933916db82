// The pages as the daemon stands now.
internal import Blocks
internal import Linux

extension Daemon {
    /// A page that `/events` can make anew, by its path and query; another address throws.
    package func livePage(at path: String, _ query: String) throws -> Page {
        let parts = path.split(separator: "/").map { String($0).percentDecoded ?? "" }
        let query = try FormFields(parsing: query)
        switch (parts.first, parts.count) {
        case (nil, _): return .dashboard(try status(), images: try imageList(), now: WallClock.now())
        case ("sessions", 1):
            return .sessions(
                sessions(), automatic: try automaticSessions(), images: try imageList(),
                workstations: try workstations())
        case ("sessions", 3) where parts[1] == "running": return .session(try hosted(parts[2]))
        case ("workstations", 1): return .workstations(try workstations(), search: query["q"] ?? "")
        case ("workstations", 2): return .workstation(try workstation(parts[1]))
        case ("images", 1):
            return .images(
                try imageList(), directory: configuration.images, freeBytes: try images.freeBytes())
        case ("log", 1):
            let mac = (query["mac"] ?? "").trimmingSpaces
            let before = query["before"].flatMap(Int64.init)
            let events = try events(before: before, limit: Page.logEntries, mac: mac.nonEmpty)
            return .log(events, mac: mac, isNewest: before == nil)
        default: throw ServerError("there is nothing at this address", .notFound)
        }
    }

    /// A session that runs or has ended, by its number.
    func hosted(_ text: String) throws -> SessionView {
        guard let id = Int(text), let session = sessions().first(where: { $0.id == id }) else {
            throw ServerError(
                "there is no such session: it may be from before the server's last start", .notFound)
        }
        return session
    }

    /// An automatic session, by its number.
    func automaticSession(_ text: String) throws -> AutomaticSessionView {
        guard let number = Int64(text),
            let session = try automaticSessions().first(where: { $0.number == number })
        else { throw ServerError("there is no such automatic session: it may have been deleted", .notFound) }
        return session
    }

    func hostPage(_ form: HostForm, error: String? = nil) throws -> Page {
        form.page(images: try imageList(), directory: configuration.images, error: error)
    }

    /// The form of an automatic session, with who matches it now.
    func formPage(_ form: SessionForm, number: Int64?, error: String? = nil) throws -> Page {
        let known = try workstations()
        return form.page(
            number: number, images: try imageList(), workstations: known,
            preview: preview(form, known: known.count), error: error)
    }

    /// Who would take part now.
    func preview(_ form: SessionForm, known: Int) -> Preview {
        do {
            return .matches(try matching(rule: form.wholeConditions, members: form.allMembers), known: known)
        } catch {
            return .problem("\(error)")
        }
    }

    func settingsPage(
        _ policy: PolicyView? = nil, _ referrals: [ReferralView]? = nil, policyError: String? = nil,
        referralsError: String? = nil
    ) throws -> Page {
        .settings(
            try policy ?? self.policy(), referrals: try referrals ?? self.referrals(),
            images: try imageList(),
            policyError: policyError, referralsError: referralsError)
    }
}
