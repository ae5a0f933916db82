// Who is let in: passwords, logins, tokens, CSRF, and how fast one may guess.
import Linux
import Server
import Testing
import TestSupport

@Suite(.serialized, .timeLimit(.minutes(5))) struct HTTPAccessTests {
    /// Whatever a later change adds: what is not open to anybody refuses strangers.
    @Test func everyRouteRefusesStrangers() async throws {
        try await TestServer.with { server in
            var tried = 0
            for route in server.site.routes where route.access != .anybody {
                let path = route.path.replacing("{number}", with: "1").replacing(
                    "{mac}", with: "525400123456"
                )
                .replacing("{name}", with: "x")
                guard !path.contains("{") else { continue }
                let answer = try server.ask(route.method, path)
                let expected =
                    switch route.access {
                    case .socket: 403
                    case .page: 303
                    default: 401
                    }
                #expect(answer.status == expected, "\(route.method) \(path)")
                tried += 1
            }
            #expect(tried > 30)
        }
    }

    @Test func tokensOpenTheDoorAndOnlyWholeOnes() async throws {
        try await TestServer.with { server in
            #expect(try server.authorized("GET", "/api/v1/status").status == 200)
            for wrong in [
                String(server.token.dropLast()), server.token + "0", "x", "", server.token.uppercased(),
            ] {
                let answer = try server.ask("GET", "/api/v1/status", ["Authorization: Bearer \(wrong)"])
                #expect(answer.status == 401, "\(wrong)")
            }
            #expect(try server.ask("GET", "/api/v1/status", ["Authorization: Basic eDp5"]).status == 401)
            // What only root on the server may do, no token may.
            #expect(try server.authorized("GET", "/api/v1/tokens").status == 403)
            #expect(try server.authorized("PUT", "/api/v1/users/eve", body: Array("{}".utf8)).status == 403)
            let kept = try server.daemon.store.tokens()
            #expect(kept.map(\.name) == ["test"])
            #expect(kept.first?.digest == APIToken.digest(of: server.token))
            try server.local.send(.delete, "tokens/test")
            #expect(try server.authorized("GET", "/api/v1/status").status == 401)
            #expect(throws: ServerError.self) { try server.local.send(.delete, "tokens/test") }
        }
    }

    @Test func pathsOfTheServerAreForTheSocketOnly() async throws {
        try await TestServer.with { server in
            let body = Array(#"{"name":"lab1","path":"/etc/passwd"}"#.utf8)
            let answer = try server.authorized("POST", "/api/v1/sessions", body: body)
            #expect(answer.status == 403)
            #expect(answer.text.contains("not by a path"), "\(answer.text)")
            var request = HostRequest(name: "lab1")
            request.path = "/etc/passwd"
            let error = #expect(throws: ServerError.self) {
                let _: SessionView = try server.local.send(.post, "sessions", request)
            }
            // Over the socket the path is taken, and found to be no image.
            #expect(error?.kind != .forbidden, "\(error?.description ?? "")")
        }
    }

    @Test func thePasswordOpensACookieThatNeedsTheCSRFTokenToChangeAnything() async throws {
        try await TestServer.with { server in
            try server.addUser("anna", "correct horse")
            let first = try server.post("/login", "name=anna&password=correct+horse&next=%2Fimages")
            #expect(first.status == 303)
            #expect(first.headers["location"] == "/images")
            let setCookie = try #require(first.headers["set-cookie"])
            #expect(setCookie.contains("; HttpOnly; SameSite=Strict"))
            let cookie = try server.logIn("anna", "correct+horse")
            #expect(cookie.utf8.count > 64)
            #expect(try server.ask("GET", "/api/v1/status", [cookie]).status == 200)

            let policy = Array(#"{"action":"shell","always":false}"#.utf8)
            let bare = try server.ask("PUT", "/api/v1/policy", [cookie], body: policy)
            #expect(bare.status == 403)
            #expect(
                try server.ask("PUT", "/api/v1/policy", [cookie, "X-CSRF-Token: x"], body: policy).status
                    == 403)
            #expect(try server.daemon.policy().action == "nothing")
            let value = try #require(cookie.split(separator: "=").last.map(String.init))
            let csrf = try #require(server.site.logins.session(of: value)).csrf
            let header = "X-CSRF-Token: \(csrf)"
            // From another site's page, even with everything else right.
            for other in [
                "Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site",
                "Sec-Fetch-Site: same-site",
            ] {
                let answer = try server.ask("PUT", "/api/v1/policy", [cookie, header, other], body: policy)
                #expect(answer.status == 403, "\(other)")
            }
            let own = "Origin: http://127.0.0.1:\(server.port)"
            let right = try server.ask("PUT", "/api/v1/policy", [cookie, header, own], body: policy)
            #expect(right.status == 200, "\(right.text)")
            #expect(try server.daemon.policy().action == "shell")
            // In a form.
            #expect(try server.post("/logout", "csrf=wrong", [cookie]).status == 403)
            #expect(try server.post("/logout", "csrf=\(csrf)", [cookie]).status == 303)
            #expect(try server.ask("GET", "/api/v1/status", [cookie]).status == 401)
        }
    }

    @Test(arguments: [
        "//evil.example", "https://evil.example", "/\\evil.example", "/a%0d%0aSet-Cookie:x", "x",
    ])
    func loginLeadsNowhereElse(_ next: String) async throws {
        try await TestServer.with { server in
            try server.addUser("anna", "correct horse")
            let answer = try server.post("/login", "name=anna&password=correct+horse&next=\(next)")
            #expect(answer.headers["location"] == "/")
        }
    }

    @Test func loginsEndByTimeByRemovalAndByANewPassword() async throws {
        try await TestServer.with { server in
            try server.addUser("anna", "correct horse")
            let cookie = try server.logIn("anna", "correct+horse")
            server.clock.pass(seconds: 12 * 3600 - 60)
            #expect(try server.ask("GET", "/api/v1/status", [cookie]).status == 200)
            server.clock.pass(seconds: 12 * 3600 + 60)
            #expect(try server.ask("GET", "/api/v1/status", [cookie]).status == 401)
            let second = try server.logIn("anna", "correct+horse")
            try server.addUser("anna", "another horse")
            #expect(try server.ask("GET", "/api/v1/status", [second]).status == 401)
            let third = try server.logIn("anna", "another+horse")
            try server.local.send(.delete, "users/anna")
            #expect(try server.ask("GET", "/api/v1/status", [third]).status == 401)
            #expect(try server.post("/login", "name=anna&password=another+horse").status == 401)
        }
    }

    @Test func guessingBecomesSlow() async throws {
        try await TestServer.with { server in
            try server.addUser("anna", "correct horse")
            for _ in 0..<LoginThrottle.freeAttempts {
                #expect(try server.post("/login", "name=anna&password=wrong").status == 401)
            }
            let blocked = try server.post("/login", "name=anna&password=correct+horse")
            #expect(blocked.status == 429)
            #expect(blocked.headers["retry-after"] == "1")
            // Another name from the same address has to wait, too.
            #expect(try server.post("/login", "name=otto&password=x").status == 429)
            server.clock.pass(seconds: 2)
            _ = try server.logIn("anna", "correct+horse")
            // Being right is the end of it.
            #expect(try server.post("/login", "name=anna&password=wrong").status == 401)
        }
    }

    @Test func withoutAdministratorsTheLoginPageSaysWhatToType() async throws {
        try await TestServer.with { server in
            let before = try server.ask("GET", "/login", ["Accept: text/html"])
            #expect(before.status == 200)
            #expect(before.text.contains("imgserv user add"), "\(before.text)")
            try server.addUser("anna", "correct horse")
            #expect(try !server.ask("GET", "/login").text.contains("imgserv user add"))
        }
    }

    @Test func theSocketIsItsOwnersOnlyAndGoesWithTheServer() async throws {
        var path = ""
        try await TestServer.with { server in
            path = server.daemon.configuration.socket
            let mode = try run("stat", "-c", "%a %F", path)
            #expect(mode == "600 socket\n")
            let names = try run("ls", "\(server.directory)/run")
            #expect(names == "s\n")
            let second = HTTPService(site: Site(daemon: server.daemon))
            let error = #expect(throws: ServerError.self) { try second.start() }
            #expect(error?.description == "a server is running at \(path) already")
        }
        #expect(!FileTree.exists(path))
    }

    @Test func metricsMayBeOpen() async throws {
        try await TestServer.with { server in
            let answer = try server.ask("GET", "/metrics")
            #expect(answer.status == 401)
        }
        try await TestServer.with {
            $0.hasOpenMetrics = true
        } _: { server in
            let answer = try server.ask("GET", "/metrics")
            #expect(answer.status == 200)
            #expect(answer.text.contains("# TYPE imgserv_requests_total counter\nimgserv_requests_total 0\n"))
        }
    }
}

