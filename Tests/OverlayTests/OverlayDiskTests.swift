// The overlay's bookkeeping without a kernel: states of blocks, limits, messages.
import Blocks
import Linux
import Overlay
import SystemPackage
import TestSupport
import Testing

/// An overlay over a small random source, beside an array that shows what it must read as.
private final class ModelledDisk {
    let disk: OverlayDisk
    let pool: SharedMemory
    var expected: [UInt8]
    let source: [UInt8]

    init(size: Int, slots: Int = 64, seed: UInt64 = 1) throws {
        var numbers = SplitMix(seed: seed)
        source = numbers.bytes(size)
        expected = source
        let memory = try SharedMemory("source", byteCount: 1024 + size)
        let file = try Descriptor(opening: "/proc/self/fd/\(memory.number)", .readWrite)
        try file.write(source, at: 1024)
        pool = try SharedMemory("pool", byteCount: slots * 4096)
        disk = OverlayDisk(
            source: file, extent: Extent(offset: 1024, length: UInt64(size)), pool: pool, firstSlot: 0)
    }

    func write(_ bytes: [UInt8], at offset: Int) throws {
        let result = unsafe bytes.withUnsafeBytes { buffer in
            Result { () throws(SystemError) in try unsafe disk.write(buffer, at: UInt64(offset)) }
        }
        try result.get()
        expected.replaceSubrange(offset..<offset + bytes.count, with: bytes)
    }

    func punch(_ offset: Int, _ length: Int, mayBeFree: Bool = true) throws {
        try disk.punch(offset: UInt64(offset), length: UInt64(length), mayBeFree: mayBeFree)
        expected.replaceSubrange(offset..<offset + length, with: [UInt8](repeating: 0, count: length))
    }

    func read(_ offset: Int, _ count: Int) throws -> [UInt8] {
        let buffer = AlignedBuffer(capacity: count)
        try unsafe disk.read(
            into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[0..<count]), at: UInt64(offset))
        return buffer.withBytes(count) { $0.array }
    }
}

@Suite struct OverlayDiskTests {
    @Test func holesAreFreeOnlyWhileTrimming() throws {
        let model = try ModelledDisk(size: 40 * 4096)
        try model.punch(0, 4 * 4096)
        model.disk.enter(.trimming)
        try model.punch(8 * 4096, 4 * 4096)
        try model.punch(16 * 4096, 4 * 4096, mayBeFree: false)
        model.disk.enter(.after)
        try model.punch(24 * 4096, 4 * 4096)
        let result = model.disk.result()
        #expect(result.free == ExtentSet([Extent(offset: 8 * 4096, length: 4 * 4096)]))
        let zeroed = [0, 16, 24].map { Extent(offset: $0 * 4096, length: 4 * 4096) }
        #expect(result.changes.zeroed == ExtentSet(zeroed))
    }

