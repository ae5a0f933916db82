// A session kept as an image file: the same image to the byte, in whatever order and however often frames come.
import Blocks
import ImageFormat
import Imaging
import Linux
import Synchronization
import SystemPackage
import Testing
import TestSupport

/// A source that hands out frames in the order given, good or not, and notes what is said of them.
private final class ScriptedSource: FrameSource {
    private struct State: Sendable {
        var frames: [SourceFrame]
        var rejected: [UInt32] = []
        var completed: [UInt32] = []
        var released = 0
        var cancelled: String?
        /// Delivered when a chunk has been rejected, as a host sends it again.
        var again: [UInt32: [UInt8]]
    }

    private let state: Mutex<State>

    init(_ frames: [(number: UInt32, bytes: [UInt8])], again: [UInt32: [UInt8]] = [:]) {
        state = Mutex(
            State(frames: frames.map { SourceFrame(number: $0.number, bytes: $0.bytes) }, again: again))
    }

    var rejected: [UInt32] { state.withLock { $0.rejected.sorted() } }
    var completed: [UInt32] { state.withLock { $0.completed.sorted() } }
    var released: Int { state.withLock { $0.released } }
    var cancelled: String? { state.withLock { $0.cancelled } }

    func next() throws -> SourceFrame? {
        state.withLock { $0.frames.isEmpty ? nil : $0.frames.removeFirst() }
    }
    func release(_ frame: SourceFrame) { state.withLock { $0.released += 1 } }
    func completed(_ number: UInt32) { state.withLock { $0.completed.append(number) } }

    func rejected(_ number: UInt32, because error: DecodeError) throws {
        state.withLock { state in
            state.rejected.append(number)
            if let bytes = state.again.removeValue(forKey: number) {
                state.frames.append(SourceFrame(number: number, bytes: bytes))
            }
        }
    }

    func cancel(because error: any Error) {
        state.withLock { state in
            state.cancelled = "\(error)"
            state.frames = []
        }
    }
}

@Suite struct RecordingTests {
    private let layout: ChunkLayout
    /// Frames of sixteen regions of 64 KiB, one of zeros and one with bad sectors, and of the table.
    private let frames: [(number: UInt32, bytes: [UInt8])]
    private let manifest: [UInt8]
    private let wanted: ChunkSet

    init() throws {
        layout = try ChunkLayout(chunkSize: 64 * KiB, diskSizes: [MiB])
        var random = SeededRandom(seed: 9)
        var content = random.bytes(Int(MiB))
        content.replaceSubrange(5 << 16..<6 << 16, with: repeatElement(0, count: 1 << 16))
        content.replaceSubrange(7 << 16..<7 << 16 + 1024, with: repeatElement(0, count: 1024))
        // Text shrinks: some frames are compressed, some stored.
        for index in 8 << 16..<12 << 16 { content[index] = UInt8(truncatingIfNeeded: index >> 9) }
        let encoder = FrameEncoder(.balanced, layout: layout)
        var frames: [(number: UInt32, bytes: [UInt8])] = []
        for region in 0..<16 {
            let extent = Extent(UInt64(region) << 16 + (region == 0 ? 512 : 0)..<UInt64(region + 1) << 16)
            frames.append(
                (
                    UInt32(region),
                    encoder.frame(
                        number: UInt32(region), disk: 0, extents: [extent],
                        unreadable: region == 7 ? [Extent(offset: 7 << 16, length: 1024)] : [],
                        content: Array(content[Int(extent.offset)..<Int(extent.end)]))
                ))
        }
        let table = layout.tableNumber(disk: 0)
        frames.append(
            (
                table,
                encoder.frame(
                    kind: .table, number: table, disk: 0, extents: [Extent(offset: 0, length: 512)],
                    roles: [.mbr], content: Array(content[0..<512]))
            ))
        self.frames = frames
        wanted = ChunkSet(frames.map(\.number))
        let made = Manifest(
            imageID: GUID(random: random.bytes(16)), created: "2026-11-21T10:00:00Z", creator: "test",
            firmware: "bios", layout: layout, chunkCount: 17, usedBytes: MiB,
            disks: [
                Manifest.DiskEntry(
                    size: MiB, logicalSectorSize: 512, physicalSectorSize: 512, tableType: "dos", model: "",
                    serial: "", bus: "virtio", rotational: false, role: "data", smallestTarget: MiB)
            ], partitions: [])
        // A host of another version may say more, and in another order.
        let text = String(decoding: try made.encoded(), as: UTF8.self)
        manifest = Array(#"{"anotherVersionsField": [1, 2], "#.utf8) + Array(text.dropFirst().utf8)
    }

    private func recording(_ path: String, _ source: ScriptedSource) throws -> SessionRecording {
        try SessionRecording(
            path: path, manifest: manifest, layout: layout, wanted: wanted, source: source,
            progress: Progress())
    }

    /// Whether `path` is the image, frame by frame as it was sent.
    private func expectImage(_ path: String, location: SourceLocation = #_sourceLocation) throws {
        let image = try ImageFileReader(path: path)
        #expect(image.origin == .index, sourceLocation: location)
        #expect(image.manifestJSON == manifest, sourceLocation: location)
        #expect(image.imageID == (try Manifest(decoding: manifest).identifier()), sourceLocation: location)
        #expect(image.existing == wanted, sourceLocation: location)
        for frame in frames {
            let entry = try #require(image.entry(frame.number))
            #expect(try image.frame(entry) == frame.bytes, sourceLocation: location)
        }
        #expect(
            image.closing.unreadable == [
                ClosingRecord.Unreadable(disk: 0, extent: Extent(offset: 7 << 16, length: 1024))
            ], sourceLocation: location)
    }

