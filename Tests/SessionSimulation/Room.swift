// A room at the limits of a real one, counted symbol by symbol but without bytes: a session and its figures.
import Blocks
import SessionProtocol

/// What is simulated.
package struct RoomPlan: Hashable, Sendable {
    package var participants = 1
    /// Share of the datagrams each participant loses, independently of the others.
    package var loss = 0.0
    /// Datagrams that are lost in a row.
    package var burst = 1
    /// Bytes of the image's frames, about.
    package var imageBytes = 256 << 20
    package var seed: UInt64 = 1
    /// Bytes per second of every link, and of every disk.
    package var linkRate: UInt64 = 125_000_000
    package var diskRate: UInt64 = 400_000_000
    /// Bytes each participant has for chunks on their way.
    package var poolBytes = 256 << 20

    package init() {}

    package var faults: Faults {
        var faults = Faults.losing(loss, inBurstsOf: burst)
        faults.bandwidth = linkRate
        faults.diskRate = diskRate
        faults.poolBytes = poolBytes
        return faults
    }
}

/// Why a simulated session has no figures: one sentence.
package struct RoomError: Error, CustomStringConvertible {
    package let description: String

    package init(description: String) { self.description = description }
}

/// One host and its participants.
package final class Room {
    package let plan: RoomPlan
    package let world: Simulation
    package let image: SimulatedImage
    package let host: SimulatedHost

    /// The host waits for all participants of the plan; `expected` is for those a test adds.
    package init(_ plan: RoomPlan, expected: Int? = nil) throws {
        self.plan = plan
        world = Simulation(seed: plan.seed, linkRate: plan.linkRate)
        image = SimulatedImage.large(seed: plan.seed, bytes: plan.imageBytes)
        let address = Address(ipv4: 0x0a00_0001)
        guard let hostKey = PrivateKey(seed: world.random.bytes(32)),
            let sessionKey = PrivateKey(seed: world.random.bytes(32))
        else { throw RoomError(description: "a key has no 32 bytes") }
        var configuration = HostConfiguration(
            name: "lab1", session: world.random.next(), image: image.id, manifest: image.manifest,
            existing: image.existing, maximumFrameBytes: image.longestFrame, hostKey: hostKey,
            sessionKey: sessionKey, addresses: [address], group: Address.group(of: "lab1", family: .ipv4))
        configuration.participants = expected ?? plan.participants
        // No cap of ours: the links and what participants take are the limits.
        configuration.rate = Room.noCap
        host = try SimulatedHost(world, configuration, image: image, address: address)
        for _ in 0..<plan.participants { try join(plan.faults) }
    }

    /// Bytes per second that no link of the simulation carries.
    private static let noCap: UInt64 = 2_500_000_000

    /// One more participant; with a number, the machine that had it comes back as a new run.
    @discardableResult
    package func join(_ faults: Faults, as number: Int? = nil) throws -> SimulatedParticipant {
        try SimulatedParticipant(
            world, number: number ?? world.participants.count + 1, faults: faults, countsOnly: true)
    }

    package var participants: [SimulatedParticipant] { world.participants }

    /// When the first symbol went out, in nanoseconds.
    package var began: UInt64 { host.sent.began ?? world.now }

    /// Runs until everyone who lives has ended.
    package func run(limit: UInt64 = 7_200_000 * ms) throws {
        world.runToEnd(limit: limit)
        for participant in participants where participant.isAlive {
            guard participant.end == .done, participant.disk.count == participant.needed.count else {
                throw RoomError(
                    description: """
                        pc\(participant.number) has \(participant.disk.count) of \(participant.needed.count) chunks \
                        after \(world.now / (1000 * ms)) s and ended with \(String(describing: participant.end)): \
                        \(participant.log.suffix(4))
                        """)
            }
        }
    }

    /// Seconds from the first symbol until the last of `participants` had everything on its disk.
    package func seconds(of participants: [SimulatedParticipant]) -> Double {
        let last = participants.reduce(0) { max($0, $1.completed ?? world.now) }
        return Double(last - began) / 1e9
    }

    package var figures: RoomFigures { RoomFigures(of: self) }
}

/// What came out of a simulated session.
package struct RoomFigures: Equatable, Sendable {
    /// Virtual seconds from the first symbol until the last participant had everything on its disk.
    package let seconds: Double
    /// Bytes of all frames with their seals, and the source symbols they are.
    package let imageBytes: Int
    package let sourceSymbols: Int
    /// Symbols sent beyond the source symbols, per source symbol, and what a perfect session would send.
    package let extraAirtime: Double
    package let theory: Double
    /// Share of the session's time in which the host's card sent the data plane.
    package let linkShare: Double
    /// Share in which the busiest participant's disk wrote.
    package let diskShare: Double
    /// Reports in the session's busiest second, and on average.
    package let mostReports: Int
    package let meanReports: Double
    /// Chunks that went over TCP, and symbols dropped for want of a buffer, of all participants.
    package let chunksOverControl: Int
    package let lostForWantOfBuffers: UInt64
    /// Symbols participants had already, per symbol they received.
    package let repeated: Double
    /// Share of the session after the last chunk's first pass.
    package let tail: Double

    init(of room: Room) {
        let layouts = room.image.layouts
        let source = layouts.reduce(0) { $0 + $1.symbols }
        seconds = room.seconds(of: room.participants)
        imageBytes = layouts.reduce(0) { $0 + $1.length }
        sourceSymbols = source
        extraAirtime = Double(room.host.sent.symbols) / Double(max(source, 1)) - 1
        theory = Theory.extraAirtime(
            of: layouts, participants: room.plan.participants, loss: room.plan.loss)
        let time = max(seconds, 1e-9)
        linkShare = Double(room.host.busyWithData) / 1e9 / time
        diskShare = room.participants.reduce(0) { max($0, Double($1.diskBusy)) } / 1e9 / time
        let first = Int(room.began / 1_000_000_000)
        let last = first + Int(seconds.rounded(.up))
        let reports = room.world.reportsPerSecond.enumerated().filter { (first...last).contains($0.offset) }
        mostReports = reports.reduce(0) { max($0, $1.element) }
        meanReports = Double(reports.reduce(0) { $0 + $1.element }) / time
        chunksOverControl = room.host.machine.session.chunksOverControl
        var lost: UInt64 = 0
        var received: UInt64 = 0
        var again: UInt64 = 0
        for participant in room.participants {
            lost += participant.machine.progress.lostForWantOfBuffers
            received += participant.machine.progress.symbolsReceived
            again += participant.machine.progress.symbolsRepeated
        }
        lostForWantOfBuffers = lost
        repeated = Double(again) / Double(max(received, 1))
        var passed: Set<UInt32> = []
        var lastPass = room.began
        for pass in room.host.sent.passes where passed.insert(pass.chunk).inserted { lastPass = pass.time }
        tail = 1 - Double(lastPass - room.began) / 1e9 / time
    }

    /// What kept the session from being shorter.
    package var limit: String {
        if linkShare >= 0.95 { return "link" }
        if diskShare >= 0.9 { return "disk" }
        if lostForWantOfBuffers > 0 { return "buffers" }
        return tail >= 0.05 ? "tail" : "rate control"
    }
}
