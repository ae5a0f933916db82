// The drivers of both machines in the simulation: what SessionTransport and the pipelines do in the product.
import Blocks
import SessionProtocol

/// A host with its image on a disk that takes a moment.
final class SimulatedHost {
    let world: Simulation
    let address: Address
    var machine: HostMachine
    let image: SimulatedImage
    let configuration: HostConfiguration
    var isAlive = true
    var end: (Bool, String)?
    var log: [String] = []
    var loads = 0
    /// Every chunk number that went out as a sweep's first symbol, in order.
    var sweptChunks: [UInt32] = []
    private var wake: UInt64 = .max
    private var buffer = [UInt8](repeating: 0, count: Specification.datagramBytes)

    var endpoint: Endpoint { Endpoint(address, port: configuration.controlPort) }

    init(_ world: Simulation, _ configuration: HostConfiguration, image: SimulatedImage, address: Address)
        throws
    {
        self.world = world
        self.configuration = configuration
        self.image = image
        self.address = address
        machine = try HostMachine(configuration: configuration, now: world.now)
        world.hosts.append(self)
        world.after(0) { [self] in pump() }
    }

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
    func crash(silently: Bool) {
        isAlive = false
        for connection in world.connections.values
        where connection.host === self && connection.isOpen && !silently {
            connection.closeByHost(in: world)
        }
    }

    func pump() {
        guard isAlive else { return }
        while let output = machine.nextOutput() { perform(output) }
        let now = world.now
        var sent = 0
        while let count = next(), sent < 1000 {
            sent += 1
            let datagram = Array(buffer[..<count])
            if datagram[1] == 1, datagram[24...27] == [0, 0, 0, 0] {
                sweptChunks.append(datagram[16..<20].reversed().reduce(0) { $0 << 8 | UInt32($1) })
            }
            world.multicast(datagram, from: self, group: configuration.group)
        }
        while let output = machine.nextOutput() { perform(output) }
        if let deadline = machine.deadline(now: now) { wakeUp(at: max(deadline, now + 1000)) }
    }

    private func next() -> Int? {
        unsafe buffer.withUnsafeMutableBytes { pointer in
            var span = unsafe pointer.mutableBytes
            return machine.nextTrain(into: &span, limit: 1, now: world.now)?.byteCount
        }
    }

    private func wakeUp(at time: UInt64) {
        guard time < wake else { return }
        wake = time
        world.after(time - world.now) { [self] in
            guard wake == time else { return }
            wake = .max
            machine.advance(now: world.now)
            pump()
        }
    }

