// Gathers the facts of this machine without changing anything.
internal import Blocks
internal import Disk
internal import Linux
internal import SystemPackage

/// Looks at disks and firmware; owns the mount namespace in which it does.
final class Survey {
    let disks: ChosenDisks
    let area: MountArea
    private let firmware = "/sys/firmware/efi"

    /// `words` are those of disks=, nil for all disks that a restore would take; `isReadOnly` promises that nothing
    /// will be changed later.
    init(_ words: [String]?, isReadOnly: Bool) throws {
        disks = try ChosenDisks(words, isReadOnly: isReadOnly)
        area = try MountArea()
    }

    func facts() throws -> BootFacts {
        try disks.expectUnused()
        try disks.refresh()
        var notices = disks.notices
        var bootDisks: [BootDisk] = []
        var volumes: [LinuxVolume] = []
        var physical: [LocalPartition] = []
        var owners: [String: String] = [:]
        for choice in disks.choices {
            bootDisks.append(try describe(choice))
            for partition in choice.disk.partitions where partition.role != .extended {
                guard let content = partition.content else { continue }
                if content.type == "LVM2_member" {
                    physical.append(partition)
                    owners[partition.path] = choice.disk.path
                }
                let reference = VolumeReference(
                    device: partition.path, fileSystem: content.type, uuid: content.uuid,
                    disk: choice.disk.path, partition: partition.number)
                look(reference, content.label, partition.uuid, &volumes, &notices)
            }
        }
        if !physical.isEmpty { lookAtLogicalVolumes(physical, owners, &volumes, &notices) }
        return BootFacts(
            firmware: firmwareFacts(), disks: bootDisks, systems: LinuxVolume.systems(volumes),
            medium: Survey.medium(), notices: notices)
    }

    // MARK: Disks

    private func describe(_ choice: ChosenDisks.Choice) throws -> BootDisk {
        let disk = choice.disk
        let reader = try DiskReader(disk, direct: false)
        var partitions = disk.partitions.map { partition in
            BootPartition(
                number: partition.number, path: partition.path, extent: partition.extent,
                role: partition.role, type: partition.type, isActive: partition.isActive,
                content: partition.content?.type ?? "", signature: signature(partition, disk))
        }
        let known = partitions
        for index in partitions.indices where partitions[index].role != .extended {
            let extent = partitions[index].extent
            let length = min(UInt64(VolumeBootRecord.length), extent.length)
            // What cannot be read starts nothing; the restore has said so already.
            guard extent.end <= disk.size, let first = try? reader.bytes(Int(length), at: extent.offset)
            else { continue }
            partitions[index].bootRecord = VolumeBootRecord(first, partitionSize: extent.length)
            partitions[index].bootCode = BootCode(first, on: reader, known)
            if partitions[index].type.isEFISystem, partitions[index].content == "vfat" {
                partitions[index].efi = lookAtEFI(partitions[index], disk.path)
            }
        }
        let sector = try reader.bytes(Int(disk.sectorSize), at: 0)
        return BootDisk(
            path: disk.path, title: choice.title, table: disk.table, size: disk.size,
            sectorSize: disk.sectorSize,
            bootCode: BootCode(sector, on: reader, known), partitions: partitions)
    }

    /// What the disk's first sector does, read now; for a core image its partitions do not matter here.
    func bootCode(of disk: LocalDisk) throws -> BootCode {
        let reader = try DiskReader(disk, direct: false)
        return BootCode(try reader.bytes(Int(disk.sectorSize), at: 0), on: reader, [])
    }

    private func signature(_ partition: LocalPartition, _ disk: LocalDisk) -> EFIPartition.Signature? {
        switch disk.table {
        case .gpt: return GUID(partition.uuid).map { .gpt($0) }
        case .dos:
            return UInt32(disk.tableIdentifier.dropPrefix("0x"), radix: 16).map {
                .mbr($0, number: UInt32(clamping: partition.number))
            }
        case .none, .other: return nil
        }
    }

    private func lookAtEFI(_ partition: BootPartition, _ disk: String) -> EFIVolume {
        let reference = VolumeReference(
            device: partition.path, fileSystem: "vfat", disk: disk, partition: partition.number)
        do {
            return try area.with(reference, .look) { EFIVolume(try ConfinedTree($0)) }
        } catch { return EFIVolume(problem: "\(error)") }
    }

    // MARK: Systems

