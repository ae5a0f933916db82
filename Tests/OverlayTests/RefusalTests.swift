// What is captured whole, what stops the plan, and what is refused: each with its reason.
import Blocks
import Linux
import Overlay
import SystemPackage
import TestSupport
import Testing

extension OverlayOnRealDisks {
    @Test(arguments: [
        ("LVM2_member", "it belongs to an LVM volume group"), ("crypto_LUKS", "it is encrypted (LUKS)"),
        ("linux_raid_member", "it belongs to a software RAID"), ("BitLocker", "it is encrypted (BitLocker)"),
        ("zfs_member", "zfs_member cannot be asked which blocks it uses"),
    ])
    func unaskable(_ type: String, _ reason: String) throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: 8 * MiB, [])
        #expect(try mapUnchanged(wholeFile(image), type).reason == reason)
    }

    @Test func unknownSignature() throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: 8 * MiB, [])
        #expect(try mapUnchanged(wholeFile(image), nil).reason == "it holds no file system known here")
        // libblkid may be wrong, and the disk may change after it looked.
        #expect(try mapUnchanged(wholeFile(image), "ext4").reason == "its superblock is missing")
        #expect(
            try mapUnchanged(wholeFile(image), "xfs").reason.hasPrefix("the kernel does not mount its xfs"))
        #expect(try mapUnchanged(wholeFile(image), "ntfs").reason == "its volume information cannot be read")
    }

    @Test func noDriver() throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: 64 * MiB, ["mkfs.vfat"])
        let known = try run(["cat", "/proc/filesystems"]).contains("vfat")
        let outcome = try mapUnchanged(wholeFile(image), "vfat")
        #expect(outcome.reason == (known ? "mapped" : "this kernel has no vfat driver"))
    }

    @Test func swap() throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: 16 * MiB, ["mkswap"])
        let content = try mapUnchanged(wholeFile(image), "swap").mapped()
        #expect(content.used == ExtentSet([Extent(offset: 0, length: 64 * KiB)]))
        for signature in ["S1SUSPEND", "LINHIB0001"] {
            try Descriptor(opening: image, .writeOnly).write(Array(signature.utf8), at: 4086)
            for type in ["swap", "swsuspend"] {
                guard case .hibernated(let what, _) = try mapUnchanged(wholeFile(image), type) else {
                    Issue.record("a suspended system was not seen")
                    continue
                }
                #expect(what.contains(signature))
            }
        }
    }

    @Test func hibernatedWindows() throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: 64 * MiB, ["mkntfs", "-Q", "-F"])
        try workspace.withMounted(image, type: "ntfs") { root in
            let file = try Descriptor(opening: "\(root)/hiberfil.sys", [.writeOnly, .create])
            try file.write(Array("hibr".utf8) + [UInt8](repeating: 0, count: 8188), at: 0)
        }
        guard case .hibernated(let what, let remedy) = try mapUnchanged(wholeFile(image), "ntfs") else {
            Issue.record("a hibernated Windows was not seen")
            return
        }
        #expect(what.contains("hibernated"))
        #expect(remedy.contains("shutdown /s /t 0"))
    }

    @Test func dirtyWindows() throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: 64 * MiB, ["mkntfs", "-Q", "-F", "-c", "4096"])
        let file = try Descriptor(opening: image, .readWrite)
        let boot = try file.read(512, at: 0)
        func position(_ at: Int) -> UInt64 {
            (0..<8).reduce(0) { $0 | UInt64(boot[at + $1]) << (8 * UInt64($1)) } * 4096
        }
        // $VOLUME_INFORMATION of the fresh volume: version 3.1, then the flags, in record 3 and its mirror.
        for table in [position(48), position(56)] {
            let record = try file.read(1024, at: table + 3 * 1024)
            let version = try #require((56..<1000).first { record[$0..<$0 + 4] == [3, 1, 0, 0] })
            try file.write([record[version + 2] | 1], at: table + 3 * 1024 + UInt64(version) + 2)
        }
        #expect(try mapUnchanged(wholeFile(image), "ntfs").reason == "Windows has marked it dirty")
    }

    @Test func damagedWindowsJournal() throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: 64 * MiB, ["mkntfs", "-Q", "-F"])
        _ = try writeJournal(image, clean: false)
        let reason = try mapUnchanged(wholeFile(image), "ntfs").reason
        #expect(reason == "Windows did not unmount it cleanly")
    }

    @Test func closedWindowsJournalIsNotTouched() throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: 64 * MiB, ["mkntfs", "-Q", "-F"])
        let journal = try writeJournal(image, clean: true)
        let content = try mapUnchanged(wholeFile(image), "ntfs").mapped()
        let whole = Extent(offset: journal, length: 2 * MiB)
        #expect(content.used.intersection(whole).byteCount == whole.length)
        let source = try Descriptor(opening: image, .readOnly)
        #expect(try content.read(65_536, at: journal, from: source) == source.read(65_536, at: journal))
    }

    @Test func ext4WithErrors() throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: 32 * MiB, ["mkfs.ext4", "-q", "-F"])
        try run(["debugfs", "-w", "-R", "ssv state 3", image])
        #expect(try mapUnchanged(wholeFile(image), "ext4").reason.contains("errors"))
    }

    @Test func fileSystemLargerThanThePartition() throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: 64 * MiB, ["mkfs.ext4", "-q", "-F"])
        let part = PartitionSource(path: image, extent: Extent(offset: 0, length: 60 * MiB))
        #expect(try mapUnchanged(part, "ext4").reason.hasPrefix("the kernel does not mount"))
        let beyond = PartitionSource(path: image, extent: Extent(offset: 0, length: 65 * MiB))
        #expect(try mapUnchanged(beyond, "ext4").reason == "it ends beyond its disk")
    }

    @Test func btrfsOfSeveralDevices() throws {
        let workspace = try Workspace()
        let second = try workspace.image("second", size: 128 * MiB, [])
        let image = try workspace.image("disk", size: 128 * MiB, ["mkfs.btrfs", "-q", second])
        #expect(try mapUnchanged(wholeFile(image), "btrfs").reason == "it is a btrfs of several devices")
    }

    @Test func journalOnAnotherDevice() throws {
        let workspace = try Workspace()
        let journal = try workspace.image(
            "journal", size: 8 * MiB, ["mkfs.ext4", "-q", "-F", "-O", "journal_dev", "-b", "4096"])
        let image = try workspace.image(
            "disk", size: 32 * MiB, ["mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^has_journal"])
        let file = try Descriptor(opening: journal, .readWrite)
        let loop = try LoopDevice(attaching: file)
        try run(["tune2fs", "-J", "device=\(loop.path)", image])
        try loop.detach()
        #expect(try mapUnchanged(wholeFile(image), "ext4").reason == "its journal is on another device")
    }

    @Test(arguments: FileSystemCase.small)
    func poolTooSmall(_ fileSystem: FileSystemCase) throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: fileSystem.size, fileSystem.make)
        let cut = try workspace.withMounted(image, type: fileSystem.driver) { root in
            _ = try populate(root, scale: 10_000)
            return try workspace.copy(image, as: "cut")
        }
        let pool = try OverlayPool(byteCount: 4 * 4096)
        let outcome = try mapUnchanged(wholeFile(cut), fileSystem.type, pool: pool)
        #expect(outcome.reason == "mounting it changes more than the overlay's memory holds")
        #expect(pool.usedSlots == 0, "its slots were not given back")
    }

    @Test(arguments: FileSystemCase.small + FileSystemCase.all.suffix(1))
    func plantedHole(_ fileSystem: FileSystemCase) throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: fileSystem.size, fileSystem.make)
        _ = try workspace.withMounted(image, type: fileSystem.driver) { try populate($0, scale: 500_000) }
        let everything = Extent(offset: 0, length: fileSystem.size)
        let outcome = try mapUnchanged(
            wholeFile(image), fileSystem.type, faults: OverlayFaults(plantedHole: everything))
        #expect(outcome.reason.hasPrefix("its free space is not plausible: "), "\(outcome.reason)")
    }

    @Test func blockDeviceIsHeldReadOnly() throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: 32 * MiB, ["mkfs.ext4", "-q", "-F"])
        let file = try Descriptor(opening: image, .readWrite)
        for writable in [true, false] {
            let loop = try LoopDevice(attaching: file)
            let path = loop.path
            let device = try Descriptor(opening: path, .readOnly)
            if !writable { try device.setBlockDeviceReadOnly(true) }
            let source = PartitionSource(path: path, extent: Extent(offset: 0, length: 32 * MiB))
            let holder = try ReadOnlySource(path: path)
            #expect(try device.isBlockDeviceReadOnly())
            _ = try mapUnchanged(source, "ext4").mapped()
            #expect(try device.isBlockDeviceReadOnly())
            try holder.release()
            #expect(try device.isBlockDeviceReadOnly() == !writable)
            try device.close()
            try loop.detach()
        }
        // The second device was left read-only, as a killed capture leaves it: its next user must not notice.
        let next = try LoopDevice(attaching: file)
        #expect(try !Descriptor(opening: next.path, .readOnly).isBlockDeviceReadOnly())
        try next.detach()
    }

    @Test func mountedSourceIsRefused() throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: 32 * MiB, ["mkfs.ext4", "-q", "-F"])
        try workspace.withMounted(image, type: "ext4") { root in
            let entry = try #require(try Mount.entries().last { $0.mountPoint == root })
            let source = PartitionSource(path: entry.source, extent: Extent(offset: 0, length: 32 * MiB))
            #expect(throws: SourceInUse.self) {
                try mapUsedBlocks(
                    of: source, fileSystem: "ext4", pool: OverlayPool(byteCount: 1 << 20),
                    servicePath: builtProgram())
            }
        }
    }
}