    @Test func writesAfterTheTrimMakeUsedAgain() throws {
        let model = try ModelledDisk(size: 40 * 4096)
        model.disk.enter(.trimming)
        try model.punch(0, 40 * 4096)
        try model.write([1, 2, 3], at: 5 * 4096 + 512)
        // Zeros are content too.
        try model.write([UInt8](repeating: 0, count: 4096), at: 7 * 4096)
        let free = model.disk.result().free
        #expect(
            free
                == ExtentSet([
                    Extent(0..<5 * 4096), Extent(6 * 4096..<7 * 4096), Extent(8 * 4096..<40 * 4096),
                ]))
        #expect(try model.read(0, 40 * 4096) == model.expected)
    }

    @Test func zeroedPartsOfFreeBlocksAreUsedAgain() throws {
        let model = try ModelledDisk(size: 40 * 4096)
        model.disk.enter(.trimming)
        try model.punch(0, 40 * 4096)
        // Written zeros that arrive as a hole of less than a block.
        try model.punch(5 * 4096 + 512, 1024, mayBeFree: false)
        model.disk.enter(.after)
        try model.punch(9 * 4096, 512)
        #expect(
            model.disk.result().free
                == ExtentSet([
                    Extent(0..<5 * 4096), Extent(6 * 4096..<9 * 4096), Extent(10 * 4096..<40 * 4096),
                ]))
        #expect(try model.read(0, 40 * 4096) == model.expected)
    }

    @Test func partsOfBlocksAreNeverFree() throws {
        let model = try ModelledDisk(size: 40 * 4096)
        model.disk.enter(.trimming)
        try model.punch(512, 3 * 4096)
        try model.punch(10 * 4096 + 1024, 2048)
        #expect(model.disk.result().free == ExtentSet([Extent(4096..<3 * 4096)]))
        #expect(try model.read(0, 40 * 4096) == model.expected)
        #expect(model.disk.result().nextSlot == 0, "zeroed sectors need no slot")
    }

    @Test(arguments: 1...20)
    func readsWhatWasWritten(_ seed: UInt64) throws {
        let size = 64 * 4096 + 1536
        let model = try ModelledDisk(size: size, slots: 66, seed: seed)
        var numbers = SplitMix(seed: seed &* 77)
        for step in 0..<300 {
            if step == 100 { model.disk.enter(.trimming) }
            if step == 200 { model.disk.enter(.after) }
            let offset = Int(numbers.next() % UInt64(size / 512)) * 512
            let length = min(Int(numbers.next() % 40 + 1) * 512, size - offset)
            switch numbers.next() % 4 {
            case 0: try model.punch(offset, length)
            case 1: try model.punch(offset, length, mayBeFree: false)
            case 2: try model.write([UInt8](repeating: 0, count: length), at: offset)
            default: try model.write(numbers.bytes(length), at: offset)
            }
        }
        #expect(try model.read(0, size) == model.expected)
        #expect(try model.read(1000, 9000) == Array(model.expected[1000..<10_000]))
        // What the capture will read from source, patches and zeroed blocks, free blocks aside.
        let (free, changes, _) = model.disk.result()
        var captured = model.source
        for extent in changes.zeroed.extents {
            captured.replaceSubrange(
                Int(extent.offset)..<Int(extent.end), with: [UInt8](repeating: 0, count: Int(extent.length)))
        }
        for patch in changes.patches {
            let start = Int(patch.block) * 4096
            for index in start..<min(start + 4096, size) {
                switch patch.content {
                case .slot(let slot):
                    captured[index] = unsafe model.pool.bytes[Int(slot) * 4096 + index - start]
                case .zeroSectors(let mask):
                    if mask >> ((index - start) / 512) & 1 != 0 { captured[index] = 0 }
                }
            }
        }
        for extent in ExtentSet([Extent(offset: 0, length: UInt64(size))]).subtracting(free).extents {
            let range = Int(extent.offset)..<Int(extent.end)
            #expect(captured[range] == model.expected[range])
        }
    }

    @Test func fullPoolIsAnError() throws {
        let model = try ModelledDisk(size: 16 * 4096, slots: 2)
        try model.write([UInt8](repeating: 0, count: 1 << 15), at: 0)
        #expect(model.disk.result().nextSlot == 0, "zeros need no slot")
        try model.write(Array(0..<128) + Array(0..<128), at: 512)
        try model.write([1], at: 2 * 4096)
        #expect(!model.disk.isPoolFull)
        #expect(throws: SystemError.self) { try model.write([1], at: 3 * 4096 + 1) }
        #expect(model.disk.isPoolFull)
        // A hole gives a slot back.
        try model.punch(0, 4096)
        try model.write([9], at: 3 * 4096)
        #expect(try model.read(0, 16 * 4096) == model.expected)
    }

    @Test func bitmapAgainstASet() {
        let count: UInt64 = 100_000
        var numbers = SplitMix(seed: 3)
        var bitmap = BlockBitmap(count: count)
        var model = [Bool](repeating: false, count: Int(count))
        for _ in 0..<400 {
            let from = numbers.next() % count
            let long = numbers.next() % 4 == 0
            let to = min(count, from + numbers.next() % (long ? 70_000 : 200))
            let value = numbers.next() % 2 == 0
            if value { bitmap.insert(from..<to) } else { bitmap.remove(from..<to) }
            for index in from..<to { model[Int(index)] = value }
        }
        var rebuilt = [Bool](repeating: false, count: Int(count))
        for range in bitmap.ranges {
            for block in range { rebuilt[Int(block)] = true }
        }
        #expect(rebuilt == model)
        #expect((0..<count).allSatisfy { bitmap.contains($0) == model[Int($0)] })
        #expect(zip(bitmap.ranges, bitmap.ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound })
    }

    @Test func edgesOfAPartitionAreAlwaysUsed() {
        let free = ExtentSet([Extent(offset: 0, length: 10 * MiB)])
        let used = usedExtents(of: 10 * MiB, free: free)
        #expect(used == ExtentSet([Extent(0..<MiB), Extent(9 * MiB..<10 * MiB)]))
        #expect(usedExtents(of: 2 * MiB, free: free) == ExtentSet([Extent(0..<2 * MiB)]))
        let ragged = ExtentSet([Extent(offset: 2 * MiB + 1, length: 12_286)])
        #expect(usedExtents(of: 10 * MiB, free: ragged).byteCount == 10 * MiB - 4096)
    }
}

