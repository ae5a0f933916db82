// imgserv serve: the imaging server, until it is told to stop.
internal import ArgumentParser
internal import Linux
internal import Logging
internal import Server
internal import Synchronization

struct ServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run the imaging server: automatic sessions, work for workstations, API and web console.",
        usage: "imgserv serve [--config FILE]",
        discussion: """
            Settings are KEY=value lines of FILE, or of \(ServerConfiguration.usualFile) where that exists; every one has a
            default. SIGTERM and Ctrl-C end the sessions, and every machine is told.
            """)

    @Option(name: .customLong("config"), help: "The configuration file.") var config: String?
    @OptionGroup var state: StateOptions

    func run() throws {
        var configuration = try ServerConfiguration.load(from: config)
        if let directory = state.directory ?? environmentVariable("IMGSERV_STATE") {
            configuration.state = directory
        }
        let level = configuration.log
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = level
            return handler
        }
        TerminationSignals.ignoreBrokenPipes()
        let daemon = try Daemon(configuration, logger: Logger(label: "imgserv"))
        let end = EndOfService()
        try TerminationSignals.watch { _ in end.come() }
        // Before any workstation is answered: a certificate that cannot be read must cost nobody an order.
        let http = HTTPService(daemon: daemon)
        try http.start()
        daemon.start()
        end.wait()
        http.stop()
        daemon.stop()
    }
}

/// Waits for the signal to end.
private final class EndOfService: Sendable {
    private let condition = Condition()
    private let hasCome = Mutex(false)

    func come() {
        condition.locked {
            hasCome.withLock { $0 = true }
            condition.signalAll()
        }
    }

    func wait() {
        condition.locked {
            while !hasCome.withLock({ $0 }) { condition.wait() }
        }
    }
}
