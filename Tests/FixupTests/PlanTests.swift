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

    @Test func aDiskForBIOSOnlyIsSaidSo() {
        let disk = FixupTests.disk(.dos, .grub(core: 1), partition(1, isActive: true))
        let plan = plan(disk, [debian()], firmware: .uefi(BootVariables()))
        #expect(plan.steps.isEmpty)
        #expect(plan.problems.first?.hasPrefix("/dev/sda has no EFI system partition") == true)
    }
}

@Suite struct VariablePlanTests {
    private let wanted = WantedEntry(
        label: "debian", partition: EFIPartition(number: 1, start: 2048, count: 9, signature: here),
        loader: "\\EFI\\debian\\shimx64.efi")

    private func entry(
        _ label: String = "debian", _ signature: EFIPartition.Signature = here,
        _ loader: String = "\\EFI\\debian\\shimx64.efi"
    ) -> LoadOption {
        LoadOption(
            label, EFIPartition(number: 1, start: 2048, count: 9, signature: signature), loader: loader)
    }

    private var network: LoadOption {
        var option = entry("UEFI PXEv4")
        option.nodes = [
            .init(type: 3, subtype: 11, data: [UInt8](repeating: 0, count: 33)),
            .init(type: 0x7f, subtype: 0xff),
        ]
        return option
    }

    private let gone = EFIPartition.Signature.gpt(GUID([UInt8](repeating: 9, count: 16)))
    private let other = EFIPartition.Signature.gpt(GUID([UInt8](repeating: 8, count: 16)))

    private func changes(_ entries: [UInt16: LoadOption], _ order: [UInt16]) -> [VariableChange] {
        var variables = BootVariables()
        variables.entries = entries
        variables.order = order
        return VariablePlan(variables, wanted: [wanted]).changes
    }

    private var cd: LoadOption {
        var option = entry("USB CD")
        option.nodes = [.init(type: 3, subtype: 5, data: [0, 0]), .init(type: 0x7f, subtype: 0xff)]
        return option
    }

    @Test(arguments: [
        ("", "D"), ("N", "ND"), ("CN", "CND"), ("C", "DC"), ("NNX", "NNDX"), ("CNX", "CNDX"),
        ("CXN", "CDXN"), ("XN", "DXN"), ("XNX", "DXNX"), ("LCLX", "LCLDX"),
    ])
    func theNewEntryGoesBeforeTheFirstDisk(_ before: String, _ after: String) {
        var lan = cd
        lan.description = "PCI LAN"
        lan.nodes[0] = .init(type: 3, subtype: 10, data: [UInt8](repeating: 1, count: 17))
        let kinds: [Character: LoadOption] = [
            "N": network, "C": cd, "X": entry("disk", other, "\\x.efi"), "L": lan,
        ]
        var entries: [UInt16: LoadOption] = [:]
        for (index, kind) in before.enumerated() { entries[UInt16(index)] = kinds[kind] }
        let added = UInt16(before.count)
        var rest = (0..<added).makeIterator()
        let order = after.map { $0 == "D" ? added : rest.next() ?? .max }
        #expect(changes(entries, Array(0..<added)) == [.add(added, entry()), .order(order)])
    }

    @Test func anEqualEntryIsLeftAlone() {
        #expect(changes([5: entry(), 1: network], [1, 5]) == [])
        #expect(changes([5: entry("renamed by somebody")], [5]) == [])
        var asleep = entry()
        asleep.attributes = 0
        #expect(changes([5: asleep], [5]) == [.write(5, entry())])
        #expect(changes([5: entry(), 1: network], [1]) == [.order([1, 5])])
    }

    @Test func removesExactCopiesOnly() {
        var argument = entry()
        argument.optionalData = [1]
        // The disk of 0 and 5 may be unplugged.
        let entries: [UInt16: LoadOption] = [
            0: entry("debian", gone), 1: entry(), 2: entry(), 3: entry("debian", other),
            4: entry("ubuntu", gone), 5: entry("debian", gone, "\\EFI\\debian\\grubx64.efi"), 6: network,
            7: argument, 8: entry("renamed"),
        ]
        #expect(
            changes(entries, [6, 0, 2, 1, 3, 4, 5, 7, 8]) == [.remove(1), .order([6, 0, 2, 3, 4, 5, 7, 8])])
    }

    /// fwupd's entry starts the shim with another program as its argument.
    @Test func anEntryWithAnArgumentIsNotTheSystems() {
        var updater = entry("Linux Firmware Updater")
        updater.optionalData = Array("\\fwupdx64.efi".utf16).flatMap { [UInt8($0), 0] }
        #expect(changes([0: updater], [0]) == [.add(1, entry()), .order([1, 0])])
        // AMI's mark is no argument, and Windows's own entry has data.
        var marked = entry()
        marked.optionalData = [0, 0, 0x42, 0x4f]
        #expect(changes([0: marked], [0]) == [])
        let path = "\\EFI\\Microsoft\\Boot\\bootmgfw.efi"
        var windows = entry("Windows Boot Manager", here, path)
        windows.optionalData = Array("WINDOWS".utf8)
        var variables = BootVariables()
        variables.entries = [0: windows]
        variables.order = [0]
        let entry = WantedEntry(
            label: "Windows Boot Manager", partition: wanted.partition, loader: path)
        #expect(VariablePlan(variables, wanted: [entry]).changes == [])
    }

    @Test func numbersInUseAreNotGivenAgain() {
        var variables = BootVariables()
        variables.unreadable = [0]
        variables.order = [1]
        let plan = VariablePlan(variables, wanted: [wanted])
        #expect(plan.changes == [.add(2, entry()), .order([2, 1])])
    }

    @Test func aSecondRunFindsNothing() throws {
        var variables = BootVariables()
        variables.entries = [0: network, 1: entry("debian", gone)]
        variables.order = [0, 1]
        for change in VariablePlan(variables, wanted: [wanted]).changes {
            switch change {
            case .add(let number, let option), .write(let number, let option):
                variables.entries[number] = option
            case .remove(let number): variables.entries[number] = nil
            case .order(let order): variables.order = order
            }
        }
        #expect(VariablePlan(variables, wanted: [wanted]).changes == [])
        #expect(variables.order.first == 0)
    }
}
