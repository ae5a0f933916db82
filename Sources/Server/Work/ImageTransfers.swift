// Images between a workstation and this server over one connection, without a session.
internal import Blocks
internal import ImageFormat
internal import Linux
internal import Logging
internal import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// Sends images of the catalogue, and stores what workstations capture.
final class ImageTransfers: Sendable {
    /// Transfers at a time; whoever comes then is told so.
    static let most = 256
    /// How long a workstation may take to write, verify and answer, or to read its disks, in nanoseconds.
    private static let patience = 600 * second
    /// How long nothing has moved on a connection that counts as lost once its workstation is back, in nanoseconds.
    private static let stillness = 3 * second

    /// What is shown of a transfer.
    private struct Running: Sendable {
        var image: String
        var workstation: String
        var isSending: Bool
        var chunks = 0
        var total: Int
        var bytes: UInt64 = 0
        /// When something went through last.
        var movedAt = MonotonicClock.now()
    }

    /// A workstation with the image it fetches.
    private struct Reader: Hashable, Sendable {
        var mac: [UInt8]
        var address: IPAddress
        var image: GUID
    }

    private let key: PrivateKey
    private let images: ImageCatalogue
    private let store: Store
    private let uploads: ServerConfiguration.Uploads
    /// Whether two MAC addresses are of one workstation.
    private let isSame: @Sendable ([UInt8], [UInt8]) throws -> Bool
    private let note: @Sendable (String, Logger.Level, [UInt8]?) -> Void
    private let changed: @Sendable () -> Void
    /// The connections on which images come in, by the image's identifier.
    private let receiving = Mutex<[GUID: (connection: WorkConnection, mac: [UInt8])]>([:])
    /// The connections on which images go out, by who fetches what, with the transfers' numbers.
    private let sending = Mutex<[Reader: (connection: WorkConnection, number: Int)]>([:])
    private let running = Mutex<(next: Int, all: [Int: Running])>((0, [:]))

    init(
        key: PrivateKey, images: ImageCatalogue, store: Store, uploads: ServerConfiguration.Uploads,
        isSame: @escaping @Sendable ([UInt8], [UInt8]) throws -> Bool,
        note: @escaping @Sendable (String, Logger.Level, [UInt8]?) -> Void,
        changed: @escaping @Sendable () -> Void
    ) {
        self.key = key
        self.images = images
        self.store = store
        self.uploads = uploads
        self.isSame = isSame
        self.note = note
        self.changed = changed
    }

    /// What goes on now.
    var views: [TransferView] {
        running.withLock { $0.all }.sorted { $0.key < $1.key }.map { _, one in
            TransferView(
                image: one.image, workstation: one.workstation, direction: one.isSending ? "send" : "receive",
                percent: one.total > 0 ? min(100, Double(one.chunks) * 100 / Double(one.total)) : 0,
                bytes: one.bytes)
        }
    }

    // MARK: To a workstation

    /// Answers FETCH: offers the image and sends the chunks that are needed, until the workstation is done.
    func send(_ fetch: FetchMessage, on connection: WorkConnection) throws {
        let who = "\(fetch.host) (\(MACText.text(fetch.mac)), \(connection.peer.address))"
        let frames: ImageFileFrames
        let number: Int
        let reader: Reader
        do {
            frames = try ImageFileFrames(path: images.path(of: fetch.image))
            if let known = fetch.knownImage, known != frames.image.imageID {
                throw ServerError(
                    "image \(fetch.image) is another one than the one that was begun", .conflict)
            }
            reader = Reader(
                mac: fetch.mac, address: connection.peer.address, image: frames.image.imageID)
            // Who comes back has lost its connection, which the server may not have noticed; or it is another program on
            // the same machine, whose connection moves.
            if fetch.knownImage != nil, let one = sending.withLock({ $0[reader] }), isStill(one.number) {
                endEarlier { self.sending.withLock { $0[reader]?.connection } }
            }
            number = try begin(
                Running(
                    image: fetch.image, workstation: who, isSending: true, total: frames.image.existing.count)
            )
        } catch {
            return try refuse("\(error)", connection, who, fetch.mac)
        }
        sending.withLock { $0[reader] = (connection, number) }
        defer {
            sending.withLock { if $0[reader]?.number == number { $0[reader] = nil } }
            end(number)
        }
        guard let sessionKey = PrivateKey(seed: Random.bytes(Specification.keyBytes)) else {
            throw ServerError("no key can be made for a transfer")
        }
        let session = Random.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let image = frames.image.imageID
        try connection.send(
            OfferMessage(
                nonce: fetch.nonce, serverKey: key.publicKey, session: session, image: image,
                sessionKey: sessionKey.publicKey, manifest: frames.image.manifestJSON,
                existing: frames.image.existing
            ).encode(signedBy: key))
        note("\(who) fetches image \(fetch.image)", .info, fetch.mac)
        do {
            let done = try serve(frames, as: number, on: connection) { chunk, frame in
                try sessionKey.seal(frame, chunk: chunk, session: session, image: image)
            }
            try count { $0.imagesSent += 1 }
            note("\(who) has image \(fetch.image): \(done.text)", .info, fetch.mac)
            try connection.send(EndMessage(outcome: .finished, text: "").encode())
        } catch {
            try count { $0.failures += 1 }
            note("\(who) does not have image \(fetch.image): \(error)", .warning, fetch.mac)
            if error is DecodeError {
                try connection.send(EndMessage(outcome: .stopped, text: "\(error)").encode())
            }
            throw error
        }
    }

