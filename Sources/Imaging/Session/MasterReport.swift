// What is left to say when a master's session has ended, for people and for programs.
internal import Blocks
package import SessionProtocol

/// The result of a live session; its encoding is for programs.
package struct MasterReport: Encodable, Sendable {
    /// The session and each participant.
    package let host: HostReport
    /// Bytes of content in the image.
    package let imageBytes: UInt64
    /// Bytes of content read from the disks and of frames made of them, later sweeps included.
    package let contentRead: UInt64
    package let framesMade: UInt64
    /// From the start to the end; 0 for a session that did not start.
    package let sendingSeconds: Double
    /// What could not be read and was sent as zeros.
    package let unreadable: [UnreadableSectors.Run]
    /// The disks that were captured, in the image's order.
    package let disks: [String]

    init(
        host: HostReport, imageBytes: UInt64, figures: (content: UInt64, frames: UInt64),
        unreadable: UnreadableSectors, disks: [String], nanoseconds: UInt64
    ) {
        self.host = host
        self.imageBytes = imageBytes
        contentRead = figures.content
        framesMade = figures.frames
        self.unreadable = unreadable.runs
        self.disks = disks
        sendingSeconds = Double(nanoseconds / 1_000_000) / 1000
    }

    /// Whether everyone who was let in has written everything.
    package var isDone: Bool { host.done }

    /// How it ended, in one sentence.
    package var result: String { host.result }

    /// The summary people read: the session, what was read, then a line for each participant.
    ///
    /// `figures` are those of the session's end.
    package func lines(_ figures: ProgressReport) -> [String] {
        var lines = host.lines
        if framesMade > 0, sendingSeconds > 0 {
            let ratio = (Double(contentRead) / Double(framesMade)).withThreeDigits
            lines.append(
                "\(imageBytes.asBytes) of content in \(sendingSeconds.fixed(1)) s, \(figures.ratesText); "
                    + "read \(contentRead.asBytes), made frames of \(framesMade.asBytes) (ratio \(ratio))")
        }
        return lines
            + UnreadableSectors(unreadable).warnings(of: "in what was sent") { disks[$0] }.enumerated()
            .map { $0.offset == 0 ? "WARNING: \($0.element)" : "  \($0.element)" }
    }
}
