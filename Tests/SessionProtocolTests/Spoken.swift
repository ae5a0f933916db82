// A host's machine spoken to directly, message by message.
import Blocks
import SessionProtocol
import SessionSimulation

/// A host's machine, and what it answered.
final class Spoken {
    let scene: Scene
    var machine: HostMachine
    var now: UInt64
    var closed: Set<ConnectionID> = []
    var events: [String] = []
    var end: (Bool, String)?
    /// The sentences sent over each connection, and what went to everyone by discovery.
    var sentences: [ConnectionID: [String]] = [:]
    var broadcasts: [[UInt8]] = []
    /// The chunks sent over each connection.
    var chunks: [ConnectionID: Set<UInt32>] = [:]

    init(seed: UInt64, participants: Int?, _ change: (inout HostConfiguration) -> Void = { _ in }) throws {
        scene = Scene(seed: seed, chunks: 12)
        now = scene.world.now
        var configuration = try scene.host(participants: participants).configuration
        change(&configuration)
        machine = try HostMachine(configuration: configuration, now: now)
    }

    var existing: ChunkSet { scene.image.existing }

    func take() {
        while let output = machine.nextOutput() {
            switch output {
            case .close(let id): closed.insert(id)
            case .load(let chunk):
                if let frame = scene.image.frame(chunk) { machine.frameLoaded(chunk, frame, now: now) }
            case .send(let id, let bytes) where bytes[4] == 6:
                chunks[id, default: []].insert(bytes[8..<12].reversed().reduce(0) { $0 << 8 | UInt32($1) })
            case .send(let id, let bytes) where bytes[4] == 8:
                note(bytes, to: id)
            case .datagram(.everyone, let bytes): broadcasts.append(bytes)
            case .event(.ended(let isComplete, let text)): end = (isComplete, text)
            case .event(let event): events.append("\(event)")
            default: break
            }
        }
    }

    private func note(_ message: [UInt8], to id: ConnectionID) {
        let body = Array(message[Specification.messageHeaderBytes...])
        guard let notice = body.withBytes({ try? NoticeMessage(from: $0) }), !notice.text.isEmpty else {
            return
        }
        sentences[id, default: []].append(notice.text)
    }

    func say(_ id: ConnectionID, _ bytes: [UInt8]) {
        bytes.withBytes { machine.received(id, $0, now: now) }
        take()
    }

    /// Connects and joins as machine `number`.
    ///
    /// Each `run` of it has an identifier of its own.
    func join(_ id: ConnectionID, number: Int, run: UInt8 = 9) {
        let address = Address(ipv4: 0x0a00_0100 + UInt32(number))
        machine.connected(id, from: Endpoint(address, port: 40000), now: now)
        let bytes = [UInt8(number >> 8), UInt8(number & 255)]
        say(
            id,
            JoinMessage(
                nonce: [UInt8](repeating: 7, count: 32),
                participant: GUID(random: bytes + [UInt8](repeating: run, count: 14)), session: "lab1",
                identity: ParticipantIdentity(name: "pc\(number)", mac: [2, 0, 0, 0] + bytes)
            ).encode())
    }

    func need(_ id: ConnectionID) { say(id, NeedMessage(mode: .all, chunks: existing).encode()) }

    func done(_ id: ConnectionID, chunks: Int) {
        say(id, DoneMessage(chunks: UInt64(chunks), bytes: 1, text: "").encode())
    }

    func wait(_ time: UInt64) {
        now += time
        machine.advance(now: now)
        take()
    }
}
