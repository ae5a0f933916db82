// One question to the imaging server and its answer; what came of an order, and a master's key, told to it.
internal import Blocks
internal import Linux
package import SessionProtocol
internal import SessionTransport

/// An order that may be obeyed, with who gave it.
package struct WorkOrder: Sendable {
    package let message: OrderMessage
    /// The server that gave it; its key is pinned from here on.
    package let server: WorkServer
    /// Its address and key, for the screen.
    package let giver: String
    /// The MAC address by which the server knows this machine.
    package let mac: [UInt8]
}

/// The small dialogues with an imaging server, each on a connection of its own.
package struct WorkQuestion: Sendable {
    private let server: WorkServer
    /// The words of disks=; nil without.
    private let disks: [String]?
    private let stop: WorkStop
    private let patience: UInt64

    /// How long an answer may take, in nanoseconds: a room of a thousand asks at once, and each answer is on the server's
    /// medium before it is given.
    package static let answerPatience = 30 * second

    /// `patience` is how long a connection, and then an answer, may take, in nanoseconds.
    package init(
        _ server: WorkServer, disks: [String]?, stop: WorkStop, patience: UInt64 = answerPatience
    ) {
        self.patience = patience
        self.server = server
        self.disks = disks
        self.stop = stop
    }

    private func connect() throws -> WorkConnection {
        try server.connect(patience: min(patience, WorkServer.connectPatience)) { stop.reason != nil }
    }

    /// Asks what this machine is to do.
    ///
    /// - Throws: Why there is no order that may be obeyed, in one sentence.
    package func ask() throws -> WorkOrder {
        let connection = try connect()
        return try stop.whileStoppable(by: { connection.cancel($0) }) {
            let workstation = try Hardware.ofThisMachine(
                asking: try connection.localAddress().address, disks: disks)
            let question = OrderCheck(
                nonce: Random.bytes(Specification.nonceBytes), now: MonotonicClock.now(),
                pinned: server.pinned)
            try connection.send(AskMessage(nonce: question.nonce, workstation: workstation).encode())
            while true {
                switch try connection.receive(patience: patience) {
                case .order(let order, let signed):
                    try question.check(order, signed, now: MonotonicClock.now())
                    let fingerprint = order.serverKey.fingerprint
                    var known = WorkServer(name: server.name, pinned: fingerprint)
                    if server.name == nil { known.address = connection.peer }
                    return WorkOrder(
                        message: order, server: known,
                        giver: "\(connection.peer.address), key \(fingerprint)", mac: workstation.mac)
                case .refuse(let refusal):
                    throw ImagingError("\(connection.peer.address) refuses: \(refusal.reason.onScreen)")
                case .notice: continue
                case nil:
                    throw ImagingError("\(connection.peer.address) closed the connection without an answer")
                default:
                    throw ImagingError(
                        "\(connection.peer.address) answered with something else than an order")
                }
            }
        }
    }

    /// Tells the server something about an order and returns when it is in its books.
    private func tell(_ message: [UInt8], order: UInt64) throws {
        let connection = try connect()
        try stop.whileStoppable(by: { connection.cancel($0) }) {
            try connection.send(message)
            while true {
                switch try connection.receive(patience: patience) {
                case .noted(let noted) where noted.order == order: return
                case .refuse(let refusal):
                    throw ImagingError("\(connection.peer.address) refuses: \(refusal.reason.onScreen)")
                case .notice, .noted: continue
                case nil:
                    throw ImagingError("\(connection.peer.address) closed the connection without an answer")
                default: throw ImagingError("\(connection.peer.address) answered with something unexpected")
                }
            }
        }
    }

    package func tell(_ outcome: OutcomeMessage) throws { try tell(outcome.encode(), order: outcome.order) }

    package func tell(_ role: RoleMessage) throws { try tell(role.encode(), order: role.order) }

    /// Tells until it has been noted or `patience` nanoseconds have passed; then throws why it was not.
    ///
    /// `failed` hears why the first attempt failed.
    package func insist(
        _ outcome: OutcomeMessage, patience: UInt64, whenFailed failed: (any Error) -> Void = { _ in }
    ) throws {
        let deadline = MonotonicClock.now() + patience
        var isFirst = true
        while true {
            do { return try tell(outcome) } catch {
                guard MonotonicClock.now() + WorkQuestion.repeatAfter < deadline, stop.reason == nil else {
                    throw error
                }
                if isFirst { failed(error) }
                isFirst = false
                try stop.sleep(WorkQuestion.repeatAfter)
            }
        }
    }

    /// Time between two attempts, in nanoseconds.
    package static let repeatAfter = 2 * second
}
