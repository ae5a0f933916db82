// Where the server is that a command talks to: pure.
internal import Linux

/// The local socket of a daemon, or an address of the network.
package enum ServerAddress: Equatable, Sendable, CustomStringConvertible {
    /// A path.
    case socket(String)
    /// "http://10.0.0.1:8998", without a "/" behind it.
    case network(String)

    /// The port where nothing else is said: that of the server's own default.
    package static let usualPort = ServerConfiguration().http?.port ?? 8998

    /// What `-i` names: an address or a name, with or without a port, or a whole "https://NAME:PORT".
    ///
    /// - Parameters:
    ///   - text: What was typed.
    ///   - isSecure: Whether TLS is meant where the text does not say.
    /// - Throws: `ServerError` for what can be neither.
    package init(parsing text: String, isSecure: Bool = false) throws {
        var scheme = isSecure ? "https" : "http"
        var rest = text[...]
        for known in ["https", "http"] where text.lowercased().hasPrefix("\(known)://") {
            scheme = known
            rest = text.dropFirst(known.count + 3)
        }
        while rest.hasSuffix("/") { rest.removeLast() }
        var host = String(rest)
        var port = ServerAddress.usualPort
        if let address = IPAddress(host) {
            host = address.family == .v6 ? "[\(address)]" : "\(address)"
        } else {
            if let colon = rest.lastIndex(of: ":"), !rest.hasSuffix("]") {
                guard let number = Int(rest[rest.index(after: colon)...]), (1...65535).contains(number) else {
                    throw ServerError(
                        "'\(text)' names no server: its port is no number from 1 to 65535", .invalid)
                }
                port = number
                host = String(rest[..<colon])
            }
            let bare = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : nil
            if let bare {
                guard IPAddress(bare)?.family == .v6 else {
                    throw ServerError("'\(text)' names no server", .invalid)
                }
            } else {
                let isName = host.utf8.allSatisfy { byte in
                    let character = Character(UnicodeScalar(byte))
                    return character.isASCII
                        && (character.isLetter || character.isNumber || "-._".contains(character))
                }
                guard !host.isEmpty, host.utf8.count <= 253, isName else {
                    throw ServerError("'\(text)' names no server", .invalid)
                }
            }
        }
        self = .network("\(scheme)://\(host):\(port)")
    }

    /// Whether `text` is one of this machine's own addresses.
    package static func isOwn(_ text: String) throws -> Bool {
        guard let address = IPAddress(text) else { return false }
        return try NetworkInterface.all().contains { $0.addresses.contains { $0.address == address } }
    }

    package var description: String {
        switch self {
        case .socket(let path): path
        case .network(let url): url
        }
    }

    /// The address of a resource of the server.
    func url(_ path: String) -> String {
        switch self {
        case .socket(let socket): "http+unix://\(socket.asQueryValue)\(path)"
        case .network(let url): url + path
        }
    }
}
