// The server's own TCP port: workstations ask for work here, report what came of it, and send and fetch images.
internal import Blocks
internal import Linux
internal import Logging
internal import SessionProtocol
internal import SessionTransport
internal import Synchronization
internal import SystemPackage

/// Listens for workstations; each connection has a thread of its own.
package final class WorkService: Sendable {
    /// Connections at a time, in all and from one address: a room of a thousand, and one who floods it.
    private static let mostConnections = 1200
    private static let mostPerAddress = 64
    /// How long a connection may say nothing between two messages, and before its first one, in nanoseconds.
    private static let idle = 120 * second
    private static let firstWord = 20 * second

    private struct State: Sendable {
        var connections: [UInt64: WorkConnection] = [:]
        var perAddress: [IPAddress: Int] = [:]
        var next: UInt64 = 1
        var isStopped = false
    }

    private let desk: WorkDesk
    private let transfers: ImageTransfers
    private let note: @Sendable (String, Logger.Level, [UInt8]?) -> Void
    private let finished: @Sendable (WorkHistory.Run) -> Void
    private let listeners: [TCPListener]
    private let wakeup: Wakeup
    private let state = Mutex(State())
    private let thread = Mutex<Thread<Void>?>(nil)
    /// The port it listens on.
    package let port: UInt16

    /// Binds the port on every address of this machine; `finished` is called with a run whose master has reported.
    ///
    /// - Throws: `ServerError` where the port is taken.
    init(
        desk: WorkDesk, transfers: ImageTransfers, port: UInt16 = Specification.workPort,
        note: @escaping @Sendable (String, Logger.Level, [UInt8]?) -> Void,
        finished: @escaping @Sendable (WorkHistory.Run) -> Void
    ) throws {
        self.desk = desk
        self.transfers = transfers
        self.note = note
        self.finished = finished
        do throws(SystemError) {
            let first = try TCPListener(on: SocketAddress(.any(.v4), port: port))
            let bound = try first.localAddress().port
            self.port = bound
            // A kernel without IPv6 does with IPv4.
            let second = try? TCPListener(on: SocketAddress(.any(.v6), port: bound))
            listeners = [first] + (second.map { [$0] } ?? [])
        } catch {
            throw ServerError(
                error.errno == .addressInUse
                    ? "TCP port \(port) is taken: another imaging server, or a session in the foreground, runs on this machine"
                    : "workstations cannot be served: \(error)", .conflict)
        }
        wakeup = try Wakeup()
    }

    /// Begins to accept, on a thread of its own.
    func start() {
        let thread = Thread("work") { [self] in
            let poller = try Poller()
            try poller.add(wakeup.number, token: 0, .readable)
            for (index, listener) in listeners.enumerated() {
                try poller.add(listener.number, token: UInt64(index + 1), .readable)
            }
            var ready: [Poller.Event] = []
            while !state.withLock({ $0.isStopped }) {
                try poller.wait(until: nil, into: &ready)
                for event in ready where event.token > 0 { accept(listeners[Int(event.token) - 1]) }
            }
        }
        self.thread.withLock { $0 = thread }
    }

    /// Ends every connection with `reason`, and listens no more.
    func stop(_ reason: String) {
        let connections = state.withLock { state in
            state.isStopped = true
            return Array(state.connections.values)
        }
        wakeup.signal()
        try? thread.withLock { $0.take() }?.join()
        for connection in connections { connection.cancel(reason) }
        let end = MonotonicClock.now() + 5 * second
        while !state.withLock({ $0.connections.isEmpty }), MonotonicClock.now() < end {
            MonotonicClock.sleep(nanoseconds: 10 * millisecond)
        }
    }

    private func accept(_ listener: TCPListener) {
        do throws(SystemError) {
            while let connection = try listener.accept() { admit(connection) }
        } catch {
            note("no connection can be accepted: \(error)", .error, nil)
            // Without descriptors the listener stays ready: look away for a moment.
            MonotonicClock.sleep(nanoseconds: 200 * millisecond)
        }
    }

    private func admit(_ accepted: TCPConnection) {
        let address = accepted.peer.address.network
        // A stranger's message may be no longer than the longest that is answered.
        guard
            let connection = try? WorkConnection(
                accepted, longestBody: WorkMessageType.store.maximumBodyBytes)
        else {
            return
        }
        let number: UInt64? = state.withLock { state in
            guard !state.isStopped, state.connections.count < WorkService.mostConnections,
                state.perAddress[address, default: 0] < WorkService.mostPerAddress
            else { return nil }
            state.perAddress[address, default: 0] += 1
            defer { state.next += 1 }
            state.connections[state.next] = connection
            return state.next
        }
        guard let number else { return }
        _ = Thread("work \(number)") { [self] in
            defer {
                state.withLock { state in
                    state.connections[number] = nil
                    state.perAddress[address, default: 1] -= 1
                    if state.perAddress[address] == 0 { state.perAddress[address] = nil }
                }
            }
            do { try serve(connection) } catch {
                note("\(connection.peer): \(error)", .debug, nil)
            }
        }
    }

    private func serve(_ connection: WorkConnection) throws {
        let peer = Address(connection.peer.address)
        let local = Address(try connection.localAddress().address)
        var patience = WorkService.firstWord
        while let message = try connection.receive(patience: patience) {
            patience = WorkService.idle
            switch message {
            case .ask(let ask):
                guard try isSpoken(ask.lowestVersion, ask.highestVersion, on: connection) else { return }
                do {
                    let order = try desk.answer(ask, from: peer, at: local)
                    try connection.send(order.encode(signedBy: desk.signingKey))
                } catch let error as ServerError {
                    note("\(ask.workstation.who) got no answer: \(error)", .error, ask.workstation.mac)
                    try connection.send(RefuseMessage(code: 0, reason: "\(error)").encode())
                }
            case .outcome(let outcome):
                if let run = try desk.close(outcome, from: peer) { finished(run) }
                try connection.send(NotedMessage(order: outcome.order).encode())
            case .role(let role):
                guard try desk.take(role, from: peer) else {
                    let refusal = RefuseMessage(
                        code: 0, reason: "no open order makes this machine a master under this key")
                    try connection.send(refusal.encode())
                    return
                }
                try connection.send(NotedMessage(order: role.order).encode())
            case .fetch(let fetch):
                guard try isSpoken(fetch.lowestVersion, fetch.highestVersion, on: connection) else { return }
                try transfers.send(fetch, on: connection)
                return
            case .store(let store):
                guard try isSpoken(store.lowestVersion, store.highestVersion, on: connection) else { return }
                try transfers.receive(store, on: connection)
                return
            default: throw TransportError("sent a message that is not for an imaging server")
            }
        }
    }

    private func isSpoken(_ lowest: UInt8, _ highest: UInt8, on connection: WorkConnection) throws -> Bool {
        if lowest <= Specification.version, highest >= Specification.lowestVersion { return true }
        let refusal = RefuseMessage(
            code: RefuseMessage.Code.version.rawValue,
            reason: "this server speaks versions \(Specification.lowestVersion) to \(Specification.version)")
        try connection.send(refusal.encode())
        return false
    }
}

extension IPAddress {
    /// What counts as one peer: an IPv4 address, or the /64 network that an IPv6 host has to itself.
    fileprivate var network: IPAddress { family == .v4 ? self : IPAddress(ipv6High: high, low: 0) }
}
