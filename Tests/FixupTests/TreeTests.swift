// Directories in the place of an EFI system partition, of the firmware's variables and of a hostile root.
import Blocks
import Fixup
import Linux
import Testing
import TestSupport

private func put(_ path: String, _ text: String = "MZ program") throws {
    let folder = path.split(separator: "/").dropLast().joined(separator: "/")
    try run("mkdir", "-p", "/\(folder)")
    let file = try Descriptor(opening: path, [.writeOnly, .create, .truncate])
    try file.write(Array(text.utf8), at: 0)
    try file.close()
}

private func putTable(_ path: String, _ text: String) throws {
    try put(path, "")
    let file = try Descriptor(opening: path, .writeOnly)
    try file.write([0xff, 0xfe] + text.utf16.flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] }, at: 0)
    try file.close()
}

@Suite struct EFIVolumeTests {
    @Test func anEntrysLoaderIsThereOrNot() throws {
        try withTemporaryDirectory { root in
            try put("\(root)/EFI/debian/shimx64.efi")
            try put("\(root)/EFI/debian/grubx64.efi", "no program")
            let tree = try ConfinedTree(root)
            #expect(EFIVolume.holds("\\efi\\Debian\\SHIMX64.EFI", tree))
            for name in [
                "\\EFI\\debian\\grubx64.efi", "\\EFI\\debian", "\\EFI\\gone\\shimx64.efi", "\\", "..\\x",
            ] {
                #expect(!EFIVolume.holds(name, tree), "\(name)")
            }
        }
    }

    @Test func findsLoadersByTheirTables() throws {
        try withTemporaryDirectory { root in
            for name in ["shimx64.efi", "grubx64.efi", "mmx64.efi", "fbx64.efi", "grub.cfg"] {
                try put("\(root)/EFI/debian/\(name)")
            }
            try putTable("\(root)/EFI/debian/BOOTX64.CSV", "shimx64.efi,debian,,entry\n")
            try put("\(root)/EFI/Microsoft/Boot/bootmgfw.efi")
            try put("\(root)/EFI/arch/grubx64.efi")
            // No program, and a table that names what is not there.
            try put("\(root)/EFI/empty/shimx64.efi", "no program")
            try putTable("\(root)/EFI/lost/BOOTX64.CSV", "shimx64.efi,lost,,\n")
            let volume = EFIVolume(try ConfinedTree(root))
            #expect(
                volume.loaders == [
                    EFILoader(
                        kind: .shim, directory: "EFI/debian", file: "shimx64.efi", label: "debian",
                        companions: ["grubx64.efi", "mmx64.efi", "grub.cfg"]),
                    EFILoader(kind: .plain, directory: "EFI/arch", file: "grubx64.efi", label: nil),
                    EFILoader(
                        kind: .windows, directory: "EFI/Microsoft/Boot", file: "bootmgfw.efi",
                        label: "Windows Boot Manager"),
                ])
            #expect(volume.fallbackFiles.isEmpty)
            #expect(volume.loaders[0].path == "\\EFI\\debian\\shimx64.efi")
        }
    }

    @Test func copiesWhateverCaseNamesHave() throws {
        try withTemporaryDirectory { root in
            try put("\(root)/efi/Boot/keep.txt", "mine")
            try put("\(root)/efi/debian/shimx64.efi", "MZ shim")
            try put("\(root)/efi/debian/grubx64.efi", "MZ grub")
            let tree = try ConfinedTree(root)
            let copies: [BootAction.Copy] = [
                .init(from: "efi/debian/grubx64.efi", to: "EFI/BOOT/grubx64.efi"),
                .init(from: "efi/debian/shimx64.efi", to: "EFI/BOOT/BOOTX64.EFI"),
            ]
            try LoaderCopy.make(copies, in: tree)
            #expect(tree.entries("efi/Boot").sorted() == ["BOOTX64.EFI", "grubx64.efi", "keep.txt"])
            #expect(tree.text("efi/Boot/BOOTX64.EFI") == "MZ shim")
            // What exists is left, also the second time.
            try put("\(root)/efi/debian/shimx64.efi", "MZ another")
            try LoaderCopy.make(copies, in: tree)
            #expect(tree.text("efi/Boot/BOOTX64.EFI") == "MZ shim")
            #expect(EFIVolume(tree).fallbackFiles.contains("BOOTX64.EFI"))
        }
    }

    @Test func makesTheDirectory() throws {
        try withTemporaryDirectory { root in
            try put("\(root)/EFI/x/grubx64.efi", "MZ grub")
            let tree = try ConfinedTree(root)
            try LoaderCopy.make(
                [.init(from: "EFI/x/grubx64.efi", to: "EFI/BOOT/BOOTX64.EFI")], in: tree)
            #expect(tree.text("EFI/BOOT/BOOTX64.EFI") == "MZ grub")
            #expect(throws: FixupError("EFI/x/no.efi is no longer on the EFI system partition")) {
                try LoaderCopy.make([.init(from: "EFI/x/no.efi", to: "EFI/BOOT/no.efi")], in: tree)
            }
        }
    }
}

