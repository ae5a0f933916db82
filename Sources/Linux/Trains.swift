// Trains of UDP datagrams: one system call for many of them, sent in one piece (GSO) and received in one (GRO).
internal import CLinux
internal import Glibc
package import SystemPackage

/// What became of a train that was to be sent.
package enum TrainTransfer: Equatable, Sendable {
    /// The kernel took this many bytes, whole datagrams; the rest of the train is still to be sent.
    case bytes(Int)
    /// The socket's send buffer is full; wait until it is writable.
    case wouldBlock
    /// The interface's queue is full; try again a little later, nothing tells when.
    case noRoom
    /// The train cannot be sent; it counts as lost.
    case failed(Errno)
}

/// Sends trains from one socket to fixed addresses; used by one thread, allocates nothing per train.
///
/// The kernel cuts a train into datagrams (`UDP_SEGMENT`) as late as the network card allows; where kernel or interface
/// refuse that, all datagrams of a train are handed over by one `sendmmsg`.
@safe package final class TrainSender: @unchecked Sendable {
    /// The most datagrams in a train, and the most bytes: what a UDP datagram may hold before it is cut apart.
    package static let maximumDatagrams = 64
    package static let maximumBytes = 65_000

    private let socket: UDPSocket
    private let targets: UnsafeMutableBufferPointer<clinux_target>
    private var oneByOne: Int32

    /// Whether the kernel cuts the trains apart, as far as is known.
    package var isSegmenting: Bool { oneByOne == 0 }

    /// Prepares the `addresses` to send to; without `segmenting` the kernel is given single datagrams from the start.
    package init(_ socket: UDPSocket, to addresses: [SocketAddress], segmenting: Bool = true) {
        self.socket = socket
        oneByOne = segmenting ? 0 : 1
        unsafe targets = .allocate(capacity: addresses.count)
        for (index, address) in addresses.enumerated() {
            var raw = address.raw
            unsafe clinux_target_prepare(&targets[index], &raw)
        }
    }

    deinit { unsafe targets.deallocate() }

    /// Sends `bytes`, at most 64 datagrams of `segment` bytes of which the last may be shorter, to an address by its
    /// number.
    package func send(_ bytes: RawSpan, segment: Int, to index: Int) -> TrainTransfer {
        precondition(bytes.byteCount <= TrainSender.maximumBytes && segment > 0)
        precondition(bytes.byteCount <= segment * TrainSender.maximumDatagrams)
        return unsafe bytes.withUnsafeBytes { buffer in
            var attempts = 0
            while true {
                let count = unsafe clinux_send_train(
                    socket.number, &targets[index], buffer.baseAddress, buffer.count, segment, &oneByOne)
                if count >= 0 { return .bytes(count) }
                let error = Errno(rawValue: currentErrno)
                switch error {
                case .resourceTemporarilyUnavailable: return .wouldBlock
                case .noBufferSpace: return .noRoom
                case .interrupted: continue
                default:
                    // It may be a router's answer to an earlier train, which is taken from the socket by being
                    // reported; only an error that comes again is about this train.
                    socket.drainErrors()
                    attempts += 1
                    if attempts == 2 { return .failed(error) }
                }
            }
        }
    }
}

