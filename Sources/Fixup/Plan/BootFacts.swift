// What is known of a machine and its disks before a plan is made: values only.
package import Blocks
package import Disk

/// Everything that a plan follows from.
package struct BootFacts: Equatable, Sendable {
    package enum Firmware: Equatable, Sendable {
        case bios
        case uefi(BootVariables)
        /// UEFI whose variables cannot be read; the text says why.
        case uefiWithoutVariables(String)
    }

    package var firmware: Firmware
    /// The disks that may be changed.
    package var disks: [BootDisk]
    /// Linux systems on them, in the order of disks and partitions.
    package var systems: [LinuxSystem]
    /// What the medium has for a BIOS.
    package var medium: BootMedium
    /// Things seen on the way that a person wants to know.
    package var notices: [String]

    package init(
        firmware: Firmware, disks: [BootDisk], systems: [LinuxSystem] = [],
        medium: BootMedium = BootMedium(),
        notices: [String] = []
    ) {
        self.firmware = firmware
        self.disks = disks
        self.systems = systems
        self.medium = medium
        self.notices = notices
    }
}

/// What the running system brings along.
package struct BootMedium: Equatable, Sendable {
    /// Whether there is a grub-install with the modules for BIOS.
    package var hasGrub: Bool

    package init(hasGrub: Bool = false) { self.hasGrub = hasGrub }
}

/// One disk.
package struct BootDisk: Equatable, Sendable {
    /// "/dev/sda", by which everything else refers to the disk.
    package var path: String
    /// As people know it: "/dev/sda (QEMU HARDDISK, 4.29 GB)".
    package var title: String
    package var table: TableType
    /// In bytes.
    package var size: UInt64
    package var sectorSize: UInt32
    package var bootCode: BootCode
    package var partitions: [BootPartition]

    package init(
        path: String, title: String, table: TableType, size: UInt64, sectorSize: UInt32 = 512,
        bootCode: BootCode, partitions: [BootPartition]
    ) {
        self.path = path
        self.title = title
        self.table = table
        self.size = size
        self.sectorSize = sectorSize
        self.bootCode = bootCode
        self.partitions = partitions
    }

    /// Sectors between the MBR and the first partition, where GRUB lives on a disk with an MBR.
    var gap: UInt64 {
        let first = partitions.map(\.extent.offset).min() ?? UInt64(sectorSize)
        return max(1, first / UInt64(sectorSize)) - 1
    }

    func partition(_ number: Int) -> BootPartition? { partitions.first { $0.number == number } }
}

/// One partition.
package struct BootPartition: Equatable, Sendable {
    package var number: Int
    /// Its device node; a plan for a file that stands for a disk has those of a loop device.
    package var path: String
    package var extent: Extent
    package var role: LocalPartition.Role
    package var type: PartitionType
    package var isActive: Bool
    /// libblkid's type of the content; empty for none.
    package var content: String
    /// As boot entries name it; nil where the table gives it no name.
    package var signature: EFIPartition.Signature?
    /// The boot sector of an NTFS or FAT volume.
    package var bootRecord: VolumeBootRecord?
    /// The code in the first sector of the partition, where a BIOS's MBR code goes on.
    package var bootCode: BootCode
    /// What the EFI system partition holds; nil for other partitions.
    package var efi: EFIVolume?

    package init(
        number: Int, path: String, extent: Extent, role: LocalPartition.Role = .primary, type: PartitionType,
        isActive: Bool = false, content: String = "", signature: EFIPartition.Signature? = nil,
        bootRecord: VolumeBootRecord? = nil, bootCode: BootCode = .none, efi: EFIVolume? = nil
    ) {
        self.number = number
        self.path = path
        self.extent = extent
        self.role = role
        self.type = type
        self.isActive = isActive
        self.content = content
        self.signature = signature
        self.bootRecord = bootRecord
        self.bootCode = bootCode
        self.efi = efi
    }

    /// The partition of a GPT that GRUB's core image has for itself.
    package var isBIOSBoot: Bool { type.description == "21686148-6449-6e6f-744e-656564454649" }

    /// Whether a core image may be a file in it.
    var mayHoldLinux: Bool { BootPartition.linuxFileSystems.contains(content) }

    /// File systems in which an installed Linux is looked for.
    static let linuxFileSystems: Set<String> = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"]

    /// Whether the active mark may be given to it.
    var mayBeActive: Bool { role == .primary }
}

