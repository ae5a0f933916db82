// Whole image files up and down, and what happens when they are not whole.
import Blocks
import Linux
import Server
import Testing
import TestSupport

@Suite(.serialized, .timeLimit(.minutes(5))) struct HTTPImageTests {
    @Test func anImageGoesUpAndComesDownTheSame() async throws {
        let made = try MadeImage(chunks: 40)
        try await TestServer.with { server in
            let put = try server.authorized("PUT", "/api/v1/images/lab%201.img", body: made.file)
            #expect(put.status == 201, "\(put.text)")
            #expect(put.text.contains(#""name":"lab 1.img""#))
            let views: [ImageView] = try server.local.get("images")
            #expect(views.map(\.name) == ["lab 1.img"])
            #expect(views.first?.problem == nil)
            let path = "/api/v1/images/lab%201.img/content"
            let whole = try server.authorized("GET", path)
            #expect(whole.status == 200)
            #expect(whole.body == made.file)
            let tag = try #require(whole.headers["etag"])
            for (range, expected) in [
                ("bytes=0-0", made.file[..<1]), ("bytes=100-", made.file[100...]),
                ("bytes=-7", made.file.suffix(7)),
                ("bytes=1000000-1999999999", made.file[1_000_000...]),
            ] {
                let part = try server.authorized("GET", path, ["Range: \(range)", "If-Range: \(tag)"])
                #expect(part.status == 206, "\(range)")
                #expect(part.body == Array(expected), "\(range)")
                #expect(
                    part.headers["content-range"]
                        == "bytes \(expected.startIndex)-\(expected.endIndex - 1)/\(made.file.count)")
            }
            // A range of another file than this one is the whole file.
            #expect(
                try server.authorized("GET", path, ["Range: bytes=0-0", "If-Range: \"x\""]).status == 200)
            let beyond = try server.authorized("GET", path, ["Range: bytes=\(made.file.count)-"])
            #expect(beyond.status == 416)
            #expect(beyond.headers["content-range"] == "bytes */\(made.file.count)")
            let head = try server.authorized("HEAD", path)
            #expect(head.status == 200)
            #expect(head.headers["content-length"] == "\(made.file.count)")
            #expect(head.body.isEmpty)
            let counters: CountersView = try server.local.get("counters")
            #expect(counters.imagesReceived == 1)
            #expect(counters.bytesReceived == UInt64(made.file.count))
            #expect(try server.authorized("DELETE", "/api/v1/images/lab%201.img").status == 204)
            #expect(try server.authorized("GET", path).status == 404)
        }
    }

    @Test func whatExistsIsNotOverwrittenUnlessTheServerAllowsIt() async throws {
        let (first, second) = (try MadeImage(chunks: 2, seed: 1), try MadeImage(chunks: 2, seed: 2))
        try await TestServer.with { server in
            #expect(try server.authorized("PUT", "/api/v1/images/a.img", body: first.file).status == 201)
            #expect(try server.authorized("PUT", "/api/v1/images/a.img", body: second.file).status == 409)
            let asked = try server.authorized("PUT", "/api/v1/images/a.img?overwrite=1", body: second.file)
            #expect(asked.status == 403)
            #expect(try server.authorized("GET", "/api/v1/images/a.img/content").body == first.file)
        }
        try await TestServer.with {
            $0.uploads = .overwrite
        } _: { server in
            #expect(try server.authorized("PUT", "/api/v1/images/a.img", body: first.file).status == 201)
            #expect(try server.authorized("PUT", "/api/v1/images/a.img", body: second.file).status == 409)
            let asked = try server.authorized("PUT", "/api/v1/images/a.img?overwrite=1", body: second.file)
            #expect(asked.status == 201)
            #expect(try server.authorized("GET", "/api/v1/images/a.img/content").body == second.file)
        }
        try await TestServer.with {
            $0.uploads = .no
        } _: { server in
            let answer = try server.authorized("PUT", "/api/v1/images/a.img", body: first.file)
            #expect(answer.status == 403)
        }
    }

    /// Cut after half, whether its length was announced or not; and bytes that are no image.
    @Test func halfAnUploadLeavesNothing() async throws {
        let made = try MadeImage(chunks: 40)
        let half = Array(made.file[..<(made.file.count / 2)])
        try await TestServer.with { server in
            func left() throws -> String { try run("ls", "-A", "\(server.directory)/images") }
            let start =
                "PUT /api/v1/images/a.img HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(server.token)\r\n"
            let announced = try server.connect()
            try announced.send(start + "Content-Length: \(made.file.count)\r\n\r\n")
            try announced.send(half)
            announced.finishSending()
            _ = try announced.readToEnd()
            try expectSoon("the part of the cut upload is gone") { try left() == "" }

            let chunked = try server.connect()
            try chunked.send(start + "Transfer-Encoding: chunked\r\n\r\n")
            try chunked.send("\(String(half.count, radix: 16))\r\n")
            try chunked.send(half)
            try chunked.send("\r\n")
            chunked.finishSending()
            _ = try chunked.readToEnd()
            try expectSoon("the part of the chunked upload is gone") { try left() == "" }

            let short = try server.authorized("PUT", "/api/v1/images/a.img", body: half)
            #expect(short.status == 400, "\(short.text)")
            #expect(try left() == "")
            // The name is free again.
            #expect(try server.authorized("PUT", "/api/v1/images/a.img", body: made.file).status == 201)
            #expect(
                try server.daemon.events(before: nil, limit: 10, mac: nil).contains {
                    $0.text.contains("failed")
                })
        }
    }

    @Test(arguments: [
        "..%2f..%2fetc%2fpasswd", "..%2F..%2Fetc%2Fpasswd", "%2e%2e", ".hidden", "%2fetc%2fpasswd", "a%00b",
        "%ff",
        "..%5c..%5cetc", "a%0ab", "%20a",
    ])
    func namesDoNotLeadOutOfTheCatalogue(_ name: String) async throws {
        try await TestServer.with { server in
            for (method, rest) in [
                ("GET", ""), ("GET", "/content"), ("HEAD", "/content"), ("DELETE", ""), ("PUT", ""),
            ] {
                let answer = try server.authorized(
                    method, "/api/v1/images/\(name)\(rest)", body: method == "PUT" ? [1, 2, 3] : nil)
                #expect([400, 404].contains(answer.status), "\(method) \(name)\(rest): \(answer.status)")
                #expect(!answer.text.contains("root:"))
            }
            #expect(try run("ls", "-A", "\(server.directory)/images") == "")
            #expect(try run("ls", "-A", server.directory) == "images\nrun\nstate\n")
        }
    }

    @Test func dotsInTheMiddleOfAnAddressAreNoWayOut() async throws {
        try await TestServer.with { server in
            for path in [
                "/../../etc/passwd", "/api/v1/images/../../../etc/passwd", "/api/v1/images/..",
                "//etc/passwd",
            ] {
                let answer = try server.authorized("GET", path)
                #expect([400, 404].contains(answer.status), "\(path): \(answer.status)")
            }
        }
    }

    @Test func symbolicLinksAreNoImages() async throws {
        try await TestServer.with { server in
            try run("ln", "-s", "/etc/passwd", "\(server.directory)/images/link")
            #expect(try server.authorized("GET", "/api/v1/images/link/content").status == 404)
        }
    }

    @Test(arguments: [
        ("bytes=0-99", 100, 0, 100), ("bytes=50-", 100, 50, 100), ("bytes=-10", 100, 90, 100),
        ("bytes=-1000", 100, 0, 100), ("bytes=0-1000", 100, 0, 100),
    ]) func ranges(_ header: String, _ size: UInt64, _ from: UInt64, _ to: UInt64) {
        #expect(ByteRange(header)?.range(of: size) == from..<to)
    }

    @Test(arguments: ["bytes=", "bytes=-", "bytes=9-1", "bytes=a-b", "bytes=1-2,4-5", "lines=1-2", "bytes=1"])
    func otherRangesDoNotCount(_ header: String) { #expect(ByteRange(header) == nil) }

    @Test func emptyRangesCannotBeServed() {
        #expect(ByteRange("bytes=100-")?.range(of: 100) == nil)
        #expect(ByteRange("bytes=-0")?.range(of: 100) == nil)
        #expect(ByteRange("bytes=-5")?.range(of: 0) == nil)
        #expect(ByteRange("bytes=0-18446744073709551615")?.range(of: 5) == 0..<5)
    }
}

/// Waits for what happens a moment after a connection has ended.
func expectSoon(_ what: Comment, _ isSo: () throws -> Bool) throws {
    let deadline = MonotonicClock.now() + 10_000_000_000
    while try !isSo(), MonotonicClock.now() < deadline { MonotonicClock.sleep(nanoseconds: 20_000_000) }
    #expect(try isSo(), what)
}
