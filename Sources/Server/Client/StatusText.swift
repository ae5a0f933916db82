// What `imgserv status` and `imgserv list` print: pure.
internal import Blocks

/// The daemon's views as lines for a terminal.
package enum StatusText {
    /// One session: what it is, then a row per machine.
    package static func lines(of session: SessionView) -> [String] {
        var facts = [session.state.rawValue]
        switch session.state {
        case .registering:
            facts.append("\(session.standing) registered/still needed")
            if let seconds = session.startsIn { facts.append("starts in \(duration(seconds))") }
        case .running:
            facts.append("\(session.standing) registered/still needed")
            facts.append("\(session.percent.fixed(1)) %")
            facts.append("\(session.rate.asBytes)/s")
            if let seconds = session.eta { facts.append("\(duration(seconds)) left") }
        case .ended:
            if let outcome = session.outcome { facts.append(outcome.onScreen) }
        }
        var lines = ["\(session.name.onScreen): \(facts.joined(separator: ", ")), \(session.image.onScreen)"]
        let rows = session.participants.map { one in
            [
                one.name.onScreen, one.mac, one.address, one.state, "\(one.percent.fixed(1)) %",
                "\(one.writeRate.asBytes)/s", "\(one.lost.fixed(1)) % lost", (one.result ?? "").onScreen,
            ]
        }
        lines += table(rows).map { "  " + $0 }
        return lines
    }

    /// Every session that is hosted, or what happened last where none is.
    package static func lines(of status: ServerStatus) -> [String] {
        let hosted = status.sessions.filter { $0.state != .ended }
        var lines = hosted.flatMap { self.lines(of: $0) }
        if hosted.isEmpty {
            lines.append("no session is hosted")
            if let last = status.sessions.first { lines.append("the last one was " + headline(last)) }
        }
        lines += status.transfers.map { one in
            let way = one.direction == "send" ? "goes to" : "comes from"
            return "\(one.image.onScreen) \(way) \(one.workstation.onScreen), \(one.percent.fixed(1)) %"
        }
        return lines
    }

    /// Automatic sessions in their order, sessions that are hosted, and images.
    package static func lines(
        automatic: [AutomaticSessionView], sessions: [SessionView], images: [ImageView]
    ) -> [String] {
        var lines = ["automatic sessions:"]
        let rows = automatic.map { one in
            let source = one.image.map { $0.onScreen } ?? one.master.map { "master \($0)" } ?? ""
            let claims = one.members.isEmpty ? "" : "\(one.members.count) named"
            return [
                "\(one.number)", one.name.onScreen, one.enabled ? "enabled" : "disabled", source,
                "\(one.clients) clients or \(one.minutes) min", claims, one.ruleText.onScreen,
            ]
        }
        lines += rows.isEmpty ? ["  none"] : table(rows).map { "  " + $0 }
        lines.append("sessions hosted now:")
        let hosted = sessions.filter { $0.state != .ended }
        lines += hosted.isEmpty ? ["  none"] : hosted.map { "  " + headline($0) }
        lines.append("images:")
        let files = images.map { one in
            [
                one.name.onScreen, one.fileBytes.asBytes,
                one.problem.map { "cannot be used: \($0.onScreen)" } ?? "\(one.usedBytes.asBytes) used",
                one.usedBy.joined(separator: "; ").onScreen,
            ]
        }
        lines += files.isEmpty ? ["  none"] : table(files).map { "  " + $0 }
        return lines
    }

    /// A session in one line.
    package static func headline(_ session: SessionView) -> String { lines(of: session).first ?? "" }

    /// "45 s", "12 min", "2 h 5 min".
    package static func duration(_ seconds: UInt64) -> String {
        if seconds < 120 { return "\(seconds) s" }
        let minutes = (seconds + 30) / 60
        return minutes < 120 ? "\(minutes) min" : "\(minutes / 60) h \(minutes % 60) min"
    }

    /// Rows whose columns stand under each other.
    private static func table(_ rows: [[String]]) -> [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (text, width) in zip(row, widths) where width > 0 {
                line += text + String(repeating: " ", count: width - text.count + 2)
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
