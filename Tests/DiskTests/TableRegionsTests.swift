// The exact sectors of partition tables, against sgdisk's and sfdisk's own figures.
import Blocks
import Disk
import Testing
import TestSupport

struct TableRegionsTests {
    @Test func findsAllFivePartsOfAGPT() throws {
        try withScriptedFile(64 * MiB, gptScript) { path in
            let (disk, reader) = try open(path)
            let regions = try TableRegions(of: reader, table: disk.table)
            #expect(regions.table == .gpt)
            #expect(regions.soundness == .sound)
            #expect(regions.outdated.isEmpty)
            let last: UInt64 = 64 * MiB / 512 - 1
            #expect(
                regions.regions.map(\.role) == [
                    .mbr, .gptHeader, .gptEntries, .gptBackupEntries, .gptBackupHeader,
                ])
            #expect(regions.regions.map { $0.offset / 512 } == [0, 1, 2, last - 32, last])
            #expect(regions.regions.map { $0.bytes.count / 512 } == [1, 1, 32, 32, 1])
            #expect(regions.extents.extents.map(\.description) == ["0+17408", "\((last - 32) * 512)+16896"])
            for region in regions.regions {
                #expect(try reader.bytes(region.bytes.count, at: region.offset) == region.bytes)
            }
        }
    }

    @Test func findsAGPTOf4096ByteSectorsInAFile() throws {
        try withScriptedFile(64 * MiB, "label: gpt\nsize=4096, type=L\nsize=2048", sectorSize: 4096) { path in
            let (disk, reader) = try open(path)
            #expect(disk.sectorSize == 4096)
            let regions = try TableRegions(of: reader, table: disk.table)
            let last: UInt64 = 64 * MiB / 4096 - 1
            #expect(regions.regions.map { $0.offset / 4096 } == [0, 1, 2, last - 4, last])
            #expect(regions.regions.map { $0.bytes.count / 4096 } == [1, 1, 4, 4, 1])
            let table = try dumped(path, sectorSize: 4096)
            #expect(table.map { $0.start * 4096 } == disk.partitions.map(\.extent.offset))
            #expect(table.map { $0.size * 4096 } == disk.partitions.map(\.extent.length))
        }
    }

    @Test func findsEveryExtendedBootRecord() throws {
        try withScriptedFile(64 * MiB, chainScript) { path in
            let (disk, reader) = try open(path)
            let regions = try TableRegions(of: reader, table: disk.table)
            #expect(regions.soundness == .sound)
            #expect(regions.regions.map(\.role) == [.mbr, .ebr, .ebr, .ebr])
            // sfdisk puts each record a mebibyte before its partition; the first at the container's start.
            #expect(regions.regions.map { $0.offset / 512 } == [0, 18432, 36864, 55296])
            for region in regions.regions { #expect(Array(region.bytes[510...511]) == [0x55, 0xaa]) }
            for partition in disk.slots {
                #expect(ExtentSet([partition.extent]).intersection(regions.extents).isEmpty)
            }
        }
    }

    @Test func aDiskWithoutATableHasNoRegions() throws {
        try withSparseFile(8 * MiB) { path in
            let (disk, reader) = try open(path)
            #expect(disk.table == .none)
            #expect(try TableRegions(of: reader, table: disk.table).extents.isEmpty)
        }
    }

    @Test(arguments: [
        ["mkfs.vfat", "-F", "16"], ["mkfs.ext4", "-q", "-F"], ["mkfs.ntfs", "-q", "-F", "-f"],
    ])
    func aFileSystemInSectorZeroIsNoTable(_ command: [String]) throws {
        try withSparseFile(32 * MiB) { path in
            try run(command + [path])
            let (disk, reader) = try open(path)
            #expect(disk.table == .none)
            #expect(disk.partitions.isEmpty)
            #expect(disk.content != nil)
            #expect(try TableRegions(of: reader, table: disk.table).extents.isEmpty)
        }
    }

    @Test(arguments: ["sun", "mac", "bsd"])
    func anotherLabelIsData(_ label: String) throws {
        try withSparseFile(64 * MiB) { path in
            try run("parted", "-s", path, "mklabel", label)
            let (disk, reader) = try open(path)
            #expect(disk.table == .other(label))
            let regions = try TableRegions(of: reader, table: disk.table)
            #expect(regions.regions.isEmpty)
            #expect(regions.extents.isEmpty)
            #expect(disk.tableProblem == nil)
        }
    }

    @Test func usesTheBackupOfADamagedGPT() throws {
        try withScriptedFile(64 * MiB, gptScript) { path in
            try run("dd", "if=/dev/urandom", "of=\(path)", "bs=512", "seek=1", "count=1", "conv=notrunc")
            let (disk, reader) = try open(path)
            #expect(disk.table == .gpt)
            #expect(disk.partitions.count == 2)
            #expect(disk.tableProblem == nil)
            #expect(disk.tableNotice?.contains("backup") == true)
            let regions = try TableRegions(of: reader, table: disk.table)
            guard case .primaryDamaged = regions.soundness else {
                Issue.record("\(regions.soundness)")
                return
            }
            #expect(regions.regions.map(\.role) == [.mbr, .gptBackupEntries, .gptBackupHeader])
            // The damaged copy's place is cut out as well.
            #expect(regions.extents.contains(512))
            #expect(regions.extents.contains(33 * 512))
            #expect(!regions.extents.contains(2048 * 512))
        }
    }

    @Test func reportsADamagedBackup() throws {
        try withScriptedFile(64 * MiB, gptScript(10)) { path in
            try run("dd", "if=/dev/urandom", "of=\(path)", "bs=512", "seek=131071", "count=1", "conv=notrunc")
            let (disk, reader) = try open(path)
            let regions = try TableRegions(of: reader, table: disk.table)
            guard case .backupDamaged = regions.soundness else {
                Issue.record("\(regions.soundness)")
                return
            }
            #expect(regions.regions.map(\.role) == [.mbr, .gptHeader, .gptEntries])
            #expect(regions.extents.contains(131071 * 512))
        }
    }

    @Test func reportsDamagedEntries() throws {
        try withScriptedFile(64 * MiB, gptScript(10)) { path in
            try run("dd", "if=/dev/urandom", "of=\(path)", "bs=512", "seek=5", "count=1", "conv=notrunc")
            let (_, reader) = try open(path)
            let regions = try TableRegions(of: reader, table: .gpt)
            guard case .primaryDamaged(let reason) = regions.soundness else {
                Issue.record("\(regions.soundness)")
                return
            }
            #expect(reason.contains("checksum"))
        }
    }

    @Test func bothCopiesGoneIsUnusable() throws {
        try withScriptedFile(64 * MiB, gptScript(10)) { path in
            for sector in ["1", "131071"] {
                try run(
                    "dd", "if=/dev/zero", "of=\(path)", "bs=512", "seek=\(sector)", "count=1", "conv=notrunc")
            }
            let (disk, reader) = try open(path)
            #expect(disk.table != .gpt)
            #expect(disk.tableProblem != nil)
            #expect(!disk.refusals(for: .capture, named: true).isEmpty)
            guard case .unusable = try TableRegions(of: reader, table: .gpt).soundness else {
                Issue.record("both copies are gone")
                return
            }
        }
    }

    @Test func aGrownDisksBackupIsFoundWhereItIs() throws {
        try withScriptedFile(64 * MiB, gptScript) { path in
            try run("truncate", "-s", "\(96 * MiB)", path)
            let (disk, reader) = try open(path)
            let regions = try TableRegions(of: reader, table: disk.table)
            #expect(regions.soundness == .sound)
            #expect(regions.regions.last?.offset == 64 * MiB - 512)
        }
    }

    @Test func anOlderBackupAtTheEndIsCutOutButDoesNotTravel() throws {
        try withScriptedFile(64 * MiB, gptScript(10)) { path in
            // The end of a disk that once had another table.
            try withScriptedFile(64 * MiB, gptScript(20)) { other in
                try run(
                    "dd", "if=\(other)", "of=\(path)", "bs=512", "skip=131039", "seek=131039", "count=33",
                    "conv=notrunc")
            }
            let (disk, reader) = try open(path)
            let regions = try TableRegions(of: reader, table: disk.table)
            guard case .backupDamaged = regions.soundness else {
                Issue.record("\(regions.soundness)")
                return
            }
            #expect(regions.regions.map(\.role) == [.mbr, .gptHeader, .gptEntries])
            #expect(regions.extents.contains(131071 * 512))
            #expect(regions.extents.contains(131039 * 512))
        }
    }

    @Test func anEndlessChainEnds() throws {
        try withScriptedFile(64 * MiB, chainScript) { path in
            var disk = MemoryDisk(try open(path).reader.everything())
            // The third record's link leads back to the first one: relative sector 0.
            let link = 55296 * 512 + 446 + 16
            disk.content.replaceSubrange(
                link..<link + 16, with: [0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0])
            let regions = try TableRegions(of: disk, table: .dos)
            #expect(
                regions.soundness == .unusable("the extended partition's chain leads back to sector 18432"))
        }
    }

    @Test func aChainBeyondTheEndIsReported() throws {
        try withScriptedFile(64 * MiB, chainScript) { path in
            let whole = try open(path).reader.everything()
            let cut = MemoryDisk(Array(whole[..<(40000 * 512)]))
            guard case .unusable(let reason) = try TableRegions(of: cut, table: .dos).soundness else {
                Issue.record("the chain ends beyond the disk")
                return
            }
            #expect(reason.contains("55296"))
        }
    }

    @Test func aTruncatedDiskIsRefusedForCapture() throws {
        try withScriptedFile(64 * MiB, chainScript) { path in
            try run("truncate", "-s", "\(30 * MiB)", path)
            let disk = try DiskInventory().describe(path: path)
            #expect(disk.tableProblem != nil)
            #expect(
                disk.refusals(for: .capture, named: true).contains {
                    "\($0)".contains("damaged partition table")
                })
            #expect(disk.refusals(for: .restore, named: true).isEmpty)
        }
    }

    @Test func aTruncatedGPTIsRefusedForCapture() throws {
        try withScriptedFile(64 * MiB, gptScript) { path in
            try run("truncate", "-s", "\(30 * MiB)", path)
            let disk = try DiskInventory().describe(path: path)
            #expect(disk.tableProblem != nil)
            #expect(!disk.refusals(for: .capture, named: true).isEmpty)
        }
    }

    @Test func anUnreadablePrimaryHeaderIsADamagedOne() throws {
        try withScriptedFile(8 * MiB, gptScript(1)) { path in
            var disk = MemoryDisk(try open(path).reader.everything())
            disk.damaged = [1]
            guard case .primaryDamaged = try TableRegions(of: disk, table: .gpt).soundness else {
                Issue.record("sector 1 cannot be read")
                return
            }
        }
    }
}
