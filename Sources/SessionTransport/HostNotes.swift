// Sentences on their way from the thread that hosts to the screen.
internal import Linux
internal import Synchronization

/// Sentences that wait to be shown, at most a thousand.
///
/// The thread that hosts never writes itself: a terminal that was halted with Ctrl-S must not halt the room.
package final class HostNotes: Sendable {
    /// More than anybody reads; beyond it sentences are counted, not kept.
    private static let limit = 1000

    private struct State: Sendable {
        var lines: [String] = []
        var dropped = 0
        var isFinished = false
    }

    private let condition = Condition()
    private let state = Mutex(State())

    package init() {}

    /// Leaves a sentence; never waits for the screen.
    package func add(_ line: String) {
        condition.locked {
            state.withLock { state in
                if state.lines.count < HostNotes.limit {
                    state.lines.append(line)
                } else {
                    state.dropped += 1
                }
            }
            condition.signalAll()
        }
    }

    /// No more sentences come.
    package func finish() {
        condition.locked {
            state.withLock { $0.isFinished = true }
            condition.signalAll()
        }
    }

    /// The sentences so far, as soon as there is one, at `deadline` (nanoseconds of `MonotonicClock`) at the latest; and
    /// whether they are the last.
    package func wait(until deadline: UInt64) -> (lines: [String], isLast: Bool) {
        condition.locked {
            while MonotonicClock.now() < deadline, state.withLock({ $0.lines.isEmpty && !$0.isFinished }) {
                condition.wait(until: deadline)
            }
            let now = state.withLock { state in
                defer { state = State(isFinished: state.isFinished) }
                return state
            }
            let more = now.dropped > 0 ? ["and \(now.dropped) more messages"] : []
            return (now.lines + more, now.isFinished)
        }
    }
}
