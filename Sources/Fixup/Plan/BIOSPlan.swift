// What a BIOS needs: boot code, GRUB's core image, the active mark, and Windows's hidden sectors.
internal import Blocks
internal import Disk

/// The fewest sectors in front of the first partition that have room for a core image, as on disks of old.
private let smallestGap: UInt64 = 62

/// The end of what a BIOS reaches by cylinder, head and sector: 1024 × 255 × 63 sectors.
///
/// Disks of at least this size are counted by 255 heads and 63 sectors everywhere, as Windows and libparted do; on
/// smaller ones BIOSes count in several ways.
private let reachOfCHS: UInt64 = 1024 * 255 * 63 * 512

/// What a disk has for a BIOS to start.
private enum Claim {
    case nothing
    /// NTFS volumes that may be Windows's and may hold data only: nothing says which.
    case volumes
    case system
}

extension BootPlan {
    /// Plans every disk by itself; what cannot be done on one is a warning where another one starts a system.
    mutating func planBIOS(_ facts: BootFacts) {
        let plans = facts.disks.map { disk in
            var plan = BootPlan()
            let claim = plan.planBIOS(disk, facts)
            return (disk: disk, claim: claim, plan: plan)
        }
        let spread = facts.systems.filter { system in
            system.bootVolume.map { volume in !facts.disks.contains { $0.path == volume.disk } } ?? false
        }
        let grub = facts.disks.first { if case .grub = $0.bootCode { true } else { false } }
        let isStarted =
            plans.contains { $0.claim == .system && $0.plan.problems.isEmpty }
            || (!spread.isEmpty && grub != nil)
        for (disk, claim, plan) in plans {
            if claim == .volumes, isStarted {
                guard !plan.steps.isEmpty else { continue }
                warnings.append(
                    "\(disk.path) is taken for a disk of data, although it may hold a Windows: another disk has "
                        + "a system, and no partition here is active ('img bootfix disks=\(disk.path)' sees to "
                        + "it alone)")
                continue
            }
            right += plan.right
            steps += plan.steps
            warnings += plan.warnings + (isStarted ? plan.problems : [])
            problems += isStarted ? [] : plan.problems
        }
        for system in spread { planSpread(system, grub, isStarted) }
    }

    /// A system whose /boot belongs to no single disk: a logical volume over several.
    private mutating func planSpread(_ system: LinuxSystem, _ grub: BootDisk?, _ isStarted: Bool) {
        let device = system.bootVolume?.device ?? ""
        let what = "\(system.title.onScreen) has its /boot on \(device), which lies on several disks"
        if let grub {
            right.append("\(what), and GRUB is in the MBR of \(grub.path)")
            return
        }
        let sentence =
            "\(what), so it is not known which of them is to get GRUB: start it, and run its own "
            + "grub-install ('img bootfix kexec' can start it)"
        if isStarted { warnings.append(sentence) } else { problems.append(sentence) }
    }

    private mutating func planBIOS(_ disk: BootDisk, _ facts: BootFacts) -> Claim {
        let systems = facts.systems.filter { $0.bootVolume?.disk == disk.path }
        let windows = disk.windows(beside: systems)
        guard !systems.isEmpty || !windows.isEmpty else {
            if disk.partitions.contains(where: { $0.efi?.loaders.isEmpty == false }) {
                problems.append(
                    "\(disk.path) has a system for UEFI only, and this machine was started by BIOS: "
                        + "switch its firmware to UEFI, and start this medium again")
            } else if disk.partitions.contains(where: \.startsWindows) {
                problems.append(
                    "\(disk.path) has a \(disk.tableTitle), from which a BIOS cannot start Windows")
                return .volumes
            }
            return .nothing
        }
        planHiddenSectors(disk)
        let isMarked = disk.active.map { $0.isStartable } ?? false
        let claim: Claim = systems.isEmpty && !isMarked && !disk.bootCode.isLoader ? .volumes : .system
        if windows.count > 1, disk.active == nil {
            let sentence =
                "\(disk.path): partitions \(BootDisk.numbers(windows)) have Windows's boot code, which every "
                + "NTFS volume gets, and none is active: which of them starts is not known ('img dump' shows "
                + "the slots, 'img paN' marks slot N)"
            if disk.bootCode.isLoader { warnings.append(sentence) } else { problems.append(sentence) }
            return claim
        }
        planBootCode(disk, systems, windows, facts.medium)
        planActiveMark(disk, systems, windows)
        return claim
    }

