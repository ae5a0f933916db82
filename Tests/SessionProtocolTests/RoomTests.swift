// Rooms at the limits of real ones, in short: `make simulate` runs them long.
import Blocks
import SessionProtocol
import SessionSimulation
import Testing

@Suite struct RoomTests {
    private func plan(
        _ participants: Int, _ loss: Double, burst: Int = 1, MiB: Int, seed: UInt64 = 1
    ) -> RoomPlan {
        var plan = RoomPlan()
        plan.participants = participants
        plan.loss = loss
        plan.burst = burst
        plan.imageBytes = MiB << 20
        plan.seed = seed
        return plan
    }

    private func figures(_ plan: RoomPlan) throws -> RoomFigures {
        let room = try Room(plan)
        try room.run()
        #expect(room.host.end?.0 == true, "seed \(plan.seed)")
        // The host's memory is bounded, however large the image is.
        let limit = room.host.machine.session.frameBytesLimit
        #expect(limit <= 64 << 20 && (1...limit).contains(room.host.mostFrameBytes), "seed \(plan.seed)")
        #expect(room.participants.allSatisfy { $0.rewritten == 0 && $0.badFrames == 0 })
        return room.figures
    }

    /// A perfect session sends what the unluckiest participant lacks of each stripe: a double repair would show.
    @Test(arguments: [1, 20])
    func aHundredLose(burst: Int) throws {
        let figures = try figures(plan(100, 0.01, burst: burst, MiB: 200))
        #expect(figures.extraAirtime >= figures.theory * 0.9, "\(figures)")
        #expect(figures.extraAirtime <= figures.theory * 1.25 + 0.003, "\(figures)")
        #expect(figures.mostReports <= 1050, "\(figures)")
        #expect(figures.chunksOverControl <= 3, "\(figures)")
        #expect(figures.lostForWantOfBuffers == 0, "\(figures)")
    }

    @Test func aHundredOnACleanNetwork() throws {
        let one = try figures(plan(1, 0, MiB: 200))
        let hundred = try figures(plan(100, 0, MiB: 200))
        #expect(hundred.extraAirtime == 0, "\(hundred)")
        #expect(hundred.seconds <= one.seconds * 1.02, "\(one)\n\(hundred)")
        #expect(hundred.linkShare >= 0.95, "\(hundred)")
        #expect(hundred.mostReports <= 1050, "\(hundred)")
    }

    @Test func aThousand() throws {
        let figures = try figures(plan(1000, 0.01, MiB: 24))
        // So few chunks have a tail of their own; what must hold is that nobody sends twice and nobody shouts.
        #expect(figures.extraAirtime <= figures.theory * 1.25 + 0.01, "\(figures)")
        #expect(figures.mostReports <= 1050, "\(figures)")
    }

    @Test func disksThatAreSlowerThanTheWire() throws {
        var plan = plan(4, 0, MiB: 1200)
        plan.linkRate = 1_250_000_000
        let figures = try figures(plan)
        // The content is longer than its frames, so the disk, not the wire, is what the session must come near to.
        #expect(figures.diskShare >= 0.85, "\(figures)")
        // Nothing is sent to be dropped.
        #expect(figures.extraAirtime <= 0.05, "\(figures)")
    }

    @Test func aSeedReplays() throws {
        let plan = plan(20, 0.02, burst: 3, MiB: 24, seed: 7)
        let first = try Room(plan)
        try first.run()
        let second = try Room(plan)
        try second.run()
        #expect(first.figures == second.figures)
        #expect(first.host.sent.passes == second.host.sent.passes)
        #expect(first.participants.map(\.completed) == second.participants.map(\.completed))
        #expect(first.world.now == second.world.now && first.world.events == second.world.events)
        var other = plan
        other.seed = 8
        let third = try Room(other)
        try third.run()
        #expect(first.figures != third.figures)
    }

    /// The theory itself, against rooms small enough to be counted by hand.
    @Test func theLeastAirtime() {
        // One participant needs a geometric number of attempts: p / (1 - p) lost ones.
        let one = Theory.extraSymbols(symbols: 1, participants: 1, loss: 0.2)
        #expect(abs(one - 0.25) < 1e-6)
        // The larger of two such numbers: 2 p / (1 - p) - p² / (1 - p²).
        let two = Theory.extraSymbols(symbols: 1, participants: 2, loss: 0.2)
        #expect(abs(two - (0.5 - 0.04 / 0.96)) < 1e-6)
        let many = Theory.extraSymbols(symbols: 124, participants: 1, loss: 0.05)
        #expect(abs(many - 124 * 0.05 / 0.95) < 1e-6)
    }

    /// More bytes to come than a product with nanoseconds holds: the host used to trap at the first pass.
    @Test func hundredsOfGigabytes() throws {
        var plan = RoomPlan()
        plan.participants = 2
        plan.imageBytes = 200 << 30
        let room = try Room(plan)
        room.world.run(limit: 60_000 * ms) { room.host.sent.passes.count >= 20 }
        #expect(room.host.sent.passes.count >= 20)
        #expect(room.host.end == nil)
    }
}
