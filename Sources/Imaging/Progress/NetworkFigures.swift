// What a session counts itself, in the terms of a progress report: pure functions of its snapshots.
internal import Blocks
package import SessionProtocol

/// The figures of a session at one moment, as a participant or as its master.
package struct NetworkFigures: Equatable, Sendable {
    /// Bytes received or sent so far: of datagrams, their own headers included, and of frames over TCP.
    package var wireBytes: UInt64 = 0
    /// Datagrams lost, in percent of those that were for us (a master's: for all its machines); nil before the first.
    package var lossPercent: Double?
    /// Chunk buffers that are free, and all of them.
    package var freeBuffers: Int?
    package var buffers: Int?
    /// A master's: bytes of the frames it has made.
    package var frameBytes: UInt64?
    /// A master's: how much of what they need its machines have on their disks, 0 to 1.
    package var fractionDone: Double?
    package var machines: [ProgressReport.MachineFigures] = []
    package var joined: Int?
    package var stillNeeded: Int?
    /// Seconds.
    package var startsIn: UInt64?

    package init() {}

    /// A participant's.
    package init(_ progress: ParticipantProgress) {
        wireBytes =
            progress.symbolsReceived * UInt64(Specification.datagramBytes) + progress.bytesOverControl
        let missed = progress.lostOnWire + progress.lostInSocket
        lossPercent = percentage(
            missed + progress.lostForWantOfBuffers, of: progress.symbolsReceived + missed)
        if progress.buffers > 0 {
            freeBuffers = progress.freeBuffers
            buffers = progress.buffers
        }
    }

    /// A master's; `now` is the time of the clock that `session.startsAt` is of.
    package init(_ session: SessionSnapshot, _ participants: [ParticipantSnapshot], now: UInt64) {
        wireBytes = session.datagrams * UInt64(Specification.datagramBytes) + session.bytesOverControl
        machines = participants.map(ProgressReport.MachineFigures.init)
        var expected: UInt64 = 0
        var lost: UInt64 = 0
        var needed = 0
        var done = 0
        for one in participants {
            expected += one.expected
            lost += one.lost
            // Who is gone holds nobody up, and its bar nobody's.
            guard one.state != .failed, one.state != .lost else { continue }
            needed += one.chunksNeeded
            done += one.chunksDone
        }
        lossPercent = percentage(lost, of: expected)
        if needed > 0 { fractionDone = min(1, Double(done) / Double(needed)) }
        if session.state == .registering {
            joined = session.joined
            stillNeeded = session.needed > 0 ? session.stillNeeded : nil
            startsIn = session.startsAt.map { $0 > now ? ($0 - now) / 1_000_000_000 : 0 }
        }
    }
}

extension ProgressReport.MachineFigures {
    /// What a master shows of one participant.
    package init(_ one: ParticipantSnapshot) {
        self.init(
            name: one.name.onScreen, address: one.endpoint.address.description,
            mac: one.macText, disks: one.diskTexts,
            fits: one.chunksNeeded > 0 ? true : one.state == .failed ? false : nil, state: one.state.rawValue,
            percent: one.chunksNeeded > 0
                ? percentage(UInt64(max(0, one.chunksDone)), of: UInt64(one.chunksNeeded))
                : one.state == .finished ? 100 : nil,
            writeRate: one.writeRate, lossPercent: percentage(one.lost, of: one.expected),
            freeBuffers: one.freeBuffers,
            problem: one.state == .finished ? nil : one.result?.onScreen)
    }
}

extension ParticipantSnapshot {
    /// "/dev/sda Samsung SSD 870 500 GB" for each of its disks; a recording has no size.
    var diskTexts: [String] {
        disks.map { $0.size > 0 ? "\($0.text.onScreen) \($0.size.asBytes)" : $0.text.onScreen }
    }

    /// Datagrams lost, whatever the cause.
    fileprivate var lost: UInt64 { lostOnWire + lostInSocket + lostForWantOfBuffers }

    /// Datagrams that were for it; those that found no buffer did arrive.
    fileprivate var expected: UInt64 { received + lostOnWire + lostInSocket }
}