@Suite struct VariableStoreTests {
    private let vendor = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

    @Test func readsWhatItWrites() throws {
        try withTemporaryDirectory { root in
            let store = try VariableStore(root)
            let guid = GUID([UInt8](repeating: 3, count: 16))
            let partition = EFIPartition(number: 1, start: 2048, count: 9, signature: .gpt(guid))
            let option = LoadOption("debian", partition, loader: "\\EFI\\debian\\shimx64.efi")
            try store.make([
                .add(10, option), .add(11, option), .write(10, option), .order([10, 11]), .remove(11),
                .order([10]),
            ])
            var expected = BootVariables()
            expected.entries = [10: option]
            expected.order = [10]
            #expect(try store.read() == expected)
            // A number that somebody has is not taken from him.
            #expect(throws: SystemError.self) { try store.make([.add(10, option), .order([])]) }
            #expect(try store.read() == expected)
            #expect(try FileTree.entries(of: root).sorted() == ["Boot000A-\(vendor)", "BootOrder-\(vendor)"])
            #expect(
                try FileTree.bytes(of: "\(root)/BootOrder-\(vendor)") == [7, 0, 0, 0, 10, 0])
        }
    }

    /// Not the network's entry, not a disabled one, not one of a disk that is not there.
    @Test func theNextStartIsTheFirstOfThisMachinesDisks() throws {
        func partition(_ byte: UInt8) -> EFIPartition {
            EFIPartition(
                number: 1, start: 2048, count: 9, signature: .gpt(GUID([UInt8](repeating: byte, count: 16))))
        }
        var variables = BootVariables()
        var network = LoadOption("PXE", partition(1), loader: "\\a.efi")
        network.nodes = [.init(type: 3, subtype: 11, data: [UInt8](repeating: 0, count: 37))]
        var disabled = LoadOption("old", partition(1), loader: "\\a.efi")
        disabled.attributes = 0
        variables.entries = [
            1: network, 2: disabled, 3: LoadOption("stick", partition(2), loader: "\\a.efi"),
            4: LoadOption("debian", partition(1), loader: "\\a.efi"),
            5: LoadOption("windows", partition(1), loader: "\\b.efi"),
        ]
        variables.order = [1, 2, 3, 9, 4, 5]
        #expect(variables.firstLocal([partition(1).signature]) == 4)
        #expect(variables.firstLocal([partition(7).signature]) == nil)
        variables.order = [5, 4]
        #expect(variables.firstLocal([partition(1).signature]) == 5)
        #expect(variables.firstLocal([partition(1).signature]) { $0.loader == "\\a.efi" } == 4)
        try withTemporaryDirectory { root in
            try VariableStore(root).write(next: 0x010a)
            #expect(try FileTree.bytes(of: "\(root)/BootNext-\(vendor)") == [7, 0, 0, 0, 0x0a, 1])
            #expect(try VariableStore(root).read() == BootVariables())
        }
    }

    @Test func garbageIsLeftAlone() throws {
        try withTemporaryDirectory { root in
            try put("\(root)/Boot0001-\(vendor)", "garbage")
            try put("\(root)/Boot0002-\(vendor)", "")
            try put("\(root)/BootXYZW-\(vendor)", "garbage")
            try put("\(root)/Boot0003-ffffffff-93ca-11d2-aa0d-00e098032b8c", "garbage")
            try put("\(root)/BootOrder-\(vendor)", "777712")
            try run("mkdir", "\(root)/Boot0004-\(vendor)")
            try put("\(root)/SecureBoot-\(vendor)", "6666\u{1}")
            let read = try VariableStore(root).read()
            #expect(read.entries.isEmpty)
            #expect(read.unreadable == [1, 2, 4])
            #expect(read.order == [0x3231])
            #expect(read.isSecureBoot)
        }
    }

    /// What is there and cannot be read is not nothing: the plan would write an order of its own entries only.
    @Test func anOrderThatCannotBeReadIsAnError() throws {
        try withTemporaryDirectory { root in
            #expect(try VariableStore(root).read().order == [])
            let name = "\(root)/BootOrder-\(vendor)"
            for text in ["", "777", "7777123", String(repeating: "x", count: 70_000)] {
                try run("rm", "-f", name)
                try put(name, text)
                #expect(throws: FixupError.self, "\(text.count) bytes") { try VariableStore(root).read() }
            }
            try run("rm", name)
            try run("mkdir", name)
            #expect(throws: FixupError.self) { try VariableStore(root).read() }
            try run("rmdir", name)
            try run("ln", "-s", "BootOrder-\(vendor)", name)
            #expect(throws: SystemError.self) { try VariableStore(root).read() }
        }
    }
}

