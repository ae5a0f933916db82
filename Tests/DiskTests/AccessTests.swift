// The raw writer and reader: order, bounds, alignment, and one suite for every kind of disk.
import Blocks
import Disk
import Linux
import Testing
import TestSupport

/// What every `BlockDevice` does: run on memory, files and loop devices alike.
private func checkReading(
    _ device: some BlockDevice, holds expected: [UInt8], sourceLocation: SourceLocation = #_sourceLocation
) throws {
    #expect(device.size == UInt64(expected.count), sourceLocation: sourceLocation)
    #expect(device.size % UInt64(device.sectorSize) == 0, sourceLocation: sourceLocation)
    let end = expected.count
    let unit = Int(device.sectorSize)
    for (offset, count) in [
        (0, unit), (0, 1), (1, 1), (unit - 1, 2), (unit * 3 + 7, unit * 5), (end - unit, unit), (end - 1, 1),
        (end, 0),
        (0, end),
    ] {
        let found = try device.bytes(count, at: UInt64(offset))
        #expect(found == Array(expected[offset..<offset + count]), sourceLocation: sourceLocation)
    }
    for (offset, count) in [(UInt64(end), 1), (UInt64(end) - 1, 2), (UInt64.max, 1), (UInt64(end) + 1, 0)] {
        #expect(throws: (any Error).self, sourceLocation: sourceLocation) {
            try device.bytes(count, at: offset)
        }
    }
}

@Suite(.serialized) struct AccessTests {
    private static let size = 4 * MiB

    private func pattern(_ seed: UInt64, _ count: Int = Int(size)) -> [UInt8] {
        var generator = SeededGenerator(seed)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    }

    private func buffer(_ bytes: [UInt8]) -> AlignedBuffer {
        let buffer = AlignedBuffer(capacity: bytes.count)
        unsafe buffer.bytes.copyBytes(from: bytes)
        return buffer
    }

    @Test func everyKindOfDiskReadsAlike() throws {
        let content = pattern(1)
        try checkReading(MemoryDisk(content), holds: content)
        for place in ["/tmp", "/dev/shm"] {
            let path = "\(place)/img-test-access-\(Random.bytes(8).hex)"
            defer { _ = try? run("rm", "-f", path) }
            try write(content, to: path)
            let disk = try DiskInventory().describe(path: path)
            for direct in [true, false] { try checkReading(DiskReader(disk, direct: direct), holds: content) }
            let writer = try DiskWriter(disk, named: true)
            try checkReading(writer, holds: content)
            try writer.close()
        }
        for sectorSize in [512, 4096] {
            try withLoopDevice(AccessTests.size, sectorSize: sectorSize) { loop in
                try write(content, at: 0, of: loop.path)
                let disk = try DiskInventory().describe(path: loop.path)
                #expect(disk.sectorSize == UInt32(sectorSize))
                for direct in [true, false] {
                    try checkReading(DiskReader(disk, direct: direct), holds: content)
                }
                let writer = try DiskWriter(disk, named: true)
                #expect(writer.isDirect)
                try checkReading(writer, holds: content)
                try writer.close()
            }
        }
    }

    /// Writes, reads back, flushes, writes tables and compares the whole disk with a model in memory.
    private func checkWriting(_ path: String, sectorSize: UInt32) throws {
        let disk = try DiskInventory().describe(path: path, .init(fileSectorSize: sectorSize))
        var model = try DiskReader(disk).everything()
        let writer = try DiskWriter(disk, named: true)
        var generator = SeededGenerator(7)
        let unit = Int(sectorSize)
        for _ in 0..<40 {
            let count = unit * Int.random(in: 1...64, using: &generator)
            let offset = unit * Int.random(in: 0...((model.count - count) / unit), using: &generator)
            let bytes = pattern(UInt64(offset), count)
            try writer.write(count, at: UInt64(offset), from: buffer(bytes))
            model.replaceSubrange(offset..<offset + count, with: bytes)
            let back = AlignedBuffer(capacity: count)
            try writer.read(count, at: UInt64(offset), into: back)
            #expect(back.withBytes(count) { $0.array } == bytes)
        }
        let tables = [
            TableRegion(role: .mbr, offset: 0, bytes: pattern(3, unit)),
            TableRegion(role: .ebr, offset: UInt64(unit * 9), bytes: pattern(4, unit)),
        ]
        expectRefusal("\(path): partition tables were to be written before the data is flushed") {
            try writer.writeTables(tables)
        }
        #expect(try writer.everything() == model)
        try writer.flush()
        try writer.writeTables(tables)
        for table in tables {
            model.replaceSubrange(Int(table.offset)..<Int(table.offset) + unit, with: table.bytes)
        }
        expectRefusal("\(path): data was to be written after the partition tables") {
            try writer.write(unit, at: 0, from: AlignedBuffer(capacity: unit))
        }
        try writer.close()
        try writer.close()
        expectRefusal("\(path) is already closed") { try writer.flush() }
        #expect(try DiskReader(disk).everything() == model)
    }

