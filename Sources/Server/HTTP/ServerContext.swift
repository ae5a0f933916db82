// What the server knows about a request besides its bytes: where it comes from and who sent it.
package import Hummingbird
package import NIOCore

/// Who sent a request, once that is proven.
package enum Caller: Sendable {
    /// A program of root, or of the service's own user, over the local socket.
    case socket
    /// A program with an API token of this name.
    case token(String)
    /// A person who has logged in.
    case person(LoginSession)
}

/// The context of one request.
package struct ServerContext: RequestContext {
    /// Where a request comes from.
    package enum Peer: Equatable, Sendable {
        case socket
        /// An IP address as text.
        case address(String)
    }

    package var coreContext: CoreRequestContextStorage
    package let peer: Peer
    package let channel: any Channel
    /// Nil for a stranger, who gets only what is for anybody.
    package var caller: Caller?
    /// The fields of a posted form; empty for every other request.
    package var form = FormFields()

    package init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
        if case .unixDomainSocket = source.channel.localAddress {
            peer = .socket
        } else {
            let address = source.channel.remoteAddress?.ipAddress ?? "an unknown address"
            peer = .address(address.hasPrefix("::ffff:") ? String(address.dropFirst(7)) : address)
        }
    }

    /// Where it comes from, for sentences: "10.1.2.3" or "the server itself".
    package var origin: String {
        switch peer {
        case .socket: "the server itself"
        case .address(let address): address
        }
    }

    /// For whom the daemon does what is asked.
    package var administrator: Administrator {
        switch caller {
        case .socket: Administrator(name: "root, on the server itself", isLocal: true)
        case .token(let name): Administrator(name: "token \(name), from \(origin)", isLocal: false)
        case .person(let session): Administrator(name: "\(session.user), from \(origin)", isLocal: false)
        case nil: Administrator(name: "somebody, from \(origin)", isLocal: false)
        }
    }

    /// The name of the person who has logged in; nil for programs.
    package var user: String? {
        if case .person(let session) = caller { return session.user }
        return nil
    }

    /// What every form and every changing request of a page must carry (field `csrf`, or header `X-CSRF-Token`).
    package var csrf: String {
        if case .person(let session) = caller { return session.csrf }
        return ""
    }

    /// A part of the path that the route has named, percent-decoded.
    ///
    /// - Throws: `ServerError` where it is no text.
    package func parameter(_ name: String) throws -> String {
        guard let raw = coreContext.parameters.get(name), let text = raw.percentDecoded,
            !text.isEmpty, !text.utf8.contains(0)
        else { throw ServerError("the address names no \(name)", .invalid) }
        return text
    }
}
