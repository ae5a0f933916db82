// What every handler of API and console works with.
internal import Blocks
internal import FoundationEssentials
package import Hummingbird
internal import HTTPTypes
internal import Linux
package import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// The server behind the handlers: the daemon, the logins, and threads for what may take its time.
package final class Site: Sendable {
    package let daemon: Daemon
    package let limits: HTTPLimits
    package let logins: LoginSessions
    /// Whether addresses of the network are reached by TLS.
    package let isSecure: Bool
    let throttle = Mutex(LoginThrottle())
    let passwords = PasswordDesk()
    private let pool: NIOThreadPool
    private let clock: @Sendable () -> UInt64

    /// The clock gives nanoseconds and is never set; another one only in tests.
    package init(
        daemon: Daemon, limits: HTTPLimits = HTTPLimits(),
        clock: @escaping @Sendable () -> UInt64 = MonotonicClock.now
    ) {
        self.daemon = daemon
        self.limits = limits
        self.clock = clock
        logins = LoginSessions(clock: clock)
        isSecure = daemon.configuration.certificate != nil
        pool = NIOThreadPool(numberOfThreads: limits.threads)
        pool.start()
    }

    /// Seconds of a clock that is never set.
    var seconds: UInt64 { clock() / 1_000_000_000 }

    package var logger: Logger { daemon.logger }

    /// Does what may wait for the store or a disk on a thread of its own: a task must not block.
    package func work<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await pool.runIfActive(body)
    }

    /// Ends the threads; nothing works afterwards.
    func close() async {
        // There is nothing to be done about threads that do not end.
        try? await pool.shutdownGracefully()
    }

    // MARK: Bodies and answers

    /// The whole body of a request that must be small and must come soon.
    ///
    /// - Throws: `HTTPProblem` 413 for a larger one and 408 for a slow one.
    package func body(of request: Request) async throws -> ByteBuffer {
        let limit = limits.bodyBytes
        if let text = request.headers[.contentLength], let length = Int(text), length > limit {
            throw HTTPProblem(.contentTooLarge, "the request has more than \(limit) bytes")
        }
        let seconds = limits.bodySeconds
        return try await withThrowingTaskGroup(of: ByteBuffer?.self) { group in
            let body = request.body
            group.addTask { try await body.collect(upTo: limit) }
            group.addTask {
                try await Task.sleep(for: .seconds(seconds))
                return nil
            }
            defer { group.cancelAll() }
            do {
                guard let first = try await group.next(), let buffer = first else {
                    throw HTTPProblem(.requestTimeout, "the request did not arrive within \(seconds) s")
                }
                return buffer
            } catch is NIOTooManyBytesError {
                throw HTTPProblem(.contentTooLarge, "the request has more than \(limit) bytes")
            }
        }
    }

    /// The JSON body of a request.
    package func json<T: Decodable>(_ type: T.Type, of request: Request) async throws -> T {
        let buffer = try await body(of: request)
        return try JSONDecoder().decode(type, from: Data(buffer.readableBytesView))
    }

    /// An answer in JSON, with its keys in order.
    package func json(_ value: some Encodable, _ status: HTTPResponse.Status = .ok) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let data = try encoder.encode(value)
        return Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: data)))
    }

    /// A short text.
    package func text(_ text: String, type: String = "text/plain; charset=utf-8") -> Response {
        Response(
            status: .ok, headers: [.contentType: type],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    /// Says that it is done, and nothing else.
    package var done: Response { Response(status: .noContent) }

    /// Sends a browser to another page, with GET.
    package func redirect(to path: String) -> Response {
        Response(status: .seeOther, headers: [.location: path])
    }

    /// A refusal: JSON for programs, a page for browsers.
    func refusal(_ problem: HTTPProblem, _ request: Request, _ context: ServerContext) -> Response {
        struct Refusal: Encodable { let error: String }
        var response: Response?
        if wantsPage(request) {
            response = ConsolePages.problem(problem.status, problem.description, site: self, context: context)
            response?.status = problem.status
        }
        let answer = response ?? (try? json(Refusal(error: problem.description), problem.status))
        var result = answer ?? Response(status: problem.status)
        for field in problem.headers { result.headers.append(field) }
        return result
    }

    private func wantsPage(_ request: Request) -> Bool {
        let path = request.uri.path
        return !["/api/", "/boot/", "/metrics"].contains { path.hasPrefix($0) }
            && request.headers[.accept]?.contains("text/html") == true
    }
}
