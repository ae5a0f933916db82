// Events on their way to the log and the store: nobody who has something to tell waits for a disk.
internal import Blocks
internal import Linux
internal import Logging
internal import SessionProtocol
internal import Synchronization

/// Writes events to the log at once, and to the store by a thread of its own.
///
/// A session that sends tells of every machine that joins and finishes; each commit waits for the medium, and one commit
/// for all that has come meanwhile keeps a room of a thousand from waiting for a thousand.
final class EventSink: Sendable {
    /// Events that wait at most; what is told then stands in the log only.
    private static let most = 10_000
    /// How long the store may keep a reader waiting, in nanoseconds.
    private static let readerPatience = 2 * second

    private struct State: Sendable {
        var waiting: [NewEvent] = []
        /// Events that have been told, and those of them that are in the store or have been given up.
        var told: UInt64 = 0
        var written: UInt64 = 0
        var isClosed = false
    }

    private let store: Store
    private let logger: Logger
    private let changes: Changes
    private let condition = Linux.Condition()
    private let state = Mutex(State())
    private let thread = Mutex<Thread<Void>?>(nil)

    init(store: Store, logger: Logger, changes: Changes) {
        self.store = store
        self.logger = logger
        self.changes = changes
    }

    /// Begins to write; what has been told before waits for it.
    func start() {
        let thread = Thread("events") { [self] in writeAll() }
        self.thread.withLock { $0 = thread }
    }

    func note(_ text: String, level: Logger.Level, kind: EventKind, mac: [UInt8]?) {
        var metadata: Logger.Metadata = ["kind": "\(kind.rawValue)"]
        if let mac { metadata["mac"] = "\(MACText.text(mac))" }
        logger.log(level: level, "\(text.onScreen)", metadata: metadata)
        guard level >= .info else { return }
        let event = NewEvent(
            at: WallClock.now(), level: level >= .error ? "error" : level >= .warning ? "warning" : "info",
            kind: kind.rawValue, text: text.onScreen, mac: mac)
        let (isTaken, isFull) = condition.locked {
            defer { condition.signalAll() }
            return state.withLock { state in
                guard !state.isClosed else { return (false, false) }
                guard state.waiting.count < EventSink.most else { return (true, true) }
                state.waiting.append(event)
                state.told += 1
                return (true, false)
            }
        }
        if isFull { logger.error("the store is held by somebody: this event is in this log only") }
        // What is told after the end has nobody else to write it.
        if !isTaken { _ = write([event], isLast: true) }
    }

    /// Returns when all that has been told so far is in the store; after two seconds in which somebody holds it anyway.
    func flush() {
        let told = state.withLock { $0.told }
        let deadline = MonotonicClock.now() + EventSink.readerPatience
        condition.locked {
            while state.withLock({ $0.written < told }), MonotonicClock.now() < deadline {
                condition.wait(until: deadline)
            }
        }
    }

    /// Writes what waits and ends the thread; what comes later is written by whoever tells it.
    func close() {
        condition.locked {
            state.withLock { $0.isClosed = true }
            condition.signalAll()
        }
        try? thread.withLock({ $0.take() })?.join()
    }

    private func writeAll() {
        while let events = next() {
            // Somebody who holds the file for a while, to copy it perhaps, costs no event.
            while !write(events, isLast: state.withLock({ $0.isClosed })) {}
            condition.locked {
                state.withLock { $0.written += UInt64(events.count) }
                condition.signalAll()
            }
        }
    }

    /// All that waits, as soon as there is something; nil at the end.
    private func next() -> [NewEvent]? {
        condition.locked {
            while state.withLock({ $0.waiting.isEmpty && !$0.isClosed }) { condition.wait() }
            defer { condition.signalAll() }
            return state.withLock { state in
                guard !state.waiting.isEmpty else { return nil }
                defer { state.waiting = [] }
                return state.waiting
            }
        }
    }

    /// Writes events; false where another process holds the store and it `isLast` no attempt.
    private func write(_ events: [NewEvent], isLast: Bool) -> Bool {
        do { try store.add(events) } catch {
            logger.error("\(events.count) events cannot be stored: \(error)")
            if !isLast, let error = error as? ServerError, error.kind == .busy { return false }
        }
        changes.ring()
        return true
    }
}
