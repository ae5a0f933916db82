// What a client may cost: sizes, times, numbers of connections; and what nobody should send.
import Linux
import Server
import Testing
import TestSupport

@Suite(.serialized, .timeLimit(.minutes(5))) struct HTTPLimitTests {
    @Test func largeBodiesAreRefused() async throws {
        try await TestServer.with { server in
            let large = [UInt8](repeating: UInt8(ascii: " "), count: 1024 * 1024 + 1)
            let announced = try server.authorized("POST", "/api/v1/sessions", body: large)
            #expect(announced.status == 413)
            #expect(announced.text.contains("more than 1048576 bytes"))
            // Without an announced length, for ever: the refusal comes, and then the end.
            let chunked = try server.connect()
            try chunked.send(
                "POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(server.token)\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n")
            let piece = Array("10000\r\n".utf8) + large[..<0x10000] + Array("\r\n".utf8)
            // By time, not by number: in its two seconds of courtesy a fast machine takes a gigabyte.
            let start = MonotonicClock.now()
            #expect(throws: (any Error).self, "the server reads a body without an end for 20 s") {
                while MonotonicClock.now() - start < 20_000_000_000 { try chunked.send(piece) }
            }
            let form = try server.post("/login", "name=" + String(repeating: "a", count: 1024 * 1024))
            #expect(form.status == 413)
        }
    }

    @Test func largeHeadersAreRefused() async throws {
        try await TestServer.with { server in
            for headers in [
                ["X: " + String(repeating: "a", count: 9 * 1024)],
                (0..<10).map { "X\($0): " + String(repeating: "a", count: 4 * 1024) },
                (0..<200).map { "X\($0): a" },
            ] {
                // A server that hangs up in the middle of what it refuses has refused it as well.
                let client = try server.connect()
                try? client.send(
                    (["GET /api/v1/status HTTP/1.1", "Host: x"] + headers).joined(separator: "\r\n")
                        + "\r\n\r\n")
                let said = String(decoding: try client.readToEnd(), as: UTF8.self)
                #expect(said.isEmpty || said.hasPrefix("HTTP/1.1 400"), "\(said.prefix(100))")
            }
            #expect(try server.authorized("GET", "/api/v1/status").status == 200)
        }
    }

    /// Headers by drops, a body by drops, a client that does not read: each is ended, and the others are served.
    @Test func slowClientsAreEnded() async throws {
        var limits = HTTPLimits()
        limits.idleSeconds = 4
        limits.stallSeconds = 5
        limits.bodySeconds = 4
        try await TestServer.with(limits: limits) { server in
            let start = MonotonicClock.now()
            let silent = try server.connect()
            #expect(try silent.readToEnd().isEmpty)
            #expect(MonotonicClock.now() - start < 10_000_000_000)

            let header = try server.connect()
            try header.send("GET /api/v1/status HTTP/1.1\r\n")
            try drip(header, "X: a\r\n")

            let body = try server.connect()
            try body.send(
                "POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(server.token)\r\n"
                    + "Content-Length: 1000\r\nConnection: close\r\n\r\n")
            try drip(body, " ")
            #expect(try server.authorized("GET", "/api/v1/status").status == 200)
        }
    }

    /// A download that nobody reads does not keep its file open for ever.
    @Test func readersThatDoNotReadAreEnded() async throws {
        let made = try MadeImage(chunks: 400)
        var limits = HTTPLimits()
        limits.stallSeconds = 4
        try await TestServer.with(limits: limits) { server in
            try made.store(at: "\(server.directory)/images/a.img")
            let client = try server.connect()
            try client.send(
                "GET /api/v1/images/a.img/content HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(server.token)\r\n\r\n"
            )
            func isOpen() throws -> Bool {
                try run("sh", "-c", "ls -l /proc/\(ThisProcess.pid)/fd 2>/dev/null; true").contains(
                    "\(server.directory)/images/a.img")
            }
            try expectSoon("the file is being sent") { try isOpen() }
            try expectSoon("the file is closed") { try !isOpen() }
            #expect(try client.readToEnd().count < made.file.count)
        }
    }

    /// Sends a bit every 200 ms until the server has had enough.
    private func drip(_ client: RawClient, _ text: String) throws {
        let start = MonotonicClock.now()
        do {
            while MonotonicClock.now() - start < 15_000_000_000 {
                try client.send(text)
                MonotonicClock.sleep(nanoseconds: 200_000_000)
            }
            Issue.record("the server has listened to '\(text)' for 15 s")
        } catch {
            #expect(MonotonicClock.now() - start < 10_000_000_000)
        }
    }

    @Test func connectionsBeyondTheLimitWaitForTheirTurn() async throws {
        var limits = HTTPLimits()
        limits.connections = 3
        limits.idleSeconds = 2
        try await TestServer.with(limits: limits) { server in
            let idle = try (0..<3).map { _ in try server.connect() }
            // Served once those who say nothing have been sent away.
            #expect(try server.authorized("GET", "/api/v1/status").status == 200)
            _ = idle
        }
    }

    @Test(arguments: [
        ("PATCH", "/api/v1/status", 405), ("DELETE", "/api/v1/status", 405),
        ("OPTIONS", "/api/v1/images", 405), ("TRACE", "/nowhere", 404), ("GET", "/api/v2/status", 404),
        ("GET", "/api/v1/automatic/none", 400), ("GET", "/api/v1/automatic/99999999999999999999", 400),
        ("GET", "/api/v1/automatic/7", 404), ("GET", "/api/v1/sessions/x", 404),
        ("GET", "/api/v1/log?before=x", 400), ("GET", "/api/v1/log?mac=x", 400),
        ("GET", "/api/v1/workstations/nothing", 400), ("GET", "/api/v1/workstations/525400123456", 404),
        ("GET", "/boot/grub/x.cfg", 400), ("DELETE", "/api/v1/sessions/%1b%5b31m", 404),
    ]) func everythingElseIsRefusedInASentence(_ method: String, _ path: String, _ status: Int) async throws {
        try await TestServer.with { server in
            let answer = try server.authorized(method, path)
            #expect(answer.status == status, "\(answer.text)")
            #expect(answer.headers["content-type"] == "application/json")
            #expect(answer.text.hasPrefix(#"{"error":""#), "\(answer.text)")
            #expect(!answer.text.contains("Swift") && !answer.text.contains("\u{1b}"), "\(answer.text)")
            if status == 405 { #expect(answer.headers["allow"] != nil) }
        }
    }

    @Test(arguments: [
        ("{", "the request is not JSON"), ("[]", "the request's JSON is not what belongs here"),
        ("{}", "the request lacks the field 'name'"),
        (#"{"name":7}"#, "the field 'name' is not of type String"),
        (#"{"name":"x","clients":"many"}"#, "the field 'clients' is not of type Int"),
        (#"{"name":"x"}"#, "a session needs an image"),
        (#"{"name":"x","image":"no"}"#, "there is no image no"),
        (String(repeating: "[", count: 100_000), "the request"),
    ]) func jsonIsReadWithCare(_ body: String, _ sentence: String) async throws {
        try await TestServer.with { server in
            let answer = try server.authorized("POST", "/api/v1/sessions", body: Array(body.utf8))
            #expect([400, 404].contains(answer.status))
            #expect(answer.text.contains(sentence), "\(answer.text)")
        }
    }

    @Test(arguments: [
        "GET /\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n", "GET / HTTP/1.1\r\nHost x\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n", "BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
    ])
    func noiseIsNoRequest(_ noise: String) async throws {
        try await TestServer.with { server in
            let client = try server.connect()
            try client.send(noise)
            client.finishSending()
            let said = String(decoding: try client.readToEnd(), as: UTF8.self)
            #expect(!said.hasPrefix("HTTP/1.1 2"), "\(said)")
            #expect(try server.authorized("GET", "/api/v1/status").status == 200)
        }
    }

    /// A stop does not wait for clients that take their time.
    @Test func aStopIsQuickWhateverClientsDo() async throws {
        var limits = HTTPLimits()
        limits.stopSeconds = 1
        var stopped: UInt64 = 0
        try await TestServer.with(limits: limits) { server in
            let upload = try server.connect()
            try upload.send(
                "PUT /api/v1/images/a.img HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(server.token)\r\n"
                    + "Content-Length: 100000000\r\n\r\nabc")
            let idle = try server.connect()
            try expectSoon("the upload has begun") { try run("ls", "-A", "\(server.directory)/images") != "" }
            let start = MonotonicClock.now()
            server.service.stop()
            stopped = MonotonicClock.now() - start
            try expectSoon("the upload's part is gone") {
                try run("ls", "-A", "\(server.directory)/images") == ""
            }
            _ = idle
        }
        #expect(stopped < 4_500_000_000, "\(stopped) ns")
    }
}
