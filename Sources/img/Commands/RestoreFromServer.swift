// img restorep SERVER NAME: puts an image of the imaging server on this machine's disks.
internal import ArgumentParser
internal import Blocks
internal import Imaging

struct RestoreFromServer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restorep",
        abstract: "Put an image of the imaging server on the local disks; what is on them is lost.",
        usage: "img restorep SERVER NAME [disks=A,B] [key=FINGERPRINT] [verify] [plan] [--json]",
        discussion: """
            The same as restorel, but the image comes from the server, over TCP. Every chunk is proven before it is
            written. A connection that is lost is made anew and goes on where it was.

              SERVER     address or name, with :PORT where it is not the usual one
              disks=A,B  the image's first disk goes to A, its second to B; a file or loop device may stand for a disk
              key=       the only server key to believe: the fingerprint that 'imgserv key' shows
              verify     read every chunk back from the disk and compare its hash
              plan       print the plan, and stop
            """)

    @Argument(help: "The server's address or name.") var server: String
    @Argument(help: "The image's name on the server.") var name: String
    @Option(name: .customLong("disks"), help: "The target disks (word: disks=A,B).") var disks: String?
    @Option(name: .customLong("key"), help: "Fingerprint of the server's key (word: key=).") var key: String?
    @Flag(name: .customLong("verify"), help: "Read everything back (word: verify).") var verify = false
    @Flag(name: .customLong("plan"), help: "Print the plan and stop (word: plan).") var planOnly = false
    @Flag(name: .customLong("json"), help: "One JSON object per line instead of text.") var json = false

    func run() throws {
        let progress = Progress(isWithServer: true)
        try showing(progress, command: "restorep", asJSON: json) { try run(progress) }
    }

    private func run(_ progress: Progress) throws {
        let stop = WorkStop()
        try Interruption.cancelling { stop.stop($0) }
        var options = ServerRestore.Options(
            server: try WorkServer(named: server, key: key), image: name, disks: disks?.asDiskList)
        options.verify = verify
        let restore = try ServerRestore(options, stop: stop, progress: progress)
        for line in restore.description { progress.note(line) }
        if planOnly {
            restore.leave()
            return progress.finish("")
        }
        let result = try stop.whileStoppable(by: { restore.cancel($0) }) { try restore.run() }
        if !result.warnings.isEmpty {
            progress.note("\(name.onScreen): " + result.warnings.joined(separator: "\n  "), .warning)
        }
        progress.finish(
            result.summary("\(name.onScreen) of \(server.onScreen)", verified: verify, progress.complete()))
    }
}
