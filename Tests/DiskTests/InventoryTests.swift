// What is said of disks that are regular files, and of a machine made of files.
import Blocks
import Disk
import Linux
import Testing
import TestSupport

struct InventoryTests {
    @Test func describesAGPTInAFile() throws {
        let guid = "11111111-2222-4333-8444-555555555555"
        let arguments = [
            "-U", "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", "-n1:2048:+34M", "-t1:ef00", "-c1:EFI system",
            "-u1:\(guid)",
            "-n3:0:+20M", "-t3:8300", "-A3:set:2", "-n4:0:0", "-t4:8200",
        ]
        try withGPTFile(128 * MiB, arguments) { path in
            try run(
                "mkfs.vfat", "-F", "32", "-n", "ESP", "-i", "1234abcd", "--offset", "2048", path,
                "\(34 * 1024)")
            try run(
                "mkfs.ext4", "-q", "-F", "-L", "root", "-U", guid, "-E", "offset=\((2048 + 34 * 2048) * 512)",
                path, "20M")
            let disk = try DiskInventory().describe(path: path)
            #expect(disk.kind == .regularFile)
            #expect(disk.bus == .file)
            #expect(disk.size == 128 * MiB)
            #expect(disk.sectorSize == 512)
            #expect(disk.table == .gpt)
            #expect(disk.tableIdentifier == "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee")
            #expect(disk.partitions.map(\.number) == [1, 3, 4])
            #expect(disk.partitions.map(\.slot) == [1, 2, 3])
            #expect(disk.partitions.map(\.extent.offset) == [MiB, 35 * MiB, 55 * MiB])
            #expect(disk.partitions[0].extent.length == 34 * MiB)
            #expect(disk.partitions[0].name == "EFI system")
            #expect(disk.partitions[0].uuid == guid)
            #expect(disk.partitions[0].type.isEFISystem)
            #expect(disk.partitions.map(\.type.title) == ["EFI system", "Linux file system", "Linux swap"])
            #expect(disk.partitions.map(\.isActive) == [false, true, false])
            #expect(disk.partitions[0].content?.type == "vfat")
            #expect(disk.partitions[0].content?.label == "ESP")
            #expect(disk.partitions[0].content?.uuid == "1234-ABCD")
            #expect(disk.partitions[1].content?.type == "ext4")
            #expect(disk.partitions[1].content?.label == "root")
            #expect(disk.partitions[1].content?.uuid == guid)
            #expect(disk.partitions[1].content?.usage == .fileSystem)
            #expect(disk.partitions[2].content == nil)
            #expect(disk.tableProblem == nil)
            #expect(disk.obstacles == [.kind(.file)])
            #expect(!disk.refusals(for: .restore, named: false).isEmpty)
            #expect(disk.refusals(for: .restore, named: true).isEmpty)
        }
    }

    /// Whoever writes a table to a volume leaves the mark of the swap area or file system before it: what lies behind
    /// must not count as free.
    @Test(arguments: ["mkswap", "mkfs.ext4"]) func aVolumeUsedAsADiskIsNoSwapArea(_ maker: String) throws {
        try withGPTFile(128 * MiB, ["-n1:2048:+64M", "-t1:8200"]) { path in
            try withTemporaryDirectory { directory in
                let inner = "\(directory)/inner"
                try run("truncate", "-s", "64M", inner)
                try run(maker == "mkswap" ? [maker, inner] : [maker, "-q", "-F", inner])
                func describe() throws -> String? {
                    try run(
                        "dd", "if=\(inner)", "of=\(path)", "bs=1M", "seek=1", "conv=notrunc", "status=none")
                    return try DiskInventory().describe(path: path).partitions[0].content?.type
                }
                #expect(try describe() == (maker == "mkswap" ? "swap" : "ext4"))
                // Only sector 0 is written, as by the installer of another system.
                try run("sfdisk", "-q", "-w", "never", inner, input: "label: dos\nstart=2048, type=7\n")
                #expect(try describe() == "partition table")
            }
        }
    }

