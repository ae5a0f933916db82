// img makep SERVER NAME: captures this machine's disks into an image on the imaging server.
internal import ArgumentParser
internal import Blocks
internal import Imaging

struct MakeOnServer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "makep",
        abstract: "Capture the local disks into an image on the imaging server.",
        usage: """
            img makep SERVER NAME [comp=0-9|none|speed|balanced|size] [xN]... [disks=A,B] [key=FINGERPRINT] [whole]
                [plan] [--json]
            """,
        discussion: """
            The same as makel, but the image is made on the server, under NAME, over TCP. A connection that is lost is
            made anew and goes on where it was. The image has its name only when it is whole.

              SERVER     address or name, with :PORT where it is not the usual one
              comp=      compression: none (0), speed (1, the fastest), balanced (3, the default), size (7), 0...9
              xN         leave out the content of slot N (see 'img dump')
              disks=A,B  capture these disks instead: devices or files that stand for disks
              key=       the only server key to believe: the fingerprint that 'imgserv key' shows
              whole      capture a hibernated system as it is, block by block
              plan       print what would be captured, and stop
            """)

    @Argument(help: "The server's address or name.") var server: String
    @Argument(help: "The image's name on the server.") var name: String
    @OptionGroup var options: CaptureOptions
    @Option(name: .customLong("key"), help: "Fingerprint of the server's key (word: key=).") var key: String?

    func run() throws {
        let progress = Progress(isWithServer: true)
        try showing(progress, command: "makep", asJSON: options.json) {
            // From the first question to a file system on, a signal must find somebody who puts everything back.
            let cancellation = LocalCapture.Cancellation()
            try Interruption.cancelling { cancellation.cancel($0) }
            let target = try WorkServer(named: server, key: key)
            try options.capture(
                to: .server(target, name: name, order: 0), "\(name.onScreen) on \(server.onScreen)",
                cancellation: cancellation, progress)
        }
    }
}

extension WorkServer {
    /// The server of the words SERVER and key=, of which the former must be an address or a name.
    init(named name: String, key: String?) throws {
        _ = try WorkServer.parts(name)
        self.init(name: name, pinned: try WorkServer.fingerprint(key, from: "key="))
    }
}
