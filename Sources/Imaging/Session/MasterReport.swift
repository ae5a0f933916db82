// What is left to say when a master's session has ended, for people and for programs.
internal import Blocks
package import SessionTransport

/// The result of a live session; its encoding is for programs.
package struct MasterReport: Encodable, Sendable {
    /// The session and each participant.
    package let host: HostReport
    /// Bytes of content in the image.
    package let imageBytes: UInt64
    /// Bytes of content read from the disks and of frames made of them, later sweeps included.
    package let contentRead: UInt64
    package let framesMade: UInt64

    init(host: HostReport, imageBytes: UInt64, figures: (content: UInt64, frames: UInt64)) {
        self.host = host
        self.imageBytes = imageBytes
        contentRead = figures.content
        framesMade = figures.frames
    }

    /// Whether everyone who was let in has written everything.
    package var isDone: Bool { host.done }

    /// The summary people read: the session, what was read, then a line for each participant.
    package var lines: [String] {
        let ratio =
            framesMade > 0 ? ", ratio \((Double(contentRead) / Double(framesMade)).withThreeDigits)" : ""
        let rate = (Double(imageBytes) / 1e6 / max(host.seconds, 0.001)).withThreeDigits
        return host.lines + [
            "\(imageBytes.asBytes) of content; read \(contentRead.asBytes), sent as \(framesMade.asBytes)\(ratio)"
        ]
    }
}
