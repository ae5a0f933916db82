// Tables moved to disks of other sizes, judged by sgdisk.
import Blocks
import Disk
import Linux
import Testing
import TestSupport

struct TableRelocationTests {
    /// Regions of a 64 MiB disk whose last partition ends at 41 MiB.
    private func sample(_ extra: [String] = []) throws -> [TableRegion] {
        let script = gptScript.replacing("start=22528", with: "start=22528, size=61440")
        return try withScriptedFile(64 * MiB, script) { path in
            if !extra.isEmpty { try run(["sgdisk"] + extra + [path]) }
            let (disk, reader) = try open(path)
            return try TableRegions(of: reader, table: disk.table).regions
        }
    }

    /// What sgdisk says of a file of `size` bytes with these regions in it.
    private func verdict(_ regions: [TableRegion], _ size: UInt64) throws -> (check: String, print: String) {
        try withSparseFile(size) { path in
            try withTemporaryDirectory { directory in
                for (index, region) in regions.enumerated() {
                    let part = "\(directory)/\(index)"
                    try write(region.bytes, to: part)
                    try run(
                        "dd", "if=\(part)", "of=\(path)", "bs=512", "seek=\(region.offset / 512)",
                        "conv=notrunc")
                }
            }
            return (try run("sgdisk", "-v", path), try run("sgdisk", "-p", path))
        }
    }

    private static let header: UInt64 = 512
    /// Last partition's end plus 32 sectors of entries and the header.
    private static let smallest: UInt64 = 41 * MiB + 33 * header

    @Test(arguments: [smallest, 48 * MiB, 64 * MiB, 64 * MiB + 512, 100 * MiB, 5000 * GiB])
    func sgdiskFindsNothingWrong(_ size: UInt64) throws {
        let moved = try TableRelocation.regions(sample(), sectorSize: 512, forDiskOf: size)
        #expect(moved.map(\.role) == [.mbr, .gptHeader, .gptEntries, .gptBackupEntries, .gptBackupHeader])
        let (check, print) = try verdict(moved, size)
        #expect(check.contains("No problems found"), "\(check)")
        #expect(print.contains("last usable sector is \(size / 512 - 34)"), "\(print)")
        #expect(print.contains("boot"))
        let protective = moved[0].bytes[446 + 12..<446 + 16].enumerated().reduce(UInt64(0)) {
            $0 | UInt64($1.element) << UInt64(8 * $1.offset)
        }
        #expect(protective == min(size / 512 - 1, 0xffff_ffff))
    }

    @Test func sameSizeMeansSameBytes() throws {
        let regions = try sample()
        #expect(try TableRelocation.regions(regions, sectorSize: 512, forDiskOf: 64 * MiB) == regions)
    }

