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

    /// The most seconds the troubled one may take in all, where the room alone takes `alone`.
    func mostSeconds(alone: Double, _ image: SimulatedImage) -> Double {
        switch self {
        case .none: alone
        // What it missed comes after the room is through.
        case .stopped: 2 * alone
        // Its disk writes without a pause, but for a tenth.
        case .slowDisk: Double(image.contentBytes) / 20e6 * 1.1 + 1
        // A quarter more for its own losses, once more from the beginning.
        case .lossy: 4 * alone
        case .late, .restarted: 2.5 * alone
        }
    }

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
        room: Room, others: [SimulatedParticipant], seconds: Double, swept: Int
    ) {
        let room = try Room(plan)
        let one = room.participants[0]
        let others = Array(room.participants.dropFirst())
        func untilPassed(_ share: Double) {
            let count = Int(Double(room.image.existing.count) * share)
            room.world.run(limit: 600_000 * ms) { room.host.sent.passes.count >= count }
        }
        // How many chunks were out when a latecomer was let in.
        var swept = 0
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
            let late = try room.join(plan.faults)
            room.world.run(limit: 60_000 * ms) { late.accepted != nil }
            swept = room.host.sent.passes.count
        case .restarted:
            untilPassed(0.33)
            one.crash(silently: false)
            room.world.run(limit: 2_000 * ms) { false }
            try room.join(plan.faults, as: one.number)
        }
        try room.run()
        return (room, others, room.seconds(of: others), swept)
    }

    @Test(arguments: Trouble.allCases.filter { $0 != .none })
    func theOthersDoNotNotice(_ trouble: Trouble) throws {
        let alone = try run(.none, plan: trouble.plan)
        let together = try run(trouble, plan: trouble.plan)
        let ratio = together.seconds / alone.seconds
        #expect(ratio <= 1.02, "\(alone.seconds) s without, \(together.seconds) s with")
        let own = together.room.seconds(of: together.room.participants.filter(\.isAlive))
        let most = trouble.mostSeconds(alone: alone.seconds, together.room.image)
        #expect(own <= most, "the straggler took \(own) s: \(together.room.figures)")
        #expect(together.room.host.end?.0 == true, "\(together.room.host.log.suffix(6))")
        for participant in together.others {
            #expect(participant.rewritten == 0 && participant.badFrames == 0)
        }
    }

    @Test func nothingGoesOutTwiceBeforeEverythingWentOnce() throws {
        let (room, _, _, swept) = try run(.late, plan: Trouble.late.plan)
        let chunks = room.image.existing.count
        let first = room.host.sweptChunks.prefix(chunks)
        #expect(Set(first).count == chunks, "a chunk went out again while another had not gone out at all")
        // What went out before it came, and while it planned, goes out once more or over TCP; nothing else does.
        #expect(swept > 0 && swept < chunks)
        #expect(room.host.sweptChunks.count <= chunks + swept + 4)
    }

    /// One that loses nearly everything, but hears something, asks for more than the air has: a latecomer must not wait
    /// for it.
    @Test func aHopelessOneDoesNotStarveALatecomer() throws {
        func secondsOfTheLatecomer(withHopeless: Bool) throws -> Double {
            var plan = RoomPlan()
            plan.participants = 8
            plan.imageBytes = 700 << 20
            let room = try Room(plan)
            if withHopeless { room.participants[0].faults.loss = 0.95 }
            let half = room.image.existing.count / 2
            room.world.run(limit: 600_000 * ms) { room.host.sent.passes.count >= half }
            let late = try room.join(plan.faults)
            let joined = room.world.now
            room.world.run(limit: 600_000 * ms) { late.end != nil }
            #expect(late.end == .done)
            return Double(room.world.now - joined) / 1e9
        }
        let alone = try secondsOfTheLatecomer(withHopeless: false)
        let together = try secondsOfTheLatecomer(withHopeless: true)
        #expect(together < alone * 1.15 + 0.5, "\(alone) s without, \(together) s with")
    }
}
