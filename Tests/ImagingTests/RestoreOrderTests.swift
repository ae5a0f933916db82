// The order that loses nothing: prepare after the first proven chunk, tables after everything else.
import Blocks
import ImageFormat
import Imaging
import Linux
import Synchronization
import Testing
import TestSupport

/// A sink that writes down what is asked of it, in order, and keeps the data in memory.
private final class RecordingSink: ContentSink {
    enum Event: Equatable, Sendable {
        case prepare
        case write(offset: UInt64, length: Int)
        case flush
        case finish(tables: Int)
        case abandon
    }

    private struct State: Sendable {
        var events: [Event] = []
        var content: [UInt8]
        var failingWrite: Int?
        var failsToPrepare = false
        /// A byte that changes on its own when everything is written.
        var rot: Int?
    }

    private let state: Mutex<State>

    init(size: Int, failingWrite: Int? = nil, failsToPrepare: Bool = false, rot: Int? = nil) {
        state = Mutex(
            State(
                content: [UInt8](repeating: 0, count: size), failingWrite: failingWrite,
                failsToPrepare: failsToPrepare, rot: rot))
    }

    var events: [Event] { state.withLock { $0.events } }
    var content: [UInt8] { state.withLock { $0.content } }

    func prepare() throws {
        let fails = state.withLock { state in
            state.events.append(.prepare)
            return state.failsToPrepare
        }
        guard fails else { return }
        // Long enough for every other decoder to stand at the gate.
        MonotonicClock.sleep(nanoseconds: 50_000_000)
        throw ImagingError("the disk cannot be emptied")
    }

    func write(_ bytes: UnsafeRawBufferPointer, disk: Int, offset: UInt64) throws {
        let copy = unsafe [UInt8](bytes)
        try state.withLock { state in
            if state.failingWrite == state.events.count {
                throw ImagingError("the disk is broken at \(offset)")
            }
            state.events.append(.write(offset: offset, length: copy.count))
            state.content.replaceSubrange(Int(offset)..<Int(offset) + copy.count, with: copy)
        }
    }

    func flush() throws {
        state.withLock { state in
            state.events.append(.flush)
            // The first flush comes before the first region is written, the second before everything is read back.
            let flushes = state.events.count { $0 == .flush }
            if let rot = state.rot, flushes == 2 { state.content[rot] ^= 1 }
        }
    }

    func read(_ bytes: UnsafeMutableRawBufferPointer, disk: Int, offset: UInt64) throws {
        let part = state.withLock { Array($0.content[Int(offset)..<Int(offset) + bytes.count]) }
        unsafe bytes.copyBytes(from: part)
    }

    func name(ofDisk disk: Int) -> String { "memory" }

    func finish(tables: [TableContent]) throws {
        state.withLock { $0.events.append(.finish(tables: tables.count)) }
    }

    func abandon() { state.withLock { $0.events.append(.abandon) } }
}

/// A source that hands out frames made in memory, and takes them back changed where a test wants it.
private final class MemorySource: FrameSource {
    private let frames: Mutex<[SourceFrame]>
    private let log = Mutex<(rejected: [UInt32], completed: [UInt32])>(([], []))
    private let throwsWhenRejected: Bool

    init(_ frames: [(number: UInt32, bytes: [UInt8])], throwsWhenRejected: Bool) {
        self.frames = Mutex(frames.map { SourceFrame(number: $0.number, bytes: $0.bytes) })
        self.throwsWhenRejected = throwsWhenRejected
    }

    var rejected: [UInt32] { log.withLock { $0.rejected.sorted() } }
    var completed: [UInt32] { log.withLock { $0.completed.sorted() } }

    func next() throws -> SourceFrame? { frames.withLock { $0.isEmpty ? nil : $0.removeFirst() } }
    func release(_ frame: SourceFrame) {}
    func completed(_ number: UInt32) { log.withLock { $0.completed.append(number) } }
    func rejected(_ number: UInt32, because error: DecodeError) throws {
        log.withLock { $0.rejected.append(number) }
        if throwsWhenRejected { throw ImagingError("chunk \(number) is damaged: \(error)") }
    }
    func cancel(because error: any Error) { frames.withLock { $0 = [] } }
}