    private func serve(
        _ frames: ImageFileFrames, as number: Int, on connection: WorkConnection,
        seal: (UInt32, [UInt8]) throws -> [UInt8]
    ) throws -> DoneMessage {
        let existing = frames.image.existing
        while let message = try connection.receive(patience: ImageTransfers.patience) {
            switch message {
            case .need(let need):
                let wanted = need.chunks.numbers.filter { existing.contains($0) }
                running.withLock { $0.all[number]?.chunks = max(0, existing.count - wanted.count) }
                for chunk in wanted {
                    var frame = try frames.frame(chunk: chunk)
                    frame += try seal(chunk, frame)
                    let bytes = ChunkMessage(chunk: chunk, sealed: frame).encode()
                    // A slow disk stops the stream: that is what the connection's window is for.
                    try connection.send(bytes, patience: ImageTransfers.patience)
                    step(number, bytes.count)
                }
            case .done(let done): return done
            // It lives and writes.
            case .notice: continue
            case .abort(let abort): throw ServerError(abort.reason)
            default: throw ServerError("it sent a message that does not belong to a transfer")
            }
        }
        throw ServerError("the connection has ended before it was done")
    }

    // MARK: From a workstation

    /// Answers STORE: takes the chunks that are not there yet; the image gets its name when all are.
    func receive(_ request: StoreMessage, on connection: WorkConnection) throws {
        let who = "\(request.host) (\(MACText.text(request.mac)), \(connection.peer.address))"
        // Its word that the image is whole may have been lost on the way.
        if images.identifier(of: request.image) == request.imageID {
            return try confirm(request, on: connection)
        }
        endEarlier {
            receiving.withLock { all in
                guard let one = all[request.imageID], one.mac == request.mac else { return nil }
                return one.connection
            }
        }
        let upload: ImageUpload
        let number: Int
        do {
            let isOrdered = try isOrdered(request)
            guard uploads != .no || isOrdered else {
                throw ServerError("this server takes no images from workstations (uploads=no)", .forbidden)
            }
            upload = try images.storeImage(
                name: request.image, imageID: request.imageID, manifest: request.manifest,
                existing: request.existing, mostBytes: request.mostBytes,
                // What the server orders by itself never replaces anything.
                overwrite: uploads == .overwrite && !isOrdered)
            do {
                number = try begin(
                    Running(
                        image: request.image, workstation: who, isSending: false,
                        chunks: upload.stored.count, total: request.existing.count))
            } catch {
                upload.suspend()
                throw error
            }
        } catch {
            return try refuse("\(error)", connection, who, request.mac)
        }
        receiving.withLock { $0[request.imageID] = (connection, request.mac) }
        defer {
            receiving.withLock {
                if $0[request.imageID]?.connection === connection { $0[request.imageID] = nil }
            }
            end(number)
        }
        connection.takeLongMessages()
        note("\(who) sends image \(request.image)", .info, request.mac)
        do {
            try connection.send(
                RoomMessage(
                    nonce: request.nonce, serverKey: key.publicKey, image: request.imageID,
                    stored: upload.stored
                ).encode(signedBy: key))
            try take(upload, as: number, on: connection)
            let view = try upload.finish()
            try count { $0.imagesReceived += 1 }
            note("image \(request.image) was made by \(who): \(view.fileBytes.asBytes)", .info, request.mac)
            try connection.send(
                EndMessage(outcome: .finished, text: "image \(request.image) is stored").encode())
        } catch {
            try count { $0.failures += 1 }
            note("image \(request.image) of \(who) is not whole: \(error)", .warning, request.mac)
            // A message that cannot be read would come again on another connection.
            if error is DecodeError || (error as? ServerError).map({ $0.kind != .busy }) ?? false {
                upload.cancel()
                try connection.send(EndMessage(outcome: .stopped, text: "\(error)").encode())
            } else {
                upload.suspend()
            }
            throw error
        }
    }

