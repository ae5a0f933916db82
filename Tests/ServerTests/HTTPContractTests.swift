// The OpenAPI document and the server say the same.
import Blocks
import FoundationEssentials
import Linux
import Server
import SessionProtocol
import Testing
import TestSupport

/// An answer that a test has got, for `Tests/Contract/validate`.
private struct Exchange: Encodable {
    let method: String
    let path: String
    let status: Int
    let body: String
}

/// What of the document is read here; the rest is the validator's.
private struct Document: Decodable {
    struct Operation: Decodable {
        struct Answer: Decodable {}
        let responses: [String: Answer]
        let security: [[String: [String]]]?
    }
    let paths: [String: [String: Operation]]
}

@Suite(.serialized, .timeLimit(.minutes(5))) struct HTTPContractTests {
    @Test func everyRouteIsDescribedAndEveryDescriptionIsARoute() async throws {
        try await TestServer.with { server in
            let answer = try server.ask("GET", "/api/v1/openapi.json")
            let document = try JSONDecoder().decode(Document.self, from: Data(answer.body))
            let described = document.paths.flatMap { path, operations in
                operations.map { method, operation in
                    // "security": [] is for anybody, or for the socket; none is the document's own: a token or login.
                    "\(method.uppercased()) \(path) \(operation.security == nil ? "closed" : "open")"
                }
            }
            let prefixes = ["/api/", "/boot/", "/metrics"]
            let served = server.site.routes.filter { route in prefixes.contains { route.path.hasPrefix($0) } }
            let routes = served.map {
                "\($0.method) \($0.path) \($0.access == .administrator ? "closed" : "open")"
            }
            #expect(Set(routes).subtracting(described) == [], "routes that the document lacks")
            #expect(Set(described).subtracting(routes) == [], "descriptions without a route")
            #expect(routes.count >= 40)
        }
    }

    /// 400 for what could never be, 409 for what contradicts something that is there.
    @Test func whatContradictsIsNotWhatCannotBe() async throws {
        let made = try MadeImage(chunks: 1)
        try await TestServer.with { server in
            try made.store(at: "\(server.directory)/images/a.img")
            _ = try server.daemon.store.seen(someWorkstation(), at: 1)
            func post(_ session: String) throws -> RawAnswer {
                try server.authorized("POST", "/api/v1/automatic", body: Array(session.utf8))
            }
            #expect(
                try post(#"{"name":"lab1","image":"a.img","members":["52:54:00:12:34:ab"]}"#).status == 201)
            let cases = [
                (#"{"name":"lab1","image":"a.img"}"#, 409, "there is a session lab1 already"),
                // The same machine by another of its interfaces.
                (
                    #"{"name":"lab2","image":"a.img","members":["02:00:00:00:00:01"]}"#, 409,
                    "52:54:00:12:34:ab is a participant of session lab1 already"
                ),
                (
                    #"{"name":"lab2","master":"020000000001","members":["525400123456"]}"#, 409,
                    "a participant of session lab1 already"
                ),
                (
                    #"{"name":"lab2","image":"a.img","clients":5000}"#, 400,
                    "takes 1 to 1000 clients, not 5000"
                ),
                (#"{"name":"lab2","image":"a.img","members":["x"]}"#, 400, "'x' is no MAC address"),
                (
                    #"{"name":"lab2","image":"a.img","rule":[{"junction":"AND","attribute":"memory","#
                        + #""comparison":">","value":"abc"}]}"#,
                    400, "RAM is compared with whole megabytes, not with 'abc'"
                ),
            ]
            for (session, status, sentence) in cases {
                let answer = try post(session)
                #expect(answer.status == status && answer.text.contains(sentence), "\(answer.text)")
            }
        }
    }

    /// Every operation is asked, with success and with errors, and every answer checked by a validator not ours.
    @Test func answersAreAsDescribed() async throws {
        let made = try MadeImage(chunks: 2)
        try await TestServer.with {
            $0.uploads = .overwrite
        } _: { server in
            var exchanges: [Exchange] = []
            func ask(
                _ method: String, _ path: String, _ values: [String: String] = [:], query: String = "",
                body: String? = nil, bytes: [UInt8]? = nil, token: Bool = true
            ) throws {
                let real = values.reduce(path) { $0.replacing("{\($1.key)}", with: $1.value) } + query
                let data = bytes ?? body.map { Array($0.utf8) }
                let answer =
                    try token
                    ? server.authorized(method, real, body: data) : server.ask(method, real, body: data)
                exchanges.append(
                    Exchange(
                        method: method, path: path, status: answer.status,
                        body: answer.headers["content-type"]?.hasPrefix("application/json") == true
                            ? answer.text : ""))
            }
            let v1 = "/api/v1"
            let mac = ["mac": "5254001234ab"]
            _ = try server.daemon.store.seen(someWorkstation(), at: WallClock.now())
            var order = OrderRecord(
                id: 7, mac: [0x52, 0x54, 0, 0x12, 0x34, 0xab], at: WallClock.now(), verb: .restore)
            order.image = "a.img"
            order.reason = "the policy"
            try server.daemon.store.add(order, history: WorkHistory())

            try ask("PUT", v1 + "/images/{name}", ["name": "a.img"], bytes: made.file)
            try ask("PUT", v1 + "/images/{name}", ["name": "a.img"], bytes: made.file)
            try ask("PUT", v1 + "/images/{name}", ["name": "b.img"], bytes: [1, 2, 3])
            try ask("GET", v1 + "/images/{name}", ["name": "a.img"])
            try ask("GET", v1 + "/images/{name}", ["name": "b.img"])
            for method in ["GET", "HEAD"] {
                try ask(method, v1 + "/images/{name}/content", ["name": "a.img"])
                try ask(method, v1 + "/images/{name}/content", ["name": "b.img"])
            }
            try run("sh", "-c", "echo nonsense > '\(server.directory)/images/none.img'")
            try ask("GET", v1 + "/images")
            let rule = #"[{"junction":"AND","attribute":"memory","comparison":">","value":"4000"}]"#
            let draft = #"{"name":"lab1","image":"a.img","members":["52:54:00:12:34:ab"],"rule":\#(rule)}"#
            try ask("POST", v1 + "/automatic", body: draft)
            try ask("POST", v1 + "/automatic", body: draft)
            try ask(
                "POST", v1 + "/automatic", body: #"{"name":"lab2","master":"020000000009","enabled":false}"#)
            try ask("POST", v1 + "/automatic", body: #"{"name":"lab3","image":"none"}"#)
            try ask("GET", v1 + "/automatic")
            let sessions: [AutomaticSessionView] = try server.local.get("automatic")
            let number = ["number": "\(try #require(sessions.first).number)"]
            for (key, value) in [number, ["number": "77"], ["number": "x"]].flatMap({ $0 }) {
                let one = [key: value]
                try ask("GET", v1 + "/automatic/{number}", one)
                try ask("PUT", v1 + "/automatic/{number}", one, body: draft)
                try ask("POST", v1 + "/automatic/{number}/move", one, body: #"{"by":1}"#)
                try ask("POST", v1 + "/automatic/{number}/enable", one, body: #"{"enabled":false}"#)
            }
            try ask("POST", v1 + "/rules/preview", body: #"{"rule":\#(rule)}"#)
            try ask(
                "POST", v1 + "/rules/preview", body: #"{"rule":\#(rule.replacing("memory", with: "mood"))}"#)
            for path in [
                "/status", "/counters", "/log", "/sessions", "/workstations", "/policy", "/referrals",
            ] {
                try ask("GET", v1 + path)
                try ask("GET", v1 + path, token: false)
            }
            try ask("GET", v1 + "/log", query: "?limit=x")
            try ask("GET", v1 + "/workstations/{mac}", mac)
            try ask("GET", v1 + "/workstations/{mac}", ["mac": "5254001234ff"])
            try ask("POST", v1 + "/workstations/{mac}/force", mac, body: #"{"forced":true}"#)
            try ask("POST", v1 + "/workstations/{mac}/force", mac, body: "{}")
            try ask("PUT", v1 + "/policy", body: #"{"action":"restore","image":"a.img","always":true}"#)
            try ask("PUT", v1 + "/policy", body: #"{"action":"dance","always":true}"#)
            try ask("PUT", v1 + "/referrals", body: #"[{"workstations":"10.1.0.0/16","server":"10.1.0.1"}]"#)
            try ask("PUT", v1 + "/referrals", body: #"[{"workstations":"x y","server":""}]"#)
            try ask("GET", v1 + "/sessions/{name}", ["name": "x"])
            try ask("DELETE", v1 + "/sessions/{name}", ["name": "x"])
            try ask("POST", v1 + "/sessions/{name}/start", ["name": "x"])
            try ask("POST", v1 + "/sessions", body: #"{"name":"x","image":"none"}"#)
            try ask("POST", v1 + "/sessions", body: #"{"name":"x"}"#)
            try ask("POST", v1 + "/sessions", body: #"{"name":"x","path":"/a"}"#)
            try ask("DELETE", v1 + "/images/{name}", ["name": "none.img"])
            try ask("DELETE", v1 + "/images/{name}", ["name": "a.img"])
            try ask("DELETE", v1 + "/images/{name}", ["name": "nothing.img"])
            try ask("DELETE", v1 + "/workstations/{mac}", mac)
            try ask("DELETE", v1 + "/workstations/{mac}", mac)
            try ask("DELETE", v1 + "/automatic/{number}", number)
            try ask("DELETE", v1 + "/automatic/{number}", number)
            for (method, path) in [
                ("GET", "/users"), ("GET", "/tokens"), ("POST", "/tokens"), ("PUT", "/users/{name}"),
                ("DELETE", "/users/{name}"), ("DELETE", "/tokens/{name}"),
            ] {
                try ask(method, v1 + path, ["name": "x"], body: method == "GET" ? nil : "{}")
            }
            try ask("GET", v1 + "/openapi.json")
            try ask("GET", "/metrics")
            try ask("GET", "/boot/grub/{mac}.cfg", mac)
            try ask("GET", "/boot/grub/{mac}.cfg", ["mac": "x"])
            try ask("GET", "/boot/pxelinux/{mac}", ["mac": "01-52-54-00-12-34-ab"])
            exchanges += try overTheSocket(server)

            let document = try server.ask("GET", "/api/v1/openapi.json").text
            let answers = String(decoding: try JSONEncoder().encode(exchanges), as: UTF8.self)
            let here = #filePath.split(separator: "/").dropLast(2).reduce("") { $0 + "/" + $1 }
            let verdict = try runAnyway(
                ["\(here)/Contract/validate"], input: #"{"document":\#(document),"exchanges":\#(answers)}"#)
            #expect(verdict.status == 0, "\(verdict.output)\(verdict.errors)")

            let asked = Set(exchanges.map { "\($0.method) \($0.path)" })
            let all = server.site.routes.filter { $0.path.hasPrefix("/api/") || $0.path.hasPrefix("/boot/") }
            #expect(
                Set(all.map { "\($0.method) \($0.path)" }).subtracting(asked) == [], "operations not asked")
            // Of each that can succeed without a network, a success was among them.
            let done = Set(exchanges.filter { $0.status < 300 }.map { "\($0.method) \($0.path)" })
            #expect(
                Set(all.map { "\($0.method) \($0.path)" }).subtracting(done) == [
                    "POST /api/v1/sessions", "GET /api/v1/sessions/{name}", "DELETE /api/v1/sessions/{name}",
                    "POST /api/v1/sessions/{name}/start",
                ])
        }
    }

    /// What only root may ask, by curl over the socket.
    private func overTheSocket(_ server: TestServer) throws -> [Exchange] {
        try [
            ("PUT", "/api/v1/users/{name}", "anna", #"{"password":"correct horse"}"#),
            ("PUT", "/api/v1/users/{name}", "anna", #"{"password":"x"}"#), ("GET", "/api/v1/users", "", ""),
            ("DELETE", "/api/v1/users/{name}", "anna", ""), ("DELETE", "/api/v1/users/{name}", "anna", ""),
            ("POST", "/api/v1/tokens", "", #"{"name":"ci"}"#),
            ("POST", "/api/v1/tokens", "", #"{"name":"ci"}"#),
            ("POST", "/api/v1/tokens", "", #"{"name":"a b"}"#), ("GET", "/api/v1/tokens", "", ""),
            ("DELETE", "/api/v1/tokens/{name}", "ci", ""), ("DELETE", "/api/v1/tokens/{name}", "ci", ""),
        ].map { method, path, name, body in
            let said = try run(
                [
                    "curl", "-sS", "--unix-socket", server.daemon.configuration.socket, "-X", method, "-w",
                    "\n%{http_code}",
                ]
                    + (body.isEmpty ? [] : ["-d", body, "-H", "Content-Type: application/json"])
                    + ["http://server" + path.replacing("{name}", with: name)])
            let lines = said.split(separator: "\n", omittingEmptySubsequences: false)
            return Exchange(
                method: method, path: path, status: Int(lines.last ?? "") ?? 0,
                body: lines.dropLast().joined(separator: "\n"))
        }
    }
}

/// The parts that need no server.
@Suite struct HTTPTextTests {
    @Test func metricsAreAsPrometheusReadsThem() throws {
        var session = try SessionView.made("a\"b\\c\nd")
        session.state = .running
        session.percent = 12.5
        session.rate = 1_000_000
        session.participants = try ["receiving", "receiving", "finished"].map(SessionView.Participant.made)
        var ended = try SessionView.made("old")
        ended.state = .ended
        ended.participants = [try .made("lost")]
        var counters = CountersView()
        counters.bytesSent = 18_446_744_073_709_551_615
        let status: ServerStatus = try made(
            #"{"version":"0.1.0","key":"k","uptime":61,"images":"/i","freeBytes":5,"counters":\#(try json(counters)),"#
                + #""transfers":[{"image":"a","workstation":"w","direction":"receive","percent":1,"bytes":2}],"#
                + #""sessions":\#(try json([session, ended]))}"#)
        let text = Metrics(status).text
        for line in [
            "# HELP imgserv_sent_bytes_total Bytes of images sent.",
            "# TYPE imgserv_sent_bytes_total counter",
            "imgserv_sent_bytes_total 18446744073709551615", "imgserv_hosted_sessions{state=\"running\"} 1",
            "imgserv_participants{state=\"receiving\"} 2", "imgserv_participants{state=\"lost\"} 0",
            "imgserv_session_progress_ratio{session=\"a\\\"b\\\\c\\nd\"} 0.125",
            "imgserv_session_rate_bytes{session=\"a\\\"b\\\\c\\nd\"} 1000000",
            "imgserv_transfers{direction=\"receive\"} 1", "imgserv_uptime_seconds 61",
            "imgserv_info{version=\"0.1.0\"} 1",
        ] {
            #expect(text.contains(line + "\n"), "\(line) is not in\n\(text)")
        }
        // Every sample belongs to a family that is declared before it.
        var family = ""
        for line in text.split(separator: "\n") {
            if line.hasPrefix("# TYPE ") { family = String(line.split(separator: " ")[2]) }
            if !line.hasPrefix("#") { #expect(line.hasPrefix(family), "\(line)") }
        }
    }

    @Test(arguments: [
        ("10.0.0.1", "http://10.0.0.1:8998"), ("10.0.0.1:80", "http://10.0.0.1:80"),
        ("srv", "http://srv:8998"),
        ("fd00::1", "http://[fd00::1]:8998"), ("[fd00::1]:443", "http://[fd00::1]:443"),
        ("https://srv.example/", "https://srv.example:8998"), ("HTTPS://srv:443", "https://srv:443"),
    ]) func serversAreNamed(_ text: String, _ url: String) throws {
        #expect(try ServerAddress(parsing: text) == .network(url))
    }

    @Test func aFileOfCertificatesMeansTLS() throws {
        #expect(try ServerAddress(parsing: "srv", isSecure: true) == .network("https://srv:8998"))
        #expect(try ServerAddress(parsing: "http://srv", isSecure: true) == .network("http://srv:8998"))
    }

    @Test(arguments: [
        "", "a b", "srv:", "srv:0", "srv:99999", "srv:x", "[srv]", "[fd00::1", "a/b", "u@h", "ftp://x",
    ])
    func whatIsNoServerIsRefused(_ text: String) {
        #expect(throws: ServerError.self) { try ServerAddress(parsing: text) }
    }

    @Test func aSessionInWords() throws {
        var session = try SessionView.made("lab1")
        session.registered = 3
        session.needed = 2
        session.standing = "3/2"
        session.startsIn = 240
        #expect(
            StatusText.lines(of: session) == [
                "lab1: registering, 3/2 registered/still needed, starts in 4 min, a.img"
            ])
        session.state = .running
        session.percent = 45.25
        session.rate = 93_100_000
        session.eta = 75
        session.participants = try ["receiving", "finished"].map(SessionView.Participant.made)
        session.participants[1].name = "long-name"
        session.participants[1].result = "done in 5 s\u{1b}[31m"
        let lines = StatusText.lines(of: session)
        #expect(lines[0] == "lab1: running, 3/2 registered/still needed, 45.3 %, 93.1 MB/s, 75 s left, a.img")
        #expect(
            lines[1] == "  pc         52:54:00:00:00:01  10.0.0.1  receiving  50.0 %  1.00 MB/s  0.5 % lost")
        #expect(lines[2].hasPrefix("  long-name  52:54:00:00:00:01  10.0.0.1  finished   50.0 %"))
        #expect(!lines[2].contains("\u{1b}"))
    }

    @Test(arguments: [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7170, "2 h 0 min"), (9000, "2 h 30 min")])
    func durations(_ seconds: UInt64, _ text: String) { #expect(StatusText.duration(seconds) == text) }
}

/// Values as the server writes them: the types have no initializers for others.
private func made<T: Decodable>(_ json: String) throws -> T {
    try JSONDecoder().decode(T.self, from: Data(json.utf8))
}

private func json(_ value: some Encodable) throws -> String {
    String(decoding: try JSONEncoder().encode(value), as: UTF8.self)
}

extension SessionView {
    fileprivate static func made(_ name: String) throws -> SessionView {
        var session: SessionView = try ServerTests.made(
            #"{"id":1,"name":"x","state":"registering","image":"a.img","registered":0,"needed":1,"standing":"0/1","#
                + #""percent":0,"rate":0,"createdAt":0,"participants":[]}"#)
        session.name = name
        return session
    }
}

extension SessionView.Participant {
    fileprivate static func made(_ state: String) throws -> SessionView.Participant {
        try ServerTests.made(
            #"{"name":"pc","mac":"52:54:00:00:00:01","address":"10.0.0.1","state":"\#(state)","percent":50,"#
                + #""chunksNeeded":2,"chunksDone":1,"writeRate":1000000,"lost":0.5}"#)
    }
}
