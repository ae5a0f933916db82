// What the loop of a participant and the threads of its pipeline share.
internal import Blocks
internal import Linux
internal import SessionProtocol
internal import Synchronization

/// What the pipeline wants of the loop.
enum ParticipantOrder: Sendable {
    case need(ChunkSet)
    case done(UInt32)
    case failed(UInt32, String)
    case release(ReassemblyBuffer)
    case figures(PipelineFigures)
    case finished(PipelineOutcome)
    case stop(String)
    /// Why multicast does not arrive.
    case diagnosed(String)
    /// Nobody is interested any more: the thread ends.
    case abandon
}

/// The meeting point of the loop's thread and the pipeline's.
final class ParticipantShared: Sendable {
    private struct Standing: Sendable {
        var accepted: AcceptedSession?
        var end: ParticipantEnd?
        /// The loop has ended: everything the host was to be told is out, or cannot be told.
        var isThrough = false
    }

    let frames: BoundedQueue<ReceivedFrame>
    let wakeup: Wakeup
    let progress = Mutex<ParticipantProgress?>(nil)
    let bursts = Mutex(LossBursts())
    let host = Mutex<Endpoint?>(nil)
    private let orders = Mutex<[ParticipantOrder]>([])
    private let condition = Condition()
    private let standing = Mutex(Standing())

    /// `maximumFrames` is more than the machine's memory has room for, so that handing one over never waits.
    init(maximumFrames: Int) throws {
        frames = BoundedQueue(capacity: maximumFrames)
        wakeup = try Wakeup()
    }

    /// Leaves an order for the loop; the first of several wakes it.
    func order(_ order: ParticipantOrder) {
        let isFirst = orders.withLock { orders in
            orders.append(order)
            return orders.count == 1
        }
        if isFirst { wakeup.signal() }
    }

    /// Takes the orders, leaving `spare`'s memory for the next ones.
    func takeOrders(into spare: inout [ParticipantOrder]) {
        spare.removeAll(keepingCapacity: true)
        orders.withLock { swap(&$0, &spare) }
    }

    func accept(_ session: AcceptedSession) {
        condition.locked {
            standing.withLock { $0.accepted = session }
            condition.signalAll()
        }
    }

    /// The first end counts.
    func end(_ end: ParticipantEnd) {
        condition.locked {
            standing.withLock { if $0.end == nil { $0.end = end } }
            condition.signalAll()
        }
        frames.close()
        if end != .done { while frames.takeIfAvailable() != nil {} }
    }

    var failure: (any Error)? { standing.withLock { $0.end }?.error }

    func waitForAcceptance() throws -> AcceptedSession {
        try condition.locked {
            while true {
                let now = standing.withLock { $0 }
                if let error = now.end?.error { throw error }
                if let accepted = now.accepted { return accepted }
                guard now.end == nil else { throw TransportError("the session ended before it began") }
                condition.wait()
            }
        }
    }

    /// The loop's last call.
    func leave() {
        end(.failed("the session was left"))
        condition.locked {
            standing.withLock { $0.isThrough = true }
            condition.signalAll()
        }
    }

    /// Waits for the loop's end, which comes after the session's; nil when it has not come by `deadline`.
    func waitForLoop(until deadline: UInt64) -> ParticipantEnd? {
        condition.locked {
            while true {
                let now = standing.withLock { $0 }
                if now.isThrough { return now.end }
                guard MonotonicClock.now() < deadline else { return nil }
                condition.wait(until: deadline)
            }
        }
    }
}

extension ParticipantEnd {
    /// What callers get to see of it; nil: everything is done.
    var error: (any Error)? {
        switch self {
        case .done: nil
        case .failed(let reason): TransportError(reason)
        case .yielded(let reason): HostYielded(description: reason)
        }
    }
}

extension ReassemblyBuffer {
    /// No buffer is smaller, so that a pool's size bounds the number of frames on their way.
    static let smallest = 64 * 1024
}
