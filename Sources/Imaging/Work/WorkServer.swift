// Which imaging server is meant, where it is, and a connection to it.
internal import Blocks
package import Linux
package import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// The imaging server as it was named, and the key it must have.
package struct WorkServer: Equatable, Sendable {
    /// Address or name, with ":PORT" where it is not the usual one; nil: whoever answers on this network.
    package var name: String?
    /// The only key it may have; nil: any.
    package var pinned: Fingerprint?
    /// Where it was found; it counts before the name, which cannot tell the interface of a link-local address.
    package var address: SocketAddress?

    package init(name: String?, pinned: Fingerprint? = nil) {
        self.name = name
        self.pinned = pinned
    }

    /// Reads a fingerprint as key= and SERVERKEY take it; nil for nil and for an empty text.
    ///
    /// - Throws: Where it is none.
    package static func fingerprint(_ text: String?, from source: String) throws -> Fingerprint? {
        guard let text, !text.isEmpty else { return nil }
        guard let fingerprint = Fingerprint(text) else {
            throw ImagingError(
                "\(source) takes a fingerprint of 4 groups of 4 characters, not '\(text.onScreen)'")
        }
        return fingerprint
    }

    /// How long a server is searched for before it counts as not there, in nanoseconds.
    private static let searchPatience = 4 * second
    /// How long a connection may take, in nanoseconds.
    static let connectPatience = 10 * second

    /// Where it is; a search takes up to 4 s.
    ///
    /// - Throws: Where its name is not known, nobody answers, or two servers do.
    package func locate(isCancelled: () -> Bool = { false }) throws -> SocketAddress {
        if let address { return address }
        guard let name else {
            let found = try HostSearch.locate(
                session: Specification.serverName, interface: nil, pinned: pinned,
                patience: WorkServer.searchPatience, isCancelled: isCancelled)
            guard let found else {
                let key = pinned.map { " with the key \($0)" } ?? ""
                throw ImagingError("no imaging server\(key) answers on this network (PROXYADDR= names one)")
            }
            return found.reached
        }
        let (host, port) = try WorkServer.parts(name)
        return SocketAddress(try IPAddress(resolving: host), port: port)
    }

    /// Host and port of "10.0.0.1", "server", "server:1998", "fe80::1" and "[2001:db8::1]:1998".
    package static func parts(_ text: String) throws -> (host: String, port: UInt16) {
        var host = text[...]
        var digits: Substring?
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            if rest.hasPrefix(":") { digits = rest.dropFirst() } else if !rest.isEmpty { host = "" }
        } else if text.filter({ $0 == ":" }).count == 1, let colon = text.firstIndex(of: ":") {
            host = text[..<colon]
            digits = text[text.index(after: colon)...]
        }
        let port = digits.map { UInt16($0) } ?? Specification.workPort
        guard !host.isEmpty, let port, port > 0 else {
            throw ImagingError("'\(text.onScreen)' is not the address or name of a server")
        }
        return (String(host), port)
    }

    /// A new connection to it, made within `patience` nanoseconds.
    func connect(
        patience: UInt64 = connectPatience, isCancelled: () -> Bool = { false }
    ) throws -> WorkConnection {
        try WorkConnection(to: try locate(isCancelled: isCancelled), patience: patience)
    }

    /// As people call it.
    package var title: String { name?.onScreen ?? "the imaging server" }
}

/// A wait that can be ended by another thread, and the reason why everything has to end.
package final class WorkStop: Sendable {
    private let condition = Condition()
    private struct State: Sendable {
        var reason: String?
        var actions: [Int: @Sendable (String) -> Void] = [:]
        var next = 0
    }
    private let state = Mutex(State())

    package init() {}

    /// Why all is to end; nil while it goes on.
    package var reason: String? { state.withLock { $0.reason } }

    package func check() throws { if let reason { throw ImagingError(reason) } }

    /// Ends everything with `reason`; the first one counts.
    package func stop(_ reason: String) {
        let actions = state.withLock { state -> [@Sendable (String) -> Void] in
            guard state.reason == nil else { return [] }
            state.reason = reason
            return Array(state.actions.values)
        }
        condition.locked { condition.signalAll() }
        for action in actions { action(reason) }
    }

    /// Waits so many nanoseconds.
    ///
    /// - Throws: `ImagingError` with the reason, as soon as there is one.
    package func sleep(_ nanoseconds: UInt64) throws {
        let deadline = MonotonicClock.now() + nanoseconds
        condition.locked {
            while reason == nil, MonotonicClock.now() < deadline { condition.wait(until: deadline) }
        }
        try check()
    }

    /// Runs `body`; while it runs, a stop also calls `action` (once, at once where it has been stopped before).
    package func whileStoppable<R>(
        by action: @escaping @Sendable (String) -> Void, _ body: () throws -> R
    ) throws -> R {
        let (number, reason) = state.withLock { state in
            state.next += 1
            if state.reason == nil { state.actions[state.next] = action }
            return (state.next, state.reason)
        }
        if let reason { action(reason) }
        defer { state.withLock { $0.actions[number] = nil } }
        return try body()
    }
}
