// A made-up image, a host that sends it and participants that check every byte of it.
import Blocks
import Linux
import SessionProtocol
import SessionTransport
import Synchronization
import TestSupport

/// An image whose every frame the test knows.
protocol KnownImage: Sendable {
    var id: GUID { get }
    var existing: ChunkSet { get }
    func expected(_ chunk: UInt32) -> [UInt8]
}

/// An image of made-up frames: each chunk's bytes follow from its number.
final class MadeUpImage: FrameProvider, KnownImage {
    let id: GUID
    let existing: ChunkSet
    let payloadBytes: Int
    /// The chunk that cannot be loaded, if there is one.
    let broken: UInt32?
    private let loads = Atomic<Int>(0)

    init(chunks: Int, payloadBytes: Int, broken: UInt32? = nil) {
        id = GUID(random: Random.bytes(16))
        // Every third number does not exist, as in an image with free regions.
        existing = ChunkSet((0..<UInt32(chunks)).map { $0 * 3 / 2 })
        self.payloadBytes = payloadBytes
        self.broken = broken
    }

    var loaded: Int { loads.load(ordering: .relaxed) }

    func frame(chunk: UInt32) throws -> [UInt8] {
        loads.add(1, ordering: .relaxed)
        guard chunk != broken else {
            throw TransportError("chunk \(chunk) of the made-up image is unreadable")
        }
        return expected(chunk)
    }

    func expected(_ chunk: UInt32) -> [UInt8] { MadeUpImage.frame(chunk, payloadBytes: payloadBytes) }

    static func frame(_ chunk: UInt32, payloadBytes: Int) -> [UInt8] {
        // Lengths differ, so that the last symbols and stripes do.
        let payload = payloadBytes - Int(chunk % 7) * 100
        var writer = ByteWriter(reserving: payload + 128)
        writer.u16(3)
        writer.u16(40)
        writer.u32(UInt32(payload))
        writer.u32(chunk)
        writer.append(zeros: 36)
        var state = UInt64(chunk) &+ 0x9e37_79b9_7f4a_7c15
        for _ in 0..<payload / 8 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            writer.u64(state)
        }
        writer.append(zeros: payload % 8)
        return writer.bytes
    }
}

/// What a participant of a test saw.
struct Visit: Sendable {
    var frames = 0
    var wrongFrames = 0
    /// Why it failed, or nil.
    var failure: String?
    var events: [String] = []
    var progress: ParticipantProgress?
    var bursts = LossBursts()
    var fingerprint: String?
}

/// One participant: takes part in a session and checks what it gets.
final class Visitor: Sendable {
    let seen = Mutex(Visit())
    private let settings: ParticipantSettings
    private let image: any KnownImage
    private let runner = Mutex<ParticipantRunner?>(nil)
    /// Called with the number of frames so far, from the threads that decode.
    private let onFrame: @Sendable (Int) -> Void

    init(
        _ settings: ParticipantSettings, _ image: any KnownImage,
        onFrame: @escaping @Sendable (Int) -> Void = { _ in }
    ) {
        self.settings = settings
        self.image = image
        self.onFrame = onFrame
    }

    var isRunning: Bool { runner.withLock { $0 != nil } }

    func cancel(_ reason: String) { runner.withLock { $0 }?.cancel(reason: reason) }

    /// Stops without a word, as a machine does that is switched off.
    func vanish() { runner.withLock { $0 }?.abandon() }

    /// Takes part from beginning to end, inside the calling thread's network namespace.
    func run() -> Visit {
        do {
            let runner = try ParticipantRunner(settings) { [self] event in note(event) }
            self.runner.withLock { $0 = runner }
            try take(runner)
        } catch {
            seen.withLock { $0.failure = "\(error)" }
        }
        return seen.withLock { $0 }
    }

    private func take(_ runner: ParticipantRunner) throws {
        do {
            let session = try runner.join()
            seen.withLock { $0.fingerprint = session.hostKey.fingerprint.description }
            guard session.image == image.id, session.existing == image.existing else {
                throw TransportError("the host sent another image")
            }
            runner.need(session.existing)
            let workers = (1...2).map { number in
                Thread("decode-\(number)") { [self] in try decode(runner) }
            }
            for worker in workers { try worker.join() }
        } catch {
            try? runner.finish(.failed("\(error)"))
            figures(runner)
            throw error
        }
        try runner.finish(.done(bytes: 0, text: "checked"))
        figures(runner)
    }

    private func figures(_ runner: ParticipantRunner) {
        seen.withLock { visit in
            visit.progress = runner.progress
            visit.bursts = runner.lossBursts
        }
    }

    private func decode(_ runner: ParticipantRunner) throws {
        while let frame = try runner.nextFrame() {
            let expected = image.expected(frame.chunk)
            let isRight = frame.withBytes { $0.array == expected }
            runner.release(frame)
            let count = seen.withLock { visit in
                visit.frames += 1
                if !isRight { visit.wrongFrames += 1 }
                return visit.frames
            }
            runner.chunkDone(frame.chunk)
            onFrame(count)
        }
    }

    private func note(_ event: ParticipantEvent) {
        let text: String? =
            switch event {
            case .found(let endpoint, let fingerprint): "found \(endpoint.address) \(fingerprint)"
            case .accepted: "accepted"
            case .waiting(let joined, let stillNeeded): "waiting \(joined)/\(stillNeeded)"
            case .started: "started"
            case .frame: nil
            case .complete: "complete"
            case .notice(let text): "notice \(text)"
            case .lostHost(let text): "lost \(text)"
            case .lostSight: "lost sight"
            case .rejoined: "rejoined"
            case .ended(let end): "ended \(end)"
            }
        if let text { seen.withLock { $0.events.append(text) } }
    }
}

/// A host inside a LAN's host namespace.
final class Hosting: Sendable {
    let runner: HostRunner
    let events = Events()
    private let thread: Thread<HostOutcome>

    /// Starts to host `image` as session "test" for `participants`; `frames` are those of the image.
    init(
        _ image: MadeUpImage, on lan: NamespaceLAN, participants: Int?, machine: String? = nil,
        frames: (any FrameProvider)? = nil,
        change: @escaping @Sendable (inout HostSettings) -> Void = { _ in },
        told: @escaping @Sendable (HostEvent) -> Void = { _ in }
    ) throws {
        let collected = events
        let made = lan.thread(on: machine ?? lan.host) {
            guard let hostKey = PrivateKey(seed: Random.bytes(32)) else { throw TransportError("no key") }
            var settings = HostSettings(
                name: "test", image: image.id, manifest: Array("{}".utf8), existing: image.existing,
                maximumFrameBytes: image.payloadBytes + 64, hostKey: hostKey,
                interface: try HostInterface.choose(named: nil, address: nil))
            settings.participants = participants
            settings.registrationTimeout = 20 * second
            settings.linger = 2 * second
            change(&settings)
            return try HostRunner(settings, frames: frames ?? image) { event in
                told(event)
                collected.list.withLock { $0.append("\(event)") }
            }
        }
        let runner = try made.join()
        self.runner = runner
        thread = Thread("host") { try runner.run() }
    }

    func outcome() throws -> HostOutcome { try thread.join() }
}

final class Events: Sendable {
    let list = Mutex<[String]>([])
}