    @Test func describesLogicalPartitions() throws {
        try withScriptedFile(64 * MiB, chainScript) { path in
            let disk = try DiskInventory().describe(path: path)
            #expect(disk.table == .dos)
            #expect(disk.tableIdentifier == "1234abcd")
            #expect(disk.partitions.map(\.number) == [1, 2, 3, 5, 6, 7])
            #expect(disk.partitions.map(\.slot) == [1, 2, 0, 3, 4, 5])
            #expect(disk.slots.map(\.number) == [1, 2, 5, 6, 7])
            #expect(
                disk.partitions.map(\.role) == [.primary, .primary, .extended, .logical, .logical, .logical])
            #expect(disk.partitions.map(\.isActive) == [true, false, false, false, false, false])
            #expect(
                disk.partitions.map(\.type.description) == ["0x0c", "0x83", "0x0f", "0x83", "0x82", "0x07"])
            #expect(disk.partitions[0].uuid == "1234abcd-01")
            let table = try dumped(path)
            #expect(table.map { $0.start * 512 } == disk.partitions.map(\.extent.offset))
            #expect(table.map { $0.size * 512 } == disk.partitions.map(\.extent.length))
        }
    }

    @Test func slotsCountAcrossDisks() throws {
        try withScriptedFile(64 * MiB, chainScript) { first in
            try withGPTFile(64 * MiB, ["-n1:2048:+1M", "-n7:0:0"]) { second in
                let inventory = DiskInventory()
                let disks = DiskInventory.assignSlots(
                    try [first, second].map { try inventory.describe(path: $0) })
                #expect(disks.flatMap { $0.slots.map(\.slot) } == [1, 2, 3, 4, 5, 6, 7])
                #expect(disks[1].slots.map(\.number) == [1, 7])
            }
        }
    }

    @Test func readingNeverWrites() throws {
        try withScriptedFile(64 * MiB, gptScript) { path in
            try run("dd", "if=/dev/urandom", "of=\(path)", "bs=512", "seek=1", "count=1", "conv=notrunc")
            let before = try run("sha256sum", path)
            let (disk, reader) = try open(path)
            _ = try TableRegions(of: reader, table: disk.table)
            #expect(try run("sha256sum", path) == before)
        }
    }

    @Test func recognisesLargeSectorsByTheBackupToo() throws {
        try withScriptedFile(64 * MiB, "label: gpt\nsize=4096, type=L", sectorSize: 4096) { path in
            try run("dd", "if=/dev/zero", "of=\(path)", "bs=4096", "seek=1", "count=1", "conv=notrunc")
            let disk = try DiskInventory().describe(path: path)
            #expect(disk.sectorSize == 4096)
            #expect(disk.partitions.map(\.extent.length) == [16 * MiB])
            #expect(try DiskInventory().describe(path: path, .init(fileSectorSize: 512)).sectorSize == 512)
        }
    }

    @Test func refusesWhatIsNoDisk() throws {
        func message(_ path: String) -> String {
            do {
                _ = try DiskInventory().describe(path: path)
                return ""
            } catch {
                return "\(error)"
            }
        }
        #expect(message("/dev/none") == "/dev/none is no disk: No such file or directory")
        #expect(message("/tmp") == "/tmp is a directory, not a disk")
        #expect(message("/dev/null") == "/dev/null is neither a block device nor a regular file")
        try withSparseFile(1000) { path in
            #expect(message(path) == "\(path) is too small to be a disk: it has 1000 bytes")
        }
    }

    @Test func aFileThatIsTheImageIsRefused() throws {
        try withSparseFile(8 * MiB) { path in
            let disk = try DiskInventory().describe(path: path, .init(imageFile: path))
            #expect(disk.refusals(for: .restore, named: true) == [.holdsFile(path)])
        }
    }

    @Test func theRootFileSystemsDiskIsMounted() throws {
        let root =
            try run("findmnt", "-n", "-o", "SOURCE", "/").split(separator: "\n").first.map(String.init) ?? ""
        let disks = try DiskInventory().disks(.init(imageFile: "/tmp/not-yet/made.img"))
        let own = disks.filter { root.hasPrefix($0.path) }
        #expect(own.count == 1)
        for disk in own {
            #expect(disk.refusals(for: .restore, named: true).contains { "\($0)".contains("is mounted") })
            #expect(disk.refusals(for: .capture, named: true).contains { "\($0)".contains("is mounted") })
            #expect(disk.obstacles.contains(.holdsFile("/tmp/not-yet/made.img")))
        }
        #expect(disks.allSatisfy { $0.size > 0 })
    }
}

/// A machine that exists only as files: sysfs attributes, links and device nodes that are regular files.
struct FakeMachineTests {
    private struct Machine {
        let root: String
        var inventory: DiskInventory {
            DiskInventory(sys: "\(root)/sys", proc: "\(root)/proc", dev: "\(root)/dev")
        }

