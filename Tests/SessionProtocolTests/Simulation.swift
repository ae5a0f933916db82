// A network on a virtual clock: one or more hosts, many participants, faults by seed, one process, no waiting.
import Blocks
import SessionProtocol

let ms: UInt64 = 1_000_000

/// What a participant's link and machine do to it.
struct Faults {
    var loss = 0.0
    /// Probability that a burst of losses begins, and how many datagrams it takes.
    var burst = 0.0
    var burstLength = 0
    var duplication = 0.0
    var reordering = 0.0
    var corruption = 0.0
    /// One-way delay.
    var delay: UInt64 = ms / 5
    /// Bytes per second of its link; what does not fit 256 KiB of queue is lost.
    var bandwidth: UInt64 = 125_000_000
    /// Bytes per second its pipeline takes.
    var diskRate: UInt64 = 500_000_000
    var poolBytes = 8 << 20
    /// Multicast does not come through at all.
    var isDeaf = false
}

/// The virtual world: everything happens in order of time.
final class Simulation {
    let seed: UInt64
    var random: SplitMix
    private(set) var now: UInt64 = 1_000_000_000
    private var heap: [(time: UInt64, order: UInt64, action: () -> Void)] = []
    private var order: UInt64 = 0
    private(set) var events: UInt64 = 0
    var hosts: [SimulatedHost] = []
    var participants: [SimulatedParticipant] = []
    var connections: [ConnectionID: SimulatedConnection] = [:]
    var nextConnection: ConnectionID = 1
    /// Sees every datagram of the data plane before the network does; for tests that tamper.
    var tap: ((SimulatedHost, [UInt8]) -> Void)?

    init(seed: UInt64) {
        self.seed = seed
        random = SplitMix(seed: seed)
    }

    /// Runs `action` after `delay` nanoseconds.
    func after(_ delay: UInt64, _ action: @escaping () -> Void) {
        order += 1
        heap.append((now + delay, order, action))
        var child = heap.count - 1
        while child > 0, isEarlier(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Runs until nothing is left to do, `isOver` holds, or `limit` of virtual time has passed.
    func run(limit: UInt64, until isOver: () -> Bool) {
        let end = now + limit
        while let first = heap.first, first.time <= end, !isOver() {
            removeFirst()
            now = first.time
            events += 1
            first.action()
        }
        if !isOver() { now = max(now, end) }
    }

    /// Runs until every live participant and host has ended.
    func runToEnd(limit: UInt64 = 600 * 1_000_000_000) {
        run(limit: limit) {
            participants.allSatisfy { !$0.isAlive || $0.end != nil }
                && hosts.allSatisfy { !$0.isAlive || $0.end != nil }
        }
    }

    private func isEarlier(_ a: Int, _ b: Int) -> Bool {
        (heap[a].time, heap[a].order) < (heap[b].time, heap[b].order)
    }

    private func removeFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && isEarlier(child, least)
            {
                least = child
            }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }

    // MARK: The network

    /// A datagram of the data plane, to every member of its host's group.
    func multicast(_ datagram: [UInt8], from host: SimulatedHost, group: Address) {
        tap?(host, datagram)
        for participant in participants where participant.isAlive && participant.group == group {
            participant.link(datagram, from: host.address)
        }
    }

    /// A datagram of discovery, to everyone but its sender, or to one address.
    func discover(_ datagram: [UInt8], from: Endpoint, to target: DiscoveryTarget) {
        after(ms / 2) { [self] in
            for host in hosts where host.isAlive && host.endpoint != from {
                if target == .everyone { host.discovered(datagram, from: from) }
            }
            for participant in participants where participant.isAlive && participant.endpoint != from {
                if target == .everyone || target == .endpoint(participant.endpoint) {
                    participant.discovered(datagram, from: from)
                }
            }
        }
    }

    func connect(_ participant: SimulatedParticipant, to endpoint: Endpoint) {
        let delay = participant.faults.delay
        after(2 * delay) { [self] in
            guard let host = hosts.first(where: { $0.isAlive && $0.endpoint == endpoint }) else {
                return participant.refused()
            }
            let id = nextConnection
            nextConnection += 1
            connections[id] = SimulatedConnection(id: id, host: host, participant: participant)
            participant.connected(id, to: endpoint)
            host.connected(id, from: participant.endpoint)
        }
    }
}

/// A TCP connection: ordered, reliable, with the delay and the bandwidth of its participant's link.
final class SimulatedConnection {
    let id: ConnectionID
    let host: SimulatedHost
    let participant: SimulatedParticipant
    var isOpen = true
    private var toHostFree: UInt64 = 0
    private var toParticipantFree: UInt64 = 0

    init(id: ConnectionID, host: SimulatedHost, participant: SimulatedParticipant) {
        self.id = id
        self.host = host
        self.participant = participant
    }

    private func schedule(
        _ count: Int, free: inout UInt64, in world: Simulation, _ action: @escaping () -> Void
    ) {
        let time = UInt64(count) * 1_000_000_000 / participant.faults.bandwidth
        free = max(free, world.now) + time
        world.after(free - world.now + participant.faults.delay, action)
    }

    func sendToHost(_ bytes: [UInt8], in world: Simulation) {
        schedule(bytes.count, free: &toHostFree, in: world) { [self] in
            if isOpen, host.isAlive { host.received(id, bytes) }
        }
    }

    func sendToParticipant(_ bytes: [UInt8], in world: Simulation) {
        var bytes = bytes
        participant.damageControl?(&bytes)
        schedule(bytes.count, free: &toParticipantFree, in: world) { [self] in
            guard isOpen, participant.isAlive else { return }
            // In two pieces, as TCP would.
            let cut = Int.random(in: 0...bytes.count, using: &world.random)
            participant.received(id, Array(bytes[..<cut]))
            participant.received(id, Array(bytes[cut...]))
        }
    }

    func closeByHost(in world: Simulation) {
        schedule(0, free: &toParticipantFree, in: world) { [self] in
            guard isOpen else { return }
            isOpen = false
            if participant.isAlive { participant.disconnected(id) }
        }
    }

    func closeByParticipant(in world: Simulation) {
        schedule(0, free: &toHostFree, in: world) { [self] in
            guard isOpen else { return }
            isOpen = false
            if host.isAlive { host.disconnected(id) }
        }
    }
}