@Suite struct LinuxContentsTests {
    @Test func readsASystem() throws {
        try withTemporaryDirectory { root in
            try put(
                "\(root)/usr/lib/os-release",
                "# comment\nNAME='Some Linux'\nPRETTY_NAME=\"Some Linux 1 \u{1b}[2J\"\nBROKEN\n")
            try run("mkdir", "\(root)/etc")
            try run("ln", "-s", "../usr/lib/os-release", "\(root)/etc/os-release")
            try put("\(root)/etc/fstab", "# /boot no\nUUID=AB-CD\t/boot\text4 defaults 0 2\n")
            try put("\(root)/usr/lib/grub/i386-pc/boot.img")
            try put("\(root)/usr/sbin/grub-install")
            let contents = LinuxContents(try ConfinedTree(root))
            #expect(contents.isRoot && contents.name == "Some Linux" && contents.title == "Some Linux 1 [2J")
            #expect(contents.bootSpecification == "UUID=AB-CD")
            #expect(contents.installer == "/usr/sbin/grub-install")
            #expect(contents.grubDirectory == nil)
        }
    }

    @Test func linksDoNotLeadOut() throws {
        try withTemporaryDirectory { outside in
            try put("\(outside)/secret/os-release", "NAME=Outside\n")
            try put("\(outside)/secret/grub.cfg", "linux /boot/vmlinuz\n")
            try put("\(outside)/root/etc/fstab", "")
            try run("ln", "-s", "\(outside)/secret/os-release", "\(outside)/root/etc/os-release")
            try run("mkdir", "-p", "\(outside)/root/boot")
            try run("ln", "-s", "../../../../../../\(outside)/secret", "\(outside)/root/boot/grub")
            try run("mkfifo", "\(outside)/root/pipe")
            try run("ln", "-s", "loop", "\(outside)/root/loop")
            let tree = try ConfinedTree("\(outside)/root")
            #expect(LinuxContents(tree) == LinuxContents(try ConfinedTree("\(outside)/root/etc")))
            #expect(try tree.bytes("boot/grub/grub.cfg", limit: 100) == nil)
            #expect(try tree.bytes("pipe", limit: 100) == nil)
            #expect(try tree.bytes("loop", limit: 100) == nil)
            #expect(try tree.bytes("../secret/os-release", limit: 100) == nil)
            #expect(tree.entries("boot/grub").isEmpty)
            #expect(throws: SystemError.self) { try tree.write("boot/grub/new", [1]) }
            // ".." of the top is the top.
            try tree.write("../new", [1])
            #expect(!FileTree.exists("\(outside)/new") && FileTree.exists("\(outside)/root/new"))
        }
    }

