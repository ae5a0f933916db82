// Keeps the boot files of all workstations as the decisions about them are now.
internal import Linux
internal import Logging
internal import SessionProtocol
internal import Synchronization

/// Writes the boot files some moments after something that decides about workstations has changed.
final class BootRefresher: Sendable {
    /// Changes that follow one another this closely, in nanoseconds, are one.
    private static let patience = 200 * millisecond
    /// The files are looked at that often in any case, in nanoseconds.
    private static let interval = 60 * second

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
            return try policies.mayClaimUnknown || named(by: policies).contains(mac)
        }
        return try isImaging(record, by: policies)
    }

    private func isImaging(_ record: WorkstationRecord, by policies: Policies) throws -> Bool {
        if try desk.isReferred(record.workstation) { return try !hasJustHeard(record) }
        return !policies.decide(record.workstation, record.history, image: desk.identifier).work.isNothing
    }

    /// How long a machine that the other server had nothing more for starts from its disk, in seconds.
    private static let referralPause: Int64 = 300

    /// Whether what the other server had for it has ended moments ago: the restart after that goes to the disk.
    private func hasJustHeard(_ record: WorkstationRecord) throws -> Bool {
        guard let last = try store.orders(of: record.workstation.mac, limit: 1).first, last.verb == .refer,
            let end = last.endedAt
        else { return false }
        return (0..<BootRefresher.referralPause).contains(WallClock.now() - end)
    }

    /// MAC addresses that sessions or referrals name: such a machine is to ask, also if it never has.
    private func named(by policies: Policies) throws -> [[UInt8]] {
        policies.sessions.sessions.filter(\.isEnabled).flatMap(\.named)
            + (try store.referrals().compactMap { MACText.bytes($0.workstations) })
    }

    func start() {
        guard let files else { return }
        let thread = Thread("boot-files") { [self] in
            while true {
                condition.locked {
                    // Some decisions change by time alone.
                    let next = MonotonicClock.now() + BootRefresher.interval
                    while state.withLock({ !$0.isDue && !$0.isStopped }), MonotonicClock.now() < next {
                        condition.wait(until: next)
                    }
                }
                if state.withLock({ $0.isStopped }) { return }
                MonotonicClock.sleep(nanoseconds: BootRefresher.patience)
                state.withLock { $0.isDue = false }
                do { try write(files) } catch { logger.error("boot files cannot be written: \(error)") }
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

    private func write(_ files: BootFiles) throws {
        let policies = try desk.policies()
        var all: [[UInt8]: Bool] = [:]
        for mac in try named(by: policies) { all[mac] = true }
        for record in try store.workstations() {
            let isImaging = try isImaging(record, by: policies)
            for mac in [record.workstation.mac] + record.workstation.otherMACs { all[mac] = isImaging }
        }
        try files.replaceAll(all, unknown: policies.mayClaimUnknown)
    }
}

extension Policies {
    /// Whether a workstation that has never asked might get work.
    var mayClaimUnknown: Bool {
        unclaimed.action != .nothing || sessions.sessions.contains { $0.isEnabled && $0.rule != nil }
    }
}
