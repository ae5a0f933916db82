// img session NAME: takes part in a session and puts its image on this machine's disks.
internal import ArgumentParser
internal import Blocks
internal import Imaging
internal import Linux

struct SessionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "session",
        abstract: "Join a multicast session and put its image on the local disks; what is on them is lost.",
        usage: """
            img session NAME [client] [if=INTERFACE] [disks=A,B|disks=discard|file=PATH] [key=FINGERPRINT]
                [verify] [plan]
            """,
        discussion: """
            Waits for the session, shows what it waits for, and restores its image. Nothing on a disk is touched before
            the session has started and its first chunk has been proven.

              client       take part; the default
              if=          the network interface, instead of the one with the route to the host
              disks=A,B    the image's first disk goes to A, its second to B; 'discard' receives and writes nothing
              file=PATH    keep the session as an image file instead; no disk is touched
              key=         the only host key to believe: the fingerprint that the host shows
              verify       read every chunk back from the disk and compare its hash
              plan         join, print which disk of the image would go where, and leave
            """)

    @Argument(help: "The session's name.") var name: String
    @Flag(name: .customLong("client"), help: "Take part (word: client).") var client = false
    @Option(name: .customLong("interface"), help: "The network interface (word: if=).") var interface: String?
    @Option(name: .customLong("disks"), help: "The target disks (word: disks=).") var disks: String?
    @Option(name: .customLong("file"), help: "The image file to record to (word: file=).") var file: String?
    @Option(name: .customLong("key"), help: "Fingerprint of the host's key (word: key=).") var key: String?
    @Flag(name: .customLong("verify"), help: "Read everything back (word: verify).") var verify = false
    @Flag(name: .customLong("plan"), help: "Join, print the plan and leave (word: plan).") var planOnly =
        false

    func validate() throws {
        if file != nil, disks != nil || verify || planOnly {
            throw ValidationError("file= records the session and takes no disks=, verify or plan beside it")
        }
        if verify, disks == "discard" {
            throw ValidationError(
                "disks=discard writes nothing that verify could read back: leave one of them out")
        }
    }

    func run() throws {
        let progress = Progress()
        let display = ConsoleProgress(progress)
        let session = try SessionRestore(
            SessionRestore.Options(
                name: name, interface: interface, disks: disks?.asDiskList, file: file, key: key,
                verify: verify, planOnly: planOnly)
        ) { display.note($0) }
        try Interruption.cancelling { session.cancel($0) }
        guard let result = try display.during({ try session.run(progress) }) else { return }
        let place =
            result.recording.map { "recorded to \($0.path), \($0.fileBytes.asBytes)" }
            ?? (result.disks.isEmpty
                ? "received and discarded (not hashed)"
                : "restored to \(result.disks.joined(separator: ", ")), its hash proven")
        Console.print(
            "session \(name): every chunk \(place): \(result.contentBytes.asBytes) in "
                + "\(result.seconds.fixed(1)) s, "
                + "\((Double(result.contentBytes) / 1e6 / max(result.seconds, 0.001)).withThreeDigits) MB/s")
        for (index, line) in result.warnings.enumerated() {
            Console.print(index == 0 ? "WARNING: session \(name): \(line)" : "  \(line)")
        }
        Console.print(result.network)
    }
}
