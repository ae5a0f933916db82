// What the commands ask a running daemon with; its calls wait for the answer.
internal import AsyncHTTPClient
internal import Blocks
internal import FoundationEssentials
internal import Linux
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL
internal import Synchronization

/// A daemon, here or elsewhere, that does what administrators want.
package final class ServerClient: Sendable {
    /// Seconds in which an answer must have come, and bytes it may have.
    private static let patience: Int64 = 30
    private static let answerLimit = 64 * 1024 * 1024

    package let address: ServerAddress
    private let token: String?
    private let tls: TLSConfiguration?

    /// - Parameters:
    ///   - address: Where the daemon is.
    ///   - token: An administrator's token; the local socket needs none.
    ///   - certificates: A PEM file of certificates that are trusted, instead of the system's.
    /// - Throws: `ServerError` where that file cannot be read.
    package init(_ address: ServerAddress, token: String? = nil, certificates: String? = nil) throws {
        self.address = address
        self.token = token
        guard let certificates else {
            tls = nil
            return
        }
        var tls = TLSConfiguration.makeClientConfiguration()
        do {
            tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(certificates))
        } catch {
            throw ServerError("cannot read certificates from \(certificates): \(error)")
        }
        self.tls = tls
    }

    /// Asks for a resource below `/api/v1/`.
    ///
    /// - Throws: `ServerError` with the server's own sentence, or with why it cannot be reached.
    package func get<T: Decodable & Sendable>(_ path: String, as type: T.Type = T.self) throws -> T {
        try decode(exchange(.GET, path, nil))
    }

    /// Sends a value and takes the answer.
    package func send<T: Decodable & Sendable>(
        _ method: Method, _ path: String, _ body: some Encodable, as type: T.Type = T.self
    ) throws -> T {
        try decode(exchange(method.http, path, Array(try JSONEncoder().encode(body))))
    }

    /// Sends a value; there is no answer but that it is done.
    package func send(_ method: Method, _ path: String, _ body: some Encodable) throws {
        _ = try exchange(method.http, path, Array(try JSONEncoder().encode(body)))
    }

    /// Has something done that needs no words.
    package func send(_ method: Method, _ path: String) throws { _ = try exchange(method.http, path, nil) }

    package enum Method: Sendable {
        case post, put, delete

        fileprivate var http: HTTPMethod {
            switch self {
            case .post: .POST
            case .put: .PUT
            case .delete: .DELETE
            }
        }
    }

    private func decode<T: Decodable>(_ bytes: [UInt8]) throws -> T {
        do {
            return try JSONDecoder().decode(T.self, from: Data(bytes))
        } catch {
            throw ServerError("what answers at \(address) is no imaging server of this version")
        }
    }

    private func exchange(_ method: HTTPMethod, _ path: String, _ body: [UInt8]?) throws -> [UInt8] {
        var request = HTTPClientRequest(url: address.url("/api/v1/" + path))
        request.method = method
        if let token { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(body)
        }
        request.tlsConfiguration = tls
        let ready = request
        let (status, answer) = try waiting { () async throws -> (UInt, [UInt8]) in
            let response = try await HTTPClient.shared.execute(ready, timeout: .seconds(Self.patience))
            let body = try await response.body.collect(upTo: Self.answerLimit)
            return (response.status.code, Array(body.readableBytesView))
        }
        guard !(200..<300).contains(status) else { return answer }
        throw refusal(status, answer)
    }

    private func refusal(_ status: UInt, _ answer: [UInt8]) -> ServerError {
        struct Refusal: Decodable { let error: String }
        if status == 401 {
            return ServerError(
                "\(address) wants an administrator's token: make one there by 'imgserv token add NAME' and give it "
                    + "by IMGSERV_TOKEN or --token-file", .forbidden)
        }
        let sentence = (try? JSONDecoder().decode(Refusal.self, from: Data(answer)))?.error.onScreen
        let kind: ServerError.Kind =
            switch status {
            case 400, 413: .invalid
            case 403: .forbidden
            case 404: .notFound
            case 409: .conflict
            case 503: .busy
            case 507: .full
            default: .failed
            }
        return ServerError(sentence ?? "\(address) answers with status \(status)", kind)
    }

    /// Does asynchronous work from the world of threads.
    private func waiting<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) throws -> T {
        let answer = Answer<T>()
        Task {
            do { answer.put(.success(try await body())) } catch { answer.put(.failure(error)) }
        }
        do {
            return try answer.take()
        } catch let error as HTTPClientError where error == .connectTimeout || error == .deadlineExceeded {
            throw ServerError("no imaging server answers at \(address)", .busy)
        } catch let error as HTTPClientError {
            throw ServerError("\(address) cannot be asked: \(error.shortDescription)", .busy)
        } catch let error as NIOSSLError {
            throw ServerError("\(address) cannot be trusted: \(error)", .busy)
        } catch let error as ServerError {
            throw error
        } catch {
            throw ServerError("no imaging server answers at \(address): \(error)", .busy)
        }
    }
}

/// A result that one thread waits for.
private final class Answer<Value: Sendable>: @unchecked Sendable {
    // Guarded by `condition`.
    private let condition = Linux.Condition()
    private var result: Result<Value, any Error>?

    func put(_ result: Result<Value, any Error>) {
        condition.locked {
            self.result = result
            condition.signalAll()
        }
    }

    func take() throws -> Value {
        try condition.locked { () throws -> Value in
            while result == nil { condition.wait() }
            guard let result else { preconditionFailure("an answer is awaited and not there") }
            return try result.get()
        }
    }
}
