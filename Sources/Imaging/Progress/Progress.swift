// What a running job tells whoever shows it: its threads count, its steps say what they do, screens read and listen.
internal import Linux
internal import Synchronization

/// The figures and sentences of one running job; written by its threads, read by any number of screens.
///
/// In order: any number of `enter` and `begin`, `add` while a transfer runs, then `complete` and `finish`, or `fail`.
/// All calls may come from any thread; none waits for a screen.
package final class Progress: Sendable {
    /// How grave a sentence is.
    package enum Level: Sendable {
        case notice, warning, error
    }

    private let clock: @Sendable () -> UInt64
    private let standing: Mutex<ProgressStanding>
    private let inboxes = Mutex<[ProgressInbox]>([])
    private let network = Mutex<(@Sendable () -> NetworkFigures?)?>(nil)
    private let isTold = Mutex(false)

    /// Begins a job; `session` is nil for one between disks and an image file, which may be the server's.
    package convenience init(session: String? = nil, isWithServer: Bool = false) {
        self.init(session: session, isWithServer: isWithServer, clock: { MonotonicClock.now() })
    }

    /// Begins a job whose time is that of `clock`, in nanoseconds since any moment.
    package init(
        session: String? = nil, isWithServer: Bool = false, clock: @escaping @Sendable () -> UInt64
    ) {
        self.clock = clock
        standing = Mutex(ProgressStanding(session: session, isWithServer: isWithServer, now: clock()))
    }

    /// From now on the job is in `state`; the counters go on.
    package func enter(_ state: ProgressReport.State) {
        let network = networkFigures
        standing.withLock { $0.enter(state, now: clock(), network) }
        post(.report(report()))
    }

    /// From now on the job is in `state`: counters and rates begin again.
    ///
    /// `disks` are those the state reads or writes, in the image's order; only their names and totals count.
    package func begin(
        _ state: ProgressReport.State, totalBytes: UInt64, totalChunks: Int,
        disks: [ProgressReport.DiskFigures] = []
    ) {
        let network = networkFigures
        standing.withLock {
            $0.begin(
                state, totalBytes: totalBytes, totalChunks: totalChunks, disks: disks, now: clock(), network)
        }
        post(.report(report()))
    }

    /// From now on the job is a part of this session.
    package func join(session: String) { standing.withLock { $0.join(session) } }

    /// The imaging server is asked again at `time` (of the job's clock); nil: now.
    package func askAgain(at time: UInt64?) { standing.withLock { $0.asksAgainAt = time } }

    /// Counts a chunk of `disk` (its number in the image) whose `content` bytes are done.
    package func add(content: Int, disk: Int) {
        standing.withLock { $0.add(content: UInt64(content), disk: disk) }
    }

    /// Counts bytes of frames.
    package func add(frame: Int) { standing.withLock { $0.add(frame: UInt64(frame)) } }

    /// From now on `disk` (its number in the image) is shown with what went wrong with it; the first sentence stays.
    package func fault(disk: Int, _ text: String) { standing.withLock { $0.fault(disk: disk, text) } }

    /// How many machines have registered and how many the start waits for.
    package func register(joined: Int, stillNeeded: Int?) {
        standing.withLock { $0.registration = (joined, stillNeeded) }
    }

    /// Asks `figures` at each report for what the session itself counts; nil ends that.
    ///
    /// `figures` must not wait. Whoever sets it takes it back when the session has ended.
    package func follow(_ figures: (@Sendable () -> NetworkFigures?)?) { network.withLock { $0 = figures } }

    /// Keeps the session's last figures and lets go of what gave them.
    package func settle() {
        guard let last = networkFigures else { return follow(nil) }
        follow { last }
    }

    /// Tells everybody who listens a sentence.
    package func note(_ text: String, _ level: Level = .notice) {
        switch level {
        case .notice: post(.notice(text))
        case .warning: post(.warning(text))
        case .error: post(.error(text))
        }
    }

    /// The job is done; its figures stay as they are now, the rates as averages of the transfer.
    ///
    /// They are for the summary: `finish`, or `fail` after all, must follow.
    package func complete() -> ProgressReport { end(.done, error: nil) }

    /// Tells the job's summary, empty where there is nothing to say; nothing follows it.
    package func finish(_ summary: String) { tell(complete(), .finished(summary)) }

    /// The job has failed; nothing follows.
    package func fail(_ reason: String) { tell(end(.failed, error: reason), .failed(reason)) }

    /// Where the job stands now.
    package func report() -> ProgressReport {
        let network = networkFigures
        return standing.withLock { $0.report(now: clock(), network) }
    }

    /// A queue of all events from now on, for a screen with a loop of its own; it closes it when it has seen enough.
    package func inbox() -> ProgressInbox {
        let inbox = ProgressInbox()
        inboxes.withLock { $0.append(inbox) }
        return inbox
    }

    /// Calls `take` with all events from now on and with a report every `interval` nanoseconds, one after the other
    /// on one thread of its own; `take` may block.
    package func listen(
        every interval: UInt64, _ take: @escaping @Sendable (ProgressEvent) -> Void
    ) -> ProgressListener {
        ProgressListener(self, every: interval, take)
    }

    private var networkFigures: NetworkFigures? { network.withLock { $0 }?() }

    private func end(_ state: ProgressReport.State, error: String?) -> ProgressReport {
        let network = networkFigures
        return standing.withLock { $0.end(state, error: error, now: clock(), network) }
    }

    /// The end is told once.
    private func tell(_ report: ProgressReport, _ event: ProgressEvent) {
        let isFirst = isTold.withLock { isTold in
            defer { isTold = true }
            return !isTold
        }
        guard isFirst else { return }
        standing.withLock { $0.seal() }
        post(.report(report))
        post(event)
    }

    private func post(_ event: ProgressEvent) {
        for inbox in inboxes.withLock({ $0 }) { inbox.put(event) }
    }
}
