// The frames of an image on the imaging server, over TCP, for the restore pipeline.
internal import Blocks
internal import ImageFormat
internal import Linux
internal import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// What a server has offered: the same image under the same key after every new connection.
struct ServerOffer: Sendable {
    let message: OfferMessage
    let manifest: Manifest
    let layout: ChunkLayout
    let seals: SealVerifier
}

/// One image's way from the server: asks for it, receives what is needed, and comes back after a lost connection.
///
/// Memory: `readAhead` frames, and the one that is just being received.
final class TCPFrameSource: FrameSource {
    /// Whom to ask for what.
    struct Request: Sendable {
        var server: WorkServer
        /// The image's name on the server.
        var image: String
        /// The only image that is taken; nil: whichever has the name.
        var identifier: GUID?
        var mac: [UInt8]
    }

    /// Frames that wait for the pipeline.
    private static let readAhead = 4
    /// How long the server may say nothing while something is expected of it, in nanoseconds.
    private static let patience = 60 * second
    private static let repeatAfter = 2 * second
    /// How often the server hears of a workstation that has all frames and is still writing, in nanoseconds.
    private static let signOfLife = 5 * second
    /// How often a chunk may arrive damaged.
    private static let mostFailures = 3

    private struct State: Sendable {
        /// What has not arrived, and what has but is not on the sink yet.
        var missing = ChunkSet()
        var unfinished = ChunkSet()
        var failures: [UInt32: Int] = [:]
        var isClosing = false
        var connection: WorkConnection?
    }

    private let request: Mutex<Request>
    private let progress: Progress
    private let stop = WorkStop()
    private let queue = BoundedQueue<SourceFrame>(capacity: readAhead)
    private let failure = FirstFailure()
    private let condition = Condition()
    private let state = Mutex(State())
    private let thread = Mutex<Thread<Void>?>(nil)
    /// The outcome that the server is to hear when everything has been received.
    private let outcome = Mutex<[UInt8]?>(nil)

    init(_ request: Request, progress: Progress) {
        self.request = Mutex(request)
        self.progress = progress
        failure.whenFailed { [queue] in queue.close() }
    }

    /// Asks for the image; the connection stays open for its frames.
    ///
    /// - Throws: Why there is none to be had, in one sentence.
    func open() throws -> ServerOffer {
        let (connection, offer) = try ask(knownImage: nil)
        // From here on it is this image from this server and no other.
        request.withLock { request in
            request.identifier = offer.message.image
            request.server.pinned = offer.message.serverKey.fingerprint
        }
        state.withLock { $0.connection = connection }
        return offer
    }

    /// Starts receiving `wanted`; call it once, after `open`.
    func start(_ offer: ServerOffer, wanted: ChunkSet) {
        state.withLock { state in
            state.missing = wanted
            state.unfinished = wanted
        }
        let thread = Thread("fetch") { [self] in
            failure.guarding { try receiveAll(offer) }
            queue.close()
        }
        self.thread.withLock { $0 = thread }
    }

    private func ask(knownImage: GUID?) throws -> (WorkConnection, ServerOffer) {
        let request = request.withLock { $0 }
        let connection = try request.server.connect { stop.reason != nil }
        return try stop.whileStoppable(by: { connection.cancel($0) }) {
            let question = OrderCheck(
                nonce: Random.bytes(Specification.nonceBytes), now: MonotonicClock.now(),
                pinned: request.server.pinned)
            try connection.send(
                FetchMessage(
                    nonce: question.nonce, knownImage: knownImage, image: request.image,
                    host: MachineIdentity.hostName, mac: request.mac
                ).encode())
            while true {
                switch try connection.receive(patience: TCPFrameSource.patience) {
                case .offer(let offer, let signed):
                    try question.check(offer, signed)
                    return (connection, try TCPFrameSource.checked(offer, request))
                case .refuse(let refusal): throw ServerRefusal(request.server, refusal.reason)
                case .notice: continue
                case nil: throw TransportError("\(connection.peer) closed the connection without an answer")
                default: throw ServerRefusal(request.server, "it answered with something else than an image")
                }
            }
        }
    }

    private static func checked(_ offer: OfferMessage, _ request: Request) throws -> ServerOffer {
        let name = request.image.onScreen
        if let wanted = request.identifier, offer.image != wanted {
            throw ServerRefusal(
                request.server, "\(name) is the image \(offer.image) there, not \(wanted), which is asked for"
            )
        }
        do {
            let manifest = try Manifest(decoding: offer.manifest)
            let layout = try manifest.layout()
            guard try manifest.identifier() == offer.image, manifest.chunkCount == offer.existing.count,
                (offer.existing.last ?? 0) < layout.numbers.upperBound
            else { throw DecodeError.invalid("its manifest and its chunks do not belong together") }
            return ServerOffer(
                message: offer, manifest: manifest, layout: layout,
                seals: SealVerifier(session: offer.session, image: offer.image, key: offer.sessionKey))
        } catch let error as DecodeError {
            throw ServerRefusal("the image \(name) of \(request.server.title) is unusable: \(error)")
        }
    }

