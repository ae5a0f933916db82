// The real HTTP service on loopback and on a socket, and a client that also does what no client should.
import Blocks
import Linux
import Logging
import Server
import SessionProtocol
import Synchronization
import TestSupport

/// A server in a temporary directory, stopped and removed by `stop`.
struct TestServer {
    let daemon: Daemon
    let site: Site
    let service: HTTPService
    let directory: String
    let port: UInt16
    /// Its local socket.
    let local: ServerClient
    /// A token of its own.
    let token: String
    /// Seconds that are added to the clock of logins.
    let clock: TestClock

    /// Runs `body` with a server, on a thread of its own: it waits for the server, whose tasks need the threads of tests.
    static func with(
        _ change: (inout ServerConfiguration) -> Void = { _ in }, limits: HTTPLimits = HTTPLimits(),
        _ body: (TestServer) throws -> Void
    ) async throws {
        try await withTaskExecutorPreference(OwnThread()) {
            try serve(change, limits: limits, body)
        }
    }

    private static func serve(
        _ change: (inout ServerConfiguration) -> Void, limits: HTTPLimits, _ body: (TestServer) throws -> Void
    ) throws {
        try withTemporaryDirectory { directory in
            var configuration = ServerConfiguration()
            configuration.images = "\(directory)/images"
            configuration.state = "\(directory)/state"
            configuration.socket = "\(directory)/run/s"
            configuration.http = ("127.0.0.1", 0)
            change(&configuration)
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            let daemon = try Daemon(configuration, logger: logger, workPort: 0)
            let clock = TestClock()
            let site = Site(daemon: daemon, limits: limits) { clock.now }
            let service = HTTPService(site: site)
            try service.start()
            defer { service.stop() }
            guard let port = service.port else { throw TestFailure("the service has no port") }
            let local = try ServerClient(.socket(configuration.socket))
            let token: NewToken = try local.send(.post, "tokens", TokenRequest(name: "test"))
            try body(
                TestServer(
                    daemon: daemon, site: site, service: service, directory: directory, port: UInt16(port),
                    local: local, token: token.token, clock: clock))
        }
    }

    /// A connection to its port.
    func connect() throws -> RawClient { try RawClient(port: port) }

    /// One request on a connection of its own.
    func ask(
        _ method: String, _ path: String, _ headers: [String] = [], body: [UInt8]? = nil
    ) throws -> RawAnswer {
        let client = try connect()
        var lines = ["\(method) \(path) HTTP/1.1", "Host: 127.0.0.1:\(port)", "Connection: close"] + headers
        if let body { lines.append("Content-Length: \(body.count)") }
        try client.send(lines.joined(separator: "\r\n") + "\r\n\r\n")
        if let body { try? client.send(body) }
        return try client.answer(to: method)
    }

    /// The same with the token.
    func authorized(
        _ method: String, _ path: String, _ headers: [String] = [], body: [UInt8]? = nil
    ) throws -> RawAnswer {
        try ask(method, path, ["Authorization: Bearer \(token)"] + headers, body: body)
    }

    /// Posts a form.
    func post(_ path: String, _ form: String, _ headers: [String] = []) throws -> RawAnswer {
        try ask(
            "POST", path, ["Content-Type: application/x-www-form-urlencoded"] + headers,
            body: Array(form.utf8))
    }

    /// Makes an administrator.
    func addUser(_ name: String, _ password: String) throws {
        try local.send(.put, "users/\(name)", PasswordRequest(password: password))
    }

    /// Logs in and gives the cookie as a header.
    func logIn(_ name: String, _ password: String) throws -> String {
        let answer = try post("/login", "name=\(name)&password=\(password)")
        guard answer.status == 303, let cookie = answer.headers["set-cookie"]?.split(separator: ";").first
        else {
            throw TestFailure("the login has failed: \(answer.status) \(answer.text)")
        }
        return "Cookie: \(cookie)"
    }
}

/// Runs what a task does on threads that may wait.
private final class OwnThread: TaskExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        _ = Thread("test") { unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

/// Why a test cannot go on.
struct TestFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A clock that stands still but for what a test adds to it: a busy machine changes nothing.
final class TestClock: Sendable {
    private let added = Atomic<UInt64>(0)
    private let start = MonotonicClock.now()
    var now: UInt64 { start + added.load(ordering: .relaxed) }
    func pass(seconds: UInt64) { added.wrappingAdd(seconds * 1_000_000_000, ordering: .relaxed) }
}

/// An answer taken apart.
struct RawAnswer {
    let status: Int
    /// Names in lower case.
    let headers: [String: String]
    let body: [UInt8]
    var text: String { String(decoding: body, as: UTF8.self) }
}

/// A connection that sends whatever it is told, as slowly as it is told.
final class RawClient {
    /// Nanoseconds after which a test has failed.
    private static let patience: UInt64 = 60_000_000_000
    private let connection: TCPConnection
    private let poller: Poller

    init(port: UInt16) throws {
        connection = try TCPConnection(connectingTo: SocketAddress(IPAddress(ipv4: 0x7f00_0001), port: port))
        poller = try Poller()
        try poller.add(connection.number, token: 1, .writable)
        try wait(.writable)
        if let error = connection.connectError() { throw error }
    }

    private func wait(_ readiness: Poller.Readiness) throws {
        try poller.change(connection.number, token: 1, readiness)
        var events: [Poller.Event] = []
        try poller.wait(until: MonotonicClock.now() + Self.patience, into: &events)
        guard !events.isEmpty else { throw TestFailure("the server neither takes nor gives anything") }
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = unsafe try rest.withUnsafeBytes { unsafe try connection.send($0) }
            switch sent {
            case .bytes(let count): rest = rest.dropFirst(count)
            default: try wait(.writable)
            }
        }
    }

    /// Tells the server that nothing more comes.
    func finishSending() { connection.finishSending() }

    /// Everything until the server closes the connection.
    func readToEnd() throws -> [UInt8] {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 256 * 1024)
        while true {
            let received: Transfer
            do {
                received = unsafe try buffer.withUnsafeMutableBytes {
                    unsafe try connection.receive(into: $0)
                }
            } catch let error as SystemError where error.description.hasSuffix("Connection reset by peer") {
                // The server has hung up while more was coming.
                return all
            }
            switch received {
            case .bytes(let count): all += buffer[..<count]
            case .closed: return all
            default: try wait(.readable)
            }
        }
    }

    /// The answer, with which the connection ends.
    func answer(to method: String = "GET") throws -> RawAnswer {
        let all = try readToEnd()
        guard let gap = all.firstRange(of: Array("\r\n\r\n".utf8)) else {
            throw TestFailure("no answer, but '\(String(decoding: all, as: UTF8.self))'")
        }
        let lines = String(decoding: all[..<gap.lowerBound], as: UTF8.self).split(separator: "\r\n")
        let words = lines[0].split(separator: " ")
        guard words.count >= 2, let status = Int(words[1]) else {
            throw TestFailure("no answer: \(lines[0])")
        }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            headers[parts[0].lowercased()] = parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
        }
        var body = Array(all[gap.upperBound...])
        if let length = headers["content-length"].flatMap({ Int($0) }), method != "HEAD" {
            guard body.count >= length else {
                throw TestFailure("the answer ends after \(body.count) of \(length) bytes")
            }
            body = Array(body[..<length])
        }
        return RawAnswer(status: status, headers: headers, body: body)
    }
}
