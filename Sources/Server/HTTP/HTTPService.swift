// The HTTP service of the daemon: one router, on the local socket and on an address of the network.
internal import Blocks
internal import Hummingbird
internal import HummingbirdCore
internal import HummingbirdTLS
internal import Linux
internal import Logging
internal import NIOCore
internal import NIOSSL
internal import ServiceLifecycle
internal import Synchronization
internal import SystemPackage

/// API, console, metrics and boot files over HTTP; started and stopped from the world of threads.
package final class HTTPService: Sendable {
    private let site: Site
    private let progress = Milestones()
    private let group = Mutex<ServiceGroup?>(nil)

    /// Nothing happens before `start`.
    package init(site: Site) { self.site = site }

    package convenience init(daemon: Daemon, limits: HTTPLimits = HTTPLimits()) {
        self.init(site: Site(daemon: daemon, limits: limits))
    }

    /// The TCP port it listens on, where it listens on one; known after `start`.
    package var port: Int? { progress.port }

    /// Begins to serve; returns once every address is listened on.
    ///
    /// - Throws: `ServerError` naming the socket, address or certificate file that cannot be used.
    package func start() throws {
        let group = try makeGroup()
        self.group.withLock { $0 = group }
        Task { [progress, site] in
            do {
                try await group.run()
                progress.end(nil)
            } catch {
                progress.end(error)
            }
            await site.close()
        }
        try progress.waitForStart()
    }

    /// Waits until it has ended, by `stop` or because listening failed.
    ///
    /// - Throws: `ServerError` where it ended by itself.
    package func wait() throws { try progress.waitForEnd(nanoseconds: nil) }

    /// Stops: no new requests, those that are being answered get some seconds, and returns when all is over.
    package func stop() {
        guard let group = group.withLock({ $0 }) else { return }
        Task { await group.triggerGracefulShutdown() }
        // A second more than the service group itself waits before it cancels what is left.
        let most = UInt64(site.limits.stopSeconds + 3) * 1_000_000_000
        try? progress.waitForEnd(nanoseconds: most)
        LocalSocket.remove(site.daemon.configuration.socket)
    }

    private func makeGroup() throws -> ServiceGroup {
        let configuration = site.daemon.configuration
        let (router, _) = site.makeRouter()
        let responder = router.buildResponder()
        var services: [any Service] = []
        progress.expect(configuration.http == nil ? 1 : 2)

        let socket = configuration.socket
        if try LocalSocket.answers(socket) {
            throw ServerError("a server is running at \(socket) already", .conflict)
        }
        try PrivateFile.makeParent(of: socket)
        let temporary = try LocalSocket.prepare(socket)
        services.append(
            Listener(
                address: socket, progress: progress,
                application: application(
                    responder, .unixDomainSocket(path: temporary), .http1(configuration: channel)
                ) { [progress, site] _ in
                    do {
                        try LocalSocket.publish(temporary, as: socket)
                        progress.reach(port: nil)
                    } catch {
                        site.logger.error("\(error)")
                        progress.end(error)
                    }
                }))
        if let (address, port) = configuration.http {
            services.append(
                Listener(
                    address: "\(address):\(port)", progress: progress,
                    application: application(
                        responder, .hostname(address, port: port), try secured(.http1(configuration: channel))
                    ) { [progress] channel in
                        progress.reach(port: channel.localAddress?.port)
                    }))
        }
        var group = ServiceGroupConfiguration(services: services, logger: site.logger)
        group.maximumGracefulShutdownDuration = .seconds(site.limits.stopSeconds)
        return ServiceGroup(configuration: group)
    }

    private func application(
        _ responder: RouterResponder<ServerContext>, _ address: BindAddress, _ server: HTTPServerBuilder,
        _ isRunning: @escaping @Sendable (any Channel) async -> Void
    ) -> Application<RouterResponder<ServerContext>> {
        // The library's own lines ("Server started") are for who looks for them.
        var logger = site.logger
        if logger.logLevel == .info { logger.logLevel = .notice }
        return Application(
            responder: responder, server: server,
            configuration: ApplicationConfiguration(
                address: address, serverName: "imgserv",
                availableConnectionsDelegate: .maximum(site.limits.connections, logger: logger)),
            onServerRunning: isRunning, logger: logger)
    }

    /// How connections are treated before a request is whole.
    private var channel: HTTP1Channel.Configuration {
        let limits = site.limits
        return HTTP1Channel.Configuration(
            additionalChannelHandlers: [
                IdleStateHandler(allTimeout: .seconds(limits.stallSeconds)), CloseWhenStill(),
            ],
            idleTimeout: .seconds(limits.idleSeconds),
            httpDecoderConfiguration: .init(
                maxHeaderFieldSize: limits.headerFieldBytes, maxHeaderListSize: limits.headerBytes,
                maxHeaderFieldCount: limits.headerCount))
    }

    /// TLS around it, if there are certificate files.
    private func secured(_ server: HTTPServerBuilder) throws -> HTTPServerBuilder {
        let configuration = site.daemon.configuration
        guard let certificate = configuration.certificate, let keyFile = configuration.certificateKey else {
            return server
        }
        let chain: [NIOSSLCertificate]
        do {
            chain = try NIOSSLCertificate.fromPEMFile(certificate)
        } catch {
            throw ServerError("cannot read certificates from \(certificate): \(error)")
        }
        let key: NIOSSLPrivateKey
        do {
            key = try NIOSSLPrivateKey(file: keyFile, format: .pem)
        } catch {
            throw ServerError("cannot read a private key from \(keyFile): \(error)")
        }
        var tls = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        tls.minimumTLSVersion = .tlsv12
        tls.applicationProtocols = ["http/1.1"]
        do {
            return try .tls(server, tlsConfiguration: tls)
        } catch {
            throw ServerError(
                "the key of \(keyFile) does not fit the certificate of \(certificate): \(error)")
        }
    }
}

