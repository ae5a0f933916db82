// The driver of a participant's machine in the simulation, and the pipeline behind it: a disk that takes its time.
package import Blocks
package import SessionProtocol

/// A participant with a link that may be bad and a disk that may be slow.
package final class SimulatedParticipant {
    package let world: Simulation
    package let number: Int
    package let address: Address
    package var machine: ParticipantMachine
    package let configuration: ParticipantConfiguration
    package var faults: Faults {
        didSet {
            losses.set(faults)
            world.membersChanged()
        }
    }
    /// Symbols are only counted: there are no bytes to be checked.
    package let countsOnly: Bool
    /// What it asks for, from what the image has.
    package var choose: (ChunkSet) -> ChunkSet = { $0 }
    package private(set) var isAlive = true
    package private(set) var group: Address? {
        didSet { world.membersChanged() }
    }
    package private(set) var end: ParticipantEnd?
    /// Hosts it had joined that gave way to another one before the start.
    package private(set) var yieldedHosts = 0
    package private(set) var log: [String] = []
    package private(set) var accepted: AcceptedSession?
    /// When everything was on its disk, in nanoseconds.
    package private(set) var completed: UInt64?
    /// What has been written, by chunk; without bytes if symbols are only counted.
    package private(set) var disk: [UInt32: [UInt8]] = [:]
    package private(set) var needed = ChunkSet()
    package private(set) var badFrames = 0
    package private(set) var rewritten = 0
    /// Nanoseconds its disk has been busy.
    package private(set) var diskBusy: UInt64 = 0
    /// Whether it finds out why multicast does not reach it.
    package var explains = true
    /// Changes datagrams on this participant's link.
    package var damage: ((inout [UInt8]) -> Void)? {
        didSet { world.membersChanged() }
    }
    /// What it sent to everyone.
    package private(set) var seeks: [[UInt8]] = []
    /// The first message it sent over TCP: JOIN.
    package private(set) var firstMessage: [UInt8] = []
    /// Changes messages that come to it over TCP.
    package var damageControl: ((inout [UInt8]) -> Void)?
    private var connection: ConnectionID?
    private var wake: UInt64 = .max
    private var linkFree: UInt64 = 0
    private var losses: LossProcess
    private var random: SplitMix
    private var diskFree: UInt64 = 0
    private var isStopped = false
    /// What waits until a stopped participant goes on.
    private var held: [() -> Void] = []
    private var socketDrops: UInt32 = 0

    package var endpoint: Endpoint { Endpoint(address, port: 40000 &+ UInt16(truncatingIfNeeded: number)) }

    package init(
        _ world: Simulation, number: Int, faults: Faults = Faults(), pinned: Fingerprint? = nil,
        countsOnly: Bool = false
    ) throws {
        self.world = world
        self.number = number
        self.faults = faults
        self.countsOnly = countsOnly
        address = Address(ipv4: 0x0a00_0100 + UInt32(number))
        random = SplitMix(seed: world.random.next())
        losses = LossProcess(faults, random: SplitMix(seed: random.next()))
        var configuration = ParticipantConfiguration(
            name: "lab1",
            identity: ParticipantIdentity(
                name: "pc\(number)", serial: "S\(number)",
                mac: [2, 0, 0, 0, UInt8(number >> 8), UInt8(number & 255)],
                linkMegabits: UInt32(faults.bandwidth * 8 / 1_000_000),
                disks: [DiskSummary(text: "sda", size: 1 << 30)]),
            entropy: world.random.bytes(32), pinned: pinned)
        configuration.poolBytes = faults.poolBytes
        configuration.countsOnly = countsOnly
        self.configuration = configuration
        machine = try ParticipantMachine(configuration: configuration, now: world.now)
        world.participants.append(self)
        world.after(UInt64.random(in: 0...(300 * ms), using: &world.random)) { [self] in
            machine.advance(now: world.now)
            pump()
        }
    }

    // MARK: Control

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
        guard !isStopped else { return }
        datagram.withBytes { machine.discovery($0, from: from, now: world.now) }
        pump()
    }

    // MARK: Data

    /// Whether datagrams reach it whole, in order and when they reach everyone else.
    var isUsual: Bool {
        faults.bandwidth >= world.linkRate && faults.delay == Faults.usualDelay && damage == nil
            && faults.duplication == 0 && faults.reordering == 0 && faults.corruption == 0
    }

    /// A train arrives at a participant whose link does nothing but lose.
    func take(_ train: TrainBuffer, _ bytes: RawSpan, from: Address) {
        guard isAlive, group != nil, !faults.isDeaf else { return }
        guard !isStopped else {
            socketDrops &+= UInt32(train.count)
            return
        }
        let now = world.now
        if losses.passes(train.count) {
            machine.datagrams(bytes, segment: train.datagramBytes, from: from, now: now)
        } else {
            var index = 0
            while index < train.count {
                let (count, isLost) = losses.take(train.count - index)
                let next = index + count
                if !isLost {
                    let part = bytes.extracting(index * train.datagramBytes..<next * train.datagramBytes)
                    machine.datagrams(part, segment: train.datagramBytes, from: from, now: now)
                }
                index = next
            }
        }
        pump()
    }

    /// One datagram is on the switch `delay` nanoseconds from now and enters the link towards this participant.
    package func link(_ datagram: [UInt8], from: Address, after delay: UInt64 = 0) {
        guard !faults.isDeaf, !losses.take(1).isLost else { return }
        let wire = Wire.multicast(datagram.count)
        let arrival = world.now + delay
        let backlog = linkFree > arrival ? linkFree - arrival : 0
        guard backlog * faults.bandwidth / 1_000_000_000 + wire <= Faults.queueBytes else { return }
        var time = occupyLink(with: wire, after: delay) - world.now + faults.delay
        if random.chance(faults.reordering) {
            time += UInt64.random(in: 0...(5 * ms), using: &random)
        }
        var datagram = datagram
        damage?(&datagram)
        if random.chance(faults.corruption) {
            let index = Int.random(in: 0..<datagram.count, using: &random)
            datagram[index] ^= UInt8.random(in: 1...255, using: &random)
        }
        for _ in 0..<(random.chance(faults.duplication) ? 2 : 1) {
            world.after(time) { [self, datagram] in
                guard isAlive else { return }
                guard !isStopped else {
                    socketDrops &+= 1
                    return
                }
                datagram.withBytes {
                    machine.datagrams($0, segment: $0.byteCount, from: from, now: world.now)
                }
                pump()
            }
        }
    }

    /// Puts `bytes` that are on the switch `delay` nanoseconds from now on the link; gives the time they are through.
    func occupyLink(with bytes: UInt64, after delay: UInt64) -> UInt64 {
        linkFree = max(linkFree, world.now + delay) + Wire.time(bytes, at: faults.bandwidth)
        return linkFree
    }

    // MARK: What happens to the machine

    package func crash(silently: Bool) {
        isAlive = false
        world.membersChanged()
        if let connection, !silently { world.connections[connection]?.closeByParticipant() }
        if silently { connection.map { world.connections[$0]?.vanish() } }
    }

    /// The whole process stands still, as after SIGSTOP; its socket overflows, TCP keeps what fits its window.
    package func stop() { isStopped = true }

    /// Goes on after `stop`, as after SIGCONT.
    package func goOn() {
        isStopped = false
        let waiting = held
        held = []
        for action in waiting { action() }
        machine.socketDrops(socketDrops, stream: 0)
        machine.advance(now: world.now)
        pump()
    }

    /// Runs `action` now, or when the stopped process goes on.
    func whenRunning(_ action: @escaping () -> Void) {
        if isStopped { held.append(action) } else { action() }
    }

    // MARK: Driver

    package func pump() {
        guard isAlive else { return }
        while let output = machine.nextOutput() { perform(output) }
        if let deadline = machine.deadline(now: world.now), deadline < wake {
            wakeUp(at: max(deadline, world.now + 1000))
        }
    }

    private func wakeUp(at time: UInt64) {
        guard time < wake else { return }
        wake = time
        world.after(time - world.now) { [self] in
            guard wake == time else { return }
            wake = .max
            whenRunning { [self] in
                guard isAlive else { return }
                machine.advance(now: world.now)
                pump()
            }
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
            if let connection { world.connections[connection]?.sendToHost(bytes) }
        case .close:
            if let connection { world.connections[connection]?.closeByParticipant() }
            connection = nil
        case .joinGroup(let group, _, _): self.group = group
        case .leaveGroup: group = nil
        case .diagnose(let silence):
            guard explains else { return }
            let sentence = "multicast from \(silence.host) does not reach this machine: simulated"
            world.after(200 * ms) { [self] in
                guard isAlive else { return }
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
            completed = world.now
            world.after(50 * ms) { [self] in
                let bytes = disk.values.reduce(0) { $0 + $1.count }
                machine.finished(.done(bytes: UInt64(bytes), text: ""), now: world.now)
                pump()
            }
        case .ended(.yielded(let text)):
            log.append("\(world.now / ms) yielded: \(text)")
            yieldedHosts += 1
            world.after(0) { [self] in takePartAnew() }
        case .ended(let end):
            log.append("\(world.now / ms) ended \(end)")
            self.end = end
        default: log.append("\(world.now / ms) \(event)")
        }
    }

    /// Begins again as a program does whose host gave way to another one.
    private func takePartAnew() {
        var configuration = configuration
        configuration.entropy = world.random.bytes(32)
        do throws(ConfigurationError) {
            machine = try ParticipantMachine(configuration: configuration, now: world.now)
        } catch {
            end = .failed(error.description)
        }
        pump()
    }

    /// The pipeline: one thing after the other at the disk's rate.
    private func enqueue(_ frame: ReceivedFrame) {
        let content = world.hosts.first?.image.contentBytes(frame.chunk) ?? frame.length
        let time = UInt64(content) * 1_000_000_000 / faults.diskRate
        diskBusy += time
        diskFree = max(diskFree, world.now) + time
        world.after(diskFree - world.now) { [self] in
            whenRunning { [self] in written(frame) }
        }
    }

    private func written(_ frame: ReceivedFrame) {
        guard isAlive else { return }
        do throws(DecodeError) {
            let content = countsOnly ? [] : try SimulatedImage.open(frame)
            if disk.updateValue(content, forKey: frame.chunk) != nil { rewritten += 1 }
            machine.chunkDone(frame.chunk, now: world.now)
        } catch {
            badFrames += 1
            machine.chunkFailed(frame.chunk, reason: error.description, now: world.now)
        }
        machine.bufferReleased(frame.buffer, now: world.now)
        pump()
    }
}
