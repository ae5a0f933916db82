// Disks emptied: nothing may recognise anything afterwards, and nothing else may change.
import Blocks
import Disk
import Linux
import Testing
import TestSupport

@Suite(.serialized) struct EraserTests {
    /// Erases the loop device and lets blkid and wipefs look for what is left.
    @discardableResult
    private func erase(_ path: String) throws -> DiskEraser.Report {
        let disk = try DiskInventory().describe(path: path)
        try DiskEraser.check(disk, named: true)
        let report = try DiskEraser.erase(disk, named: true)
        try expectEmpty(path)
        return report
    }

    private func expectEmpty(_ path: String) throws {
        let blkid = try runAnyway(["blkid", "-p", path])
        #expect(blkid.status == 2, "blkid: \(blkid.output)")
        #expect(try run("wipefs", path) == "")
        let after = try DiskInventory().describe(path: path)
        #expect(after.table == .none)
        #expect(after.partitions.isEmpty)
        #expect(after.content == nil)
    }

    @Test(arguments: [512, 4096]) func deletesAGPT(_ sectorSize: Int) throws {
        try withLoopDevice(64 * MiB, sectorSize: sectorSize) { loop in
            try run(
                ["sfdisk", "--quiet", "--no-reread", loop.path],
                input: "label: gpt\nsize=10M\nsize=20M\nsize=5M")
            try loop.addPartitions()
            #expect(FileTree.exists(loop.partition(3)))
            #expect(try erase(loop.path).partitions == 3)
            #expect(!FileTree.exists(loop.partition(1)))
            #expect(!FileTree.exists(loop.partition(3)))
        }
    }

    @Test func deletesLogicalPartitions() throws {
        try withLoopDevice(64 * MiB) { loop in
            try run(["sfdisk", "--quiet", "--no-reread", loop.path], input: chainScript)
            #expect(try erase(loop.path).partitions == 5)
        }
    }

    @Test(arguments: [512, 4096]) func deletesInARegularFile(_ sectorSize: Int) throws {
        try withScriptedFile(64 * MiB, "label: gpt\nsize=10M\nsize=20M", sectorSize: sectorSize) { path in
            try erase(path)
        }
    }

    @Test func deletesWithALostBackup() throws {
        try withScriptedFile(64 * MiB, gptScript) { path in
            // libparted asks whether it may use all the space and repair the backup: it must not hang or fail.
            try run("truncate", "-s", "\(96 * MiB)", path)
            #expect(try erase(path).partitions == 2)
        }
    }

    @Test func clobbersAnUnreadableLabel() throws {
        try withScriptedFile(64 * MiB, gptScript) { path in
            for sector in ["1", "131071"] {
                try run(
                    "dd", "if=/dev/urandom", "of=\(path)", "bs=512", "seek=\(sector)", "count=1",
                    "conv=notrunc")
            }
            #expect(try erase(path).partitions == 0)
        }
        try withSparseFile(64 * MiB) { path in
            try run("dd", "if=/dev/urandom", "of=\(path)", "bs=64k", "count=4", "conv=notrunc")
            try run("sh", "-c", "printf '\\125\\252' | dd of=\(path) bs=1 seek=510 conv=notrunc")
            #expect(try erase(path).partitions == 0)
        }
    }

    @Test(arguments: ["sun", "mac", "bsd"]) func clearsOtherLabels(_ label: String) throws {
        try withSparseFile(64 * MiB) { path in
            try run("parted", "-s", path, "mklabel", label)
            try erase(path)
        }
    }

    @Test func wipesRAIDAndFileSystems() throws {
        try withLoopDevice(64 * MiB) { loop in
            try write(softwareRAID(64 * MiB), at: 64 * MiB - 8192, of: loop.path)
            #expect(try run("blkid", "-p", "-o", "value", "-s", "TYPE", loop.path) == "linux_raid_member\n")
            try erase(loop.path)

            try run("mkfs.ext4", "-q", "-F", loop.path)
            #expect(try erase(loop.path).partitions == 0)

            try run("mkfs.btrfs", "-q", "-f", "-m", "single", loop.path)
            try erase(loop.path)
        }
    }

    @Test func wipesALogicalVolumesLabel() throws {
        try withLoopDevice(64 * MiB) { loop in
            // The label as pvcreate writes it: sector 1, LABELONE, own sector, checksum, offset, type.
            try write(volumeLabel(64 * MiB), at: 512, of: loop.path)
            #expect(try run("blkid", "-p", "-o", "value", "-s", "TYPE", loop.path) == "LVM2_member\n")
            try erase(loop.path)
        }
    }