        init(_ root: String) throws {
            self.root = root
            try run(
                "mkdir", "-p", "\(root)/sys/block", "\(root)/sys/dev/block", "\(root)/proc/self",
                "\(root)/dev")
        }

        /// Adds a disk whose device hangs below /sys/devices/`place`.
        func add(_ name: String, _ number: String, below place: String, _ attributes: [String: String] = [:])
            throws
        {
            let device = "\(root)/sys/devices/\(place)"
            let node = "\(device)/block/\(name)"
            try run("mkdir", "-p", "\(node)/queue", "\(node)/holders", "\(node)/slaves")
            try run("ln", "-s", device, "\(node)/device")
            try run("ln", "-s", node, "\(root)/sys/block/\(name)")
            try run("ln", "-s", node, "\(root)/sys/dev/block/\(number)")
            try run("truncate", "-s", "4M", "\(root)/dev/\(name)")
            let usual = [
                "size": "8192", "dev": number, "ro": "0", "removable": "0", "queue/rotational": "0",
                "queue/logical_block_size": "512", "queue/physical_block_size": "4096",
            ]
            for (key, value) in usual.merging(attributes, uniquingKeysWith: { $1 }) {
                try write(Array("\(value)\n".utf8), to: "\(node)/\(key)")
            }
        }

        func disk(_ name: String, _ context: DiskInventory.Context = .init()) throws -> LocalDisk {
            try #require(try inventory.disks(context).first { $0.name == name })
        }
    }

    private func withMachine(_ body: (Machine) throws -> Void) throws {
        try withTemporaryDirectory { try body(Machine($0)) }
    }

