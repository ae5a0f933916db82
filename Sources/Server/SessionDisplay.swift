// What the host's screen shows of a running session: one live block on a terminal, lines elsewhere.
internal import Blocks
internal import Linux
package import SessionProtocol
internal import SessionTransport
internal import Synchronization

/// Writes the progress of one hosted session to standard output.
package final class SessionDisplay: Sendable {
    /// How the display behaves.
    package enum Style: Sendable {
        /// A block that is drawn again in place.
        case live
        /// A line every few seconds.
        case lines
        /// Nothing but notes, on standard error: standard output belongs to a machine-readable result.
        case quiet
    }

    /// Participants a live block shows; the rest are counted.
    private static let shownParticipants = 20

    private let name: String
    private let style: Style
    /// Lines of the block that is on the screen now.
    private let drawn = Mutex(0)

    package init(name: String, style: Style) {
        self.name = name.onScreen
        self.style = style
    }

    /// How often `show` is worth calling, in nanoseconds.
    package var interval: UInt64 { style == .live ? second / 4 : 5 * second }

    /// Prints a sentence of its own, above the live block.
    package func note(_ line: String) {
        drawn.withLock { count in
            erase(&count)
            if style == .quiet { Console.error(line) } else { Console.print(line) }
        }
    }

    /// Shows where the session stands.
    package func show(_ session: SessionSnapshot, _ participants: [ParticipantSnapshot]) {
        guard style != .quiet else { return }
        drawn.withLock { count in
            switch style {
            case .live:
                erase(&count)
                var lines = [headline(session)]
                for one in participants.prefix(SessionDisplay.shownParticipants) {
                    lines.append("  " + SessionDisplay.line(one))
                }
                if participants.count > SessionDisplay.shownParticipants {
                    lines.append("  and \(participants.count - SessionDisplay.shownParticipants) more")
                }
                let width = Console.columns - 1
                Console.write(lines.map { $0.prefix(width) + "\n" }.joined())
                count = lines.count
            case .lines:
                let parts = participants.prefix(SessionDisplay.shownParticipants).map(SessionDisplay.brief)
                Console.print(([headline(session)] + parts).joined(separator: "; "))
            case .quiet: break
            }
        }
    }

    /// Takes the live block away.
    package func finish() { drawn.withLock { erase(&$0) } }

    private func erase(_ count: inout Int) {
        guard count > 0 else { return }
        Console.write("\u{1B}[\(count)A\r\u{1B}[J")
        count = 0
    }

    private func headline(_ session: SessionSnapshot) -> String {
        SessionDisplay.headline(name, session, now: MonotonicClock.now())
    }

    /// The line about the whole session.
    static func headline(_ name: String, _ session: SessionSnapshot, now: UInt64) -> String {
        let registered = HostRoll.registered(session.joined, of: session.needed)
        switch session.state {
        case .registering:
            guard let time = session.startsAt else { return "\(name): waiting, \(registered)" }
            let seconds = time > now ? (time - now) / second : 0
            return "\(name): waiting, \(registered), starts in \(seconds) s"
        case .running:
            let rate = (Double(session.rate) * 8 / 1e6).withThreeDigits
            return
                "\(name): \(session.joined) registered, sweep \(session.sweeps), chunk \(session.cursor), \(rate) Mbit/s"
        case .ended: return "\(name): ended"
        }
    }

    /// One participant with its figures.
    static func line(_ one: ParticipantSnapshot) -> String {
        var parts = ["\(one.name.onScreen) \(one.endpoint.address)", percent(one)]
        parts.append("\(one.chunksDone) of \(one.chunksNeeded) chunks")
        if one.writeRate > 0 { parts.append("\((Double(one.writeRate) / 1e6).withThreeDigits) MB/s") }
        let lost = one.lostOnWire + one.lostInSocket + one.lostForWantOfBuffers
        if lost > 0, one.received > 0 {
            parts.append("lost \((Double(lost) * 100 / Double(one.received + lost)).withThreeDigits) %")
        }
        if one.state != .receiving { parts.append(one.result?.onScreen ?? one.state.rawValue) }
        return parts.joined(separator: ", ")
    }

    private static func brief(_ one: ParticipantSnapshot) -> String {
        let state = one.state == .receiving ? "" : " \(one.state.rawValue)"
        return "\(one.name.onScreen) \(one.endpoint.address) \(percent(one))\(state)"
    }

    private static func percent(_ one: ParticipantSnapshot) -> String {
        guard one.chunksNeeded > 0 else { return one.state == .finished ? "100 %" : "0 %" }
        return "\(one.chunksDone * 100 / one.chunksNeeded) %"
    }
}
