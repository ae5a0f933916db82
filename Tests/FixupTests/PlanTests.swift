// Facts in, actions out: the table of what bootfix does and what it leaves alone.
import Blocks
import Disk
import Fixup
import Testing

/// A partition of a made-up disk, in sectors of 512 bytes.
private func partition(
    _ number: Int, start: UInt64 = 2048, _ type: PartitionType = .mbr(0x83), isActive: Bool = false,
    content: String = "ext4", role: LocalPartition.Role = .primary, record: VolumeBootRecord? = nil,
    code: BootCode = .none, signature: EFIPartition.Signature? = nil, efi: EFIVolume? = nil
) -> BootPartition {
    BootPartition(
        number: number, path: "/dev/sda\(number)", extent: Extent(offset: start * 512, length: 64 * MiB),
        role: role, type: type, isActive: isActive, content: content, signature: signature,
        bootRecord: record, bootCode: code, efi: efi)
}

private func disk(
    _ table: TableType, _ code: BootCode, size: UInt64 = 64 * GiB, _ partitions: BootPartition...
) -> BootDisk {
    BootDisk(
        path: "/dev/sda", title: "/dev/sda (made up)", table: table, size: size, bootCode: code,
        partitions: partitions)
}

private func debian(
    partition: Int? = 1, installer: String? = nil, grub: String? = "boot/grub"
) -> LinuxSystem {
    LinuxSystem(
        title: "Debian 12", name: "Debian",
        root: VolumeReference(
            device: "/dev/sda1", fileSystem: "ext4", uuid: "u", disk: "/dev/sda", partition: partition),
        grubDirectory: grub, installer: installer)
}

/// A boot sector of a Windows volume with the given hidden sectors.
private func windowsRecord(_ hidden: UInt32) throws -> VolumeBootRecord {
    var bytes = [UInt8](repeating: 0, count: VolumeBootRecord.length)
    bytes.replaceSubrange(3..<11, with: Array("NTFS    ".utf8))
    bytes[0x0c] = 2
    for index in 0..<4 { bytes[0x1c + index] = UInt8(truncatingIfNeeded: hidden >> UInt32(8 * index)) }
    bytes.replaceSubrange(0x60..<0x62, with: [0xcd, 0x13])
    bytes.replaceSubrange(0x202..<0x210, with: "BOOTMGR".utf8.flatMap { [$0, UInt8(0)] })
    bytes[510] = 0x55
    bytes[511] = 0xaa
    return try #require(VolumeBootRecord(bytes, partitionSize: 64 * MiB))
}

private let biosBoot = PartitionType.gpt(
    GUID("21686148-6449-6e6f-744e-656564454649") ?? GUID([UInt8](repeating: 0, count: 16)))