    // MARK: The receiving thread

    private func receiveAll(_ first: ServerOffer) throws {
        var offer = first
        while true {
            do {
                guard let connection = state.withLock({ $0.connection }) else { return }
                let isOver = try stop.whileStoppable(by: { connection.cancel($0) }) {
                    try receive(connection, offer)
                }
                if isOver { return }
            } catch {
                // A refusal is final, and so is our own end.
                if let reason = stop.reason {
                    state.withLock { $0.connection }?.bid(AbortMessage(reason: reason).encode())
                    throw ImagingError(reason)
                }
                guard let lost = error as? any LostConnection else {
                    state.withLock { $0.connection }?.bid(AbortMessage(reason: "\(error)").encode())
                    throw error
                }
                // All that is needed is here: the server will not hear of it, which is no failure.
                if state.withLock({ $0.unfinished.isEmpty }) {
                    return progress.note(
                        "the image has arrived, and the connection to the server is lost (\(lost))", .warning)
                }
                progress.note(
                    "lost the imaging server (\(lost)); what has arrived stays, asking it again", .warning)
                offer = try comeBack(first)
                progress.note("back at the imaging server")
            }
        }
    }

    /// Asks again until the server offers the same image.
    private func comeBack(_ first: ServerOffer) throws -> ServerOffer {
        state.withLock { $0.connection = nil }
        var last = ""
        while true {
            try stop.sleep(TCPFrameSource.repeatAfter)
            do {
                let (connection, offer) = try ask(knownImage: first.message.image)
                guard offer.message.existing == first.message.existing else {
                    throw ServerRefusal(
                        request.withLock { $0.server }, "its image has other chunks than before")
                }
                state.withLock { $0.connection = connection }
                return offer
            } catch {
                try stop.check()
                guard TCPFrameSource.maySucceedLater(error) else { throw error }
                if last != "\(error)" { progress.note("not back yet: \(error); asked again every 2 s") }
                last = "\(error)"
            }
        }
    }

    /// Whether what went wrong may go right later: everything but a refusal and a wrong key.
    private static func maySucceedLater(_ error: any Error) -> Bool {
        !(error is ServerRefusal || error is OrderRefusal || error is DecodeError)
    }

    /// Receives over one connection; true when everything is done and the server knows it.
    private func receive(_ connection: WorkConnection, _ offer: ServerOffer) throws -> Bool {
        while true {
            let missing = state.withLock { $0.missing }
            if !missing.isEmpty {
                try connection.send(NeedMessage(mode: .all, chunks: missing).encode())
                var expected = missing
                while !expected.isEmpty {
                    guard let chunk = try next(connection) else { continue }
                    guard expected.contains(chunk.chunk) else {
                        throw ServerRefusal(
                            request.withLock { $0.server },
                            "it sent chunk \(chunk.chunk), which was not asked for")
                    }
                    expected.remove(chunk.chunk)
                    guard take(chunk, offer) else {
                        try stop.check()
                        try failure.rethrow()
                        return true
                    }
                }
            }
            switch try settle(connection) {
            case .again: continue
            case .over: return true
            }
        }
    }

    private enum Settled { case again, over }

    /// Waits until what has arrived is on the sink, or some of it has to come again, and in the end tells the server.
    private func settle(_ connection: WorkConnection) throws -> Settled {
        while true {
            let deadline = MonotonicClock.now() + TCPFrameSource.signOfLife
            condition.locked {
                while MonotonicClock.now() < deadline, stop.reason == nil, outcome.withLock({ $0 == nil }),
                    state.withLock({ $0.missing.isEmpty && !($0.unfinished.isEmpty && !$0.isClosing) })
                {
                    condition.wait(until: deadline)
                }
            }
            try stop.check()
            if let words = outcome.withLock({ $0 }) {
                try connection.send(words)
                while let message = try connection.receive(patience: TCPFrameSource.patience) {
                    if case .end = message { return .over }
                }
                throw TransportError("\(connection.peer) closed the connection before the end")
            }
            let closes = state.withLock { state in
                guard state.unfinished.isEmpty, !state.isClosing else { return false }
                state.isClosing = true
                return true
            }
            if closes { queue.close() }
            if state.withLock({ !$0.missing.isEmpty }) { return .again }
            guard MonotonicClock.now() >= deadline else { continue }
            // What the server has to say meanwhile is read, so that it is not lost.
            waiting: while true {
                switch try connection.poll() {
                case .nothing: break waiting
                case .closed: _ = try chunk(nil, connection)
                case .message(let message): _ = try chunk(message, connection)
                }
            }
            try connection.send(NoticeMessage(level: .state, text: "").encode())
        }
    }

