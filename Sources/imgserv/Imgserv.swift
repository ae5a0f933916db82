// The root command: what `imgserv help` shows.
internal import ArgumentParser
internal import Linux
internal import Server

struct Imgserv: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "imgserv",
        abstract: "Serves disk images to machines.",
        discussion: """
            Words may be abbreviated while they are unambiguous, and each mode also takes a leading dash.

              imgserv serve [--config FILE]
              imgserv mcast NAME -p PATH [-i IP] [-f SET] [-t MIN] [-c N] [rate=MBIT] [ttl=N] [linger=MIN] [if=NAME]
              imgserv status [NAME] [-i IP]
              imgserv list [-i IP]
              imgserv stop NAME [-i IP]
              imgserv user add NAME | list | remove NAME
              imgserv token add NAME | list | remove NAME
              imgserv key

            Exit status: 0 done, 1 failed, 2 wrong usage.
            """,
        version: "0.1.0",
        subcommands: [
            ServeCommand.self, HostCommand.self, StatusCommand.self, ListCommand.self, StopCommand.self,
            UserCommand.self,
            TokenCommand.self, KeyCommand.self,
        ])
}

/// Where the server keeps what outlives it.
struct StateOptions: ParsableArguments {
    @Option(name: .customLong("state"), help: "The state directory (also IMGSERV_STATE).") var directory:
        String?

    /// The directory by option, environment or the server's configuration.
    var path: String {
        get throws {
            try directory ?? environmentVariable("IMGSERV_STATE") ?? ServerConfiguration.load(from: nil).state
        }
    }
}
