// imgserv status, list and stop: what a running daemon does, and an end to it.
internal import ArgumentParser
internal import Blocks
internal import FoundationEssentials
internal import Linux
internal import Server

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the sessions that a server hosts, and every machine in them.",
        usage: "imgserv status [NAME] [-i IP] [--json]",
        discussion:
            "Registered/still needed, percent, rate and the time that is left, then a row per machine.")

    @Argument(help: "One session only.") var name: String?
    @OptionGroup var server: ServerOptions
    @Flag(name: .customLong("json"), help: "Print JSON.") var json = false

    func run() throws {
        let client = try server.client()
        if let name {
            let session: SessionView = try client.get("sessions/\(name.asQueryValue)")
            if json { return try printJSON(session) }
            StatusText.lines(of: session).forEach { Console.print($0) }
        } else {
            let status: ServerStatus = try client.get("status")
            if json { return try printJSON(status) }
            StatusText.lines(of: status).forEach { Console.print($0) }
        }
    }
}

struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List a server's automatic sessions, the sessions it hosts, and its images.",
        usage: "imgserv list [-i IP] [--json]")

    @OptionGroup var server: ServerOptions
    @Flag(name: .customLong("json"), help: "Print JSON.") var json = false

    private struct Everything: Encodable {
        let automatic: [AutomaticSessionView]
        let sessions: [SessionView]
        let images: [ImageView]
    }

    func run() throws {
        let client = try server.client()
        let all = Everything(
            automatic: try client.get("automatic"), sessions: try client.get("sessions"),
            images: try client.get("images"))
        if json { return try printJSON(all) }
        StatusText.lines(automatic: all.automatic, sessions: all.sessions, images: all.images).forEach {
            Console.print($0)
        }
    }
}

struct StopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop",
        abstract: "End a session; its machines are told who ended it.",
        usage: "imgserv stop NAME [-i IP] [--json]")

    @Argument(help: "The session's name.") var name: String
    @OptionGroup var server: ServerOptions
    @Flag(name: .customLong("json"), help: "Print JSON.") var json = false

    private struct Stopped: Encodable { let stopped: String }

    func run() throws {
        try server.client().send(.delete, "sessions/\(name.asQueryValue)")
        if json { return try printJSON(Stopped(stopped: name)) }
        Console.print("session \(name.onScreen) is being ended")
    }
}