/// Overwrites the empty journal of a fresh NTFS volume by one that Windows could have left; returns where it begins.
private func writeJournal(_ image: String, clean: Bool) throws -> UInt64 {
    let size = 2 * MiB
    let file = try Descriptor(opening: image, .readWrite)
    let blank = [UInt8](repeating: 0xff, count: 65_536)
    let start = try #require(
        try stride(from: 0, to: 62 * MiB, by: 4096).first { try file.read(blank.count, at: $0) == blank })
    #expect(try file.read(Int(size), at: start) == [UInt8](repeating: 0xff, count: Int(size)))
    var numbers = SplitMix(seed: 5)
    let page = restartPage(journalSize: size, clean: clean)
    try file.write(page + page + numbers.bytes(Int(size) - 2 * page.count), at: start)
    return start
}

/// A restart page of an NTFS journal, 4096 bytes; unless `clean`, a client is still logged on, as after a power cut.
private func restartPage(journalSize: UInt64, clean: Bool) -> [UInt8] {
    var page = ByteWriter()
    page.append(Array("RSTR".utf8))
    page.u16(30)  // update sequence array: offset, and count for 8 sectors
    page.u16(9)
    page.u64(0)  // chkdsk's sequence number
    page.u32(4096)  // system page
    page.u32(4096)  // log page
    page.u16(48)  // restart area
    page.u16(1)  // version 1.1
    page.u16(1)
    page.u16(1)  // update sequence number, and the eight words it replaces
    page.append(zeros: 16)
    page.u64(0)  // current sequence number
    page.u16(1)  // clients; free list; list in use; flags
    page.u16(clean ? 0 : 0xffff)
    page.u16(clean ? 0xffff : 0)
    page.u16(clean ? 2 : 0)
    page.u32(UInt32(67 - (64 - journalSize.leadingZeroBitCount)))
    page.u16(48 + 160)  // restart area's length; client array
    page.u16(48)
    page.u64(journalSize)
    page.u32(0)
    page.u16(48)  // record header; page data
    page.u16(64)
    page.u32(1)
    page.u32(0)
    page.u64(0)  // the client: sequence numbers, neighbours, number
    page.u64(0)
    page.u16(0xffff)
    page.u16(0xffff)
    page.u16(0)
    page.append(zeros: 6)
    page.u32(8)
    for letter in "NTFS".utf8 { page.u16(UInt16(letter)) }
    page.append(zeros: 4096 - page.count)
    var bytes = page.bytes
    for sector in 0..<8 { bytes.replaceSubrange(sector * 512 + 510..<sector * 512 + 512, with: [1, 0]) }
    return bytes
}
