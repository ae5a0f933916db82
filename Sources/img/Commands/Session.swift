// img session NAME: takes part in a session and puts its image on this machine's disks.
internal import ArgumentParser
internal import Imaging
internal import Linux

struct SessionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "session",
        abstract: "Join a multicast session and put its image on the local disks; what is on them is lost.",
        usage: "img session NAME [client] [if=INTERFACE] [disks=A,B|disks=discard] [key=FINGERPRINT] [verify]",
        discussion: """
            Waits for the session, shows what it waits for, and restores its image. Nothing on a disk is touched before
            the session has started and its first chunk has been proven.

              client       take part; the default
              if=          the network interface, instead of the one with the route to the host
              disks=A,B    the image's first disk goes to A, its second to B; 'discard' receives, proves, writes nothing
              key=         the only host key to believe: the fingerprint that the host shows
              verify       read every chunk back from the disk and compare its hash
            """)

    @Argument(help: "The session's name.") var name: String
    @Flag(name: .customLong("client"), help: "Take part (word: client).") var client = false
    @Option(name: .customLong("interface"), help: "The network interface (word: if=).") var interface: String?
    @Option(name: .customLong("disks"), help: "The target disks (word: disks=).") var disks: String?
    @Option(name: .customLong("key"), help: "Fingerprint of the host's key (word: key=).") var key: String?
    @Flag(name: .customLong("verify"), help: "Read everything back (word: verify).") var verify = false

    func run() throws {
        throw ExitCode(1)
    }
}