/// A file system: where it is and how it is mounted.
package struct VolumeReference: Equatable, Sendable {
    /// "/dev/sda1", "/dev/mapper/vg-root".
    package var device: String
    /// libblkid's type.
    package var fileSystem: String
    /// The directory of a btrfs that is the system's root; nil for the file system's own.
    package var subvolume: String?
    package var uuid: String
    /// The disk and, but for a logical volume, the partition it is; nil where it is on several disks.
    package var disk: String?
    package var partition: Int?
    /// The only partition that a logical volume lies on; nil where there are more, and for everything else.
    package var container: Int?

    package init(
        device: String, fileSystem: String, subvolume: String? = nil, uuid: String = "", disk: String? = nil,
        partition: Int? = nil, container: Int? = nil
    ) {
        self.device = device
        self.fileSystem = fileSystem
        self.subvolume = subvolume
        self.uuid = uuid
        self.disk = disk
        self.partition = partition
        self.container = container
    }
}

/// An installed Linux, or the boot partition of one whose root cannot be read.
package struct LinuxSystem: Equatable, Sendable {
    /// "Debian GNU/Linux 12 (bookworm)".
    package var title: String
    /// "Debian GNU/Linux".
    package var name: String
    /// nil where only a boot partition was found.
    package var root: VolumeReference?
    /// The separate boot partition; nil where /boot is part of the root.
    package var boot: VolumeReference?
    /// The directory of grub.cfg within the volume that holds /boot: "boot/grub", "grub2"; nil without one.
    package var grubDirectory: String?
    /// The system's own program that installs GRUB for a BIOS, as seen from its root; nil where it has none.
    package var installer: String?

    package init(
        title: String, name: String, root: VolumeReference?, boot: VolumeReference? = nil,
        grubDirectory: String? = nil, installer: String? = nil
    ) {
        self.title = title
        self.name = name
        self.root = root
        self.boot = boot
        self.grubDirectory = grubDirectory
        self.installer = installer
    }

    /// The volume that a boot loader reads.
    var bootVolume: VolumeReference? { boot ?? root }
}

/// What an EFI system partition holds.
package struct EFIVolume: Equatable, Sendable {
    /// The loaders of installed systems, one per system, the ones to prefer first.
    package var loaders: [EFILoader]
    /// Names in \EFI\BOOT as they are written there.
    package var fallbackFiles: [String]
    /// Why it cannot be looked into; nil when it can.
    package var problem: String?

    package init(loaders: [EFILoader] = [], fallbackFiles: [String] = [], problem: String? = nil) {
        self.loaders = loaders
        self.fallbackFiles = fallbackFiles
        self.problem = problem
    }

    func hasFallback(_ name: String) -> Bool {
        fallbackFiles.contains { $0.lowercased() == name.lowercased() }
    }
}

/// One system's loader on an EFI system partition.
package struct EFILoader: Equatable, Sendable {
    package enum Kind: Equatable, Sendable {
        /// A signed first step that loads the real loader beside it.
        case shim
        case plain
        case windows
    }

    package var kind: Kind
    /// Its directory as it is written on the volume: "EFI/debian".
    package var directory: String
    /// Its file as it is written on the volume: "shimx64.efi".
    package var file: String
    /// The name for the boot entry; nil where the volume does not say.
    package var label: String?
    /// Files of its directory that a copy of it needs beside itself: "grubx64.efi", "mmx64.efi".
    package var companions: [String]

    package init(
        kind: Kind, directory: String, file: String, label: String?, companions: [String] = []
    ) {
        self.kind = kind
        self.directory = directory
        self.file = file
        self.label = label
        self.companions = companions
    }

    /// "\EFI\debian\shimx64.efi", as boot entries write it.
    package var path: String {
        "\\" + directory.split(separator: "/").joined(separator: "\\") + "\\" + file
    }
}
