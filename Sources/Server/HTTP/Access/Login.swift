// Logging in and out: the posts of the login page.
internal import Blocks
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import Synchronization

extension Routes {
    /// POST /login (fields name, password, next) and POST /logout.
    func addLogin() {
        let site = site
        add(.get, "/login", for: .anybody) { request, context in
            let next = request.uri.queryParameters.get("next") ?? ""
            return try await site.loginPage(problem: nil, next: next, context)
        }
        add(.post, "/login", for: .anybody) { _, context in
            do {
                return try await site.logIn(context)
            } catch let problem as HTTPProblem
                where [.unauthorized, .tooManyRequests].contains(problem.status)
            {
                let next = context.form["next"] ?? ""
                var response = try await site.loginPage(problem: problem.description, next: next, context)
                response.status = problem.status
                for field in problem.headers { response.headers.append(field) }
                return response
            }
        }
        add(.post, "/logout", for: .page) { request, _ in
            if let cookie = site.cookie(of: request) { site.logins.end(cookie) }
            var response = site.redirect(to: "/login")
            response.headers[.setCookie] = site.setCookie("", "; Max-Age=0")
            return response
        }
    }
}

extension Site {
    /// What is known to be no password: unknown names take as long as known ones.
    private static let nobody =
        "scrypt$16$8$1$\(String(repeating: "0", count: 32))$\(String(repeating: "0", count: 64))"

    fileprivate func loginPage(problem: String?, next: String, _ context: ServerContext) async throws
        -> Response
    {
        let store = daemon.store
        let hasUsers = try await work { try !store.users().isEmpty }
        return ConsolePages.login(
            problem: problem, next: Self.path(next), hasAdministrators: hasUsers, site: self, context: context
        )
    }

    fileprivate func logIn(_ context: ServerContext) async throws -> Response {
        guard let name = context.form["name"], let password = context.form["password"] else {
            throw ServerError("the form lacks name or password", .invalid)
        }
        // A name that nobody can have is not remembered: it may be long, or a password typed in the wrong field.
        let known = (try? AccessName.check(name)) == nil ? "?" : name
        let wait = throttle.withLock { $0.attempt(name: known, address: context.origin, at: seconds) }
        if let wait {
            throw HTTPProblem(
                .tooManyRequests, "too many wrong passwords: try again in \(wait) s",
                headers: [.retryAfter: String(wait)])
        }
        let store = daemon.store
        let user = try await work { try store.users().first { $0.name == name } }
        let hash = PasswordHash(user?.passwordHash ?? Self.nobody)
        let isRight = try await passwords.work { try hash?.matches(password) ?? false }
        guard user != nil, isRight else {
            daemon.note(
                "login of \(known.onScreen) from \(context.origin) failed", level: .warning,
                kind: .administrator)
            throw HTTPProblem(.unauthorized, "name or password is wrong")
        }
        throttle.withLock { $0.succeeded(name: name, address: context.origin) }
        daemon.note("\(name) has logged in from \(context.origin)", level: .info, kind: .administrator)
        var response = redirect(to: Self.path(context.form["next"] ?? ""))
        response.headers[.setCookie] = setCookie(logins.begin(name), "")
        return response
    }

    fileprivate func setCookie(_ value: String, _ more: String) -> String {
        "\(cookieName)=\(value); Path=/; HttpOnly; SameSite=Strict\(isSecure ? "; Secure" : "")\(more)"
    }

    /// A path of ours to go on to; anything that leads elsewhere becomes the first page.
    private static func path(_ text: String) -> String {
        let isOurs =
            text.hasPrefix("/") && !text.hasPrefix("//") && !text.contains("\\")
            && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
        return isOurs ? text : "/"
    }
}