private let espType = PartitionType.gpt(
    GUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b") ?? GUID([UInt8](repeating: 0, count: 16)))
private let linuxType = PartitionType.gpt(
    GUID("0fc63daf-8483-4772-8e79-3d69d8477de4") ?? GUID([UInt8](repeating: 0, count: 16)))
private let here = EFIPartition.Signature.gpt(GUID([UInt8](repeating: 7, count: 16)))

private func plan(
    _ disks: [BootDisk], _ systems: [LinuxSystem] = [], firmware: BootFacts.Firmware = .bios
) -> BootPlan {
    BootPlan(
        BootFacts(firmware: firmware, disks: disks, systems: systems, medium: BootMedium(hasGrub: true)))
}

private func plan(
    _ disk: BootDisk, _ systems: [LinuxSystem] = [], firmware: BootFacts.Firmware = .bios,
    mediumHasGrub: Bool = true
) -> BootPlan {
    BootPlan(
        BootFacts(
            firmware: firmware, disks: [disk], systems: systems,
            medium: BootMedium(hasGrub: mediumHasGrub)))
}

@Suite struct BIOSPlanTests {
    @Test func nothingToDo() {
        let plan = plan(disk(.dos, .grub(core: 1), partition(1, isActive: true)), [debian()])
        #expect(plan.steps.isEmpty && plan.problems.isEmpty && plan.warnings.isEmpty)
        #expect(plan.right.count == 2)
    }

    @Test(arguments: [
        BootCode.none, .brokenGrub("loads sector 9, where no core image is"), .startsActivePartition,
    ])
    func installsGRUB(_ code: BootCode) {
        let disk = disk(.dos, code, partition(1, isActive: true))
        for installer in [nil, "/usr/sbin/grub-install"] {
            let system = debian(installer: installer)
            #expect(
                plan(disk, [system]).steps.map(\.action) == [
                    .installGrub(disk: "/dev/sda", system: system, withOwn: installer != nil)
                ])
        }
    }

    @Test func leavesOtherLoadersAlone() {
        #expect(plan(disk(.dos, .other, partition(1, isActive: true)), [debian()]).steps.isEmpty)
        // An MBR that starts the active partition, in which GRUB begins.
        let chained = disk(
            .dos, .startsActivePartition, partition(1, isActive: true, code: .grub(core: 2049)))
        #expect(plan(chained, [debian()]).steps.isEmpty)
    }

    @Test func marksTheSystemsPartition() throws {
        let linux = disk(.dos, .grub(core: 1), partition(1), partition(2, start: 200_000))
        #expect(plan(linux, [debian()]).steps.map(\.action) == [.activate(disk: "/dev/sda", partition: 1)])
        let logical = disk(.dos, .grub(core: 1), partition(1, role: .logical))
        let marked = plan(logical, [debian()])
        #expect(marked.steps.isEmpty && marked.warnings.count == 1)
        let windows = disk(
            .dos, .startsActivePartition, partition(1),
            partition(2, start: 200_000, .mbr(7), content: "ntfs", record: try windowsRecord(200_000)))
        #expect(plan(windows).steps.map(\.action) == [.activate(disk: "/dev/sda", partition: 2)])
    }

    /// A volume of NTFS as Windows formats every one; "start" in sectors.
    private func ntfs(
        _ number: Int, start: UInt64, isActive: Bool = false, _ type: PartitionType = .mbr(7)
    ) throws -> BootPartition {
        partition(
            number, start: start, type, isActive: isActive, content: "ntfs",
            record: try windowsRecord(UInt32(start)))
    }

    private func second(_ disk: BootDisk) -> BootDisk {
        var disk = disk
        disk.path = "/dev/sdb"
        return disk
    }

    @Test func ntfsBesideALinuxIsData() throws {
        // Generic code, no mark: GRUB anew, and the mark is the Linux's.
        let disk = disk(
            .dos, .startsActivePartition, try ntfs(1, start: 2048), partition(2, start: 200_000))
        let system = debian(partition: 2)
        #expect(
            plan(disk, [system]).steps.map(\.action) == [
                .installGrub(disk: "/dev/sda", system: system, withOwn: false),
                .activate(disk: "/dev/sda", partition: 2),
            ])
        // A mark is a word: Windows starts, and nothing is done.
        let marked = FixupTests.disk(
            .dos, .startsActivePartition, try ntfs(1, start: 2048, isActive: true),
            partition(2, start: 200_000))
        #expect(plan(marked, [system]).steps.isEmpty && plan(marked, [system]).problems.isEmpty)
    }

    @Test(arguments: [BootCode.none, .startsActivePartition])
    func oneOfSeveralNTFSVolumesIsNotGuessed(_ code: BootCode) throws {
        let unmarked = plan(disk(.dos, code, try ntfs(1, start: 2048), try ntfs(2, start: 200_000)))
        #expect(unmarked.steps.isEmpty)
        #expect(
            unmarked.problems == [
                "/dev/sda: partitions 1 and 2 have Windows's boot code, which every NTFS volume gets, and none is "
                    + "active: which of them starts is not known ('img dump' shows the slots, 'img paN' marks "
                    + "slot N)"
            ])
        let marked = plan(
            disk(.dos, code, try ntfs(1, start: 2048), try ntfs(2, start: 200_000, isActive: true)))
        #expect(marked.problems.isEmpty)
        #expect(
            marked.steps.map(\.action)
                == (code == .none ? [.installStartCode(disk: "/dev/sda", partition: 2)] : []))
    }

    @Test(arguments: [BootCode.none, .startsActivePartition])
    func aDiskOfDataBesideASystemIsLeftAlone(_ code: BootCode) throws {
        let system = disk(.dos, .grub(core: 1), partition(1, isActive: true))
        let plan = plan([system, second(disk(.dos, code, try ntfs(1, start: 2048)))], [debian()])
        #expect(plan.steps.isEmpty && plan.problems.isEmpty)
        #expect(
            plan.warnings.count == 1 && plan.warnings[0].hasPrefix("/dev/sdb is taken for a disk of data"))
        let gpt = FixupTests.plan(
            [system, second(disk(.gpt, code, try ntfs(1, start: 2048, linuxType)))], [debian()])
        #expect(gpt.steps.isEmpty && gpt.problems.isEmpty && gpt.warnings.isEmpty)
        let alone = FixupTests.plan(disk(.gpt, code, try ntfs(1, start: 2048, linuxType)))
        #expect(alone.problems == ["/dev/sda has a GPT, from which a BIOS cannot start Windows"])
    }

    @Test(arguments: [BootCode.none, .startsActivePartition])
    func anActivePartitionWithoutALoaderIsNotRight(_ code: BootCode) throws {
        let disk = disk(.dos, code, partition(1, isActive: true), try ntfs(2, start: 200_000))
        let windows = plan(disk)
        #expect(windows.steps.isEmpty)
        #expect(windows.problems.count == 1)
        #expect(
            windows.problems[0].hasPrefix(
                "/dev/sda: partition 1 is active, but no loader begins in it, and Windows's boot code is in "
                    + "partition 2 "))
        let linux = plan(
            FixupTests.disk(.dos, .startsActivePartition, partition(1, isActive: true)), [debian(grub: nil)])
        #expect(
            linux.problems == [
                "/dev/sda: the MBR's code starts partition 1, in which no loader begins, and Debian 12 on "
                    + "partition 1 has no configuration of GRUB to install it for"
            ])
    }

    @Test func aSystemOnSeveralDisksIsNamed() {
        var system = debian(partition: nil)
        system.root?.disk = nil
        system.root?.device = "/dev/mapper/vg-root"
        let disks = [
            disk(.dos, .none, partition(1, .mbr(0x8e), content: "LVM2_member")),
            second(disk(.dos, .none, partition(1, .mbr(0x8e), content: "LVM2_member"))),
        ]
        let plan = plan(disks, [system])
        #expect(plan.steps.isEmpty && plan.problems.count == 1)
        #expect(
            plan.problems.first?.hasPrefix(
                "Debian 12 has its /boot on /dev/mapper/vg-root, which lies on several disks") == true)
        var started = disks
        started[0].bootCode = .grub(core: 1)
        #expect(FixupTests.plan(started, [system]).problems.isEmpty)
        #expect(FixupTests.plan(started, [system]).right.count == 1)
    }

    /// An old Linux on a second disk, and a system for UEFI only: warnings where another disk starts.
    @Test func whatAnotherDiskCannotStartIsAWarning() {
        let good = disk(.dos, .grub(core: 1), partition(1, isActive: true))
        let old = second(disk(.gpt, .none, partition(1, linuxType)))
        var system = debian()
        system.root?.disk = "/dev/sdb"
        let both = plan([good, old], [debian(), system])
        #expect(both.problems.isEmpty && both.warnings.count == 1)
        #expect(plan([old], [system]).problems.count == 1)
        // Two that cannot be started do not excuse each other.
        let other = disk(.gpt, .none, partition(1, linuxType))
        #expect(plan([other, old], [debian(), system]).problems.count == 2)
    }

    @Test func aGPTNeedsABIOSBootPartition() {
        let without = plan(disk(.gpt, .none, partition(1, linuxType)), [debian()])
        #expect(without.steps.isEmpty)
        #expect(
            without.problems == [
                "/dev/sda has a GPT without a BIOS boot partition, so a BIOS cannot start it: Debian 12 was "
                    + "installed for UEFI (switch this machine's firmware to UEFI, and start this medium again)"
            ])
        let with = plan(
            disk(.gpt, .none, partition(1, linuxType), partition(2, start: 34, biosBoot, content: "")),
            [debian()])
        #expect(
            with.steps.map(\.action) == [.installGrub(disk: "/dev/sda", system: debian(), withOwn: false)])
        #expect(with.problems.isEmpty)
    }

    @Test func needsRoomAndAProgram() {
        let close = plan(disk(.dos, .none, partition(1, start: 40, isActive: true)), [debian()])
        #expect(close.steps.isEmpty)
        #expect(close.problems.first?.contains("the 39 sectors in front of the first partition") == true)
        let bare = plan(
            disk(.dos, .none, partition(1, isActive: true)), [debian()], mediumHasGrub: false)
        #expect(
            bare.problems == [
                "/dev/sda: the MBR has no boot code, and neither Debian 12 nor this medium has GRUB for BIOS"
            ])
        let fedora = plan(
            disk(.dos, .none, partition(1, isActive: true)), [debian(grub: "boot/grub2")])
        #expect(fedora.steps.isEmpty)
        #expect(fedora.problems.first?.contains("only Debian 12's own GRUB reads") == true)
    }

    @Test func windowsGetsCodeAndMarkAtOnce() throws {
        let record = try windowsRecord(2048)
        let windows = disk(.dos, .none, partition(1, .mbr(7), content: "ntfs", record: record))
        #expect(
            plan(windows).steps.map(\.action) == [.installStartCode(disk: "/dev/sda", partition: 1)])
        let far = disk(
            .dos, .none,
            partition(1, start: 20_000_000, .mbr(7), content: "ntfs", record: try windowsRecord(20_000_000)))
        let plan = plan(far)
        #expect(plan.problems.first?.contains("bootrec /fixmbr") == true)
        #expect(plan.steps.map(\.action) == [.activate(disk: "/dev/sda", partition: 1)])
    }

    /// Below 8.4 GB BIOSes do not agree on how to count, and libparted's code depends on it.
    @Test func smallDisksGetNoStartCode() throws {
        let small = disk(
            .dos, .none, size: 8_000_000_000,
            partition(1, .mbr(7), isActive: true, content: "ntfs", record: try windowsRecord(2048)))
        #expect(plan(small).steps.isEmpty)
        #expect(
            plan(small).problems == [
                "/dev/sda: the MBR has no boot code, and Windows is where free code does not find it: start the "
                    + "Windows medium, choose its repair, and type 'bootrec /fixmbr'"
            ])
    }

    @Test func theContainerOfALogicalVolumeIsMarked() {
        var system = debian(partition: nil)
        system.root?.container = 1
        let lvm = disk(.dos, .grub(core: 1), partition(1, .mbr(0x8e), content: "LVM2_member"))
        #expect(plan(lvm, [system]).steps.map(\.action) == [.activate(disk: "/dev/sda", partition: 1)])
    }

    @Test func correctsHiddenSectorsWhereABIOSReadsThem() throws {
        let record = try windowsRecord(63)
        let moved = disk(
            .dos, .startsActivePartition,
            partition(1, .mbr(7), isActive: true, content: "ntfs", record: record))
        #expect(
            plan(moved).steps.map(\.action) == [
                .correctHiddenSectors(disk: "/dev/sda", partition: 1, to: 2048)
            ])
        // UEFI never reads them, and neither does anybody in a logical partition.
        #expect(plan(moved, firmware: .uefi(BootVariables())).steps.isEmpty)
        let logical = disk(
            .dos, .startsActivePartition,
            partition(5, .mbr(7), isActive: true, content: "ntfs", role: .logical, record: record))
        #expect(plan(logical).steps.isEmpty)
    }

    @Test func anEmptyDiskHasNoSystem() {
        #expect(
            plan(disk(.dos, .none, partition(1))).problems == ["no installed system was found on /dev/sda"])
    }

    @Test func aSystemForUEFIOnlyIsSaidSo() {
        let volume = EFIVolume(loaders: [
            EFILoader(kind: .windows, directory: "EFI/Microsoft/Boot", file: "bootmgfw.efi", label: "W")
        ])
        let plan = plan(disk(.gpt, .none, partition(1, espType, content: "vfat", efi: volume)))
        #expect(plan.problems.first?.hasPrefix("/dev/sda has a system for UEFI only") == true)
    }
}