@Suite struct HTTPAccessPartsTests {
    @Test func aPasswordIsKnownAgainAndNoOther() throws {
        let hash = try PasswordHash(of: "correct horse")
        let kept = try #require(PasswordHash(hash.description))
        #expect(try kept.matches("correct horse"))
        #expect(try !kept.matches("correct horsf"))
        #expect(try !kept.matches(""))
        #expect(try PasswordHash(of: "correct horse").description != hash.description)
        #expect(throws: ServerError.self) { try PasswordHash(of: "short") }
    }

    /// RFC 7914, section 12: the third vector (N = 16384, r = 8, p = 1).
    @Test func scryptIsTheOneOfTheStandard() throws {
        let salt = Array("SodiumChloride".utf8).map {
            String($0 >> 4, radix: 16) + String($0 & 15, radix: 16)
        }.joined()
        let key =
            "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
            + "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
        let hash = try #require(PasswordHash("scrypt$14$8$1$\(salt)$\(key)"))
        #expect(try hash.matches("pleaseletmein"))
        #expect(try !hash.matches("pleaseletmeim"))
    }

    @Test(arguments: [
        "", "x", "scrypt$15$8$1$00$00",
        "scrypt$30$8$1$\(String(repeating: "00", count: 16))$\(String(repeating: "00", count: 32))",
        "scrypt$15$8$1$\(String(repeating: "0g", count: 16))$\(String(repeating: "00", count: 32))",
        "bcrypt$15$8$1$\(String(repeating: "00", count: 16))$\(String(repeating: "00", count: 32))",
    ])
    func whatIsNoHashIsNone(_ text: String) { #expect(PasswordHash(text) == nil) }

    @Test func delaysGrowToTheirLimitsAndAreForgotten() {
        var throttle = LoginThrottle()
        var now: UInt64 = 1000
        for _ in 1..<LoginThrottle.freeAttempts {
            #expect(throttle.attempt(name: "anna", address: "10.0.0.1", at: now) == nil)
        }
        var waits: [UInt64] = []
        for _ in 0..<14 {
            #expect(throttle.attempt(name: "anna", address: "10.0.0.1", at: now) == nil)
            let wait = throttle.attempt(name: "otto", address: "10.0.0.1", at: now)
            waits.append(wait ?? 0)
            now += wait ?? 0
        }
        #expect(waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900])
        // The name alone waits less: strangers cannot lock its owner out for long.
        _ = throttle.attempt(name: "anna", address: "10.0.0.1", at: now)
        #expect(throttle.attempt(name: "anna", address: "10.9.9.9", at: now) == LoginThrottle.longestForName)
        now += LoginThrottle.memory
        for _ in 1..<LoginThrottle.freeAttempts {
            #expect(throttle.attempt(name: "anna", address: "10.0.0.1", at: now) == nil)
        }
    }

    @Test func aNetworkOfAddressesIsOneGuesser() {
        var throttle = LoginThrottle()
        for number in 0..<LoginThrottle.freeAttempts {
            #expect(throttle.attempt(name: "u\(number)", address: "2001:db8:0:1::\(number)", at: 0) == nil)
        }
        #expect(throttle.attempt(name: "new", address: "2001:db8:0:1:ffff::1", at: 0) == 1)
        #expect(throttle.attempt(name: "new", address: "2001:db8:0:2::1", at: 0) == nil)
    }

    @Test func guessesFromEverywhereDoNotTakeTheMemory() {
        var throttle = LoginThrottle()
        for number in 0..<LoginThrottle.maximum + 300 {
            _ = throttle.attempt(name: "n\(number)", address: "a\(number)", at: UInt64(number / 500))
        }
        #expect(throttle.remembered == 2 * LoginThrottle.maximum)
    }

    @Test func loginsAreBounded() {
        let sessions = LoginSessions(clock: { 0 })
        let first = sessions.begin("anna")
        for _ in 0..<LoginSessions.maximum { _ = sessions.begin("otto") }
        let last = sessions.begin("eva")
        #expect(sessions.session(of: last)?.user == "eva")
        #expect(sessions.session(of: String(last.reversed())) == nil)
        _ = first
    }

    @Test(arguments: [
        ("a=1&b=2", [("a", "1"), ("b", "2")]), ("a=x+y%26z&a=", [("a", "x y&z"), ("a", "")]), ("", []),
        ("name=gr%C3%B6%C3%9Fe", [("name", "größe")]), ("a", [("a", "")]), ("a==", [("a", "=")]),
    ])
    func formsAreRead(_ text: String, _ expected: [(String, String)]) throws {
        let form = try FormFields(parsing: text)
        #expect(form.fields.map { "\($0.name)=\($0.value)" } == expected.map { "\($0.0)=\($0.1)" })
    }

    @Test(arguments: ["a=%", "a=%4", "a=%zz", "a=%ff"]) func brokenFormsAreRefused(_ text: String) {
        #expect(throws: ServerError.self) { try FormFields(parsing: text) }
    }
}