    @Test func tellsBusesApartAndSortsNaturally() throws {
        try withMachine { machine in
            let pci = "pci0000:00/0000:00"
            try machine.add(
                "sda", "8:0", below: "\(pci):1f.2/ata1/host0/target0:0:0/0:0:0:0",
                ["device/model": "Samsung SSD 860", "device/vendor": "ATA     ", "queue/rotational": "0"])
            try machine.add("sdb", "8:16", below: "\(pci):14.0/usb2/2-1/2-1:1.0/host4/target4:0:0/4:0:0:0")
            try machine.add(
                "sdc", "8:32", below: "\(pci):05.0/host3/target3:0:0/3:0:0:0",
                [
                    "device/vendor": "SEAGATE ", "device/model": "ST900MM0168     ", "queue/rotational": "1",
                ])
            try machine.add("sdd", "8:48", below: "\(pci):06.0/fw1/fw1.0/host5/target5:0:0/5:0:0:0")
            try machine.add(
                "sdaa", "65:160", below: "\(pci):05.0/host3/target3:0:9/3:0:9:0", ["removable": "1"])
            try machine.add("nvme10n1", "259:9", below: "\(pci):1d.0/nvme/nvme10")
            try machine.add(
                "nvme2n1", "259:1", below: "\(pci):1d.4/nvme/nvme2",
                [
                    "device/model": "WD Blue SN570", "device/serial": "2149 ",
                ])
            try machine.add("mmcblk0", "179:0", below: "platform/mmc0/mmc0:0001", ["device/type": "MMC"])
            try machine.add(
                "mmcblk0boot0", "179:8", below: "platform/mmc0/mmc0:0001/b", ["device/type": "MMC"])
            try machine.add("mmcblk1", "179:16", below: "platform/mmc1/mmc1:aaaa", ["device/type": "SD"])
            try machine.add("vda", "254:0", below: "\(pci):04.0/virtio1", ["serial": "disk-1"])
            try machine.add("sr0", "11:0", below: "\(pci):1f.2/ata2/host1/target1:0:0/1:0:0:0", ["size": "0"])
            try machine.add("zram0", "252:0", below: "virtual/x")
            try machine.add("dm-0", "253:0", below: "virtual/y")

            let disks = try machine.inventory.disks()
            #expect(
                disks.map(\.name) == [
                    "dm-0", "mmcblk0", "mmcblk0boot0", "mmcblk1", "nvme2n1", "nvme10n1", "sda", "sdb", "sdc",
                    "sdd",
                    "sdaa", "vda", "zram0",
                ])
            #expect(
                disks.map(\.bus) == [
                    .deviceMapper, .emmc, .emmc, .sd, .nvme, .nvme, .ata, .usb, .scsi, .firewire, .scsi,
                    .virtio, .memory,
                ])
            let free = disks.filter { $0.refusals(for: .restore, named: false).isEmpty }
            #expect(free.map(\.name) == ["mmcblk0", "nvme2n1", "nvme10n1", "sda", "sdc", "vda"])
            #expect(try machine.disk("sda").model == "Samsung SSD 860")
            #expect(try machine.disk("sdc").model == "SEAGATE ST900MM0168")
            #expect(try machine.disk("sdc").isRotational)
            #expect(try machine.disk("nvme2n1").model == "WD Blue SN570")
            #expect(try machine.disk("nvme2n1").serial == "2149")
            #expect(try machine.disk("vda").serial == "disk-1")
            #expect(try machine.disk("vda").physicalSectorSize == 4096)
            #expect(try machine.disk("sdb").obstacles.map(\.description) == ["is on USB"])
            #expect(try machine.disk("mmcblk1").obstacles.map(\.description) == ["is an SD card"])
            #expect(try machine.disk("sdaa").obstacles.map(\.description) == ["is removable"])
            #expect(try machine.disk("mmcblk0boot0").refusals(for: .restore, named: true) == [.hardwareArea])
            #expect(try machine.disk("sdb").refusals(for: .restore, named: true).isEmpty)
        }
    }

    @Test func readsASerialNumberFromVitalProductData() throws {
        try withMachine { machine in
            let place = "pci0000:00/ata1/host0/target0:0:0/0:0:0:0"
            try machine.add("sda", "8:0", below: place)
            try write(
                [0, 0x80, 0, 6] + Array("  S3Z9".utf8), to: "\(machine.root)/sys/devices/\(place)/vpd_pg80")
            #expect(try machine.disk("sda").serial == "S3Z9")
        }
    }

    @Test func whatUsesADiskIsFound() throws {
        try withMachine { machine in
            let place = "pci0000:00/ata1/host0/target0:0:0/0:0:0:0"
            try machine.add("sda", "8:0", below: place)
            let partition = "\(machine.root)/sys/devices/\(place)/block/sda/sda2"
            try run("mkdir", "-p", "\(partition)/holders/md0")
            try write(Array("2\n".utf8), to: "\(partition)/partition")
            try write(Array("8:2\n".utf8), to: "\(partition)/dev")
            try write(
                Array(
                    """
                    27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
                    40 27 8:2 / /mnt/my\\040disk ro,relatime shared:1 - ext4 /dev/sda2 rw,errors=remount-ro
                    """.utf8), to: "\(machine.root)/proc/self/mountinfo")
            let disk = try machine.disk("sda")
            #expect(
                disk.refusals(for: .restore, named: true) == [
                    .mounted(device: "sda2", at: "/mnt/my disk", readOnly: false),
                    .held(by: "md0", readOnly: false),
                ])
            // Mounted read-only here, but the file system itself is writable.
            #expect(disk.refusals(for: .capture, named: true).count == 2)
            #expect(
                disk.obstacles.map(\.description) == [
                    "is mounted (sda2 at /mnt/my disk)", "is held by md0",
                ])
        }
    }

    @Test func aReadOnlyMountIsNoObstacleToReading() throws {
        try withMachine { machine in
            try machine.add("sda", "8:0", below: "pci0000:00/ata1/host0/target0:0:0/0:0:0:0", ["ro": "1"])
            try write(
                Array("40 27 8:0 / /mnt ro - ext4 /dev/sda ro\n".utf8),
                to: "\(machine.root)/proc/self/mountinfo")
            let disk = try machine.disk("sda")
            #expect(disk.refusals(for: .capture, named: false).isEmpty)
            #expect(disk.refusals(for: .restore, named: true).count == 2)
        }
    }

    @Test func aMemberOfAMountedBtrfsIsInUse() throws {
        try withMachine { machine in
            try machine.add("sdb", "8:16", below: "pci0000:00/ata2/host0/target0:0:0/0:0:0:0")
            try run("mkdir", "-p", "\(machine.root)/sys/fs/btrfs/uuid/devices/sdb")
            #expect(try machine.disk("sdb").refusals(for: .restore, named: true).count == 1)
        }
    }

    @Test func anUnreadableDiskIsNotAnEmptyOne() throws {
        try withMachine { machine in
            try machine.add("sda", "8:0", below: "pci0000:00/ata1/host0/target0:0:0/0:0:0:0")
            try run("rm", "\(machine.root)/dev/sda")
            let disk = try machine.disk("sda")
            #expect(disk.refusals(for: .restore, named: true).contains { "\($0)".contains("unreadable") })
        }
    }
}