    /// Windows's boot sector finds its loader by them; where nothing is started from, nobody reads them.
    private mutating func planHiddenSectors(_ disk: BootDisk) {
        guard disk.table == .dos else { return }
        for partition in disk.partitions where partition.mayBeActive {
            guard let record = partition.bootRecord, record.startsSystem else { continue }
            let place = "\(disk.path): the boot sector of partition \(partition.number)"
            guard let expected = record.expected(at: partition.extent.offset) else {
                problems.append(
                    "\(place) cannot say where it is: the partition begins beyond 32 bits of sectors")
                continue
            }
            guard record.hiddenSectors != expected else {
                right.append("\(place) says where the partition is (sector \(expected))")
                continue
            }
            steps.append(
                Step(
                    action: .correctHiddenSectors(
                        disk: disk.path, partition: partition.number, to: expected),
                    sentence: "\(place) gets \(expected) as the partition's first sector, because it says "
                        + "\(record.hiddenSectors) and a BIOS start depends on it",
                    done: "\(place) says \(expected) now"))
        }
    }

    private mutating func planBootCode(
        _ disk: BootDisk, _ systems: [LinuxSystem], _ windows: [BootPartition], _ medium: BootMedium
    ) {
        let grub = systems.first { $0.grubDirectory != nil }
        let reason: String
        switch disk.bootCode {
        case .grub(let core):
            right.append("\(disk.path): GRUB is in the MBR, and its core image at sector \(core)")
            return
        case .other:
            right.append("\(disk.path): the MBR has the code of another loader, which is left alone")
            return
        case .startsActivePartition:
            let next = disk.active ?? disk.marked(systems, windows)
            // Without a mark the one that is going to get it counts.
            let isToBeMarked = disk.table == .dos && (grub == nil || !windows.isEmpty)
            if let next, next.isStartable, disk.active != nil || isToBeMarked {
                right.append("\(disk.path): the MBR's code starts the active partition")
                return
            }
            reason =
                disk.active.map { "the MBR's code starts partition \($0.number), in which no loader begins" }
                ?? "the MBR's code starts the active partition, and there is none"
        case .none: reason = "the MBR has no boot code"
        case .brokenGrub(let problem): reason = "GRUB in the MBR \(problem)"
        }
        if let grub {
            planGrub(disk, grub, medium, reason)
        } else if let active = disk.active, !active.isStartable, !windows.isEmpty {
            problems.append(
                "\(disk.path): partition \(active.number) is active, but no loader begins in it, and Windows's "
                    + "boot code is in partition \(BootDisk.numbers(windows)) ('img dump' shows the slots, "
                    + "'img paN' marks slot N; then start 'img bootfix' again)")
        } else if !windows.isEmpty {
            planStartCode(disk, windows, reason)
        } else {
            let title = systems[0].title.onScreen
            let place = systems[0].bootVolume?.partition.map { " on partition \($0)" } ?? ""
            problems.append(
                "\(disk.path): \(reason), and \(title)\(place) has no configuration of GRUB to install it for"
            )
        }
    }

    private mutating func planGrub(
        _ disk: BootDisk, _ system: LinuxSystem, _ medium: BootMedium, _ reason: String
    ) {
        let title = system.title.onScreen
        switch disk.table {
        case .gpt where !disk.partitions.contains(where: \.isBIOSBoot):
            problems.append(
                "\(disk.path) has a GPT without a BIOS boot partition, so a BIOS cannot start it: \(title) was "
                    + "installed for UEFI (switch this machine's firmware to UEFI, and start this medium again)"
            )
            return
        case .dos where disk.gap < smallestGap:
            problems.append(
                "\(disk.path): \(reason), and the \(disk.gap) sectors in front of the first partition have no "
                    + "room for GRUB")
            return
        case .gpt, .dos: break
        case .none, .other:
            problems.append("\(disk.path): \(reason), and a \(disk.tableTitle) has no place for GRUB")
            return
        }
        let withOwn = system.installer != nil && system.root != nil
        let isUsual = system.grubDirectory?.split(separator: "/").last == "grub"
        guard withOwn || (medium.hasGrub && isUsual) else {
            let directory = system.grubDirectory.map { "/" + $0.onScreen } ?? "/boot/grub"
            problems.append(
                medium.hasGrub
                    ? "\(disk.path): \(reason), and only \(title)'s own GRUB reads its configuration in "
                        + "\(directory), but it has none for BIOS"
                    : "\(disk.path): \(reason), and neither \(title) nor this medium has GRUB for BIOS")
            return
        }
        let tool = withOwn ? "with its own \(system.installer ?? "")" : "from this medium"
        steps.append(
            Step(
                action: .installGrub(disk: disk.path, system: system, withOwn: withOwn),
                sentence: "\(disk.path): installs GRUB for \(title) \(tool), because \(reason)",
                done: "\(disk.path): GRUB for \(title) is installed"))
    }

