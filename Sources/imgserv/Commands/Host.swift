// imgserv mcast NAME -p PATH: has the daemon host a session, or hosts it in the foreground where there is none.
internal import ArgumentParser
internal import Blocks
internal import Linux
internal import Server
internal import SessionProtocol

struct HostCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mcast",
        abstract: "Host a multicast session: send an image file to every machine that joins.",
        usage: """
            imgserv mcast NAME -p PATH [-i IP] [-f SET] [-t MIN] [-c N] [rate=MBIT] [ttl=N] [linger=MIN] \
            [if=NAME] [--follow] [--json]
            """,
        discussion: """
            The session starts when N machines have joined, or MIN minutes after the last one joined. It ends when
            everyone is done.

            Where an imaging server runs on this machine, or -i names another, the server hosts the session: the
            command returns at once, or follows it to its end by --follow, and 'imgserv stop NAME' ends it. PATH is
            then an image's name in the server's catalogue, or on the server itself also a file's path. Without a
            server the session is hosted in the foreground: Ctrl-C ends it, and every machine is told.

              rate=MBIT    the most the session may take of the network
              ttl=N        routers that multicast may pass (16)
              linger=MIN   minutes to wait for silent machines once the others are done (2)
              if=NAME      the network interface, instead of the one of the default route
            """)

    @Argument(help: "The session's name.") var name: String
    @Option(name: .customShort("p"), help: ArgumentHelp("The image: its name, or a file.", valueName: "path"))
    var path: String
    @OptionGroup var server: ServerOptions
    @Option(
        name: .customShort("f"), help: ArgumentHelp("The file set; 1 is the whole image.", valueName: "set"))
    var fileSet = 1
    @Option(
        name: .customShort("t"),
        help: ArgumentHelp("Minutes to wait for the next machine to join.", valueName: "min"))
    var minutes = 5.0
    @Option(
        name: .customShort("c"), help: ArgumentHelp("Machines at which the session starts.", valueName: "n"))
    var participants = 1
    @Option(name: .customLong("rate"), help: "Mbit/s (word: rate=).") var rate: Int?
    @Option(name: .customLong("ttl"), help: "Routers multicast may pass (word: ttl=).") var ttl: UInt8 = 16
    @Option(name: .customLong("linger"), help: "Minutes (word: linger=).") var linger = 2.0
    @Option(name: .customLong("interface"), help: "The network interface (word: if=).") var interface: String?
    @Flag(
        name: [.customLong("follow"), .customLong("wait")],
        help: "Show a server's session until it has ended; exit status 0 only if every machine is done.")
    var follow = false
    @Flag(name: .customLong("json"), help: "Print the result as JSON; notes go to standard error.") var json =
        false
    @OptionGroup var state: StateOptions

    func validate() throws {
        guard fileSet == 1 else {
            throw ValidationError(
                "-f takes 1, the whole image; other file sets belong to a part that does not exist yet")
        }
        guard (1...255).contains(name.utf8.count) else {
            throw ValidationError("a session's name has 1 to 255 bytes")
        }
        guard (0...1440).contains(minutes), minutes > 0 else {
            throw ValidationError("-t takes the minutes to wait, up to 1440")
        }
        guard (1...1000).contains(participants) else { throw ValidationError("-c takes 1 to 1000 machines") }
        guard (0...1440).contains(linger) else { throw ValidationError("linger= takes 0 to 1440 minutes") }
        guard rate.map({ (1...1_000_000).contains($0) }) ?? true else {
            throw ValidationError("rate= takes Mbit/s from 1 up")
        }
        guard ttl > 0 else { throw ValidationError("ttl= takes 1 to 255") }
    }

    func run() throws {
        if try server.isElsewhere() || server.isLocalDaemonThere() { return try askServer() }
        try hostHere()
    }

    /// Has a daemon host the session.
    private func askServer() throws {
        let client = try server.client()
        var request = HostRequest(name: name)
        request.clients = participants
        request.minutes = minutes
        request.rate = rate
        request.ttl = Int(ttl)
        request.linger = linger
        request.interface = interface
        if try server.isElsewhere() {
            guard !path.contains("/") else {
                throw ValidationError("-p takes the name of an image where another machine hosts, not a path")
            }
            request.image = path
        } else {
            if interface == nil, let own = server.server.flatMap({ IPAddress($0) }), !own.isLoopback {
                request.interface = try NetworkInterface.all()
                    .first { $0.addresses.contains { $0.address == own } }?.name
            }
            let images: [ImageView] = path.contains("/") ? [] : try client.get("images")
            if images.contains(where: { $0.name == path }) || !FileTree.exists(path) {
                request.image = path
            } else {
                request.path = try FileTree.realPath(path)
            }
        }
        var session: SessionView = try client.send(.post, "sessions", request)
        if !follow {
            if json { return try printJSON(session) }
            let words = server.server.map { " -i \($0)" } ?? ""
            StatusText.lines(of: session).forEach { Console.print($0) }
            Console.print(
                "follow it by 'imgserv status \(name)\(words)', end it by 'imgserv stop \(name)\(words)'")
            return
        }
        session = try SessionFollower(client: client, isQuiet: json).follow(session)
        if json {
            try printJSON(session)
        } else {
            StatusText.lines(of: session).forEach { Console.print($0) }
        }
        guard session.isComplete == true else {
            Console.error(
                "imgserv: session \(name.onScreen): \((session.outcome ?? "it has failed").onScreen)")
            throw ExitCode(1)
        }
    }

    /// Hosts the session in this process.
    private func hostHere() throws {
        var options = ForegroundHostOptions(name: name, path: path)
        options.address = server.server
        options.interface = interface
        options.participants = participants
        options.minutes = minutes
        options.rate = rate
        options.ttl = ttl
        options.linger = linger
        options.stateDirectory = try state.path
        options.isQuiet = json
        let report = try ForegroundHost(options).run()
        if json { try printJSON(report) } else { report.lines.forEach { Console.print($0) } }
        guard report.done else {
            Console.error("imgserv: session \(name.onScreen): \(report.result.onScreen)")
            throw ExitCode(1)
        }
    }
}