@Suite struct UEFIPlanTests {
    private let shim = EFILoader(
        kind: .shim, directory: "EFI/debian", file: "shimx64.efi", label: "debian",
        companions: ["grubx64.efi", "mmx64.efi", "grub.cfg"])

    private func disk(_ volume: EFIVolume) -> BootDisk {
        FixupTests.disk(
            .gpt, .none, partition(1, espType, content: "vfat", signature: here, efi: volume),
            partition(2, start: 200_000, linuxType))
    }

    @Test func copiesTheLoaderWithWhatItNeedsAndAddsAnEntry() {
        let plan = plan(disk(EFIVolume(loaders: [shim])), firmware: .uefi(BootVariables()))
        let entry = LoadOption(
            "debian", EFIPartition(number: 1, start: 2048, count: 131072, signature: here),
            loader: "\\EFI\\debian\\shimx64.efi")
        #expect(
            plan.steps.map(\.action) == [
                .copyLoader(
                    disk: "/dev/sda", partition: 1,
                    files: [
                        .init(from: "EFI/debian/grubx64.efi", to: "EFI/BOOT/grubx64.efi"),
                        .init(from: "EFI/debian/mmx64.efi", to: "EFI/BOOT/mmx64.efi"),
                        .init(from: "EFI/debian/grub.cfg", to: "EFI/BOOT/grub.cfg"),
                        .init(from: "EFI/debian/shimx64.efi", to: "EFI/BOOT/BOOTX64.EFI"),
                    ]),
                .changeVariables([.add(0, entry), .order([0])]),
            ])
        #expect(plan.steps.map(\.isOptional) == [false, true])
    }

    @Test func leavesAnExistingFallbackAlone() {
        let volume = EFIVolume(loaders: [shim], fallbackFiles: ["bootx64.efi"])
        let plan = plan(disk(volume), firmware: .uefiWithoutVariables("efivarfs cannot be mounted"))
        #expect(plan.steps.isEmpty && plan.problems.isEmpty)
        #expect(
            plan.warnings == [
                "the firmware's boot entries are left as they are: efivarfs cannot be mounted"
            ])
    }

    @Test func namesTheEntryAfterTheSystem() {
        var loader = shim
        loader.label = nil
        let volume = EFIVolume(loaders: [loader], fallbackFiles: ["BOOTX64.EFI"])
        let plan = plan(disk(volume), [debian(partition: 2)], firmware: .uefi(BootVariables()))
        guard case .changeVariables(let changes) = plan.steps.first?.action,
            case .add(_, let option) = changes.first
        else {
            Issue.record("\(plan.steps)")
            return
        }
        #expect(option.description == "Debian")
    }

    @Test func warnsOfALoaderThatSecureBootRefuses() {
        var variables = BootVariables()
        variables.isSecureBoot = true
        let plain = EFILoader(kind: .plain, directory: "EFI/arch", file: "grubx64.efi", label: nil)
        let plan = plan(disk(EFIVolume(loaders: [plain])), firmware: .uefi(variables))
        #expect(plan.warnings.count == 1 && plan.warnings[0].contains("Secure Boot may refuse"))
    }

    /// A disk of data in Windows's or an old Linux's format beside the one that is started.
    @Test func anotherDiskWithoutAnESPIsNoProblem() throws {
        let started = disk(EFIVolume(loaders: [shim], fallbackFiles: ["BOOTX64.EFI"]))
        let record = try windowsRecord(2048)
        var data = FixupTests.disk(
            .gpt, .none, partition(1, linuxType, content: "ntfs", record: record))
        data.path = "/dev/sdb"
        let firmware = BootFacts.Firmware.uefi(BootVariables())
        let ntfs = plan([started, data], firmware: firmware)
        #expect(ntfs.problems.isEmpty && ntfs.warnings.isEmpty)
        var system = debian()
        system.root?.disk = "/dev/sdb"
        let linux = plan([started, data], [system], firmware: firmware)
        #expect(linux.problems.isEmpty)
        #expect(
            linux.warnings == [
                "/dev/sdb has no EFI system partition, and this machine was started by UEFI: Debian 12 starts from "
                    + "another disk's, or was installed for BIOS"
            ])
        #expect(plan([data], firmware: firmware).problems.count == 1)
        #expect(plan([data], [system], firmware: firmware).problems.count == 1)
    }

    @Test func aDiskForBIOSOnlyIsSaidSo() {
        let disk = FixupTests.disk(.dos, .grub(core: 1), partition(1, isActive: true))
        let plan = plan(disk, [debian()], firmware: .uefi(BootVariables()))
        #expect(plan.steps.isEmpty)
        #expect(plan.problems.first?.hasPrefix("/dev/sda has no EFI system partition") == true)
    }
}
