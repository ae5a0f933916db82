// What happens to a hosted session as sentences for the screen of the person who hosts it.
internal import Blocks
package import SessionProtocol
internal import Synchronization

/// Knows the participants of a runner by name, once there is a runner.
package final class HostRoll: Sendable {
    private struct State: Sendable {
        /// The runner holds whoever takes its events, and so this.
        weak var runner: HostRunner?
        var joined: Set<Int> = []
        var hasStarted = false
    }

    private let state = Mutex(State())

    package init() {}

    /// Takes the names from `runner` from here on; before that participants are called by number.
    package func attend(_ runner: HostRunner) { state.withLock { $0.runner = runner } }

    /// What an event is worth telling; nil for nothing.
    ///
    /// To be called with every event of the runner, in order, from its events' thread.
    package func sentence(_ event: HostEvent) -> String? {
        let snapshot = state.withLock { $0.runner }?.snapshot
        func who(_ index: Int) -> String {
            guard let all = snapshot?.participants, all.indices.contains(index) else {
                return "participant \(index)"
            }
            return "\(all[index].name.onScreen) (\(all[index].endpoint.address))"
        }
        func left(_ index: Int) { state.withLock { _ = $0.joined.remove(index) } }
        switch event {
        case .joined(let index):
            // Several may have joined since the snapshot was taken: those that were told of are counted.
            let count = state.withLock {
                $0.joined.insert(index)
                return $0.joined.count
            }
            return "\(who(index)) joined; \(HostRoll.registered(count, of: snapshot?.session.needed ?? 0))"
        case .refused(let endpoint, let reason): return "\(endpoint.address) was refused: \(reason.onScreen)"
        case .started:
            state.withLock { $0.hasStarted = true }
            return "the session has started"
        case .silent(let index):
            left(index)
            return "\(who(index)) is silent; it may come back"
        case .finished(let index):
            left(index)
            return "\(who(index)) is done"
        case .aborted(let index, let reason):
            left(index)
            let verb = state.withLock { $0.hasStarted } ? "gave up" : "cannot take part"
            return "\(who(index)) \(verb): \(reason.onScreen)"
        case .notice(let text): return text.onScreen
        case .ended: return nil
        }
    }

    /// How many have registered, as people know it from the field: "registered/still needed 3/2"; without a number that
    /// starts the session "registered 3".
    package static func registered(_ joined: Int, of needed: Int) -> String {
        needed > 0 ? "registered/still needed \(joined)/\(max(needed - joined, 0))" : "registered \(joined)"
    }
}