/// Receives trains from sockets into its own memory; used by one thread, allocates nothing per train.
///
/// Every message has room for the longest one there is. How many are taken at once depends on how long the last ones
/// were: many single datagrams, or few trains, so that the memory in use stays in the processor's cache.
@safe package final class TrainInbox: @unchecked Sendable {
    private static let capacity = 32
    /// The longest UDP payload, rounded up.
    private static let room = 65_536
    /// A little more than `room`, so that the beginnings do not all fall on the same lines of a cache.
    private static let stride = room + 1536
    /// Bytes of messages that are taken at once.
    private static let batchBytes = 128 << 10

    private let memory = AlignedBuffer(capacity: TrainInbox.capacity * TrainInbox.stride)
    private let trains: UnsafeMutableBufferPointer<clinux_train>
    private var batch = 2
    /// Messages that the last `receive` had room for.
    package private(set) var asked = 0

    package init() { unsafe trains = .allocate(capacity: TrainInbox.capacity) }

    deinit { unsafe trains.deallocate() }

    /// Takes what is waiting at `socket`, up to a batch, and returns the number of messages; 0 when there are none.
    package func receive(from socket: UDPSocket) throws(SystemError) -> Int {
        asked = batch
        while true {
            let count = unsafe clinux_receive_trains(
                socket.number, memory.bytes.baseAddress, TrainInbox.stride, TrainInbox.room,
                trains.baseAddress, Int32(batch))
            if count > 0 {
                adapt(Int(count))
                return Int(count)
            }
            let error = Errno(rawValue: currentErrno)
            switch error {
            case .resourceTemporarilyUnavailable: return 0
            case .interrupted, .connectionRefused: continue
            default: throw SystemError("receive datagrams", error)
            }
        }
    }

    private func adapt(_ count: Int) {
        var bytes = 0
        for index in 0..<count { bytes += unsafe Int(trains[index].count) }
        batch = min(max(TrainInbox.batchBytes * count / max(bytes, 1), 2), TrainInbox.capacity)
    }

    /// Bytes of each datagram of message `index` (the last may be shorter); never 0.
    package func segment(_ index: Int) -> Int { unsafe max(Int(trains[index].segment), 1) }

    /// Messages that the socket had lost for want of room when message `index` came; nil when none yet.
    package func drops(_ index: Int) -> UInt32? {
        unsafe trains[index].has_drops != 0 ? trains[index].drops : nil
    }

    /// Whether message `index` is from the same address as message `other`, ports not compared.
    package func hasSameSource(_ index: Int, as other: SocketAddress) -> Bool {
        let from = unsafe trains[index].from
        return from.low == other.address.low && from.high == other.address.high
            && from.family == UInt16(other.address.family.rawValue)
    }

    /// Who sent message `index`.
    package func source(_ index: Int) -> SocketAddress? { unsafe SocketAddress(trains[index].from) }

    /// Calls `body` with the bytes of message `index`, valid until the next `receive`.
    package func withBytes<R>(_ index: Int, _ body: (RawSpan) -> R) -> R {
        let start = index * TrainInbox.stride
        let bytes = unsafe UnsafeRawBufferPointer(
            rebasing: memory.bytes[start..<start + Int(trains[index].count)])
        return unsafe body(bytes.bytes)
    }
}

extension UDPSocket {
    /// Prepares a socket for trains that come in: the kernel hands over in one piece what arrived in a row (`UDP_GRO`),
    /// and notes no interface with it.
    package func acceptTrains() {
        // An older kernel hands over single datagrams.
        try? set(IPPROTO_UDP, clinux_UDP_GRO, 1, "")
        switch family {
        case .v4: try? set(IPPROTO_IP, IP_PKTINFO, 0, "")
        case .v6: try? set(Int32(IPPROTO_IPV6), IPV6_RECVPKTINFO, 0, "")
        }
    }

    /// Has a full queue of the interface reported as an error (`IP_RECVERR`): without it the kernel says that what it
    /// dropped was sent.
    ///
    /// It also keeps a list of errors, which whoever waits for the socket must empty (`drainErrors`).
    package func reportFullQueues() throws(SystemError) {
        switch family {
        case .v4: try set(IPPROTO_IP, IP_RECVERR, 1, "ask for full queues")
        case .v6: try set(Int32(IPPROTO_IPV6), IPV6_RECVERR, 1, "ask for full queues")
        }
    }

    /// Forgets the errors the kernel has listed.
    package func drainErrors() { _ = clinux_drain_errors(number) }

    /// Bytes the receive buffer has room for, as it was asked for; the kernel doubles that for its own needs.
    package var receiveBuffer: Int {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard unsafe getsockopt(number, SOL_SOCKET, SO_RCVBUF, &value, &size) == 0 else { return 0 }
        return Int(value) / 2
    }
}
