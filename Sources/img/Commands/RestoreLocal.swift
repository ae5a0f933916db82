// img restorel FILE: puts an image file on this machine's disks.
internal import ArgumentParser
internal import Blocks
internal import Imaging
internal import Linux

struct RestoreLocal: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restorel",
        abstract: "Put an image file on the local disks; what is on them is lost.",
        usage: "img restorel FILE [disks=A,B] [verify] [plan]",
        discussion: """
            The plan says which disk of the image goes to which local disk, and refuses while that is not certain.

              disks=A,B  the image's first disk goes to A, its second to B; a file or loop device may stand for a disk
              verify     read every chunk back from the disk and compare its hash
              plan       print the plan, and stop
            """)

    @Argument(help: "The image file.") var file: String
    @Option(name: .customLong("disks"), help: "The target disks (word: disks=A,B).") var disks: String?
    @Flag(name: .customLong("verify"), help: "Read everything back (word: verify).") var verify = false
    @Flag(name: .customLong("plan"), help: "Print the plan and stop (word: plan).") var planOnly = false

    func run() throws {
        let progress = Progress()
        let display = ConsoleProgress(progress)
        let restore = try LocalRestore(path: file, disks: disks?.asDiskList, verify: verify)
        for line in restore.description { Console.print(line) }
        if planOnly { return }
        try Interruption.cancelling { restore.cancel($0) }
        let began = MonotonicClock.now()
        try display.during { try restore.run(progress) { display.note($0) } }
        let seconds = Double(MonotonicClock.now() - began) / 1e9
        Console.print(
            "\(file): every chunk restored, its hash proven\(verify ? ", read back and compared" : ""): "
                + "\(restore.contentBytes.asBytes) in \(seconds.fixed(1)) s, "
                + "\((Double(restore.contentBytes) / 1e6 / max(seconds, 0.001)).withThreeDigits) MB/s")
        for (index, line) in restore.warnings.enumerated() {
            Console.print(index == 0 ? "WARNING: \(file): \(line)" : "  \(line)")
        }
    }
}
