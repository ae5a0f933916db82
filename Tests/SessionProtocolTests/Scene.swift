// A world with one host and some participants, and what every simulation must end with.
import Blocks
import SessionProtocol
import SessionSimulation
import Testing

/// A world with one host, and what a test needs to check it.
struct Scene {
    let world: Simulation
    let image: SimulatedImage
    let hostSeed: [UInt8]

    init(seed: UInt64, chunks: Int = 40) {
        world = Simulation(seed: seed)
        image = SimulatedImage.mixed(seed: seed, count: chunks)
        hostSeed = world.random.bytes(32)
    }

    @discardableResult
    func host(
        participants: Int? = 1, image: SimulatedImage? = nil, key: [UInt8]? = nil,
        address: UInt32 = 0x0a00_0001,
        _ change: (inout HostConfiguration) -> Void = { _ in }
    ) throws -> SimulatedHost {
        let image = image ?? self.image
        let host = Address(ipv4: address)
        var configuration = HostConfiguration(
            name: "lab1", session: world.random.next(), image: image.id, manifest: image.manifest,
            existing: image.existing, maximumFrameBytes: image.longestFrame,
            hostKey: try #require(PrivateKey(seed: key ?? hostSeed)),
            sessionKey: try #require(PrivateKey(seed: world.random.bytes(32))), addresses: [host],
            group: Address.group(of: "lab1", family: .ipv4))
        configuration.participants = participants
        configuration.rate = 25_000_000
        configuration.frameMemory = 4 << 20
        change(&configuration)
        return try SimulatedHost(world, configuration, image: image, address: host)
    }

    @discardableResult
    func participants(_ count: Int, _ faults: Faults = Faults(), pinned: Fingerprint? = nil) throws
        -> [SimulatedParticipant]
    {
        let first = world.participants.count + 1
        return try (first..<first + count).map {
            try SimulatedParticipant(world, number: $0, faults: faults, pinned: pinned)
        }
    }

    var fingerprint: Fingerprint? { PrivateKey(seed: hostSeed)?.publicKey.fingerprint }

    /// Every one of `participants` has exactly the bytes it asked for, and knows it.
    func expectComplete(
        _ participants: [SimulatedParticipant], with image: SimulatedImage? = nil,
        at location: SourceLocation = #_sourceLocation
    ) {
        let image = image ?? self.image
        for participant in participants {
            let label = "seed \(world.seed), pc\(participant.number), log \(participant.log.suffix(6))"
            #expect(participant.end == .done, "\(label)", sourceLocation: location)
            #expect(
                ChunkSet(participant.disk.keys) == participant.needed, "\(label)", sourceLocation: location)
            let isEqual = participant.disk.allSatisfy { image.contents[$0.key] == $0.value }
            #expect(isEqual, "\(label)", sourceLocation: location)
            #expect(participant.rewritten == 0, "\(label)", sourceLocation: location)
        }
    }

    func expectEnd(
        _ host: SimulatedHost, complete: Bool, at location: SourceLocation = #_sourceLocation
    ) {
        #expect(
            host.end?.0 == complete, "seed \(world.seed), log \(host.log.suffix(8))", sourceLocation: location
        )
    }
}
