// Takes part in a session for a restore pipeline: calls that block, over the loop that drives the machine.
package import Blocks
internal import Linux
package import SessionProtocol
internal import Synchronization

/// One participant of one session on real sockets; its calls may come from any thread.
///
/// In order: `join`, `need`, then `nextFrame` with `chunkDone` or `chunkFailed` and `release` for each frame until it
/// returns nil, then `finish`. After any error: `finish(.failed(…))`, which tells the host.
package final class ParticipantRunner: Sendable {
    /// How long `finish` waits for the host to take the outcome, in nanoseconds.
    private static let finishPatience = 15 * second
    /// How long `join` waits for the sockets to be closed: a host gets two seconds to hear that it is left.
    private static let leavePatience = 3 * second

    private let name: String
    private let shared: ParticipantShared

    /// Starts looking for the session, in the calling thread's network namespace.
    ///
    /// `events` is called by the participant's own thread: what it waits for, whom it found, what went wrong.
    package init(_ settings: ParticipantSettings, events: @escaping @Sendable (ParticipantEvent) -> Void)
        throws
    {
        name = settings.name
        if let interface = settings.interface {
            _ = try HostInterface.named(interface, in: try NetworkInterface.all())
        }
        let shared = try ParticipantShared(maximumFrames: settings.poolBytes / ReassemblyBuffer.smallest + 1)
        self.shared = shared
        _ = Thread("session") {
            defer { shared.leave() }
            do { try ParticipantLoop(settings, shared: shared, events: events).run() } catch {
                shared.end(.failed("\(error)"))
            }
        }
    }

    deinit { abandon() }

    /// Ends at once without a word to the host, as a process does that is killed.
    package func abandon() { shared.order(.abandon) }

    /// Waits until a host has let this participant in.
    ///
    /// - Throws: Why there will be no session, in one sentence: `TransportError`, or `HostYielded`. No socket is left then.
    package func join() throws -> AcceptedSession {
        do { return try shared.waitForAcceptance() } catch {
            _ = shared.waitForLoop(until: MonotonicClock.now() + ParticipantRunner.leavePatience)
            throw error
        }
    }

    /// Says which chunks are to be received; call it once, after `join`.
    package func need(_ chunks: ChunkSet) { shared.order(.need(chunks)) }

    /// Waits for the next frame and verifies its seal; nil when every needed chunk is done.
    ///
    /// A frame whose seal does not hold is asked for again and never seen here.
    ///
    /// - Throws: Why the session ended before that, in one sentence: `TransportError`, or `HostYielded`.
    package func nextFrame() throws -> SessionFrame? {
        while let frame = shared.frames.take() {
            do throws(DecodeError) {
                let count = try frame.buffer.withBytes { (span) throws(DecodeError) in
                    try frame.seals.check(span, chunk: frame.chunk)
                }
                return SessionFrame(chunk: frame.chunk, byteCount: count, buffer: frame.buffer)
            } catch {
                shared.order(.failed(frame.chunk, error.description))
                shared.order(.release(frame.buffer))
            }
        }
        if let error = shared.failure { throw error }
        return nil
    }

    /// The chunk's content is proven and on the disk.
    package func chunkDone(_ chunk: UInt32) { shared.order(.done(chunk)) }

    /// The chunk's content is not what its frame promises: it is asked for again.
    package func chunkFailed(_ chunk: UInt32, reason: String) { shared.order(.failed(chunk, reason)) }

    /// Gives a frame's memory back; nobody may use the frame any more.
    package func release(_ frame: SessionFrame) { shared.order(.release(frame.buffer)) }

    /// Tells the host's screen how fast the pipeline is.
    package func report(_ figures: PipelineFigures) { shared.order(.figures(figures)) }

    /// Tells the host how it went and waits shortly until the host has taken it.
    ///
    /// - Throws: Why the session has failed, where it had failed before or the host could not be told.
    package func finish(_ outcome: PipelineOutcome) throws {
        shared.order(.finished(outcome))
        let end = shared.waitForLoop(until: MonotonicClock.now() + ParticipantRunner.finishPatience)
        shared.order(.abandon)
        switch (outcome, end) {
        case (.failed, _), (_, .done): return
        case (_, let end?): if let error = end.error { throw error }
        case (_, nil): throw TransportError("the host of session \(name) does not answer")
        }
    }

    /// Leaves the session; `join` and `nextFrame` then throw `reason`, and the host is told.
    ///
    /// Does not wait; `finish` does.
    package func cancel(reason: String) { shared.order(.stop(reason)) }

    /// Figures of the session, at most a tenth of a second old; nil before it begins.
    package var progress: ParticipantProgress? { shared.progress.withLock { $0 } }

    /// How the losses of the network came: one by one, or in trains.
    package var lossBursts: LossBursts { shared.bursts.withLock { $0 } }

    /// The host this participant is connected to, or was last: its address and TCP port.
    package var host: Endpoint? { shared.host.withLock { $0 } }
}
