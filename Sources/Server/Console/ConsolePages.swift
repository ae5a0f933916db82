// The console's addresses: which page is where, and the two pages that strangers see.
internal import Blocks
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

/// The web console.
package enum ConsolePages {
    /// Adds the console's pages and static files; every page is `for: .page`.
    static func add(to routes: Routes) {
        addFiles(to: routes)
        addViews(to: routes)
        routes.addSessionActions()
        routes.addOtherActions()
        routes.addEvents()
    }

    /// The login page: a form that posts name, password and next (the path to go on to) to /login.
    ///
    /// `problem` is why the last attempt was refused; without administrators it says what to type on the server.
    static func login(
        problem: String?, next: String, hasAdministrators: Bool, site: Site, context: ServerContext
    ) -> Response {
        var fields: Fields = ["next": next, "hasAdministrators": hasAdministrators]
        fields["name"] = context.form["name"].flatMap(\.nonEmpty).map { String($0.prefix(100)) }
        fields["error"] = problem.map(Words.sentence)
        return site.html(Page.bare("login", title: "Log in", fields))
    }

    /// The page that tells of an error; the caller sets its status.
    static func problem(
        _ status: HTTPResponse.Status, _ sentence: String, site: Site, context: ServerContext
    ) -> Response? {
        let page = problemPage(status, sentence, path: "/")
        if let viewer = context.viewer { return site.html(page.html(for: viewer), status) }
        return site.html(Page.bare(page.template, title: page.title, page.fields), status)
    }

    /// Tells of an error, with a way back to the part of the console that `path` is in.
    static func problemPage(_ status: HTTPResponse.Status, _ sentence: String, path: String) -> Page {
        let title =
            switch status {
            case .notFound: "There is no such page"
            case .forbidden: "This may not be done"
            default: status.code < 500 ? "This cannot be done" : "The server could not do this"
            }
        let section =
            Page.Section.allCases.first { $0 != .dashboard && path.hasPrefix($0.path) } ?? .dashboard
        return Page(
            "problem", title, section,
            [
                "title": title, "text": Words.sentence(sentence), "back": section.path,
                "backLabel": section.title,
            ])
    }

    private static func addFiles(to routes: Routes) {
        let files: [(String, String, [UInt8])] = [
            ("app.css", "text/css; charset=utf-8", PackageResources.app_css),
            ("app.js", "text/javascript; charset=utf-8", PackageResources.app_js),
            ("icon.svg", "image/svg+xml", PackageResources.icon_svg),
        ]
        for (name, type, bytes) in files {
            // A browser asks whether its copy is still right: after an update it never mixes old and new.
            let tag = "\"\(Digest.of(bytes).bytes.hex)\""
            let buffer = ByteBuffer(bytes: bytes)
            routes.add(.get, "/console/\(name)", for: .anybody) { request, _ in
                let headers: HTTPFields = [.contentType: type, .eTag: tag, .cacheControl: "no-cache"]
                if request.headers[.ifNoneMatch] == tag {
                    return Response(status: .notModified, headers: headers)
                }
                return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: buffer))
            }
        }
    }

    private static func addViews(to routes: Routes) {
        for path in [
            "/", "/sessions", "/sessions/running/{id}", "/workstations", "/workstations/{mac}", "/images",
            "/log",
        ] {
            routes.view(path) { daemon, request in
                try daemon.livePage(at: request.uri.path, request.uri.query ?? "")
            }
        }
        routes.view("/sessions/new") { daemon, _ in try daemon.formPage(SessionForm(), number: nil) }
        routes.view("/sessions/host") { daemon, request in
            let query = try FormFields(parsing: request.uri.query ?? "")
            return try daemon.hostPage(HostForm(image: query["image"] ?? ""))
        }
        routes.view("/images/{name}") { daemon, request in
            .image(try daemon.image(try request.lastParts(1)[0]))
        }
        routes.view("/settings") { daemon, _ in try daemon.settingsPage() }
        routes.view("/sessions/automatic/{number}") { daemon, request in
            let session = try daemon.automaticSession(try request.lastParts(1)[0])
            let known = Set(try daemon.workstations().map(\.mac))
            return try daemon.formPage(SessionForm(session, known: known), number: session.number)
        }
        routes.view("/sessions/automatic/{number}/delete") { daemon, request in
            .confirmDelete(try daemon.automaticSession(try request.lastParts(2)[0]))
        }
        routes.view("/sessions/running/{id}/stop") { daemon, request in
            .confirmStop(try daemon.hosted(try request.lastParts(2)[0]))
        }
        routes.view("/images/{name}/delete") { daemon, request in
            .confirmDelete(try daemon.image(try request.lastParts(2)[0]))
        }
        routes.view("/workstations/{mac}/forget") { daemon, request in
            .confirmForget(try daemon.workstation(try request.lastParts(2)[0]).workstation)
        }
    }
}