    @Test(arguments: [UInt32(512), 4096]) func writesWhatItIsGiven(_ sectorSize: UInt32) throws {
        try withLoopDevice(AccessTests.size, sectorSize: Int(sectorSize)) { loop in
            try checkWriting(loop.path, sectorSize: sectorSize)
        }
        try withSparseFile(AccessTests.size) { try checkWriting($0, sectorSize: sectorSize) }
        let path = "/dev/shm/img-test-write-\(Random.bytes(8).hex)"
        defer { _ = try? run("rm", "-f", path) }
        try run("truncate", "-s", "\(AccessTests.size)", path)
        try checkWriting(path, sectorSize: sectorSize)
    }

    @Test(arguments: [512, 4096]) func refusesWhatIsNotWholeSectorsInside(_ sectorSize: Int) throws {
        try withLoopDevice(AccessTests.size, sectorSize: sectorSize) { loop in
            let disk = try DiskInventory().describe(path: loop.path)
            let before = try run("sha256sum", loop.path)
            let writer = try DiskWriter(disk, named: true)
            let buffer = AlignedBuffer(capacity: 8192)
            let size = AccessTests.size
            let unit = UInt64(sectorSize)
            for (count, offset) in [
                (sectorSize, size), (sectorSize * 2, size - unit), (sectorSize, UInt64.max - unit + 1),
                (sectorSize, unit / 2), (sectorSize / 2, 0), (0, 0), (-sectorSize, 0), (16384, 0),
                (sectorSize, 1 << 63),
            ] {
                #expect(throws: DiskError.self) { try writer.write(count, at: offset, from: buffer) }
                #expect(throws: DiskError.self) { try writer.read(count, at: offset, into: buffer) }
            }
            for (offset, count) in [(size, sectorSize), (unit / 2, sectorSize), (0, sectorSize / 2), (0, 0)] {
                let table = TableRegion(
                    role: .mbr, offset: offset, bytes: [UInt8](repeating: 1, count: count))
                #expect(throws: DiskError.self) { try writer.writeTables([table]) }
            }
            try writer.close()
            #expect(try run("sha256sum", loop.path) == before)
        }
    }

    @Test func onlyOneWriterAtATime() throws {
        try withLoopDevice(AccessTests.size) { loop in
            let disk = try DiskInventory().describe(path: loop.path)
            let first = try DiskWriter(disk, named: true)
            #expect(throws: DiskError.self) { _ = try DiskWriter(disk, named: true) }
            try first.close()
            try DiskWriter(disk, named: true).close()
        }
    }

    @Test func aRestoredTableIsKnownToTheKernel() throws {
        let regions = try withScriptedFile(64 * MiB, chainScript) { path in
            let (disk, reader) = try open(path)
            return try TableRegions(of: reader, table: disk.table).regions
        }
        try withLoopDevice(64 * MiB) { loop in
            try run(["sfdisk", "--quiet", "--no-reread", loop.path], input: gptScript)
            try loop.addPartitions()
            let disk = try DiskInventory().describe(path: loop.path)
            try DiskEraser.erase(disk, named: true)
            #expect(!FileTree.exists(loop.partition(2)))
            let writer = try DiskWriter(disk, named: true)
            try writer.writeTables(regions)
            try writer.reread()
            try writer.reread()
            try writer.close()
            let found = try DiskInventory().describe(path: loop.path)
            #expect(found.partitions.map(\.number) == [1, 2, 3, 5, 6, 7])
            for partition in found.slots {
                let size = try Descriptor(opening: partition.path, .readOnly).blockDeviceSize()
                #expect(size == partition.extent.length)
            }
        }
    }

    @Test func aDeviceWithoutPartitionsIsReread() throws {
        try withScriptedFile(64 * MiB, gptScript) { file in
            let path = String(try run("losetup", "--find", "--show", file).prefix { $0 != "\n" })
            defer { _ = try? run("losetup", "--detach", path) }
            let writer = try DiskWriter(DiskInventory().describe(path: path), named: true)
            try writer.reread()
            try writer.close()
            #expect(!FileTree.exists("\(path)p1"))
        }
    }

    @Test func aProtectedSourceCannotBeWritten() throws {
        try withLoopDevice(AccessTests.size) { loop in
            let disk = try DiskInventory().describe(path: loop.path)
            let reader = try DiskReader(disk, protect: true)
            #expect(throws: SystemError.self) { try write([1], at: 0, of: loop.path) }
            let second = try ReadOnlySource(path: loop.path)
            try second.release()
            #expect(throws: SystemError.self) { try write([1], at: 0, of: loop.path) }
            try reader.close()
            try write([1], at: 0, of: loop.path)
            // Forgotten guards give the flag back as well.
            do { _ = try ReadOnlySource(path: loop.path) }
            try write([2], at: 0, of: loop.path)
        }
    }
}
