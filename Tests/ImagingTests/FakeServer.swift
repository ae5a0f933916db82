// An imaging server of the tests' own: it does what its script says, over real connections on the loopback.
import Blocks
import ImageFormat
import Imaging
import Linux
import SessionProtocol
import SessionTransport
import Synchronization

/// A server with a key, images in memory, and a list of orders.
final class FakeServer: Sendable {
    struct Image: Sendable {
        var id: GUID
        var manifest: [UInt8]
        var existing: ChunkSet
        var frames: [UInt32: [UInt8]] = [:]
        var isWhole = false
    }

    struct Script: Sendable {
        /// Answers to ASK, one after the other; the last one stays.
        var orders: [@Sendable (inout OrderMessage) -> Void] = []
        /// What to answer, instead of `orders`.
        var decide: (@Sendable (AskMessage, Heard, inout OrderMessage) -> Void)?
        var images: [String: Image] = [:]
        /// Chunks or frames after which the connection of each transfer is cut, one after the other.
        var cuts: [Int] = []
        /// How many seals are made wrong.
        var wrongSeals = 0
        /// How many of the first answers are another question's: replays.
        var replays = 0
        /// What later FETCHes are refused with, once one has been answered.
        var refusal: String?
        /// The image that later FETCHes are offered instead.
        var exchanged: Image?
        /// Bytes that are sent after each OFFER and ROOM.
        var aside: [UInt8] = []
        /// How many OUTCOMEs are not answered.
        var deafToOutcomes = 0
    }

    struct Heard: Sendable {
        var asks: [AskMessage] = []
        var fetches: [FetchMessage] = []
        var stores: [StoreMessage] = []
        var outcomes: [OutcomeMessage] = []
        var roles: [RoleMessage] = []
        var done: [DoneMessage] = []
        var aborts: [String] = []
    }

    let key: PrivateKey
    let address: String
    private let state: Mutex<(script: Script, heard: Heard)>
    private let listener: TCPListener
    private let isClosed = Atomic(false)

    /// Listens on `own` in the calling thread's network namespace.
    init(_ script: Script = Script(), key: PrivateKey? = nil, on own: String = "127.0.0.1") throws {
        guard let key = key ?? PrivateKey(seed: Random.bytes(32)), let own = IPAddress(own)
        else {
            throw Failure("no key")
        }
        self.key = key
        state = Mutex((script, Heard()))
        listener = try TCPListener(on: SocketAddress(own, port: 0))
        address = "\(try listener.localAddress())"
        let poller = try Poller()
        try poller.add(listener.number, token: 0, .readable)
        _ = Thread("fake-server") { [weak self, listener] in
            var ready: [Poller.Event] = []
            while true {
                try poller.wait(until: MonotonicClock.now() + 50_000_000, into: &ready)
                guard let server = self, !server.isClosed.load(ordering: .relaxed) else { return }
                while let connection = try listener.accept() { server.serve(connection) }
            }
        }
    }

    var fingerprint: String { key.publicKey.fingerprint.description }
    var heard: Heard { state.withLock { $0.heard } }
    func change(_ body: (inout Script) -> Void) { state.withLock { body(&$0.script) } }
    func image(_ name: String) -> Image? { state.withLock { $0.script.images[name] } }
    func close() { isClosed.store(true, ordering: .relaxed) }

    private func serve(_ connection: TCPConnection) {
        _ = Thread("fake-client") { [self] in
            let connection = try WorkConnection(connection)
            while let message = try connection.receive(patience: 20 * second) {
                guard try answer(message, connection) else { return }
            }
        }
    }

    /// Answers one message; false: the connection is cut.
    private func answer(_ message: WorkMessage, _ connection: WorkConnection) throws -> Bool {
        switch message {
        case .ask(let ask): try connection.send(order(ask))
        case .outcome(let outcome):
            let isDeaf = state.withLock { state in
                state.heard.outcomes.append(outcome)
                state.script.deafToOutcomes -= 1
                return state.script.deafToOutcomes >= 0
            }
            guard !isDeaf else { return false }
            try connection.send(NotedMessage(order: outcome.order).encode())
        case .role(let role):
            state.withLock { $0.heard.roles.append(role) }
            try connection.send(NotedMessage(order: role.order).encode())
        case .fetch(let fetch): return try offer(fetch, connection)
        case .store(let store): return try take(store, connection)
        case .abort(let abort): state.withLock { $0.heard.aborts.append(abort.reason) }
        default: break
        }
        return true
    }

