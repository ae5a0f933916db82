// Bad sectors: exactly what a disk does not give back is zeros, and a dying disk is given up in time.
import Blocks
import ImageFormat
import Imaging
import Linux
import Synchronization
import SystemPackage
import Testing
import TestSupport

/// Disks in memory of which some sectors of 512 bytes cannot be read.
private final class FailingSource: ContentSource {
    struct State: Sendable {
        var bad: Set<UInt64>
        var reads = 0
        var failedReads = 0
        var largestRead = 0
    }

    let bytes: [UInt8]
    let name: String
    private let errno: Errno
    /// Whether a sector fails only once.
    private let isTransient: Bool
    /// What the overlay holds, by place.
    private let known: [(extent: Extent, byte: UInt8)]
    private let state: Mutex<State>

    init(
        _ bytes: [UInt8], bad: some Sequence<UInt64>, errno: Errno = .ioError, isTransient: Bool = false,
        known: [(extent: Extent, byte: UInt8)] = [], name: String = "/dev/sdx"
    ) {
        self.bytes = bytes
        self.errno = errno
        self.isTransient = isTransient
        self.known = known
        self.name = name
        state = Mutex(State(bad: Set(bad)))
    }

    var seen: State { state.withLock { $0 } }
    func heal() { state.withLock { $0.bad = [] } }

    func read(_ target: UnsafeMutableRawBufferPointer, disk: Int, offset: UInt64) throws {
        #expect(offset % 512 == 0 && target.count % 512 == 0 && target.count > 0)
        let sectors = offset / 512..<(offset + UInt64(target.count)) / 512
        let fails = state.withLock { state in
            state.reads += 1
            state.largestRead = max(state.largestRead, target.count)
            let hit = sectors.contains { state.bad.contains($0) }
            if hit { state.failedReads += 1 }
            if hit, isTransient { state.bad.subtract(sectors) }
            return hit
        }
        // A read that fails has transferred something nevertheless.
        unsafe target.initializeMemory(as: UInt8.self, repeating: 0xee)
        if fails { throw SystemError("read \(name) at \(offset)", errno) }
        unsafe target.copyBytes(from: bytes[Int(offset)..<Int(offset) + target.count])
        _ = unsafe patch(target, disk: disk, offset: offset)
    }

    func patch(_ target: UnsafeMutableRawBufferPointer, disk: Int, offset: UInt64) -> ExtentSet {
        let window = Extent(offset: offset, length: UInt64(target.count))
        var replaced = ExtentSet()
        for (extent, byte) in known {
            guard let part = extent.intersection(window) else { continue }
            let from = Int(part.offset - offset)
            unsafe UnsafeMutableRawBufferPointer(rebasing: target[from..<from + Int(part.length)])
                .initializeMemory(as: UInt8.self, repeating: byte)
            replaced.insert(part)
        }
        return replaced
    }

    func name(ofDisk disk: Int) -> String { name }
}

private func item(_ extents: [Extent], kind: FrameKind = .chunk) -> CaptureItem {
    CaptureItem(
        kind: kind, number: 0, disk: 0, extents: extents,
        roles: kind == .table ? extents.map { _ in .mbr } : [])
}

private func sectors(_ first: UInt64, _ count: UInt64 = 1) -> Extent {
    Extent(offset: first * 512, length: count * 512)
}

@Suite struct SectorRescueTests {
    private let content: [UInt8]

    /// A disk of 4096 sectors without a zero byte.
    init() {
        var random = SeededRandom(seed: 11)
        content = random.bytes(4096 * 512).map { $0 == 0 ? 1 : $0 }
    }

    /// Reads `item` and returns its bytes and what was unreadable.
    private func read(_ reader: RescuingReader, _ item: CaptureItem) throws -> (
        bytes: [UInt8], lost: [Extent]
    ) {
        let count = item.extents.reduce(0) { $0 + Int($1.length) }
        let buffer = AlignedBuffer(capacity: count)
        let lost = try unsafe reader.read(item, into: buffer.bytes)
        return (buffer.withBytes(count) { $0.array }, lost)
    }

    /// What the disk's bytes are once `lost` is zeros.
    private func expected(_ item: CaptureItem, lost: ExtentSet) -> [UInt8] {
        item.extents.flatMap { extent in
            (extent.offset..<extent.end).map { lost.contains($0) ? 0 : content[Int($0)] }
        }
    }

