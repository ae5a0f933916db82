// A master's state in words, for a screen of lines; pure, so that every state is tested.
internal import Blocks
internal import SessionProtocol

extension MasterSession.Snapshot {
    /// Participants a screen lists one by one; the rest are counted.
    private static let shown = 20

    /// One line on the session; `now` in nanoseconds of the driver's clock, `hasKeys` where somebody can press g.
    package func headline(now: UInt64, hasKeys: Bool) -> String {
        let name = name.onScreen
        switch phase {
        case .searching: return "\(name): looking for another host"
        case .planning: return "\(name): asking the file systems which blocks are used"
        case .ended: return "\(name): ended"
        case .hosting: break
        }
        switch session.state {
        case .registering:
            var parts = ["\(name): registered/still needed \(session.joined)/\(session.stillNeeded)"]
            if session.needed == 0 { parts = ["\(name): \(session.joined) registered"] }
            if let start = session.startsAt {
                parts.append(
                    start > now ? "starts in \((start - now).asWait)" : "starts with the first that registers"
                )
            }
            if hasKeys { parts.append("press g to start") }
            return parts.joined(separator: ", ")
        case .running:
            let megabits = (Double(session.rate) * 8 / 1e6).withThreeDigits
            return "\(name): \(session.joined) receiving, sweep \(session.sweeps), chunk \(session.cursor), "
                + "\(megabits) Mbit/s, \(contentRead.asBytes) read of \(imageBytes.asBytes), sent as "
                + framesMade.asBytes
        case .ended: return "\(name): ended"
        }
    }

    /// The headline and a line for each participant.
    package func lines(now: UInt64, hasKeys: Bool) -> [String] {
        var lines = [headline(now: now, hasKeys: hasKeys)]
        for one in participants.prefix(Self.shown) { lines.append("  " + one.line(of: session.state)) }
        if participants.count > Self.shown { lines.append("  and \(participants.count - Self.shown) more") }
        return lines
    }

    /// Everything in one line.
    package func brief(now: UInt64) -> String {
        ([headline(now: now, hasKeys: false)]
            + participants.prefix(Self.shown).map { "\($0.name.onScreen) \($0.percentText)" })
            .joined(separator: "; ")
    }
}

extension ParticipantSnapshot {
    /// One line with its figures; before the start, what it is and whether the image fits.
    func line(of session: SessionSnapshot.State) -> String {
        guard session != .registering else { return "\(title), \(disksText): \(registration)" }
        var parts = ["\(name.onScreen) \(endpoint.address) \(percentText)"]
        if writeRate > 0 { parts.append("\((Double(writeRate) / 1e6).withThreeDigits) MB/s") }
        let lost = lostOnWire + lostInSocket + lostForWantOfBuffers
        if lost > 0, received > 0 {
            parts.append("lost \((Double(lost) * 100 / Double(received + lost)).withThreeDigits) %")
        }
        if state != .receiving { parts.append(result?.onScreen ?? state.rawValue) }
        return parts.joined(separator: ", ")
    }

    /// How much of what it needs it has.
    var percentText: String {
        guard chunksNeeded > 0 else { return state == .finished ? "100 %" : "0 %" }
        return "\(chunksDone * 100 / chunksNeeded) %"
    }
}