    @Test func wipesWhatLiesBetweenTheZeroedEnds() throws {
        try withSparseFile(64 * MiB) { path in
            // A VMFS volume's magic stands right behind the first MiB.
            try write([0x0d, 0xd0, 0x01, 0xc0], at: MiB, of: path)
            #expect(try run("blkid", "-p", "-o", "value", "-s", "TYPE", path) == "VMFS_volume_member\n")
            #expect(try erase(path).signatures == ["VMFS_volume_member"])
        }
    }

    @Test func zeroesTheEndsAndNothingElse() throws {
        try withSparseFile(16 * MiB) { path in
            let ones = [UInt8](repeating: 0xff, count: Int(16 * MiB))
            try write(ones, at: 0, of: path)
            try erase(path)
            let content = try open(path).reader.everything()
            let end = Int(15 * MiB)
            #expect(content[..<Int(MiB)].allSatisfy { $0 == 0 })
            #expect(content[end...].allSatisfy { $0 == 0 })
            #expect(content[Int(MiB)..<end].elementsEqual(ones[Int(MiB)..<end]))
        }
    }

    @Test func leavesNeighboursAlone() throws {
        try withTemporaryDirectory { directory in
            let file = "\(directory)/three"
            try run("truncate", "-s", "\(96 * MiB)", file)
            try run("dd", "if=/dev/urandom", "of=\(file)", "bs=1M", "count=96", "conv=notrunc")
            // Three disks in one file: the one in the middle is erased.
            let options = ["--find", "--show", "--offset", "\(32 * MiB)", "--sizelimit", "\(32 * MiB)", file]
            let path = String(try run(["losetup"] + options).prefix { $0 != "\n" })
            defer { _ = try? run("losetup", "--detach", path) }
            try run(["sfdisk", "--quiet", "--no-reread", path], input: gptScript)
            func outside() throws -> [String] {
                try [("0", "32"), ("64", "32")].map { skip, count in
                    try run(
                        "sh", "-c", "dd if=\(file) bs=1M skip=\(skip) count=\(count) 2>/dev/null | sha256sum")
                }
            }
            let before = try outside()
            #expect(try erase(path).partitions == 2)
            #expect(try outside() == before)
        }
    }

    @Test func refusesADiskInUse() throws {
        try withLoopDevice(64 * MiB) { loop in
            try run(["sfdisk", "--quiet", "--no-reread", loop.path], input: gptScript)
            try loop.addPartitions()
            try run("mkfs.ext4", "-q", loop.partition(1))
            let disk = try DiskInventory().describe(path: loop.path)
            try withTemporaryDirectory { directory in
                try run("mount", loop.partition(1), directory)
                defer { _ = try? run("umount", directory) }
                let before = try run("sha256sum", loop.path)
                expectRefusal("\(loop.path) is mounted (\(loop.partition(1).dropFirst(5)) at \(directory))") {
                    try DiskEraser.check(disk, named: true)
                }
                expectRefusal("\(loop.path) is mounted (\(loop.partition(1).dropFirst(5)) at \(directory))") {
                    try DiskEraser.erase(disk, named: true)
                }
                expectRefusal("\(loop.path) is mounted (\(loop.partition(1).dropFirst(5)) at \(directory))") {
                    _ = try DiskWriter(disk, named: true)
                }
                #expect(try run("sha256sum", loop.path) == before)
                let now = try DiskInventory().describe(path: loop.path)
                #expect(!now.refusals(for: .capture, named: true).isEmpty)
                try run("umount", directory)
                try run("mount", "-o", "ro,noload", loop.partition(1), directory)
                let readOnly = try DiskInventory().describe(path: loop.path)
                #expect(readOnly.refusals(for: .capture, named: true).isEmpty)
                #expect(!readOnly.refusals(for: .restore, named: true).isEmpty)
            }
            // Something that mountinfo does not show: another program that opened the disk exclusively.
            let other = try Descriptor(opening: loop.path, [.readOnly, .exclusive])
            expectRefusal("\(loop.path) is in use by another program or a mounted file system") {
                try DiskEraser.check(disk, named: true)
            }
            try other.close()
            try DiskEraser.check(disk, named: true)
        }
    }

    @Test func refusesSwap() throws {
        try withLoopDevice(64 * MiB) { loop in
            try run("mkswap", loop.path)
            let disk = try DiskInventory().describe(path: loop.path)
            try run("swapon", loop.path)
            defer { _ = try? run("swapoff", loop.path) }
            expectRefusal("\(loop.path) is used as swap (\(loop.path.dropFirst(5)))") {
                try DiskEraser.erase(disk, named: true)
            }
        }
    }