@Suite struct PlausibilityTests {
    /// Free 100 MiB of 1000 MiB, 8 MiB held back, on a partition of 1100 MiB.
    private func claim(_ fileSystem: String, _ recorded: UInt64) -> FreeSpaceClaim {
        FreeSpaceClaim(
            fileSystem: fileSystem, recorded: recorded, partitionSize: 1100 * MiB,
            statistics: SpaceStatistics(
                blockSize: 4096, blocks: 256_000, freeBlocks: 25_600, readOnly: false,
                reserved: ["xfs", "btrfs"].contains(fileSystem) ? 8 * MiB : 0))
    }

    @Test(arguments: [
        ("ext2", 101 * MiB), ("ext3", 101 * MiB), ("ext4", 101 * MiB), ("vfat", 101 * MiB),
        ("exfat", 101 * MiB),
        ("ntfs", 101 * MiB), ("f2fs", 101 * MiB), ("xfs", 139 * MiB), ("btrfs", 209 * MiB),
    ])
    func plantedHoleTripsTheRule(_ fileSystem: String, _ limit: UInt64) throws {
        #expect(claim(fileSystem, limit).objection == nil)
        let objection = try #require(claim(fileSystem, limit + 1).objection)
        #expect(objection.contains((limit + 1).asBytes))
        #expect(claim(fileSystem, 0).objection == nil)
    }

    @Test func absurdFiguresDoNotOverflow() {
        for fileSystem in ["ext4", "xfs", "btrfs"] {
            var claim = claim(fileSystem, .max)
            claim.statistics.blocks = .max
            claim.statistics.freeBlocks = .max
            claim.statistics.reserved = .max
            claim.partitionSize = .max
            _ = claim.objection
            claim.statistics.freeBlocks = 0
            claim.partitionSize = 0
            _ = claim.objection
        }
    }
}

@Suite struct FileSystemFlagTests {
    /// A reader over bytes set at offsets; everything else is zero, and the partition ends after 1 MiB.
    private func advice(_ fileSystem: String, _ fields: [(at: Int, bytes: [UInt8])]) throws -> MountAdvice {
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        for field in fields {
            bytes.replaceSubrange(field.at..<field.at + field.bytes.count, with: field.bytes)
        }
        return try adviceBeforeMount(fileSystem) { (offset, count) throws(SystemError) in
            let start = min(Int(clamping: offset), bytes.count)
            return Array(bytes[start..<min(start + count, bytes.count)])
        }
    }

    @Test func severalDevices() throws {
        #expect(try advice("btrfs", [(0x10088, [1, 0, 0, 0, 0, 0, 0, 0])]) == .mount)
        #expect(try advice("btrfs", [(0x10088, [2])]) == .whole("it is a btrfs of several devices"))
        #expect(try advice("f2fs", []) == .mount)
        #expect(
            try advice("f2fs", [(1024 + 2201, Array("/dev".utf8))])
                == .whole("it is an f2fs of several devices"))
        #expect(
            try advice("f2fs", [(5120 + 2201, Array("/dev".utf8))])
                == .whole("it is an f2fs of several devices"))
    }

    @Test func exfatDirtyFlag() throws {
        #expect(try advice("exfat", [(106, [0, 0])]) == .mount)
        #expect(try advice("exfat", [(106, [2, 0])]) == .whole("it was not unmounted cleanly"))
    }

    @Test func hostileNTFS() throws {
        var numbers = SplitMix(seed: 9)
        for _ in 0..<2000 {
            _ = try advice(
                "ntfs", [(0, numbers.bytes(512)), (4096, Array("FILE".utf8) + numbers.bytes(1020))])
            // A table inside the partition, attributes of random lengths.
            var boot = numbers.bytes(512)
            boot.replaceSubrange(11..<14, with: [0, 2, 1])
            boot.replaceSubrange(48..<56, with: [2, 0, 0, 0, 0, 0, 0, 0])
            boot[64] = 246
            _ = try advice("ntfs", [(0, boot), (1024 + 3072, Array("FILE".utf8) + numbers.bytes(1020))])
        }
    }
}
