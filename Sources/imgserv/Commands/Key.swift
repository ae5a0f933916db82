// imgserv key: the fingerprint participants compare or pin.
internal import ArgumentParser
internal import Linux
internal import Server
internal import SessionProtocol

struct KeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key",
        abstract: "Print the fingerprint of this server's key; make the key if there is none.",
        discussion:
            "Participants show it when they find the session, and pin it by key=FINGERPRINT; boot media by SERVERKEY."
    )

    @OptionGroup var state: StateOptions

    func run() throws {
        let key = try HostKey.loadAsOwner(from: state.path)
        Console.print(key.publicKey.fingerprint.description)
    }
}
