// The driver of a host's machine in the simulation: what SessionTransport does in the product.
import Blocks
package import SessionProtocol

/// A host with its image on a disk that takes a moment, and one network card.
///
/// The card is what slows it: the machine is asked for the next train when the last one is out.
package final class SimulatedHost {
    package let world: Simulation
    package let address: Address
    package var machine: HostMachine
    package let image: SimulatedImage
    package let configuration: HostConfiguration
    package private(set) var isAlive = true
    package private(set) var end: (Bool, String)?
    package private(set) var log: [String] = []
    package private(set) var loads = 0
    /// The most bytes its frames have taken.
    package private(set) var mostFrameBytes = 0
    /// What has gone out on the data plane.
    package private(set) var sent = SentSymbols()
    /// Nanoseconds the card has been busy with the data plane, and with TCP.
    package private(set) var busyWithData: UInt64 = 0
    package private(set) var busyWithControl: UInt64 = 0
    /// Trains that have arrived and may be written anew.
    var spareTrains: [TrainBuffer] = []
    private var wake: UInt64 = .max
    private var isSending = false
    /// While the card is busy the machine's time passes in steps of a millisecond.
    private var nextAdvance: UInt64 = 0
    private var lastWasTrain = false
    /// Connections that may have something to send, each once.
    private var queue: [SimulatedConnection] = []

    package var endpoint: Endpoint { Endpoint(address, port: configuration.controlPort) }

    package init(
        _ world: Simulation, _ configuration: HostConfiguration, image: SimulatedImage, address: Address
    ) throws {
        self.world = world
        self.configuration = configuration
        self.image = image
        self.address = address
        machine = try HostMachine(configuration: configuration, now: world.now)
        world.hosts.append(self)
        world.after(0) { [self] in pump() }
    }

    /// Every chunk of which more than half has gone out, in order, once for each pass.
    package var sweptChunks: [UInt32] { sent.passes.map(\.chunk) }

    // MARK: Network

    func connected(_ id: ConnectionID, from: Endpoint) {
        machine.connected(id, from: from, now: world.now)
        pump()
    }
    func received(_ id: ConnectionID, _ bytes: [UInt8]) {
        bytes.withBytes { machine.received(id, $0, now: world.now) }
        pump()
    }
    func disconnected(_ id: ConnectionID) {
        machine.disconnected(id, reason: "closed by peer", now: world.now)
        pump()
    }
    func discovered(_ datagram: [UInt8], from: Endpoint) {
        datagram.withBytes { machine.discovery($0, from: from, now: world.now) }
        pump()
    }

    /// Dies like a machine whose plug is pulled; with `silently` nobody's connection is reset.
    package func crash(silently: Bool) {
        isAlive = false
        for connection in world.connections.values
        where connection.host === self && connection.isOpen && !silently {
            connection.breakDown()
        }
    }

    // MARK: Driver

    package func pump() {
        guard isAlive else { return }
        takeOutputs()
        mostFrameBytes = max(mostFrameBytes, machine.session.frameBytes)
        sendNext()
        takeOutputs()
        // Nothing is to be missed while the card is busy: it is asked again in a moment.
        guard !isSending, let deadline = machine.deadline(now: world.now) else { return }
        wakeUp(at: max(deadline, world.now + 1000))
    }

    private func takeOutputs() {
        while let output = machine.nextOutput() { perform(output) }
    }

    private func wakeUp(at time: UInt64) {
        guard time < wake else { return }
        wake = time
        world.after(time - world.now) { [self] in
            guard wake == time else { return }
            wake = .max
            guard isAlive else { return }
            machine.advance(now: world.now)
            pump()
        }
    }

    private func perform(_ output: HostOutput) {
        switch output {
        case .send(let id, let bytes): world.connections[id]?.sendToParticipant(bytes)
        case .close(let id): world.connections[id]?.closeByHost()
        case .datagram(let target, let bytes): world.discover(bytes, from: endpoint, to: target)
        case .load(let chunk):
            loads += 1
            world.after(ms) { [self] in
                guard isAlive else { return }
                if let frame = image.frame(chunk) {
                    machine.frameLoaded(chunk, frame, now: world.now)
                } else {
                    machine.frameFailed(chunk, reason: "no such chunk", now: world.now)
                }
                pump()
            }
        case .event(let event):
            log.append("\(world.now / ms) \(event)")
            if case .ended(let isComplete, let text) = event { end = (isComplete, text) }
        }
    }

    // MARK: The network card

    /// A connection has something to send, or may send again.
    func isReady(_ connection: SimulatedConnection) {
        guard connection.isReady, !connection.isQueued else { return }
        connection.isQueued = true
        queue.append(connection)
        sendNext()
    }

    /// Trains and pieces of TCP take turns while there are both.
    private func sendNext() {
        guard isAlive, !isSending else { return }
        let time: UInt64
        if lastWasTrain, let piece = sendPiece() {
            time = piece
            lastWasTrain = false
        } else if let train = sendTrain() {
            time = train
            lastWasTrain = true
        } else if let piece = sendPiece() {
            time = piece
        } else {
            return
        }
        isSending = true
        world.after(time) { [self] in
            isSending = false
            guard isAlive else { return }
            if world.now >= nextAdvance {
                nextAdvance = world.now + ms
                machine.advance(now: world.now)
            }
            pump()
        }
    }

    private func sendPiece() -> UInt64? {
        while !queue.isEmpty {
            let connection = queue.removeFirst()
            connection.isQueued = false
            guard connection.isReady else { continue }
            let time = connection.sendPiece()
            if connection.isReady {
                connection.isQueued = true
                queue.append(connection)
            }
            busyWithControl += time
            return time
        }
        return nil
    }

    private func sendTrain() -> UInt64? {
        let train = spareTrains.popLast() ?? TrainBuffer()
        let now = world.now
        let next = unsafe train.bytes.withUnsafeMutableBytes { pointer in
            var span = unsafe pointer.mutableBytes
            return machine.nextTrain(into: &span, limit: TrainBuffer.limit, now: now)
        }
        guard let next else {
            spareTrains.append(train)
            return nil
        }
        train.count = next.count
        train.datagramBytes = next.datagramBytes
        sent.count(train, now: now)
        let wire = Wire.multicast(next.datagramBytes) * UInt64(next.count)
        let time = Wire.time(wire, at: world.linkRate)
        busyWithData += time
        world.multicast(train, from: self, group: configuration.group, for: time)
        return time
    }
}