/// An application whose failure names the address it was for.
private struct Listener: Service {
    let address: String
    let progress: Milestones
    let application: Application<RouterResponder<ServerContext>>

    func run() async throws {
        do {
            try await application.run()
        } catch let error as IOError {
            throw ServerError("cannot listen on \(address): \(Errno(rawValue: error.errnoCode))")
        }
    }
}

/// Ends a connection on which nothing has moved for too long.
private final class CloseWhenStill: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = Any

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent {
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }
}

/// What `start` and `stop` wait for.
private final class Milestones: @unchecked Sendable {
    // Guarded by `condition`.
    private let condition = Linux.Condition()
    private var expected = 1
    private var reached = 0
    private var ended = false
    private var failure: (any Error)?
    private var boundPort: Int?

    var port: Int? { condition.locked { boundPort } }

    func expect(_ count: Int) { condition.locked { expected = count } }

    /// One more address is listened on.
    func reach(port: Int?) {
        condition.locked {
            reached += 1
            boundPort = port ?? boundPort
            condition.signalAll()
        }
    }

    func end(_ error: (any Error)?) {
        condition.locked {
            ended = true
            failure = failure ?? error
            condition.signalAll()
        }
    }

    func waitForStart() throws {
        try condition.locked {
            while reached < expected, !ended { condition.wait() }
            if ended { throw failure ?? ServerError("the HTTP service ended at once") }
        }
    }

    func waitForEnd(nanoseconds: UInt64?) throws {
        let deadline = nanoseconds.map { MonotonicClock.now() + $0 }
        try condition.locked {
            while !ended {
                guard let deadline else {
                    condition.wait()
                    continue
                }
                guard MonotonicClock.now() < deadline else { return }
                condition.wait(until: deadline)
            }
            if let failure { throw failure }
        }
    }
}