    @Test func hugeFilesAreNotRead() throws {
        try withTemporaryDirectory { root in
            try run("truncate", "-s", "100G", "\(root)/grub.cfg")
            let tree = try ConfinedTree(root)
            #expect(tree.text("grub.cfg") == nil)
            #expect(throws: SystemError.self) { try tree.bytes("grub.cfg", limit: 1 << 20) }
        }
    }

    @Test func joinsRootAndBoot() throws {
        func volume(_ device: String, _ uuid: String, _ contents: (inout LinuxContents) -> Void) throws
            -> LinuxVolume
        {
            var facts = try withTemporaryDirectory { LinuxContents(try ConfinedTree($0)) }
            contents(&facts)
            return LinuxVolume(
                reference: VolumeReference(
                    device: device, fileSystem: "ext4", uuid: uuid, disk: "/dev/sda", partition: 1),
                contents: facts)
        }
        let boot = try volume("/dev/sda1", "B") { $0.grubDirectory = "grub" }
        let root = try volume("/dev/sda2", "R") {
            $0.isRoot = true
            $0.title = "Debian"
            $0.bootSpecification = "UUID=b"
        }
        let stray = try volume("/dev/sda3", "S") { $0.hasKernels = true }
        let systems = LinuxVolume.systems([boot, root, stray])
        #expect(systems.map(\.title) == ["Debian", "a Linux whose root is not readable here"])
        #expect(systems[0].boot == boot.reference && systems[0].grubDirectory == "grub")
    }
}

@Suite struct KernelEntryTests {
    @Test func readsTheFirstEntryOfAGrubConfiguration() {
        let text = """
            set default="0"
            if [ x = y ]; then linux_gfx_mode=auto ; fi
            menuentry 'Debian "GNU"/Linux' --class debian {
            \tload_video
            \tlinux\t/boot/vmlinuz-6.1 root=UUID=1234 ro  quiet $vt_handoff "a b"
            \techo 'Loading initial ramdisk ...'
            \tinitrd\t/boot/ucode.img ($root)/boot/initrd.img-6.1
            }
            submenu 'Advanced' {
            menuentry 'old' {
            linux /boot/vmlinuz-5
            }
            }
            """
        #expect(
            KernelEntry(grubConfiguration: text)
                == KernelEntry(
                    title: "Debian \"GNU\"/Linux", kernel: "/boot/vmlinuz-6.1",
                    initrds: ["/boot/ucode.img", "/boot/initrd.img-6.1"],
                    commandLine: "root=UUID=1234 ro quiet a b"))
        #expect(KernelEntry(grubConfiguration: "menuentry a {\n}\n") == nil)
        #expect(KernelEntry(grubConfiguration: "linux $kernel root=x\n") == nil)
    }

    @Test func theFirstKernelOfAnEntryCounts() {
        let text = """
            menuentry 'x' {
            if [ a = b ]; then
            linux /first root=1
            initrd /first.img
            else
            linux /second root=2
            initrd /second.img
            fi
            }
            """
        let entry = KernelEntry(
            title: "x", kernel: "/first", initrds: ["/first.img"], commandLine: "root=1")
        #expect(KernelEntry(grubConfiguration: text) == entry)
        // One RAM disk behind both.
        let shared = "menuentry x {\nlinux16 /first root=1\nlinux /second\ninitrd /first.img\n}\n"
        #expect(KernelEntry(grubConfiguration: shared) == entry)
    }

    @Test func readsALoaderEntry() {
        let text = """
            # comment
            title Fedora Linux
            linux /vmlinuz-6
            initrd /initramfs-6.img $tuned_initrd
            options root=UUID=1 ro $tuned_params quiet
            """
        #expect(
            KernelEntry(loaderEntry: text)
                == KernelEntry(
                    title: "Fedora Linux", kernel: "/vmlinuz-6", initrds: ["/initramfs-6.img"],
                    commandLine: "root=UUID=1 ro quiet"))
        #expect(KernelEntry(loaderEntry: "title x\n") == nil)
    }
}
