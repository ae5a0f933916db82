// One participant of thirty has trouble: the others must not notice.
import Blocks
import SessionProtocol
import SessionSimulation
import Testing

/// What happens to one of them.
enum Trouble: String, CaseIterable, CustomTestStringConvertible {
    case none
    /// Stopped for 30 s, like a process by SIGSTOP.
    case stopped
    /// A disk of 20 MB/s.
    case slowDisk
    /// Loses 20 % of all datagrams.
    case lossy
    /// Joins when half of the chunks are out.
    case late
    /// Crashes at a third and comes back as a new run.
    case restarted

    var testDescription: String { rawValue }

    /// How long the session takes does not matter, but that the stop of 30 s is over before it.
    var plan: RoomPlan {
        var plan = RoomPlan()
        plan.participants = 30
        plan.imageBytes = 768 << 20
        plan.seed = 3
        if self == .stopped {
            plan.linkRate = 25_000_000
            plan.imageBytes = 1450 << 20
        }
        return plan
    }
}

@Suite struct StragglerTests {
    /// A room with a troubled participant, and how long the others took.
    private func run(_ trouble: Trouble, plan: RoomPlan) throws -> (
        room: Room, others: [SimulatedParticipant], seconds: Double
    ) {
        let room = try Room(plan)
        let one = room.participants[0]
        let others = Array(room.participants.dropFirst())
        func untilPassed(_ share: Double) {
            let count = Int(Double(room.image.existing.count) * share)
            room.world.run(limit: 600_000 * ms) { room.host.sent.passes.count >= count }
        }
        switch trouble {
        case .none: break
        case .stopped:
            untilPassed(0.2)
            one.stop()
            room.world.run(limit: 30_000 * ms) { false }
            one.goOn()
        case .slowDisk: one.faults.diskRate = 20_000_000
        case .lossy: one.faults.loss = 0.2
        case .late:
            untilPassed(0.5)
            try room.join(plan.faults)
        case .restarted:
            untilPassed(0.33)
            one.crash(silently: false)
            room.world.run(limit: 2_000 * ms) { false }
            try room.join(plan.faults, as: one.number)
        }
        try room.run()
        return (room, others, room.seconds(of: others))
    }

    @Test(arguments: Trouble.allCases.filter { $0 != .none })
    func theOthersDoNotNotice(_ trouble: Trouble) throws {
        let alone = try run(.none, plan: trouble.plan)
        let together = try run(trouble, plan: trouble.plan)
        let ratio = together.seconds / alone.seconds
        #expect(ratio <= 1.02, "\(alone.seconds) s without, \(together.seconds) s with")
        #expect(together.room.host.end?.0 == true, "\(together.room.host.log.suffix(6))")
        for participant in together.others {
            #expect(participant.rewritten == 0 && participant.badFrames == 0)
        }
    }

    @Test func nothingGoesOutTwiceBeforeEverythingWentOnce() throws {
        let (room, _, _) = try run(.late, plan: Trouble.late.plan)
        let chunks = room.image.existing.count
        let first = room.host.sweptChunks.prefix(chunks)
        #expect(Set(first).count == chunks, "a chunk went out again while another had not gone out at all")
        // What went out before it came goes out once more; nothing else does.
        #expect(room.host.sweptChunks.count <= chunks + chunks / 2 + 4)
    }
}
