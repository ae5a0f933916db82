// Decides for each request who sent it and whether it is let in.
internal import Blocks
internal import HTTPTypes
internal import Hummingbird

extension HTTPField.Name {
    static let csrf = Self.known("X-CSRF-Token")
    static let fetchSite = Self.known("Sec-Fetch-Site")
    static let frameOptions = Self.known("X-Frame-Options")
    static let referrerPolicy = Self.known("Referrer-Policy")

    private static func known(_ name: String) -> Self {
        guard let name = Self(name) else { preconditionFailure("\(name) is no name of a header") }
        return name
    }
}

extension Site {
    /// The cookie's name; the prefix has browsers take it only by TLS and for this host alone (RFC 6265bis).
    package var cookieName: String { isSecure ? "__Host-imgserv" : "imgserv" }

    /// Finds out who asks, and refuses who may not; a page's stranger is sent to the login page.
    func admit(
        _ request: inout Request, _ context: inout ServerContext, _ access: Routes.Access
    ) async throws -> Response? {
        context.caller = try await caller(of: request, context)
        switch (access, context.caller) {
        case (.anybody, _), (.socket, .socket), (.administrator, .some), (.page, .some): break
        case (.socket, _):
            throw HTTPProblem(.forbidden, "this is only done for root on the server itself")
        case (.page, nil) where request.method == .get || request.method == .head:
            return redirect(to: "/login?next=" + request.uri.string.asQueryValue)
        case (.page, nil): return redirect(to: "/login")
        case (.administrator, nil):
            throw HTTPProblem(
                .unauthorized, "log in, or send an administrator's token (Authorization: Bearer …)",
                headers: [.wwwAuthenticate: "Bearer realm=\"imgserv\""])
        }
        guard ![.get, .head, .options].contains(request.method) else { return nil }
        if context.peer != .socket { try expectSameOrigin(request) }
        try await readForm(&request, &context)
        if case .person(let session) = context.caller {
            let shown = request.headers[.csrf] ?? context.form["csrf"] ?? ""
            guard Array(shown.utf8).equalsInConstantTime(Array(session.csrf.utf8)) else {
                throw HTTPProblem(.forbidden, "the page was too old: load it again and repeat what you did")
            }
        }
        return nil
    }

    private func caller(of request: Request, _ context: ServerContext) async throws -> Caller? {
        if context.peer == .socket { return .socket }
        if let text = request.headers[.authorization] {
            let parts = text.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "bearer" else {
                throw HTTPProblem(.unauthorized, "only tokens are taken here (Authorization: Bearer …)")
            }
            let digest = APIToken.digest(of: String(parts[1]))
            let store = daemon.store
            let known = try await work { try store.tokens() }
            // All are compared, whichever it is.
            let matches = known.filter { $0.digest.equalsInConstantTime(digest) }
            guard let token = matches.first else {
                throw HTTPProblem(.unauthorized, "there is no such token")
            }
            return .token(token.name)
        }
        if let cookie = cookie(of: request), let session = logins.session(of: cookie) {
            return .person(session)
        }
        return nil
    }

    /// The value of our cookie.
    func cookie(of request: Request) -> String? { request.cookies[cookieName]?.value }

    /// A browser says from where it posts: pages of others must not post in our administrators' names.
    private func expectSameOrigin(_ request: Request) throws {
        let problem = HTTPProblem(.forbidden, "this request comes from another site's page")
        if let site = request.headers[.fetchSite], site != "same-origin", site != "none" { throw problem }
        if let origin = request.headers[.origin] {
            guard let colon = origin.firstRange(of: "://"), let host = request.head.authority,
                origin[colon.upperBound...].lowercased() == host.lowercased()
            else { throw problem }
        }
    }

    /// Reads a posted form, whose fields the handler finds in its context.
    private func readForm(_ request: inout Request, _ context: inout ServerContext) async throws {
        let type = request.headers[.contentType]?.split(separator: ";").first ?? ""
        guard type.lowercased() == "application/x-www-form-urlencoded" else { return }
        let buffer = try await body(of: request)
        context.form = try FormFields(parsing: String(buffer: buffer))
        request.body = RequestBody(buffer: buffer)
    }
}

extension String {
    /// The text as a value in an address (RFC 3986: everything but the unreserved is encoded).
    package var asQueryValue: String {
        utf8.map { byte in
            let character = Character(UnicodeScalar(byte))
            let isPlain =
                character.isASCII && (character.isLetter || character.isNumber || "-._~".contains(character))
            return isPlain ? String(character) : "%" + [byte].hex.uppercased()
        }.joined()
    }
}