extension Request {
    /// The last parts of its path, percent-decoded.
    func lastParts(_ count: Int) throws -> [String] {
        let parts = uri.path.split(separator: "/").suffix(count).compactMap { String($0).percentDecoded }
        guard parts.count == count, !parts.contains(where: { $0.isEmpty || $0.utf8.contains(0) }) else {
            throw ServerError("there is nothing at this address", .notFound)
        }
        return parts
    }
}

extension ServerContext {
    /// Who looks at a page; nil for a stranger.
    var viewer: Viewer? { caller == nil ? nil : Viewer(user: user ?? "root", csrf: csrf) }
}

extension Site {
    /// An HTML document.
    func html(_ text: String, _ status: HTTPResponse.Status = .ok) -> Response {
        var response = self.text(text, type: "text/html; charset=utf-8")
        response.status = status
        return response
    }
}

extension Routes {
    /// What became of a posted form.
    enum Posted {
        /// It is done; the browser goes there.
        case go(String)
        /// It could not be; the form is shown again with the reason.
        case again(Page, ServerError)
        /// A form that is edited, not sent.
        case edited(Page)
        /// A part of a page, for the script.
        case part(String)
    }

    /// Sentences by the word after "?done=" with which a form leads to a page.
    private static let doneSentences = [
        "created": "The automatic session is made.", "saved": "The automatic session is saved.",
        "deleted-session": "The automatic session is deleted.", "moved": "The order is changed.",
        "enabled": "The session is enabled.", "disabled": "The session is disabled.",
        "hosted": "The session is hosted: machines can join.", "started": "The session is starting.",
        "stopped": "The session is being stopped; its machines are told.",
        "uploaded": "The image is uploaded.",
        "deleted-image": "The image is deleted.",
        "forced": "Asked next, an enabled session or the policy sends its image again.",
        "unforced": "The image will not be sent again.", "forgotten": "The workstation is forgotten.",
        "policy": "The policy is saved.", "referrals": "The referrals are saved.",
    ]

    /// A page that is looked at.
    func view(_ path: String, _ make: @escaping @Sendable (Daemon, Request) throws -> Page) {
        let site = site
        add(.get, path, for: .page) { request, context in
            guard let viewer = context.viewer else { return site.redirect(to: "/login") }
            return try await site.answer(request, viewer) {
                var page = try make(site.daemon, request)
                let query = try FormFields(parsing: request.uri.query ?? "")
                page.done = query["done"].flatMap { Self.doneSentences[$0] }
                return (page.html(for: viewer), .ok)
            }
        }
    }

    /// A form that is posted.
    func post(_ path: String, _ act: @escaping @Sendable (Daemon, Request, ServerContext) throws -> Posted) {
        let site = site
        add(.post, path, for: .page) { request, context in
            guard let viewer = context.viewer else { return site.redirect(to: "/login") }
            return try await site.answer(request, viewer) {
                switch try act(site.daemon, request, context) {
                case .go(let path): (path, .seeOther)
                case .again(let page, let error): (page.html(for: viewer), error.kind.status)
                case .edited(let page): (page.html(for: viewer), .ok)
                case .part(let html): (html, .ok)
                }
            }
        }
    }
}

extension Site {
    /// Answers with an HTML document, or leads on to a path; a reason why not becomes a page within the console.
    fileprivate func answer(
        _ request: Request, _ viewer: Viewer,
        _ body: @escaping @Sendable () throws -> (String, HTTPResponse.Status)
    ) async throws -> Response {
        let path = request.uri.path
        let (text, status) = try await work { () -> (String, HTTPResponse.Status) in
            do {
                return try body()
            } catch let error as ServerError {
                let page = ConsolePages.problemPage(error.kind.status, error.description, path: path)
                return (page.html(for: viewer), error.kind.status)
            }
        }
        return status == .seeOther ? redirect(to: text) : html(text, status)
    }
}
