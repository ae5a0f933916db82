// How a command shows its job: to people, or to a program.
internal import Imaging
internal import Linux

/// Something that shows a job.
protocol ProgressFace: Sendable {
    /// Nanoseconds between two reports that it wants.
    var interval: UInt64 { get }
    /// Shows an event; called by one thread, which may wait here.
    func take(_ event: ProgressEvent)
}

/// Runs `body` and shows `progress` meanwhile: on the console, or as JSON lines.
///
/// `hint` says on a terminal what somebody at the keyboard can do now; empty for nothing.
///
/// `body` ends with `progress.finish`; what it throws is told as the job's failure, and thrown again. When this
/// returns, everything has been shown.
func showing<R>(
    _ progress: Progress, command: String, asJSON: Bool, hint: @escaping @Sendable () -> String = { "" },
    _ body: () throws -> R
) throws -> R {
    // Whoever reads our output may go away; a restore must not end halfway because of that.
    TerminationSignals.ignoreBrokenPipes()
    let face: any ProgressFace =
        asJSON
        ? JSONProgress(command: command, session: progress.report().session)
        : ConsoleProgress(hint: hint)
    let listener = progress.listen(every: face.interval) { face.take($0) }
    defer { listener.finish() }
    do { return try body() } catch {
        progress.fail("\(error)")
        throw error
    }
}
