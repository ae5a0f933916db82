// The data sockets of a participant: trains of datagrams from the kernel to the machine.
internal import Blocks
internal import Linux
internal import SessionProtocol
internal import SystemPackage

/// Receives the data of one session on one interface, a socket for each stream; used by one thread.
final class DataReceiver {
    let group: IPAddress
    /// Index of the interface.
    let interface: UInt32
    private let sockets: [UDPSocket]
    private let inbox = TrainInbox()
    private var drops: [SocketDrops]
    /// The last sender and its address as the protocol has it: there is only one.
    private var source = (raw: SocketAddress(.any(.v4), port: 0), address: Address(ipv4: 0))

    /// Batches taken from a socket before other events get their turn: 2 MB at most.
    private static let turn = 16
    /// Bytes of the receive buffers together, and below which one of them is too small to be quiet about.
    private static let buffers = 64 << 20
    private static let smallBuffer = 4 << 20

    /// Joins `group` on `interface` and binds `streams` ports from `port` on.
    init(group: Address, port: UInt16, streams: Int, on interface: NetworkInterface) throws {
        guard let address = group.socketForm, streams >= 1, Int(port) + streams - 1 <= Int(UInt16.max) else {
            throw TransportError("\(group) with \(streams) ports from \(port) on is no group")
        }
        self.group = address
        self.interface = interface.index
        sockets = try (0..<streams).map { stream in
            let socket = try UDPSocket(address.family)
            try socket.shareAddress()
            socket.acceptTrains()
            socket.setBuffers(receive: DataReceiver.buffers / streams, send: 4096)
            try socket.bind(to: SocketAddress(.any(address.family), port: port + UInt16(stream)))
            try socket.join(address, interface: interface.index)
            return socket
        }
        drops = Array(repeating: SocketDrops(), count: streams)
    }

    /// The sockets' numbers in the order of streams.
    var numbers: [Int32] { sockets.map(\.number) }

    /// A sentence on receive buffers that the system keeps small; nil when they are large enough.
    var bufferNotice: String? {
        let size = sockets.map(\.receiveBuffer).min() ?? 0
        guard size < DataReceiver.smallBuffer else { return nil }
        return "the receive buffer has only \(UInt64(size).asBytes), which costs datagrams; "
            + "raise net.core.rmem_max or run as root"
    }

    /// Hands what is waiting on `stream` to `machine`, in batches; `outputs` is called after each.
    ///
    /// Returns whether nothing was left waiting.
    func receive(
        _ stream: Int, _ machine: inout ParticipantMachine, _ bursts: inout LossBursts,
        outputs: (inout ParticipantMachine) -> Void
    ) -> Bool {
        // The event may be of a socket that has gone since.
        guard sockets.indices.contains(stream) else { return true }
        let socket = sockets[stream]
        for _ in 0..<DataReceiver.turn {
            guard let count = try? inbox.receive(from: socket), count > 0 else { return true }
            let now = MonotonicClock.now()
            for index in 0..<count { take(index, stream, &machine, &bursts, now) }
            outputs(&machine)
            // Less than was asked for: nothing more is waiting, and the poller tells when there is.
            if count < inbox.asked { return true }
        }
        return false
    }

    private func take(
        _ index: Int, _ stream: Int, _ machine: inout ParticipantMachine, _ bursts: inout LossBursts,
        _ now: UInt64
    ) {
        if !inbox.hasSameSource(index, as: source.raw) {
            guard let raw = inbox.source(index) else { return }
            source = (raw, Address(raw.address))
        }
        let segment = inbox.segment(index)
        let from = source.address
        let lost = inbox.drops(index)
        inbox.withBytes(index) { train in
            if let lost, drops[stream].note(lost, perMessage: (train.byteCount + segment - 1) / segment) {
                machine.socketDrops(drops[stream].datagrams, stream: stream)
            }
            bursts.count(train, segment: segment)
            machine.datagrams(train, segment: segment, from: from, now: now)
        }
    }
}

/// Datagrams that one socket has lost.
///
/// The kernel counts a train that found no room as one; it is taken to have been as long as the next that came.
private struct SocketDrops {
    private var messages: UInt32 = 0
    private(set) var datagrams: UInt32 = 0

    /// Takes the kernel's count; whether it has changed.
    mutating func note(_ total: UInt32, perMessage: Int) -> Bool {
        guard total != messages else { return false }
        datagrams &+= (total &- messages) &* UInt32(clamping: perMessage)
        messages = total
        return true
    }
}