    @Test func refusesReadOnlyPartitionsAndLoopBackedDisks() throws {
        try withLoopDevice(64 * MiB, readOnly: true) { loop in
            let disk = try DiskInventory().describe(path: loop.path)
            #expect(disk.isReadOnly)
            expectRefusal("\(loop.path) is read-only") { try DiskEraser.erase(disk, named: true) }
            expectRefusal("\(loop.path) is read-only") { _ = try DiskWriter(disk, named: true) }
            #expect(disk.refusals(for: .capture, named: true).isEmpty)
        }
        try withLoopDevice(64 * MiB) { loop in
            try run(["sfdisk", "--quiet", "--no-reread", loop.path], input: gptScript)
            try loop.addPartitions()
            expectRefusal(
                "\(loop.partition(1)) is a partition of \(loop.path.dropFirst(5)), not a whole disk"
            ) {
                _ = try DiskInventory().describe(path: loop.partition(1))
            }
            let disk = try DiskInventory().describe(path: loop.path)
            expectRefusal("\(loop.path) is a loop device") { try DiskEraser.erase(disk, named: false) }
            // The file behind an attached loop device is not free either.
            let file = try DiskInventory().describe(path: loop.file)
            expectRefusal("\(loop.file) is held by \(loop.path.dropFirst(5))") {
                try DiskEraser.erase(file, named: true)
            }
            // A loop device over a partition holds the disk.
            try withLoopDevice(loop.partition(2)) { upper in
                expectRefusal("\(loop.path) is held by \(upper.path.dropFirst(5))") {
                    try DiskEraser.check(disk, named: true)
                }
            }
        }
    }

    @Test func refusesAnotherDiskThanPlanned() throws {
        try withSparseFile(64 * MiB) { path in
            let disk = try DiskInventory().describe(path: path)
            try run("truncate", "-s", "\(65 * MiB)", path)
            expectRefusal("\(path) is not the disk it was when the plan was made") {
                try DiskEraser.erase(disk, named: true)
            }
        }
    }
}

/// Expects `body` to throw exactly this sentence.
func expectRefusal(
    _ message: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> some Any
) {
    do {
        _ = try body()
        Issue.record("nothing was refused: \(message)", sourceLocation: sourceLocation)
    } catch {
        #expect("\(error)" == message, sourceLocation: sourceLocation)
    }
}

/// Writes bytes into an existing file or device.
func write(_ bytes: [UInt8], at offset: UInt64, of path: String) throws {
    let file = try Descriptor(opening: path, .writeOnly)
    try file.write(bytes, at: offset)
    try file.synchronize()
    try file.close()
}

/// A version 1.0 superblock of Linux software RAID for a member of `size` bytes; it stands 8 KiB before the end.
private func softwareRAID(_ size: UInt64) -> [UInt8] {
    var block = ByteWriter()
    block.u32(0xa92b_4efc)
    block.u32(1)
    block.append(zeros: 8)
    block.append((1...16).map { UInt8($0) })
    block.append(Array("host:0".utf8) + [UInt8](repeating: 0, count: 26))
    block.append(zeros: 8)
    block.u32(1)  // RAID 1
    block.u32(0)
    block.u64(size / 512 - 16)
    block.u32(0)
    block.u32(2)  // members
    block.append(zeros: 32)
    block.u64(0)  // data offset
    block.u64(size / 512 - 16)
    block.u64((size - 8192) / 512)  // its own place
    block.append(zeros: 104)
    var bytes = block.bytes
    var sum: UInt64 = 0
    for index in stride(from: 0, to: 256, by: 4) {
        sum += (0..<4).reduce(0) { $0 | UInt64(bytes[index + $1]) << UInt64(8 * $1) }
    }
    let checksum = UInt32(truncatingIfNeeded: (sum & 0xffff_ffff) + (sum >> 32))
    for index in 0..<4 { bytes[216 + index] = UInt8(truncatingIfNeeded: checksum >> UInt32(8 * index)) }
    return bytes
}

/// The label sector of an LVM physical volume.
private func volumeLabel(_ size: UInt64) -> [UInt8] {
    var content = ByteWriter()
    content.u32(32)
    content.append(Array("LVM2 001".utf8))
    content.append(Array("0123456789abcdefghijklmnopqrstuv".utf8))
    content.u64(size)
    content.append(zeros: 512 - 20 - content.count)
    // LVM's CRC: the usual polynomial from the start value 0xf597a6cf, not inverted at the end.
    var crc: UInt32 = 0xf597_a6cf
    for byte in content.bytes {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = crc & 1 == 0 ? crc >> 1 : crc >> 1 ^ 0xedb8_8320 }
    }
    var label = ByteWriter()
    label.append(Array("LABELONE".utf8))
    label.u64(1)
    label.u32(crc)
    label.append(content.bytes)
    return label.bytes
}
