// All sessions that this daemon hosts, side by side: their names, their shares of the link, their end.
internal import Blocks
internal import Linux
internal import Logging
internal import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// The sessions of the daemon.
package final class SessionBoard: Sendable {
    /// What the daemon wants to know of them.
    enum Event: Sendable {
        case note(String, Logger.Level)
        case changed
        case started(HostedSession)
        /// Everything of it is over; the last event of a session.
        case ended(HostedSession, HostOutcome)
    }

    /// Ended sessions that are remembered.
    private static let mostEnded = 50

    private struct State: Sendable {
        var hosted: [HostedSession] = []
        var ended: [HostedSession] = []
        var nextID = 1
        var isClosed = false
    }

    private let key: PrivateKey
    /// Mbit/s that all sessions of an interface may take together, where the administrator says so.
    private let rate: Int?
    private let events: @Sendable (Event) -> Void
    private let state = Mutex(State())

    init(key: PrivateKey, rate: Int?, events: @escaping @Sendable (Event) -> Void) {
        self.key = key
        self.rate = rate
        self.events = events
    }

    /// Hosts a session from now on; `remember` is called before anybody can join.
    ///
    /// - Throws: `ServerError` where a session of the name is hosted already, or the plan cannot be.
    func host(_ plan: SessionPlan, remember: (SessionPlan) throws -> Void = { _ in }) throws -> HostedSession
    {
        guard (1...255).contains(plan.name.utf8.count), plan.name == plan.name.onScreen,
            plan.name != Specification.serverName
        else { throw ServerError("a session's name has 1 to 255 bytes that can be shown", .invalid) }
        awaitEnd(of: plan.name)
        let id = try state.withLock { state in
            try SessionBoard.expectRoom(for: plan, in: state)
            defer { state.nextID += 1 }
            return state.nextID
        }
        let session: HostedSession
        let box = SessionBox()
        do {
            session = try HostedSession(plan, id: id, key: key) { [self] in take($0, of: box.session) }
        } catch let error as ServerError { throw error } catch {
            throw ServerError("session \(plan.name) cannot be hosted: \(error)", .conflict)
        }
        try state.withLock { state in
            // Somebody may have been quicker while the image was opened.
            try SessionBoard.expectRoom(for: plan, in: state)
            state.hosted.append(session)
        }
        box.session = session
        do { try remember(plan) } catch {
            state.withLock { $0.hosted.removeAll { $0 === session } }
            box.session = nil
            throw error
        }
        session.begin { [self] in take($0, of: session) }
        events(
            .note(
                "session \(plan.name): \(plan.image.onScreen), for \(plan.clients.machines), on "
                    + "\(session.interfaceName)", .info))
        events(.changed)
        return session
    }

    /// How long the name of a session that is being stopped is waited for, in nanoseconds.
    private static let farewell = 5 * second

    /// Waits until a session of this name that is ending has ended.
    private func awaitEnd(of name: String) {
        let end = MonotonicClock.now() + SessionBoard.farewell
        func isEnding() -> Bool {
            state.withLock { $0.hosted.first { $0.plan.name == name } }?.isEnding ?? false
        }
        while isEnding(), MonotonicClock.now() < end { MonotonicClock.sleep(nanoseconds: 5 * millisecond) }
    }

    private static func expectRoom(for plan: SessionPlan, in state: State) throws {
        guard !state.isClosed else { throw ServerError("the imaging server is being stopped", .busy) }
        guard !state.hosted.contains(where: { $0.plan.name == plan.name }) else {
            throw ServerError("session \(plan.name) is hosted already", .conflict)
        }
    }

    private func take(_ event: HostedSession.Event, of session: HostedSession?) {
        guard let session else { return }
        switch event {
        case .note(let line, let isTrouble):
            events(.note("session \(session.plan.name): \(line)", isTrouble ? .warning : .info))
        case .registered: events(.changed)
        case .started:
            session.noteStart()
            share()
            events(.started(session))
            events(.changed)
        case .ended(let outcome):
            events(
                .note("session \(session.plan.name): \(outcome.text)", outcome.isComplete ? .info : .warning))
            events(.ended(session, outcome))
            // Only now: a daemon that stops waits until all of this is in the books.
            state.withLock { state in
                state.hosted.removeAll { $0 === session }
                state.ended.append(session)
                if state.ended.count > SessionBoard.mostEnded { state.ended.removeFirst() }
            }
            share()
            events(.changed)
        }
    }

    /// Gives every session that sends its fair share of its interface's link.
    private func share() {
        let sending = state.withLock { $0.hosted }.filter(\.isSending)
        for (_, group) in Dictionary(grouping: sending, by: \.interfaceName) {
            let link = rate ?? group.lazy.compactMap(\.linkMegabits).first
            let shares = LinkShares.of(link, caps: group.map(\.plan.rate))
            for (session, share) in zip(group, shares) { session.limit(megabits: share) }
        }
    }

    /// The session of this name that is hosted now.
    package func hosted(_ name: String) -> HostedSession? {
        state.withLock { $0.hosted.first { $0.plan.name == name && $0.isHosted } }
    }

    /// The session that is hosted now for this run of an automatic session.
    func hosted(automatic number: Int64, run: Int) -> HostedSession? {
        state.withLock {
            $0.hosted.first { $0.plan.automatic == number && $0.plan.run == run && $0.isHosted }
        }
    }

    /// Sessions that are hosted, and those that were, the newest first in each.
    package var all: [HostedSession] {
        state.withLock { $0.hosted.reversed() + $0.ended.reversed() }
    }

    /// Hands a question of discovery that was sent to this machine's address to the session it asks for.
    func deliver(_ datagram: [UInt8], asking name: String, from sender: SocketAddress) {
        hosted(name)?.deliver(datagram, from: sender)
    }

    /// Ends all sessions and waits until their participants have been told, at most `patience` nanoseconds; no session is
    /// hosted from then on.
    func close(_ reason: String, patience: UInt64) {
        let hosted = state.withLock { state in
            state.isClosed = true
            return state.hosted
        }
        for session in hosted { session.stop(reason) }
        let end = MonotonicClock.now() + patience
        while !state.withLock({ $0.hosted.isEmpty }), MonotonicClock.now() < end {
            MonotonicClock.sleep(nanoseconds: 20 * millisecond)
        }
    }
}

/// A session that is being made, for the events that its runner has meanwhile.
private final class SessionBox: Sendable {
    private let state = Mutex<HostedSession?>(nil)

    var session: HostedSession? {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}

/// How a link is divided among those that send on it.
package enum LinkShares {
    /// The share of each sender in Mbit/s: the same for all, but for those whose own `caps` are below it, which leave the
    /// rest to the others.
    ///
    /// Without a known `link` there is nothing to divide: nil for each.
    package static func of(_ link: Int?, caps: [Int?]) -> [Int?] {
        guard let link else { return caps.map { _ in nil } }
        var shares = [Int?](repeating: nil, count: caps.count)
        var left = link
        var open = caps.indices.sorted { caps[$0] ?? .max < caps[$1] ?? .max }
        while let index = open.first {
            let share = min(max(left / open.count, 1), caps[index] ?? .max)
            shares[index] = share
            left -= share
            open.removeFirst()
        }
        return shares
    }
}

extension Int {
    /// "1 machine", "12 machines".
    fileprivate var machines: String { "\(self) machine\(self == 1 ? "" : "s")" }
}
