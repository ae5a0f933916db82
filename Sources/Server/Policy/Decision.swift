// What a workstation that asks is to do, and why: a pure function of its hardware, its past and the server's lists.
package import Blocks
package import SessionProtocol

/// What the server has for workstations that no session claims.
package struct UnclaimedPolicy: Equatable, Sendable {
    package enum Action: Equatable, Sendable {
        case nothing
        /// Restore this image of the catalogue.
        case restore(String)
        /// Capture its disks to an image named after it.
        case capture
        case shell
    }

    package var action: Action = .nothing
    /// Whether it is done whenever a workstation asks; otherwise once for each workstation.
    package var isRepeated = false

    package init(_ action: Action = .nothing, isRepeated: Bool = false) {
        self.action = action
        self.isRepeated = isRepeated
    }
}

/// What the server remembers of a workstation's work.
package struct WorkHistory: Equatable, Sendable {
    /// A run of an automatic session.
    package struct Run: Hashable, Sendable {
        package let session: Int64
        package let run: Int

        package init(session: Int64, run: Int) {
            self.session = session
            self.run = run
        }
    }

    /// How often an order for one run, or one policy, is given to a workstation that never reports its success.
    package static let attempts = 3

    /// The image that was put on it last and proven.
    package var installed: GUID?
    /// The runs it has reported done.
    package var done: Set<Run> = []
    /// How often it was sent into a run.
    package var sent: [Run: Int] = [:]
    /// How often the policy has been handed to it since it was last set, and whether it reported it done.
    package var policyOrders = 0
    package var isPolicyDone = false
    /// The administrator wants the next restore, by a session that is enabled or by the policy, even where the image is on
    /// it already; used up by one order.
    package var isForced = false

    package init() {}
}

/// The answer to a workstation.
package struct Decision: Equatable, Sendable {
    package enum Work: Equatable, Sendable {
        case nothing
        /// Take part in the session.
        case takePart(AutomaticSession)
        /// Be the session's master.
        case master(AutomaticSession)
        case restore(String)
        case capture
        case shell
    }

    package let work: Work
    /// For the workstation's screen and the log: one sentence.
    package let reason: String

    package init(work: Work, reason: String) {
        self.work = work
        self.reason = reason
    }
}

/// Everything that decides about a workstation.
package struct Policies: Equatable, Sendable {
    package var sessions: SessionList
    package var unclaimed: UnclaimedPolicy

    package init(sessions: SessionList, unclaimed: UnclaimedPolicy = .init()) {
        self.sessions = sessions
        self.unclaimed = unclaimed
    }

    /// What the workstation is to do now.
    ///
    /// The first enabled session of the list that claims it wins. No order can be given for ever: a run that is done is
    /// over for the workstation, one that it never finishes is given `WorkHistory.attempts` times, and an image that is
    /// on it already is sent again only by force, which one order uses up (`note`).
    /// `image` gives the id of an image of the catalogue by its name, nil where there is none.
    package func decide(
        _ workstation: Workstation, _ history: WorkHistory, image: (String) -> GUID?
    ) -> Decision {
        var passed: String?
        var again: Decision?
        for session in sessions.sessions where session.isEnabled {
            guard let claim = session.claim(on: workstation) else { continue }
            let isMaster = ([workstation.mac] + workstation.otherMACs)
                .contains { session.source == .workstation($0) }
            if case .image(let name) = session.source, image(name) == nil {
                passed = passed ?? "session \(session.name): there is no image \(name)"
                continue
            }
            if let why = history.excludes(session) {
                passed = passed ?? why
                // By force the last one once more, whose image the machine is to have; a master has nothing to get.
                if history.isForced, !isMaster {
                    again = Decision(
                        work: .takePart(session), reason: "session \(session.name): \(claim), forced")
                }
                continue
            }
            return Decision(
                work: isMaster ? .master(session) : .takePart(session),
                reason: "session \(session.name): \(claim)")
        }
        if let again { return again }
        // A machine that a session has claimed belongs to it, also when it has nothing for it any more: the policy is for
        // the others, and would overwrite what the session brought.
        if let passed { return Decision(work: .nothing, reason: passed) }
        return decideUnclaimed(history, image: image)
    }

    private func decideUnclaimed(
        _ history: WorkHistory, image: (String) -> GUID?
    ) -> Decision {
        func nothing(_ reason: String) -> Decision { Decision(work: .nothing, reason: reason) }
        let isForced = history.isForced
        guard unclaimed.action != .nothing else { return nothing("no session claims this machine") }
        if history.isPolicyDone, !unclaimed.isRepeated, !isForced {
            return nothing("the server's policy has been done here")
        }
        if history.policyOrders >= WorkHistory.attempts, !isForced {
            return nothing(
                "the server's policy was given \(history.policyOrders) times and never reported done")
        }
        switch unclaimed.action {
        case .nothing: return nothing("no session claims this machine")
        case .shell: return Decision(work: .shell, reason: "the server's policy is a shell")
        case .capture:
            // Always would be after every start: one image of a machine is taken, more by force.
            if history.isPolicyDone, !isForced { return nothing("this machine has been captured") }
            return Decision(work: .capture, reason: "the server's policy is to capture")
        case .restore(let name):
            guard let id = image(name) else { return nothing("there is no image \(name)") }
            if history.installed == id, !isForced {
                return nothing("image \(name) is on this machine already")
            }
            return Decision(
                work: .restore(name),
                reason: "the server's policy is image \(name)\(isForced ? ", forced" : "")")
        }
    }
}

extension WorkHistory {
    /// Why a session's present run is over for this workstation; nil where it is not.
    fileprivate func excludes(_ session: AutomaticSession) -> String? {
        let run = Run(session: session.number, run: session.run)
        if done.contains(run) { return "session \(session.name) has been done here" }
        let count = sent[run, default: 0]
        guard count < WorkHistory.attempts else {
            return "session \(session.name) was given \(count) times and never reported done"
        }
        return nil
    }

    /// Takes down that an order is handed out: before it leaves, so that no crash can repeat it for ever.
    package mutating func note(_ work: Decision.Work) {
        // Until it is done nobody knows what is on the disks.
        switch work {
        case .takePart, .restore: installed = nil
        case .nothing, .master, .capture, .shell: break
        }
        switch work {
        case .nothing: break
        case .takePart(let session):
            let run = Run(session: session.number, run: session.run)
            if isForced {
                done.remove(run)
                sent[run] = 0
            }
            sent[run, default: 0] += 1
            isForced = false
        case .master(let session):
            sent[Run(session: session.number, run: session.run), default: 0] += 1
        case .restore, .capture, .shell:
            policyOrders += 1
            isPolicyDone = isPolicyDone && !isForced
            isForced = false
        }
    }

    /// Takes down that the workstation did its work, and which image is on it then (nil: unchanged).
    package mutating func finished(_ work: Decision.Work, installed image: GUID?) {
        switch work {
        case .nothing: break
        case .takePart(let session), .master(let session):
            done.insert(Run(session: session.number, run: session.run))
        case .restore, .capture, .shell:
            isPolicyDone = true
            policyOrders = 0
        }
        if let image { installed = image }
    }
}