    @Test(
        arguments: [
            [], [0], [7], [63], [0, 1, 2], [5, 6, 40], [63, 64], [100, 101, 102, 130], Array(0..<64),
            Array(120..<135), [2000],
        ] as [[UInt64]])
    func exactlyTheBadSectorsAreZeros(bad: [UInt64]) throws {
        let item = item([sectors(0, 64), sectors(100, 35), sectors(200)])
        let source = FailingSource(content, bad: bad)
        let reader = RescuingReader(source: source, sectorSizes: [512])
        let (bytes, lost) = try read(reader, item)
        let inside = ExtentSet(bad.map { sectors($0) })
        #expect(lost == item.extents.flatMap { inside.intersection($0).extents })
        #expect(bytes == expected(item, lost: inside))
    }

    /// Whoever ends a capture does not wait for a dying disk.
    @Test func nothingIsTriedAfterTheEnd() throws {
        let source = FailingSource(content, bad: 0..<64)
        let reader = RescuingReader(source: source, sectorSizes: [512])
        reader.end()
        let error = #expect(throws: ImagingError.self) { try read(reader, item([sectors(0, 64)])) }
        #expect(error?.description == "the capture was ended")
    }

    @Test(arguments: 0..<40 as Range<UInt64>) func anyPatternOfBadSectors(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let piece: UInt64 = [512, 1024, 4096].randomElement(using: &random) ?? 512
        let cuts = (0..<8).map { _ in UInt64.random(in: 0...4096, using: &random) }.sorted()
        let extents = stride(from: 0, to: 8, by: 2).map { sectors(cuts[$0], cuts[$0 + 1] - cuts[$0]) }
        let item = item(ExtentSet(extents).extents)
        var bad: [UInt64] = []
        for _ in 0..<Int.random(in: 0...20, using: &random) {
            let first = UInt64.random(in: 0..<4096, using: &random)
            bad += first..<min(4096, first + UInt64.random(in: 1...30, using: &random))
        }
        let source = FailingSource(content, bad: bad)
        let reader = RescuingReader(
            source: source, sectorSizes: [512], smallestPieces: [UInt32(piece)])
        let (bytes, lost) = try read(reader, item)
        // What is read at once is a piece that a multiple of the physical sector begins or ends, or an extent does.
        var expectedLost: [Extent] = []
        for extent in item.extents {
            let inside = ExtentSet(bad.map { sectors($0) }).intersection(extent)
            expectedLost +=
                inside.roundedOutward(to: piece, limit: .max / 2).intersection(extent).extents
        }
        #expect(lost == expectedLost, "pieces of \(piece)")
        #expect(bytes == expected(item, lost: ExtentSet(expectedLost)))
    }

    @Test func whatFailsOnceIsReadAgain() throws {
        let source = FailingSource(content, bad: [3, 77], isTransient: true)
        let reader = RescuingReader(source: source, sectorSizes: [512])
        let (bytes, lost) = try read(reader, item([sectors(0, 128)]))
        #expect(lost == [])
        #expect(bytes == Array(content[..<(128 * 512)]))
        #expect(source.seen.reads == 2)
    }

    @Test func aSoundDiskIsReadInWholeExtents() throws {
        let source = FailingSource(content, bad: [])
        let reader = RescuingReader(source: source, sectorSizes: [512])
        _ = try read(reader, item([sectors(0, 1000), sectors(2000, 2000)]))
        #expect(source.seen.reads == 2 && source.seen.largestRead == 2000 * 512)
    }

    @Test func oneBadSectorCostsFewReads() throws {
        let source = FailingSource(content, bad: [1234])
        let reader = RescuingReader(source: source, sectorSizes: [512])
        _ = try read(reader, item([sectors(0, 4096)]))
        // Twice the whole, and then of twelve halvings one half each.
        #expect(source.seen.failedReads == 2 + 12)
        #expect(source.seen.reads == 2 + 24)
    }