    @Test(arguments: 0..<6 as Range<UInt64>) func anyOrderMakesTheSameImage(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let source = ScriptedSource(frames.shuffled(using: &random))
        try withTemporaryDirectory { directory in
            let path = "\(directory)/a.img"
            let result = try recording(path, source).run()
            try expectImage(path)
            #expect(result.path == path && result.frameCount == 17 && result.contentBytes == MiB)
            #expect(result.fileBytes == (try FileStatus(of: path).size))
            #expect(result.unreadable.count == 1)
            #expect(source.completed == wanted.numbers.map { $0 } && source.released == 17)
            #expect(try FileTree.entries(of: directory) == ["a.img"])
        }
    }

    /// A host that came back sends what it does not know to be there; a raised generation brings other bytes.
    @Test func whatComesTwiceIsWrittenOnce() throws {
        let other = FrameEncoder(.none, layout: layout)
        let (header, content) = try frames[9].bytes.withBytes { span throws(DecodeError) in
            try FrameDecoder().content(of: span, layout: layout)
        }
        let again = other.frame(number: 9, disk: 0, extents: header.extents, content: content)
        #expect(again != frames[9].bytes)
        let source = ScriptedSource(frames + frames[3..<6] + [(9, again)] + [frames[16]])
        try withTemporaryDirectory { directory in
            let path = "\(directory)/a.img"
            let result = try recording(path, source).run()
            #expect(result.frameCount == 17)
            let image = try ImageFileReader(path: path)
            let entry = try #require(image.entry(9))
            // Threads race for the two; either is the chunk.
            let kept = try image.frame(entry)
            #expect(kept == frames[9].bytes || kept == again)
            #expect(source.completed.count == 22 && source.released == 22)
            #expect(result.fileBytes == (try FileStatus(of: path).size))
            let sum = frames.reduce(0) { $0 + $1.bytes.count } - frames[9].bytes.count + kept.count
            #expect(image.entries.reduce(0) { $0 + $1.headerLength + $1.header.payloadLength } == sum)
        }
    }

    @Test func damagedFramesAreAskedForAgain() throws {
        let damaged = frames.map { frame in
            var bytes = frame.bytes
            bytes[bytes.count - 20] ^= 1
            return (number: frame.number, bytes: bytes)
        }
        let again = Dictionary(uniqueKeysWithValues: frames.map { ($0.number, $0.bytes) })
        let source = ScriptedSource(damaged, again: again)
        try withTemporaryDirectory { directory in
            let path = "\(directory)/a.img"
            _ = try recording(path, source).run()
            try expectImage(path)
            #expect(source.rejected == frames.map(\.number))
        }
    }