    /// The next chunk; nil after a message that is none.
    private func next(_ connection: WorkConnection) throws -> ChunkMessage? {
        try chunk(connection.receive(patience: TCPFrameSource.patience), connection)
    }

    /// The chunk of a message; nil for one that is none but may come.
    private func chunk(_ message: WorkMessage?, _ connection: WorkConnection) throws -> ChunkMessage? {
        switch message {
        case .chunk(let chunk): return chunk
        case .notice(let notice):
            if !notice.text.isEmpty { progress.note(notice.text.onScreen) }
            return nil
        case .end(let end): throw ServerRefusal(request.withLock { $0.server }, end.text)
        case .abort(let abort): throw ServerRefusal(request.withLock { $0.server }, abort.reason)
        case .refuse(let refusal): throw ServerRefusal(request.withLock { $0.server }, refusal.reason)
        case nil: throw TransportError("\(connection.peer) closed the connection")
        default:
            throw ServerRefusal(request.withLock { $0.server }, "it sent a message that is not its to send")
        }
    }

    /// Hands a frame over if its seal is right; false when nobody takes frames any more.
    private func take(_ chunk: ChunkMessage, _ offer: ServerOffer) -> Bool {
        do throws(DecodeError) {
            let count = try chunk.sealed.withBytes { (span) throws(DecodeError) in
                try offer.seals.check(span, chunk: chunk.chunk)
            }
            state.withLock { $0.missing.remove(chunk.chunk) }
            return queue.put(SourceFrame(number: chunk.chunk, bytes: Array(chunk.sealed[..<count])))
        } catch {
            return count(chunk.chunk, error)
        }
    }

    /// Remembers that a chunk arrived damaged; false when it did so too often.
    private func count(_ chunk: UInt32, _ error: DecodeError) -> Bool {
        let failures = state.withLock { state in
            state.failures[chunk, default: 0] += 1
            state.missing.insert(chunk)
            return state.failures[chunk, default: 0]
        }
        guard failures < TCPFrameSource.mostFailures else {
            let server = request.withLock { $0.server.title }
            failure.record(ImagingError("\(server) sent chunk \(chunk) damaged \(failures) times: \(error)"))
            return false
        }
        progress.note("chunk \(chunk) arrived damaged (\(error)); it is asked for again", .warning)
        return true
    }

    // MARK: The pipeline's calls

    func next() throws -> SourceFrame? {
        if let frame = queue.take() { return frame }
        try failure.rethrow()
        return nil
    }

    func release(_ frame: SourceFrame) {}

    func completed(_ number: UInt32) {
        condition.locked {
            state.withLock { $0.unfinished.remove(number) }
            condition.signalAll()
        }
    }

    func rejected(_ number: UInt32, because error: DecodeError) throws {
        let goesOn = condition.locked {
            defer { condition.signalAll() }
            return count(number, error)
        }
        if !goesOn { try failure.rethrow() }
    }

    func cancel(because error: any Error) {
        queue.close()
        stop.stop("\(error)")
        condition.locked { condition.signalAll() }
    }

    /// Tells the server that the image is restored and waits until it has heard it, or cannot.
    func finish(chunks: UInt64, bytes: UInt64, text: String) {
        condition.locked {
            outcome.withLock { $0 = DoneMessage(chunks: chunks, bytes: bytes, text: text).encode() }
            condition.signalAll()
        }
        // Its body keeps its errors to itself.
        try? thread.withLock({ $0.take() })?.join()
    }

    /// Ends the connection after a failure; the server hears the reason.
    func abandon(_ reason: String) {
        cancel(because: ImagingError(reason))
        if let thread = thread.withLock({ $0.take() }) {
            try? thread.join()
        } else {
            state.withLock { $0.connection }?.bid(AbortMessage(reason: reason).encode())
        }
    }
}

/// The server will not do what it is asked for: asking again is of no use.
struct ServerRefusal: Error, CustomStringConvertible {
    let description: String

    init(_ server: WorkServer, _ reason: String) {
        description = "\(server.title) refuses: \(reason.onScreen)"
    }

    init(_ description: String) { self.description = description }
}

/// Errors after which the same may succeed on a new connection.
protocol LostConnection: Error {}
extension TransportError: LostConnection {}
extension SystemError: LostConnection {}
