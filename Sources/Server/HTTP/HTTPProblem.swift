// Why a request is refused, as HTTP says it.
package import HTTPTypes
internal import Blocks
internal import Hummingbird

/// A refusal with its status; the sentence is for the person at the other end.
package struct HTTPProblem: Error, CustomStringConvertible {
    package let status: HTTPResponse.Status
    package let description: String
    package var headers = HTTPFields()

    package init(_ status: HTTPResponse.Status, _ description: String, headers: HTTPFields = HTTPFields()) {
        self.status = status
        self.description = description
        self.headers = headers
    }

    /// What any error means for the client; nil for one that tells nothing but the server's own failure.
    init?(_ error: any Error) {
        switch error {
        case let problem as HTTPProblem: self = problem
        case let error as ServerError: self.init(error.kind.status, error.description)
        case let error as DecodingError: self.init(.badRequest, error.sentence)
        case let error as any HTTPResponseError: self.init(error.status, Self.sentence(for: error.status))
        default: return nil
        }
    }

    private static func sentence(for status: HTTPResponse.Status) -> String {
        switch status {
        case .notFound: "there is nothing at this address"
        case .contentTooLarge: "the request is larger than the server takes"
        default: "the request cannot be understood (\(status.code) \(status.reasonPhrase))"
        }
    }
}

extension ServerError.Kind {
    /// The status of RFC 9110 (507: RFC 4918) that says the same.
    var status: HTTPResponse.Status {
        switch self {
        case .invalid: .badRequest
        case .forbidden: .forbidden
        case .notFound: .notFound
        case .conflict: .conflict
        case .busy: .serviceUnavailable
        case .full: HTTPResponse.Status(code: 507, reasonPhrase: "Insufficient Storage")
        case .failed: .internalServerError
        }
    }
}

extension DecodingError {
    /// What is wrong with a JSON body, naming the field.
    fileprivate var sentence: String {
        func field(_ path: [any CodingKey]) -> String {
            path.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".").onScreen
        }
        switch self {
        case .keyNotFound(let key, let context):
            return "the request lacks the field '\(field(context.codingPath + [key]))'"
        case .typeMismatch(let type, let context), .valueNotFound(let type, let context):
            guard !context.codingPath.isEmpty else { return "the request's JSON is not what belongs here" }
            return "the field '\(field(context.codingPath))' is not of type \(type)"
        case .dataCorrupted(let context):
            guard !context.codingPath.isEmpty else { return "the request is not JSON" }
            return "the field '\(field(context.codingPath))' has a value that cannot be"
        @unknown default: return "the request's JSON cannot be understood"
        }
    }
}
