// A job's figures in as many columns as there are: pure.
internal import Blocks
package import Imaging

/// What the console shows of a report.
package enum LiveLine {
    /// Machines or disks a block of lines shows; the rest are counted.
    package static let shownRows = 20

    /// A figure, and how soon it has to give way: the highest rank goes first.
    private struct Part {
        let rank: Int
        let text: String
        init?(_ rank: Int, _ text: String?) {
            guard let text else { return nil }
            self.rank = rank
            self.text = text
        }
    }

    /// One line of at most `width` columns: what is least important is left out where it does not fit.
    ///
    /// Percent and both rates stay longest, then what is left and what is being done. It is empty while there is nothing to tell.
    package static func text(_ report: ProgressReport, width: Int) -> String {
        var parts = parts(report)
        while joined(parts).count > width, parts.count > 1,
            let least = parts.indices.max(by: { parts[$0].rank < parts[$1].rank })
        {
            parts.remove(at: least)
        }
        return String(joined(parts).prefix(max(width, 0)))
    }

    /// The line, and below it one for each machine of a master, or for each disk where there are several; at most
    /// `rows` in all.
    ///
    /// `hint` ends the first line as long as nothing moves, where there is room for it.
    package static func block(
        _ report: ProgressReport, width: Int, rows: Int, hint: String = ""
    ) -> [String] {
        var head = text(report, width: width)
        guard !head.isEmpty else { return [] }
        if !hint.isEmpty, !report.state.isTransfer, head.count + hint.count + 2 <= width {
            head += "; \(hint)"
        }
        let details =
            report.machines.isEmpty && report.disks.count > 1
            ? report.disks.map(\.text) : report.machines.map(\.text)
        // The line that counts the rest takes the place of one.
        let room = max(0, min(shownRows, rows - 1))
        var shown = details.count <= room ? details : Array(details.prefix(max(0, room - 1)))
        if details.count > shown.count, room > 0 { shown.append("and \(details.count - shown.count) more") }
        return [head] + shown.map { String("  \($0)".prefix(max(width, 0))) }
    }

    /// The whole in one line of any length, for a log.
    package static func log(_ report: ProgressReport) -> String {
        let head = joined(parts(report))
        guard !head.isEmpty, !report.machines.isEmpty else { return head }
        var machines = report.machines.prefix(shownRows).map { one in
            let state = one.state == "receiving" ? "" : " \(one.state)"
            return "\(one.name) \(one.address) \(one.percent?.asPercent ?? "0 %")\(state)"
        }
        if report.machines.count > shownRows {
            machines.append("and \(report.machines.count - shownRows) more")
        }
        return ([head] + machines).joined(separator: "; ")
    }

    private static func parts(_ report: ProgressReport) -> [Part] {
        let state = report.state.rawValue
        switch report.state {
        case .planning: return []
        case .asking:
            return [Part(0, report.asksAgainText ?? "asking the imaging server")].compactMap { $0 }
        case .searching:
            return [Part(0, report.session.map { "searching for session \($0.onScreen)" } ?? state)]
                .compactMap { $0 }
        case .waiting: return [Part(0, state), Part(1, report.registrationText)].compactMap { $0 }
        case .capturing, .sending, .receiving, .restoring, .recording, .verifying, .finishing, .done, .failed:
            guard let percent = report.percentText else { return [] }
            // Nothing is on the wire while a disk is read back.
            let carries = report.state != .verifying
            return [
                Part(4, state), Part(0, percent), Part(6, report.bytesText),
                Part(2, carries ? report.wireText : nil), Part(1, report.diskText),
                Part(5, carries ? report.lossText : nil), Part(7, carries ? report.buffersText : nil),
                Part(3, report.etaText),
            ].compactMap { $0 }
        }
    }

    /// "restoring 42 %, wire …": the state belongs to the percentage.
    private static func joined(_ parts: [Part]) -> String {
        var text = ""
        for (index, part) in parts.enumerated() {
            if index > 0 { text += index == 1 && parts[0].rank == 4 && part.rank == 0 ? " " : ", " }
            text += part.text
        }
        return text
    }
}
