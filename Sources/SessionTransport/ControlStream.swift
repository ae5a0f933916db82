// One TCP connection of the control plane with the bytes that wait to be sent on it.
internal import Linux
internal import SystemPackage

/// A control connection as its loop sees it; used by one thread.
final class ControlStream {
    /// What a turn of reading or writing found out.
    enum State { case open, closed(String) }

    let connection: TCPConnection
    /// Time by which a connection being made, or being closed, must be through; nil while it is simply open.
    var deadline: UInt64?
    /// Nothing more is to be sent; once the rest is out the peer is told, and what still comes is ignored.
    private(set) var isClosing = false
    private var toldPeer = false
    /// Whether the poller was asked to say when it can be written to.
    var isWatchedForWriting = false
    private var waiting: [[UInt8]] = []
    /// Bytes of `waiting` in front, already sent.
    private var sentOfFirst = 0
    private var first = 0
    private(set) var waitingBytes = 0

    init(_ connection: TCPConnection) { self.connection = connection }

    var hasWaiting: Bool { first < waiting.count }

    func enqueue(_ bytes: [UInt8]) {
        guard !isClosing, !bytes.isEmpty else { return }
        waiting.append(bytes)
        waitingBytes += bytes.count
    }

    /// Closes once everything is out, or at `deadline`.
    func closeWhenSent(by deadline: UInt64) {
        isClosing = true
        self.deadline = deadline
    }

    /// Sends as much as the kernel takes.
    func flush() -> State {
        while first < waiting.count {
            let sent: Transfer
            do throws(SystemError) { sent = try send(waiting[first], from: sentOfFirst) } catch {
                return .closed(error.description)
            }
            guard case .bytes(let count) = sent else { break }
            sentOfFirst += count
            waitingBytes -= count
            if sentOfFirst == waiting[first].count {
                waiting[first] = []
                first += 1
                sentOfFirst = 0
            }
        }
        if first == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            first = 0
            // Closing at once would reset the connection if the peer had sent something unread, and the reset could
            // overtake our last words: say that we are through and wait for the peer to close.
            if isClosing, !toldPeer {
                toldPeer = true
                connection.finishSending()
            }
        } else if first > 64 {
            waiting.removeFirst(first)
            first = 0
        }
        return .open
    }

    /// Hands everything that has arrived, up to a fair share, to `take`; while closing it is read and dropped.
    func read(into buffer: AlignedBuffer, _ take: (RawSpan) -> Void) -> State {
        for _ in 0..<16 {
            let received: Transfer
            do throws(SystemError) { received = unsafe try connection.receive(into: buffer.bytes) } catch {
                return .closed(error.description)
            }
            switch received {
            case .bytes(let count): if !isClosing { buffer.withBytes(count, take) }
            case .wouldBlock: return .open
            case .closed: return .closed("\(connection.peer) closed the connection")
            }
        }
        return .open
    }

    private func send(_ bytes: [UInt8], from offset: Int) throws(SystemError) -> Transfer {
        let result = unsafe bytes.withUnsafeBytes { buffer in
            Result { () throws(SystemError) in
                unsafe try connection.send(UnsafeRawBufferPointer(rebasing: buffer[offset...]))
            }
        }
        return try result.get()
    }
}