    /// A later sweep must send the same bytes, and a drive that tries for seconds must not be asked again.
    @Test func whatWasGivenUpIsNotReadAgain() throws {
        let source = FailingSource(content, bad: [10, 11, 50])
        let reader = RescuingReader(source: source, sectorSizes: [512])
        let whole = item([sectors(0, 64)])
        let first = try read(reader, whole)
        let failures = source.seen.failedReads
        source.heal()
        let second = try read(reader, whole)
        #expect(second.lost == first.lost && second.bytes == first.bytes)
        #expect(first.lost == [sectors(10, 2), sectors(50)])
        #expect(source.seen.failedReads == failures)
        // Another item over the same place knows it as well.
        #expect(try read(reader, item([sectors(9, 2)])).lost == [sectors(10)])
    }

    /// What a journal's replay put into memory is not lost with the sector below it.
    @Test func whatTheOverlayHoldsNeedsNoDisk() throws {
        let known: [(extent: Extent, byte: UInt8)] = [
            (sectors(8, 8), 0xaa), (Extent(offset: 20 * 512 + 100, length: 50), 0xbb),
        ]
        let source = FailingSource(content, bad: [7, 8, 15, 16, 20], known: known)
        let reader = RescuingReader(source: source, sectorSizes: [512], smallestPieces: [4096])
        let (bytes, lost) = try read(reader, item([sectors(0, 32)]))
        #expect(lost == [sectors(0, 8), sectors(16, 8)])
        #expect(bytes[(8 * 512)..<(16 * 512)].allSatisfy { $0 == 0xaa })
        #expect(bytes[..<(8 * 512)].allSatisfy { $0 == 0 })
        #expect(bytes[(16 * 512)..<(24 * 512)].allSatisfy { $0 == 0 }, "less than a sector is no sector")
        #expect(bytes[(24 * 512)...] == content[(24 * 512)..<(32 * 512)])
    }

    @Test(arguments: [Errno.noSuchAddressOrDevice, Errno(rawValue: 19), .invalidArgument])
    func aDiskThatIsGoneEndsAtOnce(errno: Errno) throws {
        let source = FailingSource(content, bad: [0], errno: errno)
        let reader = RescuingReader(source: source, sectorSizes: [512])
        let error = try #require(throws: SystemError.self) { try read(reader, item([sectors(0, 64)])) }
        #expect(error.errno == errno)
        #expect(source.seen.reads == 1)
    }

    /// ENODATA, EREMOTEIO, EBADMSG, EILSEQ, ETIMEDOUT.
    @Test(arguments: [61, 121, 74, 84, 110] as [CInt]) func otherWordsForABadSector(errno: CInt) throws {
        let source = FailingSource(content, bad: [4], errno: Errno(rawValue: errno))
        let reader = RescuingReader(source: source, sectorSizes: [512])
        #expect(try read(reader, item([sectors(0, 8)])).lost == [sectors(4)])
    }

