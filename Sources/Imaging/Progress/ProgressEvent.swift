// What a running job tells whoever shows it, and the queue from which a screen takes it in its own time.
internal import Linux
internal import Synchronization

/// Something to show of a running job.
package enum ProgressEvent: Equatable, Sendable {
    /// Where it stands: on every change of state, and as often as the listener asks.
    case report(ProgressReport)
    /// A sentence a person wants to know: the plan, who joined, what is done next.
    case notice(String)
    /// Something that is not as it should be; the job goes on.
    case warning(String)
    /// Something has failed; the sentence names the disk or machine, the job may go on.
    case error(String)
    /// The job is done: its summary.
    case finished(String)
    /// The job has failed: why, in one sentence; the same one that the job throws.
    case failed(String)
}

/// Events on their way to one screen, in order.
///
/// The threads that work never wait here: a terminal that was halted with Ctrl-S, or a program that does not read,
/// must not halt a room.
package final class ProgressInbox: Sendable {
    /// More than anybody reads; beyond it events are counted, not kept.
    package static let limit = 1000

    private struct State: Sendable {
        var events: [ProgressEvent] = []
        var dropped = 0
        var isClosed = false
    }

    private let condition = Condition()
    private let state = Mutex(State())

    init() {}

    func put(_ event: ProgressEvent) {
        condition.locked {
            state.withLock { state in
                guard !state.isClosed else { return }
                switch event {
                // How a job ended is never lost: they are two events, after which nothing comes.
                case .finished, .failed: state.events.append(event)
                case .report(let report) where report.state.isEnd: state.events.append(event)
                case .report where state.events.count >= ProgressInbox.limit: break
                case _ where state.events.count >= ProgressInbox.limit: state.dropped += 1
                default: state.events.append(event)
                }
            }
            condition.signalAll()
        }
    }

    /// Nothing more is put in: `wait` gives what is left, then says that it is the last.
    package func close() {
        condition.locked {
            state.withLock { $0.isClosed = true }
            condition.signalAll()
        }
    }

    /// The events so far, as soon as there is one, at `deadline` (nanoseconds of `MonotonicClock`) at the latest; and
    /// whether they are the last.
    package func wait(until deadline: UInt64) -> (events: [ProgressEvent], isLast: Bool) {
        condition.locked {
            while MonotonicClock.now() < deadline, state.withLock({ $0.events.isEmpty && !$0.isClosed }) {
                condition.wait(until: deadline)
            }
            let now = state.withLock { state in
                defer { state = State(isClosed: state.isClosed) }
                return state
            }
            var events = now.events
            if now.dropped > 0 {
                // Before the end, which has to stay the last.
                let place = events.firstIndex(where: \.isEnd) ?? events.count
                events.insert(.notice("and \(now.dropped) more messages"), at: place)
            }
            return (events, now.isClosed)
        }
    }
}

extension ProgressEvent {
    /// Whether it belongs to the job's end.
    fileprivate var isEnd: Bool {
        switch self {
        case .finished, .failed: true
        case .report(let report): report.state.isEnd
        case .notice, .warning, .error: false
        }
    }
}

/// Gives one screen its events, on a thread of its own.
package final class ProgressListener: Sendable {
    private let inbox: ProgressInbox
    private let thread: Mutex<Thread<Void>?>

    init(
        _ progress: Progress, every interval: UInt64, _ take: @escaping @Sendable (ProgressEvent) -> Void
    ) {
        let inbox = progress.inbox()
        self.inbox = inbox
        thread = Mutex(
            Thread("progress") {
                var next = MonotonicClock.now() + interval
                while true {
                    let (events, isLast) = inbox.wait(until: next)
                    for event in events { take(event) }
                    if isLast { return }
                    if MonotonicClock.now() >= next {
                        let report = progress.report()
                        // The end has an event of its own.
                        if !report.state.isEnd { take(.report(report)) }
                        next = MonotonicClock.now() + interval
                    }
                }
            })
    }

    /// Hands over what is left and returns when the screen has taken it; nothing comes afterwards.
    package func finish() {
        inbox.close()
        // Its body throws nothing.
        try? thread.withLock({ $0.take() })?.join()
    }

    deinit { inbox.close() }
}
