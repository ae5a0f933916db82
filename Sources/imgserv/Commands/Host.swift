// imgserv mcast NAME -p FILE: hosts a session in the foreground.
internal import ArgumentParser
internal import Blocks
internal import FoundationEssentials
internal import Linux
internal import Server
internal import SessionProtocol

struct HostCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mcast",
        abstract: "Host a multicast session: send an image file to every machine that joins.",
        usage: """
            imgserv mcast NAME -p FILE [-i IP] [-f SET] [-t MIN] [-c N] [rate=MBIT] [ttl=N] [linger=MIN] \
            [if=NAME] [--json]
            """,
        discussion: """
            The session starts when N machines have joined, or MIN minutes after the last one joined. It ends when
            everyone is done; Ctrl-C ends it earlier, and every machine is told.

              rate=MBIT    the most the session may take of the network
              ttl=N        routers that multicast may pass (16)
              linger=MIN   minutes to wait for silent machines once the others are done (2)
              if=NAME      the network interface, instead of the one of the default route
            """)

    @Argument(help: "The session's name.") var name: String
    @Option(name: .customShort("p"), help: ArgumentHelp("The image file.", valueName: "file")) var path:
        String
    @Option(
        name: .customShort("i"), help: ArgumentHelp("This machine's address to host on.", valueName: "ip"))
    var address: String?
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
        var options = ForegroundHostOptions(name: name, path: path)
        options.address = address
        options.interface = interface
        options.participants = participants
        options.minutes = minutes
        options.rate = rate
        options.ttl = ttl
        options.linger = linger
        options.stateDirectory = state.path
        options.isQuiet = json
        let report = try ForegroundHost(options).run()
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            Console.print(String(decoding: try encoder.encode(report), as: UTF8.self))
        } else {
            report.lines.forEach { Console.print($0) }
        }
        guard report.done else {
            Console.error("imgserv: session \(name.onScreen): \(report.result.onScreen)")
            throw ExitCode(1)
        }
    }
}