    /// Tells a workstation that comes back for the answer that its image is whole.
    private func confirm(_ request: StoreMessage, on connection: WorkConnection) throws {
        try connection.send(
            RoomMessage(
                nonce: request.nonce, serverKey: key.publicKey, image: request.imageID,
                stored: request.existing
            ).encode(signedBy: key))
        while let message = try connection.receive(patience: ImageTransfers.patience) {
            guard case .done = message else { continue }
            return try connection.send(
                EndMessage(outcome: .finished, text: "image \(request.image) is stored").encode())
        }
    }

    /// Ends the transfer of the same image by the same workstation that a lost connection has left.
    private func endEarlier(_ earlier: () -> WorkConnection?) {
        guard let connection = earlier() else { return }
        connection.cancel("the workstation has come back on another connection")
        let end = MonotonicClock.now() + 5 * second
        while earlier() === connection, MonotonicClock.now() < end {
            MonotonicClock.sleep(nanoseconds: 10 * millisecond)
        }
    }

    private func take(_ upload: ImageUpload, as number: Int, on connection: WorkConnection) throws {
        while let message = try connection.receive(patience: ImageTransfers.patience) {
            switch message {
            case .frame(let frame):
                try upload.add(frame: frame.frame)
                step(number, frame.frame.count)
            case .done: return
            case .notice: continue
            case .abort(let abort): throw ServerError("the workstation gave up: \(abort.reason)")
            default: throw ServerError("it sent a message that does not belong to a transfer", .invalid)
            }
        }
        // It may come back: what is stored stays.
        throw ServerError("the connection has ended before the image was whole", .busy)
    }

    /// Whether this server itself has ordered the capture, under this name.
    private func isOrdered(_ request: StoreMessage) throws -> Bool {
        guard request.order != 0, let record = try store.order(request.order) else { return false }
        guard record.verb == .capture, record.isDone == nil, record.image == request.image else {
            return false
        }
        return try isSame(record.mac, request.mac)
    }

    // MARK: Bookkeeping

    private func begin(_ transfer: Running) throws -> Int {
        let number: Int? = running.withLock { running in
            guard running.all.count < ImageTransfers.most else { return nil }
            running.next += 1
            running.all[running.next] = transfer
            return running.next
        }
        guard let number else {
            throw ServerError("\(ImageTransfers.most) transfers go on already; try again later", .busy)
        }
        changed()
        return number
    }

    private func step(_ number: Int, _ bytes: Int) {
        running.withLock { running in
            running.all[number]?.chunks += 1
            running.all[number]?.bytes += UInt64(bytes)
            running.all[number]?.movedAt = MonotonicClock.now()
        }
        changed()
    }

    private func isStill(_ number: Int) -> Bool {
        let movedAt = running.withLock { $0.all[number]?.movedAt } ?? 0
        return MonotonicClock.now() - movedAt > ImageTransfers.stillness
    }

    private func end(_ number: Int) {
        guard let transfer = running.withLock({ $0.all.removeValue(forKey: number) }) else { return }
        // Once for all chunks: each of these waits for the medium. A count that is lost is no reason to fail.
        try? store.count { counters in
            if transfer.isSending {
                counters.bytesSent += transfer.bytes
            } else {
                counters.bytesReceived += transfer.bytes
            }
        }
        changed()
    }

    private func count(_ change: (inout CountersView) -> Void) throws { try store.count(change) }

    private func refuse(_ reason: String, _ connection: WorkConnection, _ who: String, _ mac: [UInt8]) throws
    {
        note("\(who) was refused: \(reason)", .warning, mac)
        try connection.send(
            RefuseMessage(code: RefuseMessage.Code.image.rawValue, reason: reason).encode())
    }
}