    @Test func knowsTheSmallestDisk() throws {
        let regions = try sample()
        #expect(try TableRelocation.smallestDisk(regions, sectorSize: 512) == TableRelocationTests.smallest)
        #expect(throws: DecodeError.self) {
            try TableRelocation.regions(
                regions, sectorSize: 512, forDiskOf: TableRelocationTests.smallest - 512)
        }
        #expect(try TableRelocation.smallestDisk([], sectorSize: 512) == nil)
    }

    @Test func makesThePrimaryAnewFromTheBackup() throws {
        let regions = try sample()
        let backup = regions.filter { $0.role != .gptHeader && $0.role != .gptEntries }
        #expect(try TableRelocation.regions(backup, sectorSize: 512, forDiskOf: 64 * MiB) == regions)
        let (check, _) = try verdict(
            TableRelocation.regions(backup, sectorSize: 512, forDiskOf: 90 * MiB), 90 * MiB)
        #expect(check.contains("No problems found"), "\(check)")
    }

    @Test func makesTheBackupAnewFromThePrimary() throws {
        let regions = try sample()
        let primary = regions.filter { $0.role != .gptBackupHeader && $0.role != .gptBackupEntries }
        #expect(try TableRelocation.regions(primary, sectorSize: 512, forDiskOf: 64 * MiB) == regions)
    }

    @Test func leavesAHybridMasterBootRecordAlone() throws {
        let regions = try sample(["-h", "1:EE"])
        let moved = try TableRelocation.regions(regions, sectorSize: 512, forDiskOf: 100 * MiB)
        #expect(moved[0] == regions[0])
        #expect(try verdict(moved, 100 * MiB).check.contains("No problems found"))
    }

    @Test func keepsAMovedEntryArray() throws {
        // sgdisk -j moves the primary entries away from sector 2.
        let regions = try sample(["-j", "40"])
        let moved = try TableRelocation.regions(regions, sectorSize: 512, forDiskOf: 100 * MiB)
        #expect(moved.first { $0.role == .gptEntries }?.offset == 40 * 512)
        #expect(try verdict(moved, 100 * MiB).check.contains("No problems found"))
    }

    @Test func worksWith4096ByteSectors() throws {
        try withScriptedFile(64 * MiB, "label: gpt\nsize=4096, type=L\nsize=2048", sectorSize: 4096) { path in
            let (disk, reader) = try open(path)
            let regions = try TableRegions(of: reader, table: disk.table).regions
            let end = disk.partitions.map(\.extent.end).max() ?? 0
            #expect(try TableRelocation.smallestDisk(regions, sectorSize: 4096) == end + 5 * 4096)
            let moved = try TableRelocation.regions(regions, sectorSize: 4096, forDiskOf: 40 * MiB)
            var target = MemoryDisk(size: 40 * MiB, sectorSize: 4096)
            target.put(moved)
            let found = try TableRegions(of: target, table: .gpt)
            #expect(found.soundness == .sound)
            #expect(found.regions == moved)
        }
    }

    @Test func leavesAChainUnchanged() throws {
        try withScriptedFile(64 * MiB, chainScript) { path in
            let (disk, reader) = try open(path)
            let regions = try TableRegions(of: reader, table: disk.table).regions
            #expect(try TableRelocation.regions(regions, sectorSize: 512, forDiskOf: 100 * MiB) == regions)
            // The extended container is the last to end: 18432 + 73728 sectors.
            #expect(try TableRelocation.smallestDisk(regions, sectorSize: 512) == 92160 * 512)
            #expect(throws: DecodeError.self) {
                try TableRelocation.regions(regions, sectorSize: 512, forDiskOf: 92159 * 512)
            }
        }
    }

    @Test func refusesContradictions() throws {
        let regions = try sample()
        var twice = regions
        twice.append(regions[1])
        var misplaced = regions
        misplaced[1] = TableRegion(role: .gptHeader, offset: 1024, bytes: regions[1].bytes)
        var odd = regions
        odd[2] = TableRegion(role: .gptEntries, offset: 1024, bytes: Array(regions[2].bytes.dropLast()))
        var flipped = regions
        var bytes = regions[2].bytes
        bytes[40] ^= 1
        flipped[2] = TableRegion(role: .gptEntries, offset: 1024, bytes: bytes)
        let far = [TableRegion(role: .ebr, offset: UInt64.max - 511, bytes: regions[0].bytes)]
        for bad in [twice, misplaced, odd, flipped, [regions[1]], [regions[2]], far] {
            #expect(throws: DecodeError.self) {
                try TableRelocation.regions(bad, sectorSize: 512, forDiskOf: 64 * MiB)
            }
        }
        #expect(throws: DecodeError.self) {
            try TableRelocation.regions(regions, sectorSize: 0, forDiskOf: 64 * MiB)
        }
    }
}

/// Writes a small file.
func write(_ bytes: [UInt8], to path: String) throws {
    let file = try Descriptor(opening: path, [.writeOnly, .create, .truncate])
    try file.write(bytes, at: 0)
    try file.close()
}
