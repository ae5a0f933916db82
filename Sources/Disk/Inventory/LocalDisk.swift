// What is known of one disk of this machine: the words every plan is made of.
package import Blocks
package import Linux

/// A whole disk of this machine, or a regular file that stands for one.
package struct LocalDisk: Sendable {
    package enum Kind: String, Sendable {
        case blockDevice
        case regularFile
    }

    /// "/dev/sda" whatever name it was asked for by, or the file's path as given.
    package let path: String
    /// The kernel's name, "sda"; for a regular file the last part of its path.
    package let name: String
    package let kind: Kind
    /// The block device's number; nil for a regular file.
    package let deviceNumber: DeviceNumber?
    /// Size in bytes, a multiple of the logical sector size (a file's odd tail is left out).
    package let size: UInt64
    /// Logical sector size in bytes: 512, 1024, 2048 or 4096.
    package let sectorSize: UInt32
    /// Physical sector size in bytes.
    package let physicalSectorSize: UInt32
    /// Vendor and model as the device reports them; may be empty.
    package let model: String
    /// Serial number as the device reports it; may be empty.
    package let serial: String
    package let bus: BusClass
    package let isRotational: Bool
    package let isRemovable: Bool
    package let isReadOnly: Bool
    /// The kind of partition table.
    package let table: TableType
    /// The GPT's disk GUID or the MBR's signature as libblkid writes it; empty without a table.
    package let tableIdentifier: String
    /// What contradicts itself in the table, in one clause; nil when it can be relied on.
    package let tableProblem: String?
    /// What is amiss with the table though it can be used, as a GPT whose backup is read; nil when nothing is.
    package let tableNotice: String?
    /// Every partition in the order of its number, extended containers included.
    package internal(set) var partitions: [LocalPartition]
    /// What libblkid finds on the whole disk outside of any partition (a file system, an LVM or RAID member).
    ///
    /// Meaningful only where `table` is `.none`; beside a table it is a leftover.
    package let content: FileSystemIdentity?
    /// Why the disk is not taken by itself, or not at all; in a fixed order.
    package let obstacles: [Obstacle]

    /// The partitions that have a slot: all but extended containers.
    package var slots: [LocalPartition] { partitions.filter { $0.role != .extended } }
}

/// How a disk is attached; restore plans compare it, kernel names they never compare.
package enum BusClass: String, Sendable, CaseIterable {
    case ata
    case nvme
    case scsi
    case virtio
    case usb
    case firewire
    /// An SD card.
    case sd = "mmc-sd"
    /// Soldered flash memory.
    case emmc = "mmc-emmc"
    case xen
    case loop
    /// A regular file that stands for a disk.
    case file
    case optical
    case floppy
    /// Linux software RAID.
    case raid = "md"
    case deviceMapper = "device-mapper"
    /// A disk made of memory: zram, brd.
    case memory
    /// A block device over the network: nbd, rbd.
    case network
    case other

    /// The name as people know it: "SATA/IDE", "NVMe", "USB".
    package var title: String {
        switch self {
        case .ata: "SATA/IDE"
        case .nvme: "NVMe"
        case .scsi: "SCSI/SAS"
        case .virtio: "virtio"
        case .usb: "USB"
        case .firewire: "FireWire"
        case .sd: "SD card"
        case .emmc: "eMMC"
        case .xen: "Xen"
        case .loop: "loop device"
        case .file: "file"
        case .optical: "optical drive"
        case .floppy: "floppy drive"
        case .raid: "software RAID"
        case .deviceMapper: "device-mapper device"
        case .memory: "memory disk"
        case .network: "network block device"
        case .other: "unknown bus"
        }
    }
}

/// The kind of partition table.
package enum TableType: Hashable, Sendable, CustomStringConvertible {
    case gpt
    /// The MBR with its extended chain; called "dos" as everywhere on Linux.
    case dos
    case none
    /// A label this program copies as data: "sun", "mac", "bsd".
    case other(String)

    package var description: String {
        switch self {
        case .gpt: "gpt"
        case .dos: "dos"
        case .none: "none"
        case .other(let name): name
        }
    }
}

