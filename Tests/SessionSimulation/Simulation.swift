// A network on a virtual clock: one or more hosts, many participants, faults by seed, one process, no waiting.
import Blocks
package import SessionProtocol

/// The virtual world: everything happens in order of time.
///
/// The links: hosts and participants hang on one switch. A host's card sends at `linkRate`; trains of the data plane
/// and pieces of TCP take turns on it. Each participant has a link of its own behind a queue of 256 KiB, and a
/// one-way delay. The host's reading takes a millisecond a frame, a participant writes at its disk's rate.
package final class Simulation {
    package let seed: UInt64
    package var random: SplitMix
    /// Bytes per second of the hosts' links, and of a participant's that has no slower one.
    package let linkRate: UInt64
    /// Nanoseconds.
    package private(set) var now: UInt64 = 1_000_000_000
    private var heap: [(time: UInt64, order: UInt64, action: () -> Void)] = []
    private var order: UInt64 = 0
    package private(set) var events: UInt64 = 0
    package var hosts: [SimulatedHost] = []
    package var participants: [SimulatedParticipant] = []
    package var connections: [ConnectionID: SimulatedConnection] = [:]
    private var nextConnection: ConnectionID = 1
    /// Sees every datagram of the data plane before the network does; for tests that tamper.
    package var tap: ((SimulatedHost, [UInt8]) -> Void)?
    /// Whether datagrams of discovery get lost between two endpoints; for tests of networks that are not whole.
    package var isCut: ((Endpoint, Endpoint) -> Bool)?
    /// Messages from participants to hosts by second and type, counted from `now` 0.
    package private(set) var reportsPerSecond: [Int] = []
    /// Those in a group, by how their datagrams travel; nil after a change.
    private var members: [Address: Members]?

    /// Members of a group.
    private struct Members {
        /// Those whose datagrams all arrive at the same time: one event serves them all.
        var alike: [SimulatedParticipant] = []
        var others: [SimulatedParticipant] = []
    }

    package init(seed: UInt64, linkRate: UInt64 = 125_000_000) {
        self.seed = seed
        self.linkRate = linkRate
        random = SplitMix(seed: seed)
    }

    /// Runs `action` after `delay` nanoseconds.
    package func after(_ delay: UInt64, _ action: @escaping () -> Void) {
        order += 1
        heap.append((now + delay, order, action))
        var child = heap.count - 1
        while child > 0, isEarlier(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Runs until nothing is left to do, `isOver` holds, or `limit` of virtual time has passed.
    package func run(limit: UInt64, until isOver: () -> Bool) {
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
    package func runToEnd(limit: UInt64 = 600 * 1_000_000_000) {
        // Looking at everyone after every event would take longer than the session.
        var step = 0
        run(limit: limit) {
            step += 1
            guard participants.count < 32 || step % 1024 == 0 else { return false }
            return hosts.allSatisfy { !$0.isAlive || $0.end != nil }
                && participants.allSatisfy { !$0.isAlive || $0.end != nil }
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

    /// Who is in a group, or how its datagrams travel, has changed.
    func membersChanged() { members = nil }

    /// A train of the data plane is leaving its host's card; the last bit of it is out after `time` nanoseconds.
    func multicast(_ train: TrainBuffer, from host: SimulatedHost, group: Address, for time: UInt64) {
        if let tap {
            for index in 0..<train.count { tap(host, Array(train.bytes[train.range(of: index)])) }
        }
        let wire = Wire.multicast(train.datagramBytes)
        let each = time / UInt64(train.count)
        for participant in membersOf(group).others {
            for index in 0..<train.count {
                participant.link(
                    Array(train.bytes[train.range(of: index)]), from: host.address,
                    after: each * UInt64(index + 1))
            }
        }
        // The switch takes a datagram whole before it passes it on.
        after(time + Wire.time(wire, at: linkRate) + Faults.usualDelay) { [self] in
            train.bytes.withBytes(in: 0..<train.count * train.datagramBytes) { bytes in
                for participant in membersOf(group).alike {
                    participant.take(train, bytes, from: host.address)
                }
            }
            host.spareTrains.append(train)
        }
    }

    private func membersOf(_ group: Address) -> Members {
        if let members { return members[group] ?? Members() }
        var found: [Address: Members] = [:]
        for participant in participants where participant.isAlive {
            guard let group = participant.group else { continue }
            if participant.isUsual {
                found[group, default: Members()].alike.append(participant)
            } else {
                found[group, default: Members()].others.append(participant)
            }
        }
        members = found
        return found[group] ?? Members()
    }

    /// A datagram of discovery, to everyone but its sender, or to one address.
    func discover(_ datagram: [UInt8], from: Endpoint, to target: DiscoveryTarget) {
        after(ms / 2) { [self] in
            for host in hosts where host.isAlive && host.endpoint != from {
                if isCut?(from, host.endpoint) ?? false { continue }
                if target == .everyone { host.discovered(datagram, from: from) }
            }
            // A SEEK is for hosts only; where a thousand participants seek, nobody else looks at it.
            let isSeek = datagram[1] == 3
            for participant in participants where participant.isAlive && participant.endpoint != from {
                if isSeek, participant.countsOnly { continue }
                if isCut?(from, participant.endpoint) ?? false { continue }
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

    /// Counts a message on its way to a host, if it is a REPORT.
    func count(_ message: [UInt8]) {
        guard message.count > 5, message[4] == UInt8(MessageType.report.rawValue), message[5] == 0 else {
            return
        }
        let second = Int(now / 1_000_000_000)
        while reportsPerSecond.count <= second { reportsPerSecond.append(0) }
        reportsPerSecond[second] += 1
    }
}

/// What bytes become on an Ethernet: 14 + 4 bytes of frame, 8 of preamble, 12 of gap, IPv4 and UDP or TCP headers.
enum Wire {
    /// Bytes on the wire of a datagram of `count` bytes.
    static func multicast(_ count: Int) -> UInt64 { UInt64(count + 8 + 20 + 38) }

    /// Bytes on the wire of `count` bytes over TCP, with timestamps in segments of 1448 bytes.
    static func stream(_ count: Int) -> UInt64 { UInt64(count + (count + 1447) / 1448 * (32 + 20 + 38)) }

    /// Nanoseconds `bytes` take at `rate` bytes per second.
    static func time(_ bytes: UInt64, at rate: UInt64) -> UInt64 { bytes * 1_000_000_000 / rate }
}

/// Datagrams of one train on their way.
final class TrainBuffer {
    /// Room for the longest train.
    var bytes = [UInt8](repeating: 0, count: TrainBuffer.limit * Specification.datagramBytes)
    var count = 0
    var datagramBytes = 0

    /// Datagrams a host sends back to back.
    static let limit = 16

    func range(of index: Int) -> Range<Int> { index * datagramBytes..<(index + 1) * datagramBytes }
}