struct RestoreOrderTests {
    private static let size = 1 << 20
    private let layout: ChunkLayout
    private let frames: [(number: UInt32, bytes: [UInt8])]
    private let content: [UInt8]

    /// Sixteen regions of 64 KiB, of which sector 0 is the table.
    init() throws {
        layout = try ChunkLayout(chunkSize: 64 * KiB, diskSizes: [UInt64(RestoreOrderTests.size)])
        var random = SeededRandom(seed: 3)
        var content = random.bytes(RestoreOrderTests.size)
        content.replaceSubrange(5 << 16..<6 << 16, with: [UInt8](repeating: 0, count: 1 << 16))
        self.content = content
        let encoder = FrameEncoder(try #require(Compression(word: "speed")), layout: layout)
        var frames: [(number: UInt32, bytes: [UInt8])] = []
        for region in 0..<16 {
            let start = UInt64(region) << 16 + (region == 0 ? 512 : 0)
            let extent = Extent(start..<UInt64(region + 1) << 16)
            let bytes = Array(content[Int(extent.offset)..<Int(extent.end)])
            let number = UInt32(region)
            frames.append((number, encoder.frame(number: number, disk: 0, extents: [extent], content: bytes)))
        }
        let table = layout.tableNumber(disk: 0)
        frames.append(
            (
                table,
                encoder.frame(
                    kind: .table, number: table, disk: 0, extents: [Extent(offset: 0, length: 512)],
                    roles: [.mbr],
                    content: Array(content[0..<512]))
            ))
        self.frames = frames
    }

    private func damaged(_ frame: (number: UInt32, bytes: [UInt8])) -> (number: UInt32, bytes: [UInt8]) {
        var bytes = frame.bytes
        bytes[bytes.count - 20] ^= 1
        return (frame.number, bytes)
    }

    private func pipeline(_ source: MemorySource, _ sink: RecordingSink) -> RestorePipeline {
        RestorePipeline(
            layout: layout, wanted: ChunkSet(frames.map(\.number)), source: source, sink: sink,
            progress: Progress())
    }

    @Test func tablesComeLast() throws {
        let source = MemorySource([frames[16]] + frames[0..<16], throwsWhenRejected: true)
        let sink = RecordingSink(size: RestoreOrderTests.size)
        try pipeline(source, sink).run()
        let events = sink.events
        #expect(events.first == .prepare)
        #expect(events.filter { $0 == .prepare }.count == 1)
        #expect(events.last == .finish(tables: 1))
        // The first region waits until all others are on the medium.
        #expect(events.suffix(3).first == .flush)
        #expect(events.suffix(2).first == .write(offset: 512, length: 65_024))
        #expect(events.count == 19)
        #expect(sink.content[512...] == content[512...])
        #expect(source.completed == frames.map(\.number))
    }

    @Test func verificationReadsBackBeforeTheTables() throws {
        let source = MemorySource(frames, throwsWhenRejected: true)
        let sink = RecordingSink(size: RestoreOrderTests.size)
        try pipeline(source, sink).run(verify: true)
        #expect(sink.events.suffix(2) == [.flush, .finish(tables: 1)])
    }

    @Test(arguments: [512, 5 << 16, (1 << 20) - 1]) func verificationSeesAByteThatChanged(_ place: Int) throws
    {
        let source = MemorySource(frames, throwsWhenRejected: true)
        let sink = RecordingSink(size: RestoreOrderTests.size, rot: place)
        let error = try #require(throws: ImagingError.self) { try pipeline(source, sink).run(verify: true) }
        #expect(error.description.hasPrefix("memory does not read back as written in the bytes from"))
        #expect(sink.events.suffix(2) == [.flush, .abandon])
    }

    /// A session's damaged frames are asked for again: until one is proven, nothing is touched.
    @Test func garbageNeverPrepares() throws {
        let source = MemorySource(frames.map(damaged), throwsWhenRejected: false)
        let sink = RecordingSink(size: RestoreOrderTests.size)
        let error = try #require(throws: ImagingError.self) { try pipeline(source, sink).run() }
        #expect(error.description == "17 of 17 chunks did not arrive")
        #expect(sink.events == [.abandon])
        // The region of zeros has no payload to damage but a hash.
        #expect(source.rejected == frames.map(\.number))
    }

    @Test func everyTruncatedFrameIsRejected() throws {
        for length in [0, 1, 7, 8, 30, 60, 1000] {
            let cut = frames.map { (number: $0.number, bytes: Array($0.bytes.prefix(length))) }
            let short = cut.enumerated().filter { $1.bytes.count < frames[$0].bytes.count }.map(\.element)
            let source = MemorySource(short, throwsWhenRejected: false)
            let sink = RecordingSink(size: RestoreOrderTests.size)
            #expect(throws: ImagingError.self) { try pipeline(source, sink).run() }
            #expect(sink.events == [.abandon])
        }
    }

    @Test func framesUnderAnotherNumberAreRejected() throws {
        let swapped = zip(frames, frames.dropFirst()).map { (number: $0.number, bytes: $1.bytes) }
        let source = MemorySource(swapped, throwsWhenRejected: false)
        let sink = RecordingSink(size: RestoreOrderTests.size)
        #expect(throws: ImagingError.self) { try pipeline(source, sink).run() }
        #expect(sink.events == [.abandon])
    }

    @Test func prepareWaitsForTheFirstProvenChunk() throws {
        let source = MemorySource(
            frames.dropLast(2).map(damaged) + frames.suffix(2), throwsWhenRejected: false)
        let sink = RecordingSink(size: RestoreOrderTests.size)
        let error = try #require(throws: ImagingError.self) { try pipeline(source, sink).run() }
        #expect(error.description == "15 of 17 chunks did not arrive")
        #expect(sink.events.first == .prepare)
        #expect(sink.events.last == .abandon)
        #expect(!sink.events.contains(.finish(tables: 1)))
    }

    @Test func aMissingChunkOrTableIsAFailure() throws {
        for missing in frames.indices {
            var some = frames
            some.remove(at: missing)
            let sink = RecordingSink(size: RestoreOrderTests.size)
            let run = pipeline(MemorySource(some, throwsWhenRejected: true), sink)
            let error = try #require(throws: ImagingError.self) { try run.run() }
            #expect(error.description == "1 of 17 chunks did not arrive")
            #expect(sink.events.last == .abandon)
        }
    }

    @Test func aFailedWriteEndsTheRestore() throws {
        for failing in Array(1...15) + [17] {
            let source = MemorySource(frames, throwsWhenRejected: true)
            let sink = RecordingSink(size: RestoreOrderTests.size, failingWrite: failing)
            let error = try #require(throws: ImagingError.self) { try pipeline(source, sink).run() }
            #expect(error.description.hasPrefix("the disk is broken at"))
            #expect(sink.events.last == .abandon)
            #expect(!sink.events.contains(.finish(tables: 1)))
        }
    }

    /// What one thread could not empty, another must not begin to empty again.
    @Test func disksAreEmptiedOnce() throws {
        let source = MemorySource(frames, throwsWhenRejected: true)
        let sink = RecordingSink(size: RestoreOrderTests.size, failsToPrepare: true)
        let error = try #require(throws: ImagingError.self) { try pipeline(source, sink).run() }
        #expect(error.description == "the disk cannot be emptied")
        #expect(sink.events == [.prepare, .abandon])
    }

    @Test func aCancelledRestoreAbandons() throws {
        let source = MemorySource(frames, throwsWhenRejected: true)
        let sink = RecordingSink(size: RestoreOrderTests.size)
        let run = pipeline(source, sink)
        run.cancel("interrupted by SIGINT")
        let error = try #require(throws: ImagingError.self) { try run.run() }
        #expect(error.description == "interrupted by SIGINT")
        #expect(sink.events == [.abandon])
    }
}
