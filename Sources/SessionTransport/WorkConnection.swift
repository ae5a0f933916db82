// A connection between a workstation and the imaging server, used by one thread that waits for each message.
internal import Blocks
package import Linux
package import SessionProtocol
internal import Synchronization

/// Messages of the work plane over TCP; `send` and `receive` block, `cancel` ends both from any thread.
package final class WorkConnection: Sendable {
    private let connection: TCPConnection
    private let poller: Poller
    private let wakeup: Wakeup
    private let state = Mutex(State())

    private struct State: Sendable {
        var framer = WorkFramer()
        var cancelled: String?
        var isWatchingForRoom = false
    }

    /// Bytes taken from the kernel at once.
    private static let inputBytes = 256 * 1024
    private let input = AlignedBuffer(capacity: inputBytes)

    /// Connects to the server at `endpoint` within `patience` nanoseconds.
    package convenience init(to endpoint: SocketAddress, patience: UInt64) throws {
        let connection = try TCPConnection(connectingTo: endpoint)
        try self.init(connection)
        try wait(until: MonotonicClock.now() + patience, forRoom: true) {
            "\(endpoint) does not answer"
        }
        if let error = connection.connectError() { throw error }
    }

    /// Takes over a connection that a listener has accepted.
    ///
    /// Messages with more than `longestBody` bytes end it.
    package init(_ connection: TCPConnection, longestBody: Int = .max) throws {
        self.connection = connection
        try connection.noticeDeadPeers()
        state.withLock { $0.framer.longestBody = longestBody }
        poller = try Poller()
        wakeup = try Wakeup()
        try poller.add(wakeup.number, token: 0, .readable)
        try poller.add(connection.number, token: 1, .readable)
    }

    /// Who is at the other end.
    package var peer: SocketAddress { connection.peer }

    /// This machine's own address of the connection.
    package func localAddress() throws(SystemError) -> SocketAddress { try connection.localAddress() }

    /// Sends the whole message; throws where the peer takes nothing of it for `patience` nanoseconds.
    package func send(_ bytes: [UInt8], patience: UInt64 = 60 * second) throws {
        var sent = 0
        while sent < bytes.count {
            try checkCancellation()
            let transfer = try unsafe bytes.withUnsafeBytes { buffer in
                unsafe try connection.send(UnsafeRawBufferPointer(rebasing: buffer[sent...]))
            }
            switch transfer {
            case .bytes(let count): sent += count
            case .wouldBlock:
                try wait(until: MonotonicClock.now() + patience, forRoom: true) {
                    "\(connection.peer) takes nothing of what is sent to it"
                }
            case .closed: throw TransportError("\(connection.peer) closed the connection")
            }
        }
    }

    /// The next message; nil when the peer has closed the connection between two messages.
    ///
    /// Messages of other types are skipped where they may be.
    /// - Throws: `TransportError` or `SystemError` where nothing has come for `patience` nanoseconds or the connection is
    ///   lost; `DecodeError` where what comes is no message: another connection would bring the same.
    package func receive(patience: UInt64) throws -> WorkMessage? {
        while true {
            switch try poll() {
            case .message(let message): return message
            case .closed: return nil
            case .nothing:
                try wait(until: MonotonicClock.now() + patience, forRoom: false) {
                    "\(connection.peer) says nothing any more"
                }
            }
        }
    }

    /// What there is without waiting.
    package enum Reception: Sendable {
        case message(WorkMessage)
        /// The peer has closed the connection between two messages.
        case closed
        case nothing
    }

    /// The next message if it is there already; throws as `receive` does.
    package func poll() throws -> Reception {
        while true {
            try checkCancellation()
            do throws(DecodeError) {
                if let message = try state.withLock({ state throws(DecodeError) in try state.framer.next() })
                {
                    return .message(message)
                }
            } catch {
                throw DecodeError.invalid("\(connection.peer) sent a message that cannot be read: \(error)")
            }
            switch unsafe try connection.receive(into: input.bytes) {
            case .bytes(let count):
                input.withBytes(count) { span in state.withLock { $0.framer.append(span) } }
            case .wouldBlock: return .nothing
            case .closed:
                guard state.withLock({ $0.framer.isEmpty }) else {
                    throw TransportError("\(connection.peer) closed the connection within a message")
                }
                return .closed
            }
        }
    }

    /// Sends what of a short last message the kernel takes at once, also after `cancel`; then the connection is of no use.
    package func bid(_ farewell: [UInt8]) {
        _ = unsafe farewell.withUnsafeBytes { unsafe try? connection.send($0) }
        connection.finishSending()
    }

    /// From now on messages of any length that the protocol allows are taken: the peer is known.
    package func takeLongMessages() { state.withLock { $0.framer.longestBody = .max } }

    /// Nothing more is sent; what the peer still sends can be received.
    package func finishSending() { connection.finishSending() }

    /// Wakes whoever waits here; its call and all later ones throw `reason`.
    package func cancel(_ reason: String) {
        state.withLock { state in if state.cancelled == nil { state.cancelled = reason } }
        wakeup.signal()
    }

    private func checkCancellation() throws {
        if let reason = state.withLock({ $0.cancelled }) { throw TransportError(reason) }
    }

    private func watch(forRoom: Bool) throws {
        guard state.withLock({ $0.isWatchingForRoom }) != forRoom else { return }
        state.withLock { $0.isWatchingForRoom = forRoom }
        try poller.change(connection.number, token: 1, forRoom ? .writable : .readable)
    }

    /// Waits until the connection can be read from (or written to), at most until `deadline`.
    private func wait(until deadline: UInt64, forRoom: Bool, _ complaint: () -> String) throws {
        try watch(forRoom: forRoom)
        var ready: [Poller.Event] = []
        while true {
            try checkCancellation()
            try poller.wait(until: deadline, into: &ready)
            if ready.contains(where: { $0.token == 1 }) { return }
            try checkCancellation()
            guard MonotonicClock.now() < deadline else { throw TransportError(complaint()) }
        }
    }
}
