// A session that the administrator has laid out beforehand: who sends, who takes part, when it starts.
internal import Blocks
package import SessionProtocol

/// One automatic session of the server's list.
package struct AutomaticSession: Equatable, Sendable {
    /// What the participants get.
    package enum Source: Equatable, Sendable {
        /// An image of the server's catalogue, by name.
        case image(String)
        /// The disks of the workstation with this MAC address, captured live.
        case workstation([UInt8])
    }

    /// What the field is used to: machines to join, and minutes since the last one joined.
    package static let usualClients = 5
    package static let usualMinutes = 15

    /// The store's number of the session: never used twice.
    package let number: Int64
    package var name: String
    package var source: Source
    /// Machines at whose registration it starts, 1 to 1000.
    package var clients = AutomaticSession.usualClients
    /// Minutes after the last registration at which it starts with those who are there, 1 to 1440.
    package var minutes = AutomaticSession.usualMinutes
    /// Whether it is deleted when it has finished; otherwise it is disabled and kept.
    package var isDeletedWhenDone = false
    package var isEnabled = true
    /// MAC addresses of the workstations that take part whatever the rule says.
    package var members: [[UInt8]] = []
    /// Workstations for which it holds take part too.
    package var rule: Rule?
    /// Counts up whenever it is enabled anew: who has done run 3 is not sent into run 3 again.
    package var run = 1

    package init(number: Int64, name: String, source: Source) {
        self.number = number
        self.name = name
        self.source = source
    }

    /// Why the workstation belongs to it; nil where it does not.
    package func claim(on workstation: Workstation) -> String? {
        let all = [workstation.mac] + workstation.otherMACs
        if case .workstation(let master) = source, all.contains(master) {
            return "this machine is its master"
        }
        if members.contains(where: { all.contains($0) }) { return "this machine was named for it" }
        if let rule, rule.holds(for: workstation) { return "rule '\(rule)' matched" }
        return nil
    }
}

/// The server's automatic sessions in their order, of which the first that claims a workstation gets it.
package struct SessionList: Equatable, Sendable {
    package private(set) var sessions: [AutomaticSession] = []

    /// - Throws: `PolicyError` where the sessions contradict one another.
    package init(_ sessions: [AutomaticSession] = []) throws(PolicyError) {
        for session in sessions { try put(session) }
    }

    /// Adds a session at the end, or replaces the one with its number where it stands.
    ///
    /// - Throws: `PolicyError` where its name, its counts, its master or one of its members cannot be.
    package mutating func put(_ session: AutomaticSession) throws(PolicyError) {
        guard (1...255).contains(session.name.utf8.count), session.name == session.name.onScreen else {
            throw PolicyError("a session's name has 1 to 255 bytes that can be shown")
        }
        guard (1...1000).contains(session.clients) else {
            throw PolicyError("session \(session.name) takes 1 to 1000 clients, not \(session.clients)")
        }
        guard (1...1440).contains(session.minutes) else {
            throw PolicyError("session \(session.name) waits 1 to 1440 minutes, not \(session.minutes)")
        }
        let others = sessions.filter { $0.number != session.number }
        if others.contains(where: { $0.name == session.name }) {
            throw PolicyError("there is a session \(session.name) already", isConflict: true)
        }
        try expectNoSecondPlace(of: session, among: others)
        if let place = sessions.firstIndex(where: { $0.number == session.number }) {
            sessions[place] = session
        } else {
            sessions.append(session)
        }
    }

    /// A workstation that is named in two sessions would be torn between them.
    private func expectNoSecondPlace(
        of session: AutomaticSession, among others: [AutomaticSession]
    ) throws(PolicyError) {
        if case .workstation(let master) = session.source {
            guard !session.members.contains(master) else {
                throw PolicyError(
                    "\(master.asMAC) cannot be master and participant of session \(session.name)")
            }
        }
        for mac in session.named {
            if let other = others.first(where: { $0.named.contains(mac) }) {
                throw PolicyError(
                    "\(mac.asMAC) is \(other.isMaster(mac) ? "the master" : "a participant") of session "
                        + "\(other.name) already", isConflict: true)
            }
        }
        guard Set(session.members).count == session.members.count else {
            throw PolicyError("session \(session.name) names a workstation twice")
        }
    }

    /// Removes a session; nothing where there is none of this number.
    package mutating func remove(_ number: Int64) { sessions.removeAll { $0.number == number } }

    /// Moves a session one place towards the front (-1) or the end (+1), as far as there is a place.
    package mutating func move(_ number: Int64, by places: Int) {
        guard let from = sessions.firstIndex(where: { $0.number == number }) else { return }
        let to = min(max(from + places, 0), sessions.count - 1)
        sessions.insert(sessions.remove(at: from), at: to)
    }

    /// What is to happen when a run of the session has ended.
    package mutating func finished(_ number: Int64) {
        guard let place = sessions.firstIndex(where: { $0.number == number }) else { return }
        if sessions[place].isDeletedWhenDone {
            sessions.remove(at: place)
        } else {
            sessions[place].isEnabled = false
        }
    }

    /// Enables a session for a run of its own, or disables it.
    package mutating func enable(_ number: Int64, _ isEnabled: Bool) {
        guard let place = sessions.firstIndex(where: { $0.number == number }) else { return }
        if isEnabled, !sessions[place].isEnabled { sessions[place].run += 1 }
        sessions[place].isEnabled = isEnabled
    }
}

extension AutomaticSession {
    /// The workstations it names: its master and its members.
    var named: [[UInt8]] {
        if case .workstation(let master) = source { return [master] + members }
        return members
    }

    fileprivate func isMaster(_ mac: [UInt8]) -> Bool { source == .workstation(mac) }
}

extension [UInt8] {
    /// "52:54:00:12:34:56".
    var asMAC: String { map { [$0].hex }.joined(separator: ":") }
}
