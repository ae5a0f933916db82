// imgserv user and token: who may use the server. On the server itself, with or without a running daemon.
internal import ArgumentParser
internal import Blocks
internal import Linux
internal import Server

/// Where administrators are kept: behind a running daemon, or in the store of one that does not run.
struct AccessOptions: ParsableArguments {
    @Option(name: .customLong("socket"), help: "The daemon's socket (also IMGSERV_SOCKET).")
    var socketPath: String?
    @OptionGroup var state: StateOptions
    @Flag(name: .customLong("json"), help: "Print JSON.") var json = false

    /// Does it through the daemon if one runs here, else with the store.
    func either<T>(_ daemon: (ServerClient) throws -> T, _ store: (AccessList) throws -> T) throws -> T {
        let socket =
            try socketPath ?? environmentVariable("IMGSERV_SOCKET")
            ?? ServerConfiguration.load(from: nil).socket
        if try LocalSocket.answers(socket) { return try daemon(try ServerClient(.socket(socket))) }
        let directory = try state.path
        // What is made here belongs to the service, as what it makes itself.
        try ThisProcess.actAsOwner(of: directory)
        try PrivateFile.makeDirectory(directory)
        return try store(AccessList(store: try Store(path: directory + "/imgserv.sqlite")))
    }
}

struct UserCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user",
        abstract: "Administrators who may log in to the console: add, list, remove.",
        usage: """
            imgserv user add NAME
            imgserv user list
            imgserv user remove NAME
            """,
        subcommands: [Add.self, List.self, Remove.self])

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add",
            abstract: "Make an administrator, or give one another password.",
            usage: "imgserv user add NAME",
            discussion:
                "The password is asked for twice at a terminal; otherwise it is standard input's first line.")

        @Argument(help: "The administrator's name.") var name: String
        @OptionGroup var access: AccessOptions

        func run() throws {
            try AccessName.check(name)
            let password = try Secret.read("password for \(name): ")
            if Console.isInputTerminal {
                guard try Secret.read("once more: ") == password else {
                    throw ServerError("the two passwords differ", .invalid)
                }
            }
            try access.either(
                { try $0.send(.put, "users/\(name.asQueryValue)", PasswordRequest(password: password)) },
                { try $0.setUser(name, password: password) })
            if access.json { return try printJSON(UserView(name: name)) }
            Console.print("administrator \(name) may log in")
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "List the administrators.", usage: "imgserv user list [--json]")

        @OptionGroup var access: AccessOptions

        func run() throws {
            let users: [UserView] = try access.either({ try $0.get("users") }, { try $0.users() })
            if access.json { return try printJSON(users) }
            users.forEach { Console.print($0.name.onScreen) }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "remove", abstract: "Remove an administrator, whose logins end.",
            usage: "imgserv user remove NAME")

        @Argument(help: "The administrator's name.") var name: String
        @OptionGroup var access: AccessOptions

        func run() throws {
            try access.either(
                { try $0.send(.delete, "users/\(name.asQueryValue)") }, { try $0.removeUser(name) })
            if access.json { return try printJSON(UserView(name: name)) }
            Console.print("administrator \(name.onScreen) is removed")
        }
    }
}

struct TokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract:
            "Tokens by which programs, and imgserv on other machines, use the server: add, list, remove.",
        usage: """
            imgserv token add NAME
            imgserv token list
            imgserv token remove NAME
            """,
        subcommands: [Add.self, List.self, Remove.self])

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add", abstract: "Make a token and print it: it is never shown again.",
            usage: "imgserv token add NAME")

        @Argument(help: "The token's name.") var name: String
        @OptionGroup var access: AccessOptions

        func run() throws {
            try AccessName.check(name)
            let token: NewToken = try access.either(
                { try $0.send(.post, "tokens", TokenRequest(name: name)) }, { try $0.addToken(name) })
            if access.json { return try printJSON(token) }
            // The token alone on standard output: it can go straight into a file.
            Console.error("token \(name), which is not shown again:")
            Console.print(token.token)
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "List the tokens' names and when they were made.",
            usage: "imgserv token list [--json]")

        @OptionGroup var access: AccessOptions

        func run() throws {
            let tokens: [TokenView] = try access.either({ try $0.get("tokens") }, { try $0.tokens() })
            if access.json { return try printJSON(tokens) }
            tokens.forEach { Console.print("\($0.name.onScreen)  \(WallClock.text($0.createdAt))") }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "remove", abstract: "Remove a token, which is worth nothing from then on.",
            usage: "imgserv token remove NAME")

        @Argument(help: "The token's name.") var name: String
        @OptionGroup var access: AccessOptions

        func run() throws {
            try access.either(
                { try $0.send(.delete, "tokens/\(name.asQueryValue)") }, { try $0.removeToken(name) })
            if access.json { return try printJSON(UserView(name: name)) }
            Console.print("token \(name.onScreen) is removed")
        }
    }
}
