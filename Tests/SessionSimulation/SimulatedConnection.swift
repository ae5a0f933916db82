// A TCP connection of the simulation: ordered, reliable, slowed by its links and by a participant that is stopped.
package import SessionProtocol

/// A TCP connection: ordered, reliable, with the delay and the bandwidth of its links, and a window.
///
/// Losses of the data plane do not slow it: TCP's congestion control is not part of the simulation.
package final class SimulatedConnection {
    package let id: ConnectionID
    package let host: SimulatedHost
    package let participant: SimulatedParticipant
    package private(set) var isOpen = true
    private var toHostFree: UInt64 = 0
    /// What waits for the host's card; nil closes the connection.
    private var outgoing: [[UInt8]?] = []
    private var firstOutgoing = 0
    /// Bytes of the first message that are out already.
    private var sent = 0
    private var unacknowledged = 0
    /// Whether the host's card has it in its queue.
    var isQueued = false

    /// Bytes under way to the participant that it has not taken.
    private static let window = 1 << 20
    /// Bytes that leave the host's card in one go: as much as a train of the data plane.
    private static let pieceBytes = 16 * 1448

    init(id: ConnectionID, host: SimulatedHost, participant: SimulatedParticipant) {
        self.id = id
        self.host = host
        self.participant = participant
    }

    private var world: Simulation { host.world }

    // MARK: To the participant

    /// Whether something can leave the host's card now.
    var isReady: Bool {
        isOpen && firstOutgoing < outgoing.count && unacknowledged < SimulatedConnection.window
    }

    func sendToParticipant(_ bytes: [UInt8]) {
        var bytes = bytes
        participant.damageControl?(&bytes)
        outgoing.append(bytes)
        host.isReady(self)
    }

    package func closeByHost() {
        outgoing.append(nil)
        host.isReady(self)
    }

    /// Takes the next piece and returns how long it keeps the host's card busy, in nanoseconds.
    func sendPiece() -> UInt64 {
        guard let message = outgoing[firstOutgoing] else {
            firstOutgoing += 1
            arrive(after: 0, wire: 0) { [self] in
                guard isOpen else { return }
                isOpen = false
                if participant.isAlive { participant.disconnected(id) }
            }
            return 0
        }
        let count = min(message.count - sent, SimulatedConnection.pieceBytes)
        let piece = count == message.count ? message : Array(message[sent..<sent + count])
        sent += count
        if sent == message.count {
            sent = 0
            firstOutgoing += 1
            if firstOutgoing == outgoing.count {
                outgoing.removeAll(keepingCapacity: true)
                firstOutgoing = 0
            }
        }
        unacknowledged += count
        let wire = Wire.stream(count)
        let time = Wire.time(wire, at: world.linkRate)
        arrive(after: time, wire: wire) { [self] in deliver(piece) }
        return time
    }

    private func arrive(after time: UInt64, wire: UInt64, _ action: @escaping () -> Void) {
        let free = participant.occupyLink(with: wire, after: time)
        world.after(free - world.now + participant.faults.delay) { [self] in
            participant.whenRunning(action)
        }
    }

    private func deliver(_ piece: [UInt8]) {
        let wasBlocked = unacknowledged >= SimulatedConnection.window
        unacknowledged -= piece.count
        if wasBlocked { world.after(participant.faults.delay) { [self] in host.isReady(self) } }
        guard isOpen, participant.isAlive else { return }
        guard !participant.countsOnly else { return participant.received(id, piece) }
        // In two pieces, as TCP would.
        let cut = Int.random(in: 0...piece.count, using: &world.random)
        participant.received(id, Array(piece[..<cut]))
        participant.received(id, Array(piece[cut...]))
    }

    // MARK: To the host

    private func toHost(_ count: Int, _ action: @escaping () -> Void) {
        let time = Wire.time(Wire.stream(count), at: participant.faults.bandwidth)
        toHostFree = max(toHostFree, world.now) + time
        world.after(toHostFree - world.now + participant.faults.delay, action)
    }

    func sendToHost(_ bytes: [UInt8]) {
        toHost(bytes.count) { [self] in
            guard isOpen, host.isAlive else { return }
            world.count(bytes)
            host.received(id, bytes)
        }
    }

    package func closeByParticipant() {
        toHost(0) { [self] in
            guard isOpen else { return }
            isOpen = false
            if host.isAlive { host.disconnected(id) }
        }
    }

    // MARK: Breaking

    /// Both sides learn that the connection is gone.
    package func breakDown() {
        world.after(participant.faults.delay) { [self] in
            guard isOpen else { return }
            isOpen = false
            if host.isAlive { host.disconnected(id) }
            if participant.isAlive { participant.disconnected(id) }
        }
    }

    /// Nothing gets through any more, and nobody is told.
    func vanish() { isOpen = false }
}
