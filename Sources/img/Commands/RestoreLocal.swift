// img restorel FILE: puts an image file on this machine's disks.
internal import ArgumentParser
internal import Blocks
internal import Imaging

struct RestoreLocal: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restorel",
        abstract: "Put an image file on the local disks; what is on them is lost.",
        usage: "img restorel FILE [disks=A,B] [verify] [plan] [--json]",
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

    @Flag(name: .customLong("json"), help: "One JSON object per line instead of text.") var json = false

    func run() throws {
        let progress = Progress()
        try showing(progress, command: "restorel", asJSON: json) { try run(progress) }
    }

    private func run(_ progress: Progress) throws {
        let restore = try LocalRestore(path: file, disks: disks?.asDiskList, verify: verify)
        for line in restore.description { progress.note(line) }
        if planOnly { return progress.finish("") }
        try Interruption.cancelling { restore.cancel($0) }
        try restore.run(progress)
        let warnings = restore.warnings
        if !warnings.isEmpty { progress.note("\(file): " + warnings.joined(separator: "\n  "), .warning) }
        progress.finish(restore.summary(progress.complete()))
    }
}
