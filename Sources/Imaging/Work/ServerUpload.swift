// An image on its way from this machine's disks to the imaging server, over TCP.
internal import Blocks
internal import ImageFormat
internal import Linux
internal import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// Stores the frames of a capture on the server; after a lost connection it says what is there already.
///
/// `send` and `finish` are called by one thread; `stop` ends them from any.
final class ServerUpload: Sendable {
    /// Whom to send what.
    struct Request: Sendable {
        var server: WorkServer
        /// The image's name on the server.
        var image: String
        /// The order it is captured by; 0 where a person does.
        var order: UInt64
        var identifier: GUID
        var manifest: [UInt8]
        var existing: ChunkSet
        /// The most that the file can become.
        var mostBytes: UInt64
    }

    /// How long the server may take to answer, and to make the image's file whole, in nanoseconds.
    private static let patience = 60 * second
    private static let finishPatience = 600 * second
    private static let repeatAfter = 2 * second
    /// How long after a loss a refusal is not final, in nanoseconds: longer than a server waits for a silent peer.
    private static let holdPatience = 90 * second

    private let request: Mutex<Request>
    private let progress: Progress
    private let stop: WorkStop
    private let connection = Mutex<WorkConnection?>(nil)

    init(_ request: Request, stop: WorkStop, progress: Progress) {
        self.request = Mutex(request)
        self.stop = stop
        self.progress = progress
    }

    /// Asks for room; returns the chunks that are stored already, and the fingerprint of the server's key.
    ///
    /// - Throws: `ServerRefusal`, or why it cannot be asked.
    func open() throws -> (stored: ChunkSet, key: String) {
        let request = request.withLock { $0 }
        let connection = try request.server.connect { stop.reason != nil }
        let answer = try stop.whileStoppable(by: { connection.cancel($0) }) {
            let question = OrderCheck(
                nonce: Random.bytes(Specification.nonceBytes), now: MonotonicClock.now(),
                pinned: request.server.pinned)
            var store = StoreMessage(
                nonce: question.nonce, imageID: request.identifier, mostBytes: request.mostBytes,
                mac: Hardware.firstMAC, image: request.image, host: MachineIdentity.hostName,
                manifest: request.manifest, existing: request.existing)
            store.order = request.order
            try connection.send(store.encode())
            while true {
                switch try connection.receive(patience: ServerUpload.patience) {
                case .room(let room, let signed):
                    try question.check(room, signed)
                    guard room.image == request.identifier, room.stored.isSubset(of: request.existing) else {
                        throw ServerRefusal(request.server, "it answered for another image")
                    }
                    return room
                case .notice: continue
                case nil: throw TransportError("\(connection.peer) closed the connection without an answer")
                case .some(let message): try end(message, request.server)
                }
            }
        }
        // From here on it is this server and no other.
        self.request.withLock { $0.server.pinned = answer.serverKey.fingerprint }
        self.connection.withLock { $0 = connection }
        return (answer.stored, answer.serverKey.fingerprint.description)
    }

    /// Asks again until the server is back; returns the chunks that are stored.
    func comeBack(after lost: any Error) throws -> ChunkSet {
        connection.withLock { $0 = nil }
        let lostAt = MonotonicClock.now()
        progress.note("lost the imaging server (\(lost)); what it has stays, asking it again", .warning)
        var last = ""
        while true {
            try stop.sleep(ServerUpload.repeatAfter)
            do {
                let (stored, _) = try open()
                progress.note("back at the imaging server, which has \(stored.count) chunks")
                return stored
            } catch {
                try stop.check()
                guard !(error is OrderRefusal || error is DecodeError) else { throw error }
                // A server that has not noticed the loss yet holds the image for the connection that is gone.
                guard !(error is ServerRefusal) || MonotonicClock.now() - lostAt < ServerUpload.holdPatience
                else {
                    throw error
                }
                if last != "\(error)" { progress.note("not back yet: \(error); asked again every 2 s") }
                last = "\(error)"
            }
        }
    }

    /// Sends one frame.
    ///
    /// - Throws: `UploadLost` after which `comeBack` may help, or an error that is final.
    func send(chunk: UInt32, prefixAndHeader: [UInt8], payload: UnsafeRawBufferPointer) throws {
        var frame: [UInt8] = []
        frame.reserveCapacity(prefixAndHeader.count + payload.count)
        frame.append(contentsOf: prefixAndHeader)
        unsafe frame.append(contentsOf: payload)
        try with { connection in
            try hear(connection)
            do {
                try connection.send(FrameMessage(chunk: chunk, frame: frame).encode())
            } catch let lost as any LostConnection {
                // The server may have said why before it closed.
                try hear(connection)
                throw lost
            }
        }
    }

    /// Says that all frames have been sent, and returns when the image has its name on the server.
    func finish(chunks: UInt64, bytes: UInt64) throws {
        try with { connection in
            try connection.send(DoneMessage(chunks: chunks, bytes: bytes, text: "captured").encode())
            while true {
                switch try connection.receive(patience: ServerUpload.finishPatience) {
                case .end(let end) where end.outcome == .finished: return
                case .notice(let notice): say(notice)
                case nil:
                    throw TransportError(
                        "\(connection.peer) closed the connection before the image was whole")
                case .some(let message): try end(message, request.withLock { $0.server })
                }
            }
        }
    }

    /// Tells the server why there will be no image.
    func abandon(_ reason: String) {
        connection.withLock { $0 }?.bid(AbortMessage(reason: reason).encode())
    }

    private func with<R>(_ body: (WorkConnection) throws -> R) throws -> R {
        guard let connection = connection.withLock({ $0 }) else {
            throw TransportError("there is no connection to the imaging server")
        }
        return try stop.whileStoppable(by: { connection.cancel($0) }) {
            do { return try body(connection) } catch {
                // What the stop caused is told by its reason.
                try stop.check()
                // A disk that is gone is a system error too: only the connection's own are told apart.
                if let lost = error as? any LostConnection { throw UploadLost(description: "\(lost)") }
                throw error
            }
        }
    }

    /// Takes what the server has said meanwhile.
    private func hear(_ connection: WorkConnection) throws {
        while true {
            switch try connection.poll() {
            case .nothing: return
            case .message(.notice(let notice)): say(notice)
            case .closed: throw TransportError("\(connection.peer) closed the connection")
            case .message(let message): try end(message, request.withLock { $0.server })
            }
        }
    }

    private func say(_ notice: NoticeMessage) {
        if !notice.text.isEmpty { progress.note(notice.text.onScreen) }
    }

    /// A message that ends the transfer, as an error.
    private func end(_ message: WorkMessage, _ server: WorkServer) throws -> Never {
        switch message {
        case .end(let end): throw ServerRefusal(server, end.text)
        case .abort(let abort): throw ServerRefusal(server, abort.reason)
        case .refuse(let refusal): throw ServerRefusal(server, refusal.reason)
        default: throw ServerRefusal(server, "it sent a message that is not its to send")
        }
    }
}

/// The connection to the server has failed, not the capture.
struct UploadLost: Error, CustomStringConvertible {
    let description: String
}
