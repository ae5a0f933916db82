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

    /// How long an answer may take, in nanoseconds.
    private static let answerPatience = 10 * second

    package init(_ server: WorkServer, disks: [String]?, stop: WorkStop) {
        self.server = server
        self.disks = disks
        self.stop = stop
    }

    /// Asks what this machine is to do.
    ///
    /// - Throws: Why there is no order that may be obeyed, in one sentence.
    package func ask() throws -> WorkOrder {
        let connection = try server.connect { stop.reason != nil }
        return try stop.whileStoppable(by: { connection.cancel($0) }) {
            let workstation = try Hardware.ofThisMachine(
                asking: try connection.localAddress().address, disks: disks)
            let question = OrderCheck(
                nonce: Random.bytes(Specification.nonceBytes), now: MonotonicClock.now(),
                pinned: server.pinned)
            try connection.send(AskMessage(nonce: question.nonce, workstation: workstation).encode())
            while true {
                switch try connection.receive(patience: WorkQuestion.answerPatience) {
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
        let connection = try server.connect { stop.reason != nil }
        try stop.whileStoppable(by: { connection.cancel($0) }) {
            try connection.send(message)
            while true {
                switch try connection.receive(patience: WorkQuestion.answerPatience) {
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
    package func insist(_ outcome: OutcomeMessage, patience: UInt64) throws {
        let deadline = MonotonicClock.now() + patience
        while true {
            do { return try tell(outcome) } catch {
                guard MonotonicClock.now() + WorkQuestion.repeatAfter < deadline, stop.reason == nil else {
                    throw error
                }
                try stop.sleep(WorkQuestion.repeatAfter)
            }
        }
    }

    /// Time between two attempts, in nanoseconds.
    package static let repeatAfter = 2 * second
}
