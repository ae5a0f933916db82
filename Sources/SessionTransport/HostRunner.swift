// Drives a HostMachine with sockets, a clock and a frame provider.
package import Linux
package import SessionProtocol
internal import Synchronization

/// The host of one session on real sockets.
package final class HostRunner: Sendable {
    /// The session's identifier.
    package let session: UInt64
    /// What participants compare with their screens.
    package let fingerprint: Fingerprint
    /// Where participants connect to: address and TCP port.
    package let endpoint: Endpoint
    /// Where data goes: group and UDP port.
    package let dataEndpoint: Endpoint

    private let settings: HostSettings
    private let configuration: HostConfiguration
    private let startDelay: UInt64?
    private let sockets: HostSockets
    private let frames: any FrameProvider
    private let events: @Sendable (HostEvent) -> Void
    private let wakeup: Wakeup
    private let orders = Mutex(HostOrders())
    private let published: Mutex<(SessionSnapshot, [ParticipantSnapshot])>

    /// Binds the sockets, in the calling thread's network namespace, and checks the settings.
    ///
    /// `events` is called by the thread inside `run`.
    package init(
        _ settings: HostSettings, frames: any FrameProvider, events: @escaping @Sendable (HostEvent) -> Void
    ) throws {
        ProcessLimits.raiseDescriptors()
        let sockets = try HostSockets(
            name: settings.name, on: settings.interface, ttl: settings.ttl, streams: settings.streams)
        let session = Random.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard let sessionKey = PrivateKey(seed: Random.bytes(32)) else {
            throw TransportError("cannot make a key for session \(settings.name)")
        }
        var configuration = HostConfiguration(
            name: settings.name, session: session, image: settings.image, manifest: settings.manifest,
            existing: settings.existing, maximumFrameBytes: settings.maximumFrameBytes,
            hostKey: settings.hostKey,
            sessionKey: sessionKey, addresses: [Address(sockets.address)], group: sockets.group)
        configuration.participants = settings.participants
        configuration.registrationTimeout = settings.registrationTimeout
        configuration.yields = settings.yields
        configuration.frameMemory = settings.frameMemory
        configuration.readAhead = Tuning.readAhead + FrameLoader.threads(frames) - 1
        configuration.controlPort = sockets.controlPort
        configuration.dataPort = sockets.dataPort
        configuration.streams = sockets.streams
        configuration.rate = settings.payloadRate(linkMegabits: sockets.linkMegabits)
        configuration.linger = settings.linger
        let checked = try HostMachine(configuration: configuration, now: MonotonicClock.now())
        published = Mutex((checked.session, []))
        self.session = session
        fingerprint = settings.hostKey.publicKey.fingerprint
        endpoint = Endpoint(Address(sockets.address), port: sockets.controlPort)
        dataEndpoint = Endpoint(sockets.group, port: sockets.dataPort)
        self.settings = settings
        self.configuration = configuration
        startDelay = settings.startDelay
        self.sockets = sockets
        self.frames = frames
        self.events = events
        wakeup = try Wakeup()
    }

    /// Hosts the session until it has ended and everyone connected has been told; call it once.
    package func run() throws -> HostOutcome {
        let loader = FrameLoader(frames, waking: wakeup)
        defer {
            frames.end()
            loader.stop()
        }
        var configuration = configuration
        // More than a year is as good as for ever.
        configuration.startTime = startDelay.map { MonotonicClock.now() + min($0, .max / 2) }
        let loop = try HostLoop(
            configuration: configuration, sockets: sockets, loader: loader, wakeup: wakeup,
            orders: { [self] in orders.withLock { $0.take() } },
            publish: { [self] session, participants in published.withLock { $0 = (session, participants) } },
            events: events)
        return try loop.run()
    }

    /// Ends the session; participants are told `reason`.
    ///
    /// May be called from any thread, also before `run`.
    package func stop(reason: String) {
        orders.withLock { $0.stopReason = reason }
        wakeup.signal()
    }

    /// Starts the session at once with whoever is there.
    ///
    /// May be called from any thread.
    package func startNow() {
        orders.withLock { $0.startNow = true }
        wakeup.signal()
    }

    /// Shows a sentence, of which participants get at most 1024 bytes, on everyone's screen, and as `HostEvent.notice`.
    ///
    /// Whoever joins later, or comes back, gets the last 16. May be called from any thread, also before `run`; does not wait.
    package func notify(_ text: String) {
        orders.withLock { $0.add(text) }
        wakeup.signal()
    }

    /// From now on the session may take at most `megabits` Mbit/s of the network, headers included; nil: all that the
    /// settings allow.
    ///
    /// May be called from any thread, also before `run`.
    package func limit(megabits: Int?) {
        let rate = settings.payloadRate(linkMegabits: sockets.linkMegabits, limit: megabits)
        orders.withLock { $0.rate = rate }
        wakeup.signal()
    }

    /// Speed in Mbit/s of the link it sends by; nil where the driver does not know.
    package var linkMegabits: Int? { sockets.linkMegabits }

    /// Takes a datagram of discovery that somebody else received for it: of several hosts on one machine only one hears
    /// what is sent to the machine's address.
    ///
    /// May be called from any thread.
    package func deliver(_ datagram: [UInt8], from sender: SocketAddress) {
        orders.withLock { $0.add(datagram, from: Endpoint(sender)) }
        wakeup.signal()
    }

    /// What a screen shows; at most a tenth of a second old while the session runs.
    package var snapshot: (session: SessionSnapshot, participants: [ParticipantSnapshot]) {
        published.withLock { $0 }
    }
}

/// What other threads want of the loop.
struct HostOrders: Sendable {
    var stopReason: String?
    var startNow = false
    /// The new ceiling of the data plane in bytes of UDP payload per second.
    var rate: UInt64?
    private(set) var datagrams: [(bytes: [UInt8], from: Endpoint)] = []
    private(set) var sentences: [String] = []

    /// Sentences that wait for the loop; beyond it the oldest are dropped.
    private static let mostSentences = 256
    /// Questions of discovery that wait for the loop; more are dropped, who asks asks again.
    private static let mostDatagrams = 64

    mutating func add(_ sentence: String) {
        if sentences.count == HostOrders.mostSentences { sentences.removeFirst() }
        sentences.append(sentence)
    }

    mutating func add(_ datagram: [UInt8], from sender: Endpoint) {
        if datagrams.count < HostOrders.mostDatagrams { datagrams.append((datagram, sender)) }
    }

    mutating func take() -> HostOrders {
        defer { self = HostOrders() }
        return self
    }
}
