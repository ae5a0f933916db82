// img makel FILE: captures this machine's disks into an image file.
internal import ArgumentParser
internal import Blocks
internal import Imaging

struct MakeLocal: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "makel",
        abstract: "Capture the local disks into an image file.",
        usage:
            "img makel FILE [comp=0-9|none|speed|balanced|size] [xN]... [disks=A,B] [whole] [plan] [--json]",
        discussion: """
            All partitions of all eligible disks are captured; the disks themselves are only read. Used blocks are
            found by asking each file system; what cannot be asked is captured whole, and a notice says why.

              comp=      compression: none (0), speed (1, the fastest), balanced (3, the default), size (7), 0...9
              xN         leave out the content of slot N (see 'img dump')
              disks=A,B  capture these disks instead: devices or files that stand for disks
              whole      capture a hibernated system as it is, block by block
              plan       print what would be captured, and stop
            """)

    @Argument(help: "The image file to make; it must not exist.") var file: String
    @Option(name: .customLong("compression"), help: "Compression (word: comp=).") var compression: String?
    @Option(name: .customLong("exclude"), help: "A slot to leave out (word: xN).") var excluded: [Int] = []
    @Option(name: .customLong("disks"), help: "The disks to capture (word: disks=A,B).") var disks: String?
    @Flag(name: .customLong("whole"), help: "Capture hibernated systems block by block (word: whole).")
    var whole = false
    @Flag(name: .customLong("plan"), help: "Print the plan and stop (word: plan).") var planOnly = false

    @Flag(name: .customLong("json"), help: "One JSON object per line instead of text.") var json = false

    func validate() throws {
        if let compression, !LocalCapture.isCompression(compression) {
            throw ValidationError("comp= takes 0 to 9, none, speed, balanced or size, not '\(compression)'")
        }
    }

    func run() throws {
        let progress = Progress()
        try showing(progress, command: "makel", asJSON: json) { try run(progress) }
    }

    private func run(_ progress: Progress) throws {
        // From the first question to a file system on, a signal must find somebody who puts everything back.
        let cancellation = LocalCapture.Cancellation()
        try Interruption.cancelling { cancellation.cancel($0) }
        let capture = try LocalCapture(
            LocalCapture.Options(
                to: .file(file), compression: compression ?? "balanced", excludedSlots: Set(excluded),
                disks: disks?.asDiskList, captureHibernated: whole, creator: "img \(programVersion)"),
            cancellation: cancellation, progress: progress)
        for line in capture.description { progress.note(line) }
        if planOnly { return progress.finish("") }
        let result = try capture.run(progress)
        for warning in result.warnings { progress.note(warning, .warning) }
        var summary = result.summary(file, progress.complete())
        if !result.unreadable.isEmpty {
            summary += "\n\(file): \(result.unreadable.completed("in the image"))"
        }
        progress.finish(summary)
    }
}

extension String {
    /// The paths of `disks=A,B`.
    var asDiskList: [String] { split(separator: ",", omittingEmptySubsequences: false).map(String.init) }
}
