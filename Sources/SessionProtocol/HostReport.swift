// What is left to say when a session has ended, for people and for programs.
internal import Blocks

/// How a hosted session ended.
package struct HostOutcome: Sendable {
    /// Whether everyone who was let in is done.
    package let isComplete: Bool
    /// One sentence.
    package let text: String
    package let session: SessionSnapshot
    package let participants: [ParticipantSnapshot]
    /// The host this one gave way to; nil: it did not.
    package let otherHost: FoundHost?

    package init(
        isComplete: Bool, text: String, session: SessionSnapshot, participants: [ParticipantSnapshot],
        otherHost: FoundHost?
    ) {
        self.isComplete = isComplete
        self.text = text
        self.session = session
        self.participants = participants
        self.otherHost = otherHost
    }
}

/// The result of a hosted session; its encoding is the output of `--json`.
package struct HostReport: Encodable, Sendable {
    /// One participant's result.
    package struct Participant: Encodable, Sendable {
        package let name: String
        package let address: String
        package let mac: String
        package let serial: String
        /// joined, receiving, silent, finished, failed or lost.
        package let state: String
        package let chunksNeeded: Int
        package let chunksDone: Int
        package let chunksOverTCP: Int
        package let datagramsReceived: UInt64
        package let datagramsLostOnWire: UInt64
        package let datagramsLostInSocket: UInt64
        package let datagramsLostForWantOfBuffers: UInt64
        package let result: String
    }

    package let session: String
    /// What was sent: an image file's path, or the disks it came from.
    package let image: String
    package let hostKey: String
    /// Whether everyone who was let in has written everything.
    package let done: Bool
    package let result: String
    package let seconds: Double
    package let chunks: Int
    package let datagrams: UInt64
    package let repairDatagrams: UInt64
    package let chunksOverTCP: Int
    package let sweeps: Int
    package let participants: [Participant]

    package init(
        _ outcome: HostOutcome, name: String, path: String, fingerprint: Fingerprint, chunks: Int,
        nanoseconds: UInt64
    ) {
        session = name
        image = path
        hostKey = fingerprint.description
        done = outcome.isComplete
        result = outcome.text
        seconds = Double(nanoseconds / 1_000_000) / 1000
        self.chunks = chunks
        datagrams = outcome.session.datagrams
        repairDatagrams = outcome.session.repairDatagrams
        chunksOverTCP = outcome.session.chunksOverControl
        sweeps = outcome.session.sweeps
        participants = outcome.participants.map { one in
            Participant(
                name: one.name, address: one.endpoint.address.description, mac: one.macText,
                serial: one.serial,
                state: one.state.rawValue, chunksNeeded: one.chunksNeeded, chunksDone: one.chunksDone,
                chunksOverTCP: one.chunksOverControl, datagramsReceived: one.received,
                datagramsLostOnWire: one.lostOnWire, datagramsLostInSocket: one.lostInSocket,
                datagramsLostForWantOfBuffers: one.lostForWantOfBuffers,
                result: one.result ?? one.state.rawValue)
        }
    }

    /// The summary people read: a line on the session, then one for each participant.
    package var lines: [String] {
        var lines = ["\(session.onScreen): \(result.onScreen), \(seconds.fixed(1)) s"]
        lines.append(
            "\(chunks) chunks, \(datagrams) datagrams, of these \(repairDatagrams) repairs; "
                + "\(chunksOverTCP) chunks over TCP")
        for one in participants {
            var parts = ["\(one.chunksDone) of \(one.chunksNeeded) chunks"]
            let lost = one.datagramsLostOnWire + one.datagramsLostInSocket + one.datagramsLostForWantOfBuffers
            if lost > 0 {
                parts.append(
                    "\(lost) datagrams lost (wire \(one.datagramsLostOnWire), socket \(one.datagramsLostInSocket), "
                        + "no buffer \(one.datagramsLostForWantOfBuffers))")
            }
            if one.chunksOverTCP > 0 { parts.append("\(one.chunksOverTCP) chunks over TCP") }
            lines.append(
                "  \(one.name.onScreen) (\(one.address)): \(one.result.onScreen); \(parts.joined(separator: ", "))"
            )
        }
        return lines
    }
}

extension ParticipantSnapshot {
    /// "52:54:00:12:34:56".
    package var macText: String { mac.map { [$0].hex }.joined(separator: ":") }
}
