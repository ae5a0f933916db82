// Administrators and tokens: only for root on the server itself.
internal import Blocks
internal import HTTPTypes
internal import Hummingbird
internal import Linux
internal import Logging

/// An administrator as `imgserv user list` shows it.
package struct UserView: Codable, Equatable, Sendable {
    package var name: String
    package init(name: String) { self.name = name }
}

/// A token as `imgserv token list` shows it.
package struct TokenView: Codable, Equatable, Sendable {
    package var name: String
    /// Seconds since 1970 (UTC).
    package var createdAt: Int64
}

/// A token that was made a moment ago: nobody sees its text again.
package struct NewToken: Codable, Equatable, Sendable {
    package var name: String
    package var token: String
}

/// An administrator's new password.
package struct PasswordRequest: Codable, Equatable, Sendable {
    package var password: String
    package init(password: String) { self.password = password }
}

/// The name of a token to be made.
package struct TokenRequest: Codable, Equatable, Sendable {
    package var name: String
    package init(name: String) { self.name = name }
}

extension Routes {
    func addAccess() {
        let site = site
        let daemon = site.daemon
        let access = AccessList(store: daemon.store)
        add(.get, "/api/v1/users", for: .socket) { _, _ in
            try site.json(try await site.work { try access.users() })
        }
        add(.put, "/api/v1/users/{name}", for: .socket) { request, context in
            let name = try context.parameter("name")
            let password = try await site.json(PasswordRequest.self, of: request).password
            try await site.passwords.work { try access.setUser(name, password: password) }
            site.logins.endAll(of: name)
            daemon.note(
                "\(context.administrator.name) set the password of administrator \(name)", level: .info,
                kind: .administrator)
            return site.done
        }
        add(.delete, "/api/v1/users/{name}", for: .socket) { _, context in
            let name = try context.parameter("name")
            try await site.work { try access.removeUser(name) }
            site.logins.endAll(of: name)
            daemon.note(
                "\(context.administrator.name) removed administrator \(name)", level: .info,
                kind: .administrator)
            return site.done
        }
        add(.get, "/api/v1/tokens", for: .socket) { _, _ in
            try site.json(try await site.work { try access.tokens() })
        }
        add(.post, "/api/v1/tokens", for: .socket) { request, context in
            let name = try await site.json(TokenRequest.self, of: request).name
            let token = try await site.work { try access.addToken(name) }
            daemon.note(
                "\(context.administrator.name) made token \(name)", level: .info, kind: .administrator)
            return try site.json(token, .created)
        }
        add(.delete, "/api/v1/tokens/{name}", for: .socket) { _, context in
            let name = try context.parameter("name")
            try await site.work { try access.removeToken(name) }
            daemon.note(
                "\(context.administrator.name) removed token \(name)", level: .info, kind: .administrator)
            return site.done
        }
    }
}

/// Who may use the server, in its store: through the daemon, or without one.
package struct AccessList: Sendable {
    let store: Store

    package init(store: Store) { self.store = store }

    package func users() throws -> [UserView] { try store.users().map { UserView(name: $0.name) } }

    /// Makes an administrator, or gives one another password; it takes a while.
    package func setUser(_ name: String, password: String) throws {
        try AccessName.check(name)
        try store.setUser(name, passwordHash: PasswordHash(of: password).description)
    }

    /// - Throws: `ServerError` where there is no such administrator.
    package func removeUser(_ name: String) throws {
        guard try store.users().contains(where: { $0.name == name }) else {
            throw ServerError("there is no administrator \(name.onScreen)", .notFound)
        }
        try store.removeUser(name)
    }

    package func tokens() throws -> [TokenView] {
        try store.tokens().map { TokenView(name: $0.name, createdAt: $0.at) }
    }

    /// Makes a token.
    ///
    /// - Throws: `ServerError` where one of that name exists.
    package func addToken(_ name: String) throws -> NewToken {
        try AccessName.check(name)
        guard try !store.tokens().contains(where: { $0.name == name }) else {
            throw ServerError("there is a token \(name) already", .conflict)
        }
        let token = APIToken()
        try store.addToken(name: name, digest: APIToken.digest(of: token.text), at: WallClock.now())
        return NewToken(name: name, token: token.text)
    }

    /// - Throws: `ServerError` where there is no such token.
    package func removeToken(_ name: String) throws {
        guard try store.tokens().contains(where: { $0.name == name }) else {
            throw ServerError("there is no token \(name.onScreen)", .notFound)
        }
        try store.removeToken(name)
    }
}