    private func look(
        _ reference: VolumeReference, _ label: String, _ uuid: String, _ volumes: inout [LinuxVolume],
        _ notices: inout [String]
    ) {
        guard BootPartition.linuxFileSystems.contains(reference.fileSystem) else { return }
        do {
            var subvolumes: [String] = []
            let contents = try area.with(reference, .look) { place in
                let tree = try ConfinedTree(place)
                let contents = LinuxContents(tree)
                if reference.fileSystem == "btrfs", !contents.isRoot { subvolumes = Survey.subvolumes(tree) }
                return contents
            }
            func add(_ reference: VolumeReference, _ contents: LinuxContents) {
                volumes.append(
                    LinuxVolume(
                        reference: reference, label: label, partitionUUID: uuid, contents: contents))
            }
            add(reference, contents)
            for name in subvolumes {
                var reference = reference
                reference.subvolume = name
                // What is no subvolume but an ordinary directory does not mount.
                let inside = try? area.with(reference, .look) { LinuxContents(try ConfinedTree($0)) }
                if let inside, inside.isRoot { add(reference, inside) }
            }
        } catch { notices.append("\(error)") }
    }

    /// Directories at the top of a btrfs that may be the root of a system: "@", "@rootfs", "root".
    private static func subvolumes(_ tree: ConfinedTree) -> [String] {
        tree.entries("/").sorted().prefix(64).filter { name in
            !name.contains(",")
                && (tree.isFile("\(name)/etc/os-release") || tree.isFile("\(name)/usr/lib/os-release"))
        }
    }

    private func lookAtLogicalVolumes(
        _ physical: [LocalPartition], _ owners: [String: String], _ volumes: inout [LinuxVolume],
        _ notices: inout [String]
    ) {
        do {
            try withLogicalVolumes(on: physical.map(\.path)) { found in
                for volume in found {
                    guard let content = try DiskInventory().describe(path: volume.device).content else {
                        continue
                    }
                    let disks = Set(volume.physical.map { owners[$0] ?? "" })
                    let places = Set(volume.physical)
                    let reference = VolumeReference(
                        device: volume.device, fileSystem: content.type, uuid: content.uuid,
                        disk: disks.count == 1 ? disks.first : nil,
                        container: places.count == 1
                            ? physical.first { $0.path == places.first }?.number : nil)
                    look(reference, content.label, "", &volumes, &notices)
                }
            }
        } catch { notices.append("the logical volumes are left alone: \(error)") }
    }

    /// Calls `body` while the logical volumes on `physical` are there.
    func withLogicalVolumes(
        on physical: [String], _ body: ([LogicalVolumes.Volume]) throws -> Void
    ) throws {
        guard let logical = LogicalVolumes(on: physical) else {
            throw FixupError("there is no lvm on this medium")
        }
        let result = Result {
            try logical.activate()
            try body(logical.volumes)
        }
        try logical.deactivate()
        try result.get()
    }

    /// The physical volumes of LVM on the chosen disks.
    var physicalVolumes: [String] {
        disks.choices.flatMap(\.disk.partitions).filter { $0.content?.type == "LVM2_member" }.map(\.path)
    }

    // MARK: Firmware and medium

    private func firmwareFacts() -> BootFacts.Firmware {
        guard FileTree.exists(firmware) else { return .bios }
        if let width = try? FileTree.text(of: "\(firmware)/fw_platform_size"), width.hasPrefix("32") {
            return .uefiWithoutVariables("this firmware has 32 bits, and the loaders here have 64")
        }
        do { return .uefi(try variables().read()) } catch { return .uefiWithoutVariables("\(error)") }
    }

    /// The firmware's variables, made visible in this process's own mounts where nobody has.
    func variables() throws -> VariableStore {
        let place = "\(firmware)/efivars"
        let isMounted = try Mount.entries().contains { $0.mountPoint == place && $0.fileSystem == "efivarfs" }
        if !isMounted {
            do throws(SystemError) {
                try Mount.attach(
                    "efivarfs", at: place, type: "efivarfs", [.noSetuid, .noDevices, .noExecution])
            } catch {
                throw FixupError("efivarfs cannot be mounted: \(error.errno.description)")
            }
        }
        return try VariableStore(place)
    }

    /// GRUB's modules for BIOS on this medium.
    static let modules = "/usr/lib/grub/i386-pc"

    private static func medium() -> BootMedium {
        let hasGrub = Program.find("grub-install") != nil && FileTree.exists("\(modules)/boot.img")
        return BootMedium(hasGrub: hasGrub)
    }
}

extension String {
    fileprivate func dropPrefix(_ prefix: String) -> Substring {
        hasPrefix(prefix) ? dropFirst(prefix.count) : self[...]
    }
}