    @Test func aPartitionTableWithAHoleIsRefused() throws {
        let source = FailingSource(content, bad: [35])
        let reader = RescuingReader(source: source, sectorSizes: [512])
        let table = item([sectors(0), sectors(1), sectors(2, 40)], kind: .table)
        let error = try #require(throws: ImagingError.self) { try read(reader, table) }
        #expect(
            error.description
                == "/dev/sdx is not captured: sector 35, which belongs to its partition table, cannot be read"
        )
        source.heal()
        #expect(try read(reader, table).lost == [])
    }

    @Test func aTableSectorThatFailsOnceIsRead() throws {
        let source = FailingSource(content, bad: [1], isTransient: true)
        let reader = RescuingReader(source: source, sectorSizes: [512])
        let (bytes, lost) = try read(reader, item([sectors(0, 2)], kind: .table))
        #expect(lost == [] && bytes == Array(content[..<1024]))
    }

    @Test func aDiskThatAnswersNothingIsGivenUp() throws {
        let source = FailingSource(content, bad: 100..<4096)
        var limits = RescuingReader.Limits()
        limits.inARow = 200
        let reader = RescuingReader(source: source, sectorSizes: [512], limits: limits)
        let error = try #require(throws: ImagingError.self) { try read(reader, item([sectors(0, 4096)])) }
        #expect(
            error.description == "/dev/sdx is given up: 200 reads in a row failed, the last of sector 299")
        #expect(source.seen.failedReads < 2 * 200 + 40)
    }

    /// A sector that can be read between bad ones says that the disk is alive.
    @Test func aDiskWithManyBadSectorsIsGivenUpLater() throws {
        let source = FailingSource(content, bad: stride(from: 0, to: 4096, by: 2))
        var limits = RescuingReader.Limits()
        limits.inARow = 3
        let patient = RescuingReader(source: source, sectorSizes: [512], limits: limits)
        #expect(try read(patient, item([sectors(0, 4096)])).lost.count == 2048)
        limits.total = 500
        let reader = RescuingReader(source: source, sectorSizes: [512], limits: limits)
        let error = try #require(throws: ImagingError.self) { try read(reader, item([sectors(0, 4096)])) }
        #expect(
            error.description == "/dev/sdx is given up: 500 places cannot be read, the last is sector 998")
    }

    @Test func aDriveThatTriesForeverIsGivenUp() throws {
        let source = FailingSource(content, bad: [9])
        var limits = RescuingReader.Limits()
        limits.time = 0
        let reader = RescuingReader(source: source, sectorSizes: [512], limits: limits)
        let error = try #require(throws: ImagingError.self) { try read(reader, item([sectors(0, 64)])) }
        #expect(
            error.description.hasPrefix("/dev/sdx is given up: reading its bad sectors, 0 so far, has taken"))
    }

    /// Each disk has its own count: a dying one does not take a sound one's credit.
    @Test func disksAreJudgedEachByItself() throws {
        let source = FailingSource(content, bad: 0..<8)
        var limits = RescuingReader.Limits()
        limits.total = 10
        let reader = RescuingReader(source: source, sectorSizes: [512, 512], limits: limits)
        for disk in 0..<2 {
            let item = CaptureItem(kind: .chunk, number: 0, disk: disk, extents: [sectors(0, 16)])
            #expect(try read(reader, item).lost == [sectors(0, 8)])
        }
    }
}

@Suite struct UnreadableSectorsTests {
    private static let disks = [UInt32(512), 4096].map { sector in
        Manifest.DiskEntry(
            size: 1 << 30, logicalSectorSize: sector, physicalSectorSize: 4096, tableType: "gpt", model: "",
            serial: "", bus: "sata", rotational: true, role: "data", smallestTarget: 1 << 30)
    }

    private func make(_ ranges: [(disk: Int, offset: UInt64, length: UInt64)]) -> UnreadableSectors {
        UnreadableSectors(
            ranges.map {
                ClosingRecord.Unreadable(disk: $0.disk, extent: Extent(offset: $0.offset, length: $0.length))
            }, disks: Self.disks)
    }

    @Test func nothingIsNothing() {
        let none = make([])
        #expect(none.isEmpty && none.count == 0)
        #expect(none.warnings { _ in "" } == [])
        #expect(none.warnings(of: "on the disk") { _ in "" } == [])
    }

    /// Two chunks' ranges that meet are one run, in whatever order they came; sectors are the disk's own.
    @Test func sectorsAreCountedPerDisk() {
        let some = make([(0, 4096, 512), (1, 8192, 4096), (0, 3584, 512), (0, 512, 512), (0, 1024, 1)])
        #expect(some.count == 5)
        #expect(
            some.warnings { "/dev/sd\($0)" } == [
                "4 unreadable sectors on /dev/sd0 (first at sector 1): zeros in the image",
                "1 unreadable sector on /dev/sd1 (first at sector 2): zeros in the image",
            ])
        #expect(
            some.warnings(of: "on the disk") { "/dev/sd\($0)" } == [
                "completed with 5 unreadable sectors of the source (zeros on the disk)",
                "/dev/sd0: sectors 1 to 2", "/dev/sd0: sectors 7 to 8", "/dev/sd1: sector 2",
            ])
        #expect(
            make([(0, 0, 512)]).completed("in the image")
                == "completed with 1 unreadable sector of the source (zeros in the image)")
    }

    @Test func longListsAreCut() {
        let many = make((0..<25).map { (0, UInt64($0) * 2048, 1024) })
        let list = many.list { _ in "d" }
        #expect(list.count == 11)
        #expect(list[9] == "d: sectors 36 to 37")
        #expect(list[10] == "and 15 more places, 30 sectors")
    }
}