    /// A chunk that the image does not have is nobody's.
    @Test func aFrameNobodyWantsIsRejected() throws {
        let small = ChunkSet(frames[1...].map(\.number))
        var text = String(decoding: manifest, as: UTF8.self)
        text.replaceSubrange(
            try #require(text.firstRange(of: "\"chunkCount\":17")), with: "\"chunkCount\":16")
        let source = ScriptedSource(frames)
        try withTemporaryDirectory { directory in
            let path = "\(directory)/a.img"
            let recording = try SessionRecording(
                path: path, manifest: Array(text.utf8), layout: layout, wanted: small, source: source,
                progress: Progress())
            #expect(try recording.run().frameCount == 16)
            #expect(source.rejected == [0])
            #expect(try ImageFileReader(path: path).existing == small)
        }
    }

    @Test func withoutAChunkThereIsNoFile() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/a.img"
            let source = ScriptedSource(Array(frames.dropLast()))
            let error = try #require(throws: ImagingError.self) { try recording(path, source).run() }
            #expect(error.description == "1 of 17 chunks did not arrive")
            #expect(try FileTree.entries(of: directory) == [])
        }
    }

    @Test func aCancelledRecordingLeavesNoFile() throws {
        try withTemporaryDirectory { directory in
            let source = ScriptedSource(frames)
            let recording = try recording("\(directory)/a.img", source)
            recording.cancel("interrupted by SIGINT")
            let error = try #require(throws: ImagingError.self) { try recording.run() }
            #expect(error.description == "interrupted by SIGINT")
            #expect(source.cancelled == "interrupted by SIGINT")
            #expect(try FileTree.entries(of: directory) == [])
        }
    }

    @Test func anExistingFileOrAMissingDirectoryIsRefusedBeforehand() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/a.img"
            #expect(try SessionRecording.check(path: path) > 0)
            #expect(try FileTree.entries(of: directory) == [], "asking leaves nothing behind")
            try write("precious", to: path)
            let error = try #require(throws: ImagingError.self) { try SessionRecording.check(path: path) }
            #expect(error.description == "\(path) exists already; an image never replaces a file")
            let nowhere = "\(directory)/no/a.img"
            #expect(throws: SystemError.self) { try SessionRecording.check(path: nowhere) }
            #expect(try FileTree.text(of: path) == "precious")
        }
    }
}

extension OnRealTargets {
    /// A file system that fills up: one sentence that names the file, the source is told, and no file.
    @Test func aFullFileSystemEndsTheRecording() throws {
        try withTemporaryDirectory { directory in
            try run("mount", "-t", "tmpfs", "-o", "size=320k", "img-test", directory)
            defer { _ = try? run("umount", directory) }
            let path = "\(directory)/a.img"
            let layout = try ChunkLayout(chunkSize: 64 * KiB, diskSizes: [MiB])
            let encoder = FrameEncoder(.none, layout: layout)
            let frames = (0..<UInt32(16)).map { number in
                (
                    number: number,
                    bytes: encoder.frame(
                        number: number, disk: 0,
                        extents: [Extent(offset: UInt64(number) << 16, length: 64 * KiB)],
                        content: noise(1 << 16))
                )
            }
            let manifest = Manifest(
                imageID: GUID(random: Random.bytes(16)), created: "2026-11-21T10:00:00Z", creator: "test",
                firmware: "bios", layout: layout, chunkCount: 16, usedBytes: MiB,
                disks: [
                    Manifest.DiskEntry(
                        size: MiB, logicalSectorSize: 512, physicalSectorSize: 512, tableType: "none",
                        model: "", serial: "", bus: "virtio", rotational: false, role: "data",
                        smallestTarget: MiB)
                ], partitions: [])
            let source = ScriptedSource(frames)
            let recording = try SessionRecording(
                path: path, manifest: try manifest.encoded(), layout: layout,
                wanted: ChunkSet(frames.map(\.number)), source: source, progress: Progress())
            let notice = try #require(try recording.spaceNotice(usedBytes: MiB))
            #expect(notice.hasPrefix("\(path) has room for "), "\(notice)")
            let error = try #require(throws: ImagingError.self) { try recording.spaceNotice(usedBytes: GiB) }
            #expect(error.description.contains("far too little for an image of 1.07 GB"), "\(error)")
            let full = try #require(throws: SystemError.self) { try recording.run() }
            #expect(full.errno == .noSpace && full.description.hasPrefix("cannot write \(path) at "))
            #expect(source.cancelled == full.description)
            #expect(try FileTree.entries(of: directory) == [])
        }
    }
}
