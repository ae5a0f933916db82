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
    /// From the start to the end; 0 for a session that did not start.
    package let sendingSeconds: Double

    init(
        host: HostReport, imageBytes: UInt64, figures: (content: UInt64, frames: UInt64), nanoseconds: UInt64
    ) {
        self.host = host
        self.imageBytes = imageBytes
        contentRead = figures.content
        framesMade = figures.frames
        sendingSeconds = Double(nanoseconds / 1_000_000) / 1000
    }

    /// Whether everyone who was let in has written everything.
    package var isDone: Bool { host.done }

    /// The summary people read: the session, what was read, then a line for each participant.
    package var lines: [String] {
        guard framesMade > 0, sendingSeconds > 0 else { return host.lines }
        let ratio = (Double(contentRead) / Double(framesMade)).withThreeDigits
        let rate = (Double(imageBytes) / 1e6 / sendingSeconds).withThreeDigits
        return host.lines + [
            "\(imageBytes.asBytes) of content in \(sendingSeconds.fixed(1)) s, \(rate) MB/s; "
                + "read \(contentRead.asBytes), made frames of \(framesMade.asBytes) (ratio \(ratio))"
        ]
    }
}