/// One partition of a disk.
package struct LocalPartition: Sendable {
    package enum Role: String, Sendable {
        case primary
        /// The container of logical partitions; it has no slot and no content of its own.
        case extended
        case logical
    }

    /// The number in the table and in the kernel's name: 5 for sda5.
    package let number: Int
    /// 1, 2, … across all disks without extended containers; 0 until `DiskInventory.assignSlots` has counted.
    package internal(set) var slot: Int
    /// The partition's device node whether it exists yet or not; empty for partitions inside a regular file.
    package let path: String
    /// The bytes of the disk that the partition has; inside the disk unless `LocalDisk.tableProblem` says otherwise.
    package let extent: Extent
    package let role: Role
    package let type: PartitionType
    /// The GPT partition's name; empty on an MBR.
    package let name: String
    /// PARTUUID; may be empty.
    package let uuid: String
    /// The MBR's active mark, or the GPT's "legacy BIOS bootable" attribute.
    package let isActive: Bool
    /// What libblkid finds in the partition.
    package let content: FileSystemIdentity?
}

/// What libblkid recognises in a range of a disk.
package struct FileSystemIdentity: Hashable, Sendable {
    package enum Usage: String, Sendable {
        case fileSystem
        case raid
        case crypto
        case other
    }

    /// libblkid's name: "ext4", "vfat", "ntfs", "swap", "swsuspend", "LVM2_member", "linux_raid_member".
    package let type: String
    package let label: String
    package let uuid: String
    package let version: String
    package let usage: Usage
}

extension LocalDisk {
    /// What is about to be done with a disk.
    package enum Purpose: Sendable {
        /// It is read as the source of an image.
        case capture
        /// Everything on it is replaced.
        case restore
    }

    /// The obstacles that stand in the way; none means that the disk may be taken.
    ///
    /// `named` says that the user named this disk with `disks=`, which lifts all that only protects from surprises.
    package func refusals(for purpose: Purpose, named: Bool) -> [Obstacle] {
        obstacles.filter { $0.refuses(purpose, named: named) }
    }
}

/// A reason not to take a disk.
package enum Obstacle: Hashable, Sendable, CustomStringConvertible {
    /// It is on a bus of guests: USB, FireWire, SD.
    case onBus(BusClass)
    /// It is no disk by itself: a loop device, a file, memory, an optical drive, RAID, device-mapper.
    case kind(BusClass)
    case removable
    /// It holds the medium this system was started from.
    case bootMedium
    /// It holds the image file of that path.
    case holdsFile(String)
    /// It is the eMMC's boot area or another part without partitions of its own.
    case hardwareArea
    case readOnly
    case mounted(device: String, at: String, readOnly: Bool)
    case swap(device: String)
    /// A kernel device is built on it or on one of its partitions: "md0", "dm-3", "loop2".
    case held(by: String, readOnly: Bool)
    /// It cannot be opened or read; the text says why.
    case unreadable(String)
    /// Its partition table contradicts itself or the disk; the text says how.
    case damagedTable(String)

    /// One clause that completes "/dev/sda is …" or "/dev/sda …".
    package var description: String {
        switch self {
        case .onBus(let bus): bus == .sd ? "is an SD card" : "is on \(bus.title)"
        case .kind(let bus):
            "is \(bus.title.first.map { "aeiou".contains($0) } == true ? "an" : "a") \(bus.title)"
        case .removable: "is removable"
        case .bootMedium: "is the boot medium"
        case .holdsFile(let path): "holds \(path)"
        case .hardwareArea: "is a hardware area of a memory card"
        case .readOnly: "is read-only"
        case .mounted(let device, let place, let readOnly):
            "is mounted\(readOnly ? " read-only" : "") (\(device) at \(place))"
        case .swap(let device): "is used as swap (\(device))"
        case .held(let holder, _): "is held by \(holder)"
        case .unreadable(let reason): "is unreadable: \(reason)"
        case .damagedTable(let problem): "has a damaged partition table: \(problem)"
        }
    }

    /// Whether this stops `purpose`; `named` says that the user named the disk with `disks=`.
    package func refuses(_ purpose: LocalDisk.Purpose, named: Bool) -> Bool {
        switch self {
        case .onBus, .kind, .removable, .bootMedium: !named
        case .hardwareArea, .swap, .unreadable: true
        // Writing an image onto the disk it comes from, or an image of a disk into itself, can only fail late.
        case .holdsFile: true
        case .readOnly: purpose == .restore
        case .mounted(_, _, let readOnly), .held(_, let readOnly): purpose == .restore || !readOnly
        case .damagedTable: purpose == .capture
        }
    }
}
