// The words that say which daemon a command talks to.
internal import ArgumentParser
internal import FoundationEssentials
internal import Linux
internal import Server

/// The daemon on this machine, or one that `-i` names.
struct ServerOptions: ParsableArguments {
    @Option(
        name: .customShort("i"),
        help: ArgumentHelp("The server: IP, NAME, with :PORT, or https://NAME:PORT.", valueName: "ip"))
    var server: String?
    @Option(
        name: .customLong("token-file"),
        help: "A file with an administrator's token for a server elsewhere (also IMGSERV_TOKEN).")
    var tokenFile: String?
    @Option(
        name: .customLong("ca"),
        help: "A PEM file of certificates to trust; the server is then asked by TLS.")
    var certificates: String?
    @Option(name: .customLong("socket"), help: "The daemon's socket here (also IMGSERV_SOCKET).")
    var socketPath: String?

    /// The path of the local daemon's socket: as said, or as the usual configuration file has it.
    func socket() throws -> String {
        try socketPath ?? environmentVariable("IMGSERV_SOCKET") ?? ServerConfiguration.load(from: nil).socket
    }

    /// Whether the daemon of this machine is meant and answers.
    func isLocalDaemonThere() throws -> Bool {
        if let server, try !ServerAddress.isOwn(server) { return false }
        return try LocalSocket.answers(try socket())
    }

    /// Whether `-i` names another machine.
    func isElsewhere() throws -> Bool {
        guard let server else { return false }
        return try !ServerAddress.isOwn(server)
    }

    /// The daemon to ask.
    ///
    /// - Throws: `ServerError` where none runs here and no other is named.
    func client() throws -> ServerClient {
        if try isLocalDaemonThere() { return try ServerClient(.socket(try socket())) }
        guard let server else {
            throw ServerError(
                "no imaging server runs here (nothing answers at \(try socket())); -i names another")
        }
        return try ServerClient(
            try ServerAddress(parsing: server, isSecure: certificates != nil), token: try token(),
            certificates: certificates)
    }

    private func token() throws -> String? {
        guard let tokenFile else { return environmentVariable("IMGSERV_TOKEN") }
        return try FileTree.text(of: tokenFile).split(whereSeparator: \.isWhitespace).first.map(String.init)
    }
}

/// Prints a value as JSON.
func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    Console.print(String(decoding: try encoder.encode(value), as: UTF8.self))
}
