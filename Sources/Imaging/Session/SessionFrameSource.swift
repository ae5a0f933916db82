// The frames of a session, for the restore pipeline.
internal import Blocks
internal import SessionTransport

/// Delivers what a session multicasts; a rejected frame is asked for again.
final class SessionFrameSource: FrameSource {
    private let runner: ParticipantRunner

    init(_ runner: ParticipantRunner) { self.runner = runner }

    func next() throws -> SourceFrame? {
        try runner.nextFrame().map { SourceFrame(number: $0.chunk, storage: .session($0)) }
    }

    func release(_ frame: SourceFrame) {
        if case .session(let frame) = frame.storage { runner.release(frame) }
    }

    func completed(_ number: UInt32) { runner.chunkDone(number) }

    func rejected(_ number: UInt32, because error: DecodeError) {
        runner.chunkFailed(number, reason: error.description)
    }

    func cancel(because error: any Error) { runner.cancel(reason: "\(error)") }
}