    private func order(_ ask: AskMessage) -> [UInt8] {
        var order = OrderMessage(nonce: ask.nonce, serverKey: key.publicKey, order: 42, verb: .nothing)
        let (decide, heard) = state.withLock { ($0.script.decide, $0.heard) }
        decide?(ask, heard, &order)
        let change = state.withLock { state in
            state.heard.asks.append(ask)
            state.script.replays -= 1
            if state.script.replays >= 0 { order.nonce = order.nonce.reversed() }
            let orders = state.script.orders
            return orders.isEmpty ? nil : orders[min(state.heard.asks.count, orders.count) - 1]
        }
        change?(&order)
        return order.encode(signedBy: key)
    }

    private func cut() -> Int? {
        state.withLock { $0.script.cuts.isEmpty ? nil : $0.script.cuts.removeFirst() }
    }

    private func offer(_ fetch: FetchMessage, _ connection: WorkConnection) throws -> Bool {
        let (image, refusal) = state.withLock { state in
            defer { state.heard.fetches.append(fetch) }
            let isFirst = state.heard.fetches.isEmpty
            let image = isFirst ? state.script.images[fetch.image] : state.script.exchanged
            return (image ?? state.script.images[fetch.image], isFirst ? nil : state.script.refusal)
        }
        guard let image, refusal == nil, let session = PrivateKey(seed: Random.bytes(32)) else {
            try connection.send(
                RefuseMessage(code: 5, reason: refusal ?? "there is no image \(fetch.image)").encode())
            return true
        }
        try connection.send(
            OfferMessage(
                nonce: fetch.nonce, serverKey: key.publicKey, session: 7, image: image.id,
                sessionKey: session.publicKey, manifest: image.manifest, existing: image.existing
            ).encode(signedBy: key) + state.withLock { $0.script.aside })
        var left = cut()
        while let message = try connection.receive(patience: 20 * second) {
            switch message {
            case .need(let need):
                for number in need.chunks.numbers {
                    if left == 0 { return false }
                    left = left.map { $0 - 1 }
                    let frame = image.frames[number] ?? []
                    var seal = try session.seal(frame, chunk: number, session: 7, image: image.id)
                    let isWrong = state.withLock { state in
                        state.script.wrongSeals -= 1
                        return state.script.wrongSeals >= 0
                    }
                    if isWrong { seal[5] ^= 1 }
                    try connection.send(ChunkMessage(chunk: number, sealed: frame + seal).encode())
                }
            case .done(let done):
                state.withLock { $0.heard.done.append(done) }
                try connection.send(EndMessage(outcome: .finished, text: "").encode())
            case .abort(let abort):
                state.withLock { $0.heard.aborts.append(abort.reason) }
                return false
            default: break
            }
        }
        return false
    }

    private func take(_ store: StoreMessage, _ connection: WorkConnection) throws -> Bool {
        let (stored, refusal) = state.withLock { state in
            state.heard.stores.append(store)
            let known = state.script.images[store.image]
            let refusal = known.flatMap { $0.id == store.imageID ? nil : "\(store.image) exists already" }
            if known == nil {
                state.script.images[store.image] = Image(
                    id: store.imageID, manifest: store.manifest, existing: store.existing)
            }
            return (ChunkSet((known?.frames.keys ?? [:].keys).sorted()), refusal)
        }
        if let refusal {
            try connection.send(RefuseMessage(code: 2, reason: refusal).encode())
            return true
        }
        try connection.send(
            RoomMessage(nonce: store.nonce, serverKey: key.publicKey, image: store.imageID, stored: stored)
                .encode(signedBy: key) + state.withLock { $0.script.aside })
        var left = cut()
        while let message = try connection.receive(patience: 20 * second) {
            switch message {
            case .frame(let frame):
                if left == 0 { return false }
                left = left.map { $0 - 1 }
                state.withLock { $0.script.images[store.image]?.frames[frame.chunk] = frame.frame }
            case .done(let done):
                let isWhole = state.withLock { state in
                    state.heard.done.append(done)
                    let image = state.script.images[store.image]
                    let isWhole = image.map { ChunkSet($0.frames.keys.sorted()) == $0.existing } ?? false
                    state.script.images[store.image]?.isWhole = isWhole
                    return isWhole
                }
                try connection.send(
                    EndMessage(outcome: isWhole ? .finished : .stopped, text: isWhole ? "" : "chunks lack")
                        .encode())
            case .abort(let abort):
                state.withLock { $0.heard.aborts.append(abort.reason) }
                return false
            default: break
            }
        }
        return false
    }
}