    /// Windows's own code may not be shipped: libparted's does the same, but finds a partition by CHS only.
    private mutating func planStartCode(_ disk: BootDisk, _ windows: [BootPartition], _ reason: String) {
        guard disk.table == .dos else {
            problems.append("\(disk.path) has a GPT, from which a BIOS cannot start Windows")
            return
        }
        guard let partition = disk.active ?? windows.first(where: \.mayBeActive) else {
            problems.append(
                "\(disk.path): \(reason), and Windows is on a logical partition, which no BIOS starts")
            return
        }
        guard partition.extent.offset < reachOfCHS, disk.size >= reachOfCHS, disk.sectorSize == 512 else {
            problems.append(
                "\(disk.path): \(reason), and Windows is where free code does not find it: start the Windows "
                    + "medium, choose its repair, and type 'bootrec /fixmbr'")
            return
        }
        let mark = partition.isActive ? "" : " and makes partition \(partition.number) active"
        steps.append(
            Step(
                action: .installStartCode(disk: disk.path, partition: partition.number),
                sentence:
                    "\(disk.path): writes libparted's code, which starts the active partition, into the "
                    + "MBR\(mark), because \(reason)",
                done: "\(disk.path): the MBR's code starts partition \(partition.number)"))
    }

    /// Some BIOSes start no disk on which no partition is marked; Windows's code needs the mark itself.
    private mutating func planActiveMark(
        _ disk: BootDisk, _ systems: [LinuxSystem], _ windows: [BootPartition]
    ) {
        guard disk.table == .dos else { return }
        if let active = disk.partitions.first(where: { $0.isActive }) {
            right.append("\(disk.path): partition \(active.number) is active")
            return
        }
        // The code and the mark go into one sector at once.
        if steps.contains(where: { $0.action.marks(disk) }) { return }
        guard let partition = disk.marked(systems, windows) else {
            warnings.append(
                "\(disk.path): no partition is active, and none that holds a system may be: a few BIOSes do not "
                    + "start such a disk")
            return
        }
        steps.append(
            Step(
                action: .activate(disk: disk.path, partition: partition.number),
                sentence: "\(disk.path): makes partition \(partition.number) active, because no partition is",
                done: "\(disk.path): partition \(partition.number) is active"))
    }
}

extension BootAction {
    fileprivate func marks(_ disk: BootDisk) -> Bool {
        if case .installStartCode(let path, _) = self { path == disk.path } else { false }
    }
}

extension BootDisk {
    /// The partition that code which starts the active one goes on with.
    fileprivate var active: BootPartition? { partitions.first { $0.isActive && $0.mayBeActive } }

    /// The partition that gets the mark where none has it.
    fileprivate func marked(_ systems: [LinuxSystem], _ windows: [BootPartition]) -> BootPartition? {
        let linux = systems.compactMap { $0.bootVolume?.partition ?? $0.bootVolume?.container }
            .compactMap { partition($0) }
        return (windows + linux).first(where: \.mayBeActive)
    }

    /// The partitions from which a Windows may start; several where nothing tells which.
    ///
    /// None beside a Linux with GRUB, whose menu has an entry for a Windows, and none on a GPT. The active one is it;
    /// logical ones count only where there are no others.
    fileprivate func windows(beside systems: [LinuxSystem]) -> [BootPartition] {
        guard table == .dos, !systems.contains(where: { $0.grubDirectory != nil }) else { return [] }
        let candidates = partitions.filter(\.startsWindows)
        let primary = candidates.filter(\.mayBeActive)
        if let active, primary.contains(active) { return [active] }
        return primary.isEmpty ? Array(candidates.prefix(1)) : primary
    }

    /// "1 and 2".
    fileprivate static func numbers(_ partitions: [BootPartition]) -> String {
        partitions.map { "\($0.number)" }.joined(separator: " and ")
    }
}

extension BootCode {
    /// Whether it goes on by itself, whatever is marked.
    fileprivate var isLoader: Bool {
        switch self {
        case .grub, .other: true
        case .none, .brokenGrub, .startsActivePartition: false
        }
    }
}

extension BootPartition {
    /// Whether something that loads a system begins in its first sector.
    fileprivate var isStartable: Bool {
        if bootRecord?.startsSystem == true { return true }
        switch bootCode {
        case .grub, .other, .startsActivePartition: return bootRecord == nil
        case .none, .brokenGrub: return false
        }
    }
}