/// What a host has sent on the data plane, as anyone who listens would count it.
package struct SentSymbols {
    /// One pass of a chunk.
    package struct Pass: Equatable, Sendable {
        package let chunk: UInt32
        /// When half of its symbols were out, in nanoseconds.
        package let time: UInt64
    }

    /// Symbols, parity included.
    package private(set) var symbols = 0
    /// Symbols that are parity.
    package private(set) var parity = 0
    /// Bytes of all datagrams on the wire.
    package private(set) var wireBytes: UInt64 = 0
    /// When the first symbol went out, in nanoseconds.
    package private(set) var began: UInt64?
    /// Chunks in the order in which more than half of their source symbols went out, again for each further pass.
    package private(set) var passes: [Pass] = []

    /// How far a chunk's passes are.
    private struct Count {
        let layout: StripeLayout
        /// Source symbols sent, and how many there will be at the middle of the next pass.
        var sent = 0
        var middle: Int
    }
    private var counts: [UInt32: Count] = [:]

    mutating func count(_ train: TrainBuffer, now: UInt64) {
        wireBytes += Wire.multicast(train.datagramBytes) * UInt64(train.count)
        guard train.datagramBytes == Specification.datagramBytes else { return }
        if began == nil { began = now }
        symbols += train.count
        train.bytes.withBytes { bytes in
            for index in 0..<train.count {
                let range = train.range(of: index)
                guard let header = try? SymbolHeader(from: bytes.extracting(range)) else { continue }
                count(header, now: now)
            }
        }
    }

    private mutating func count(_ header: SymbolHeader, now: UInt64) {
        let layout = StripeLayout(length: Int(header.length))
        guard layout.index(stripe: header.stripe, symbol: header.symbol) != nil else {
            parity += 1
            return
        }
        var count =
            counts[header.chunk] ?? Count(layout: layout, middle: (layout.symbols + 1) / 2)
        count.sent += 1
        if count.sent == count.middle {
            passes.append(Pass(chunk: header.chunk, time: now))
            count.middle += layout.symbols
        }
        counts[header.chunk] = count
    }
}
