// What makel and makep have in common: their options, and the capture itself.
internal import ArgumentParser
internal import Blocks
internal import Imaging

struct CaptureOptions: ParsableArguments {
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

    /// Captures to `target`, which is called `title` on the screen, or only says what would be captured.
    func capture(
        to target: LocalCapture.Destination, _ title: String, cancellation: LocalCapture.Cancellation,
        _ progress: Progress
    ) throws {
        let capture = try LocalCapture(
            LocalCapture.Options(
                to: target, compression: compression ?? "balanced", excludedSlots: Set(excluded),
                disks: disks?.asDiskList, captureHibernated: whole, creator: "img \(programVersion)"),
            cancellation: cancellation, progress: progress)
        for line in capture.description { progress.note(line) }
        if planOnly { return progress.finish("") }
        let result = try capture.run(progress)
        for warning in result.warnings { progress.note(warning, .warning) }
        var summary = result.summary(title, progress.complete())
        if !result.unreadable.isEmpty {
            summary += "\n\(title): \(result.unreadable.completed("in the image"))"
        }
        progress.finish(summary)
    }
}

extension String {
    /// The paths of `disks=A,B`.
    var asDiskList: [String] { split(separator: ",", omittingEmptySubsequences: false).map(String.init) }
}
