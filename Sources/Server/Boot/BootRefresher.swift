// Keeps the boot files of all workstations as the decisions about them are now.
internal import Linux
internal import Logging
internal import SessionProtocol
internal import Synchronization

/// Writes the boot files some moments after something that decides about workstations has changed.
final class BootRefresher: Sendable {
    /// Changes that follow one another this closely, in nanoseconds, are one.
    private static let patience = 200 * millisecond
    /// After another server has served a machine, or had nothing for it, it starts its disk for so many seconds: it is
    /// on its way there, and would otherwise be sent to that server again, for ever.
    private static let grace: Int64 = 300

    private let files: BootFiles?
    private let store: Store
    private let desk: WorkDesk
    private let logger: Logger
    private let condition = Linux.Condition()
    private let state = Mutex((isDue: true, isStopped: false))
    private let thread = Mutex<Thread<Void>?>(nil)

    /// Without a `directory` nothing is written; what is to be booted is known all the same.
    init(directory: String?, store: Store, desk: WorkDesk, logger: Logger) throws {
        files = try directory.map { try BootFiles(directory: $0) }
        self.store = store
        self.desk = desk
        self.logger = logger
    }

    /// Whether the workstation boots into imaging; one that nobody knows does if any session or policy might claim it.
    func isImaging(_ mac: [UInt8]) throws -> Bool {
        let policies = try desk.policies()
        guard let record = try store.workstation(mac) else {
            return try isUnknownImaging(by: policies) || named(by: policies).contains(mac)
        }
        return try isImaging(record, by: policies)
    }

    private func isImaging(_ record: WorkstationRecord, by policies: Policies) throws -> Bool {
        if try desk.isReferred(record.workstation) { return try served(record) == nil }
        return !policies.decide(record.workstation, record.history, image: desk.identifier).work.isNothing
    }

    /// Whether a machine that nobody knows is to ask: there might be work for it, here or elsewhere.
    private func isUnknownImaging(by policies: Policies) throws -> Bool {
        try policies.mayClaimUnknown || !store.referrals().isEmpty
    }

    /// Until when (seconds since 1970) a referral that is done counts; nil where none does.
    private func served(_ record: WorkstationRecord) throws -> Int64? {
        guard let last = try store.orders(of: record.workstation.mac, limit: 1).first, last.verb == .refer,
            last.isDone == true, let end = last.endedAt
        else { return nil }
        let until = end + BootRefresher.grace
        return (end..<until).contains(WallClock.now()) ? until : nil
    }

    /// MAC addresses that sessions name: such a machine is to ask, also if it never has.
    private func named(by policies: Policies) -> [[UInt8]] {
        policies.sessions.sessions.filter(\.isEnabled).flatMap(\.named)
    }

    func start() {
        guard let files else { return }
        let thread = Thread("boot-files") { [self] in
            var deadline: UInt64?
            while true {
                condition.locked {
                    while state.withLock({ !$0.isDue && !$0.isStopped }) {
                        guard let deadline else {
                            condition.wait()
                            continue
                        }
                        if MonotonicClock.now() >= deadline { break }
                        condition.wait(until: deadline)
                    }
                }
                if state.withLock({ $0.isStopped }) { return }
                MonotonicClock.sleep(nanoseconds: BootRefresher.patience)
                state.withLock { $0.isDue = false }
                deadline = nil
                do { deadline = try write(files) } catch {
                    logger.error("boot files cannot be written: \(error)")
                }
            }
        }
        self.thread.withLock { $0 = thread }
    }

    /// Something has changed.
    func refresh() {
        condition.locked {
            state.withLock { $0.isDue = true }
            condition.signalAll()
        }
    }

    func stop() {
        condition.locked {
            state.withLock { $0.isStopped = true }
            condition.signalAll()
        }
        try? thread.withLock { $0.take() }?.join()
    }

    /// Writes all files; returns when they have to be written again by themselves, on the monotonic clock.
    private func write(_ files: BootFiles) throws -> UInt64? {
        let policies = try desk.policies()
        var all: [[UInt8]: Bool] = [:]
        for mac in named(by: policies) { all[mac] = true }
        var next: Int64?
        for record in try store.workstations() {
            let isImaging = try isImaging(record, by: policies)
            for mac in [record.workstation.mac] + record.workstation.otherMACs { all[mac] = isImaging }
            if let until = try served(record) { next = min(next ?? until, until) }
        }
        try files.replaceAll(all, unknown: isUnknownImaging(by: policies))
        guard let next else { return nil }
        return MonotonicClock.now() + UInt64(max(1, next - WallClock.now())) * second
    }
}

extension Policies {
    /// Whether a workstation that has never asked might get work.
    var mayClaimUnknown: Bool {
        unclaimed.action != .nothing || sessions.sessions.contains { $0.isEnabled && $0.rule != nil }
    }
}