    private func perform(_ output: HostOutput) {
        switch output {
        case .send(let id, let bytes): world.connections[id]?.sendToParticipant(bytes, in: world)
        case .close(let id): world.connections[id]?.closeByHost(in: world)
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
}

/// A participant with a link that may be bad and a disk that may be slow.
final class SimulatedParticipant {
    let world: Simulation
    let number: Int
    let address: Address
    var machine: ParticipantMachine
    let configuration: ParticipantConfiguration
    var faults: Faults
    /// What it asks for, from what the image has.
    var choose: (ChunkSet) -> ChunkSet = { $0 }
    var isAlive = true
    var group: Address?
    var end: ParticipantEnd?
    var log: [String] = []
    var accepted: AcceptedSession?
    /// What has been written, by chunk.
    var disk: [UInt32: [UInt8]] = [:]
    var needed = ChunkSet()
    var badFrames = 0
    var rewritten = 0
    /// Whether it finds out why multicast does not reach it.
    var explains = true
    /// Changes datagrams on this participant's link.
    var damage: ((inout [UInt8]) -> Void)?
    /// What it sent to everyone.
    var seeks: [[UInt8]] = []
    /// The first message it sent over TCP: JOIN.
    var firstMessage: [UInt8] = []
    /// Changes messages that come to it over TCP.
    var damageControl: ((inout [UInt8]) -> Void)?
    private var connection: ConnectionID?
    private var wake: UInt64 = .max
    private var linkFree: UInt64 = 0
    private var burstLeft = 0
    private var diskFree: UInt64 = 0

    var endpoint: Endpoint { Endpoint(address, port: 40000 &+ UInt16(truncatingIfNeeded: number)) }

    init(_ world: Simulation, number: Int, faults: Faults = Faults(), pinned: Fingerprint? = nil) throws {
        self.world = world
        self.number = number
        self.faults = faults
        address = Address(ipv4: 0x0a00_0100 + UInt32(number))
        var configuration = ParticipantConfiguration(
            name: "lab1",
            identity: ParticipantIdentity(
                name: "pc\(number)", serial: "S\(number)",
                mac: [2, 0, 0, 0, UInt8(number >> 8), UInt8(number & 255)], linkMegabits: 1000,
                disks: [DiskSummary(text: "sda", size: 1 << 30)]),
            entropy: world.random.bytes(32), pinned: pinned)
        configuration.poolBytes = faults.poolBytes
        self.configuration = configuration
        machine = try ParticipantMachine(configuration: configuration, now: world.now)
        world.participants.append(self)
        world.after(UInt64.random(in: 0...(300 * ms), using: &world.random)) { [self] in
            machine.advance(now: world.now)
            pump()
        }
    }

    // MARK: Network

    func connected(_ id: ConnectionID, to endpoint: Endpoint) {
        connection = id
        machine.controlConnected(peer: endpoint, now: world.now)
        pump()
    }
    func refused() {
        machine.controlDisconnected(reason: "connection refused", now: world.now)
        pump()
    }
    func received(_ id: ConnectionID, _ bytes: [UInt8]) {
        guard id == connection else { return }
        bytes.withBytes { machine.controlReceived($0, now: world.now) }
        pump()
    }
    func disconnected(_ id: ConnectionID) {
        guard id == connection else { return }
        connection = nil
        machine.controlDisconnected(reason: "closed by peer", now: world.now)
        pump()
    }
    func discovered(_ datagram: [UInt8], from: Endpoint) {
        datagram.withBytes { machine.discovery($0, from: from, now: world.now) }
        pump()
    }

    /// One datagram enters the link towards this participant.
    func link(_ datagram: [UInt8], from: Address) {
        guard !faults.isDeaf else { return }
        if burstLeft > 0 {
            burstLeft -= 1
            return
        }
        if world.random.chance(faults.burst) {
            burstLeft = faults.burstLength
            return
        }
        if world.random.chance(faults.loss) { return }
        let start = max(linkFree, world.now)
        // A queue of 256 KiB in front of the link; what does not fit is dropped.
        guard (start - world.now) * faults.bandwidth / 1_000_000_000 < 256 << 10 else { return }
        linkFree = start + UInt64(datagram.count) * 1_000_000_000 / faults.bandwidth
        var delay = linkFree - world.now + faults.delay
        if world.random.chance(faults.reordering) {
            delay += UInt64.random(in: 0...(5 * ms), using: &world.random)
        }
        var datagram = datagram
        damage?(&datagram)
        if world.random.chance(faults.corruption) {
            let index = Int.random(in: 0..<datagram.count, using: &world.random)
            datagram[index] ^= UInt8.random(in: 1...255, using: &world.random)
        }
        let copies = world.random.chance(faults.duplication) ? 2 : 1
        for _ in 0..<copies {
            world.after(delay) { [self, datagram] in
                guard isAlive else { return }
                datagram.withBytes {
                    machine.datagrams($0, segment: $0.byteCount, from: from, now: world.now)
                }
                pump()
            }
        }
    }

    func crash(silently: Bool) {
        isAlive = false
        if let connection, !silently { world.connections[connection]?.closeByParticipant(in: world) }
        if silently { connection.map { world.connections[$0]?.isOpen = false } }
    }

    // MARK: Driver

    func pump() {
        guard isAlive else { return }
        while let output = machine.nextOutput() { perform(output) }
        if let deadline = machine.deadline(now: world.now) { wakeUp(at: max(deadline, world.now + 1000)) }
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

    private func perform(_ output: ParticipantOutput) {
        switch output {
        case .datagram(let target, let bytes):
            seeks.append(bytes)
            world.discover(bytes, from: endpoint, to: target)
        case .connect(let endpoint): world.connect(self, to: endpoint)
        case .send(let bytes):
            if firstMessage.isEmpty { firstMessage = bytes }
            if let connection { world.connections[connection]?.sendToHost(bytes, in: world) }
        case .close:
            if let connection { world.connections[connection]?.closeByParticipant(in: world) }
            connection = nil
        case .joinGroup(let group, _, _): self.group = group
        case .leaveGroup: group = nil
        case .diagnose(let silence):
            guard explains else { return }
            let sentence = "multicast from \(silence.host) does not reach this machine: simulated"
            world.after(200 * ms) { [self] in
                machine.diagnosed(sentence, now: world.now)
                pump()
            }
        case .event(let event): handle(event)
        }
    }

    private func handle(_ event: ParticipantEvent) {
        switch event {
        case .frame(let frame): enqueue(frame)
        case .accepted(let session):
            log.append("\(world.now / ms) accepted")
            accepted = session
            needed = choose(session.existing)
            // Planning takes a moment.
            world.after(20 * ms) { [self] in
                machine.need(needed, now: world.now)
                pump()
            }
        case .complete:
            log.append("\(world.now / ms) complete")
            world.after(50 * ms) { [self] in
                let bytes = disk.values.reduce(0) { $0 + $1.count }
                machine.finished(.done(bytes: UInt64(bytes), text: ""), now: world.now)
                pump()
            }
        case .ended(let end):
            log.append("\(world.now / ms) ended \(end)")
            self.end = end
        default: log.append("\(world.now / ms) \(event)")
        }
    }

    /// The pipeline: one thing after the other at the disk's rate.
    private func enqueue(_ frame: ReceivedFrame) {
        diskFree = max(diskFree, world.now) + UInt64(frame.length) * 1_000_000_000 / faults.diskRate
        world.after(diskFree - world.now) { [self] in
            guard isAlive else { return }
            do throws(DecodeError) {
                let content = try SimulatedImage.open(frame)
                if disk[frame.chunk] != nil { rewritten += 1 }
                disk[frame.chunk] = content
                machine.chunkDone(frame.chunk, now: world.now)
            } catch {
                badFrames += 1
                machine.chunkFailed(frame.chunk, reason: error.description, now: world.now)
            }
            machine.bufferReleased(frame.buffer, now: world.now)
            pump()
        }
    }
}
