// From facts to a plan: pure, so that every case is a line of a test's table.
internal import Blocks
internal import Disk

extension BootPlan {
    /// What has to be done so that the firmware of this machine starts what is on its disks.
    package init(_ facts: BootFacts) {
        self.init()
        warnings = facts.notices
        describe(facts)
        let systems = facts.systems.count
        let loaders = facts.disks.flatMap(\.partitions).compactMap(\.efi).flatMap(\.loaders).count
        let windows = facts.disks.flatMap(\.partitions).filter(\.startsWindows).count
        guard systems + loaders + windows > 0 else {
            let names = facts.disks.map(\.path).joined(separator: ", ")
            problems.append("no installed system was found on \(names)")
            return
        }
        switch facts.firmware {
        case .bios: planBIOS(facts)
        case .uefi(let variables): planUEFI(facts, variables)
        case .uefiWithoutVariables(let reason):
            warnings.append("the firmware's boot entries are left as they are: \(reason)")
            planUEFI(facts, nil)
        }
    }

    /// What was found, in lines that begin with the firmware.
    private mutating func describe(_ facts: BootFacts) {
        switch facts.firmware {
        case .bios: findings.append("this machine was started by BIOS")
        case .uefi(let variables):
            findings.append(
                "this machine was started by UEFI, Secure Boot is \(variables.isSecureBoot ? "on" : "off")")
        case .uefiWithoutVariables: findings.append("this machine was started by UEFI")
        }
        for disk in facts.disks {
            findings.append("\(disk.title), \(disk.tableTitle)")
            if case .bios = facts.firmware { findings.append("  boot code: \(disk.bootCode.title)") }
            for partition in disk.partitions where partition.role != .extended {
                let what = facts.titles(of: partition, on: disk)
                guard !what.isEmpty else { continue }
                findings.append("  partition \(partition.number): \(what.joined(separator: "; "))")
            }
            for system in facts.systems where system.root?.disk == disk.path && system.root?.partition == nil
            {
                findings.append("  logical volume \(system.root?.device ?? ""): \(system.title.onScreen)")
            }
        }
    }
}

extension BootFacts {
    /// What a partition is to its systems and the firmware; empty for one that plays no part.
    fileprivate func titles(of partition: BootPartition, on disk: BootDisk) -> [String] {
        func isHere(_ volume: VolumeReference?) -> Bool {
            volume?.disk == disk.path && volume?.partition == partition.number
        }
        var what: [String] = []
        for system in systems {
            if isHere(system.root) { what.append("\(system.title.onScreen) (\(partition.content))") }
            if isHere(system.boot) { what.append("/boot of \(system.title.onScreen) (\(partition.content))") }
        }
        if partition.isBIOSBoot { what.append("BIOS boot partition") }
        if partition.startsWindows { what.append("Windows's boot code (\(partition.content))") }
        if let efi = partition.efi {
            let loaders = efi.loaders.map(\.path.onScreen)
            what.append(
                "EFI system partition\(loaders.isEmpty ? "" : " with \(loaders.joined(separator: ", "))")")
        }
        return what
    }
}

extension BootPartition {
    /// Whether a BIOS may start a Windows, or another system of Microsoft, from it.
    ///
    /// It need not: Windows gives this code to every NTFS volume that it formats, those for data too.
    var startsWindows: Bool { bootRecord?.kind == .ntfs && bootRecord?.startsSystem == true }
}

extension BootDisk {
    /// "GPT", "MBR".
    var tableTitle: String {
        switch table {
        case .gpt: "GPT"
        case .dos: "MBR"
        case .none: "no partition table"
        case .other(let name): "partition table of type \(name)"
        }
    }
}

extension BootCode {
    var title: String {
        switch self {
        case .none: "none"
        case .grub(let core): "GRUB, core image at sector \(core)"
        case .brokenGrub(let problem): "GRUB, which \(problem)"
        case .startsActivePartition: "starts the active partition"
        case .other: "of a loader that is left alone"
        }
    }
}
