// img bootfix as a person types it, on real disks: loop devices with real file systems and a real GRUB.
import Blocks
import Disk
import Fixup
import Linux
import Testing
import TestSupport

private func img(_ words: String...) throws -> ExternalCommand.Outcome {
    try runAnyway([builtProgram("img")] + words)
}

private func hash(_ path: String) throws -> String { try run("sha256sum", path) }

private func bytes(_ count: Int, at offset: UInt64, of path: String) throws -> [UInt8] {
    try Descriptor(opening: path, .readOnly).read(count, at: offset)
}

private func write(_ bytes: [UInt8], at offset: UInt64, of path: String) throws {
    let file = try Descriptor(opening: path, .readWrite)
    try file.write(bytes, at: offset)
    try file.synchronize()
    try file.close()
}

/// What a Debian's root has that bootfix looks at.
private func fillRoot(_ root: String, boot: String = "boot") throws {
    try run(
        "mkdir", "-p", "\(root)/etc", "\(root)/\(boot)/grub", "\(root)/dev", "\(root)/proc", "\(root)/sys")
    for (name, text) in [
        ("etc/os-release", "NAME=\"Test Linux\"\nPRETTY_NAME=\"Test Linux 1\"\n"),
        ("\(boot)/vmlinuz-9", "kernel"), ("\(boot)/initrd.img-9", "initrd"),
        (
            "\(boot)/grub/grub.cfg",
            "menuentry 'x' {\nlinux /boot/vmlinuz-9 root=/dev/sda1 ro\ninitrd /boot/initrd.img-9\n}\n"
        ),
    ] {
        let file = try Descriptor(opening: "\(root)/\(name)", [.writeOnly, .create])
        try file.write(Array(text.utf8), at: 0)
        try file.close()
    }
}

/// A disk with a root of `fileSystem` in its last partition.
private func withSystem(
    _ script: String, _ fileSystem: String = "ext4", partition: Int = 1, size: UInt64 = 320 * MiB,
    _ body: (_ loop: LoopDisk) throws -> Void
) throws {
    try withLoopDevice(size) { loop in
        try run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", loop.path], input: script)
        try loop.addPartitions()
        try run("mkfs.\(fileSystem)", "-q", loop.partition(partition))
        try mounted(loop.partition(partition)) { try fillRoot($0) }
        try body(loop)
    }
}

private func mounted(_ device: String, _ body: (_ root: String) throws -> Void) throws {
    try withTemporaryDirectory { root in
        try run("mount", device, root)
        defer { _ = try? run("umount", root) }
        try body(root)
    }
}

private let mbr = "label: dos\nstart=2048, type=83\n"
private let gpt = """
    label: gpt
    start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649
    start=4096, type=L
    """

@Suite(.serialized) struct RepairTests {
    @Test(arguments: [("ext4", mbr, 1), ("xfs", mbr, 1), ("btrfs", mbr, 1), ("ext4", gpt, 2)])
    func installsTheMediumsGRUB(_ fileSystem: String, _ script: String, _ number: Int) throws {
        try withSystem(script, fileSystem, partition: number) { loop in
            let before = try hash(loop.file)
            let planned = try img("bootfix", "disks=\(loop.path)", "plan")
            #expect(planned.status == 0 && planned.errors == "", "\(planned)")
            #expect(planned.output.contains("boot code: none"))
            #expect(
                planned.output.contains(
                    "1. \(loop.path): installs GRUB for Test Linux 1 from this medium, because the MBR has no "
                        + "boot code"))
            #expect(try hash(loop.file) == before, "the plan changed the disk")

            let done = try img("bootfix", "disks=\(loop.path)")
            #expect(done.status == 0 && done.errors == "", "\(done)")
            #expect(done.output.hasSuffix("press Ctrl+Alt+Del\n"))
            let sector = try bytes(512, at: 0, of: loop.path)
            let original = try bytes(0x5a, at: 0, of: "/usr/lib/grub/i386-pc/boot.img")
            #expect(Array(sector[..<0x5a]) == original)
            let code = try facts(loop.path)
            #expect(code == .grub(core: script == gpt ? 2048 : 1))
            try mounted(loop.partition(number)) {
                #expect(FileTree.exists("\($0)/boot/grub/i386-pc/core.img"))
                #expect(FileTree.exists("\($0)/boot/grub/grub.cfg"))
            }
            if script == mbr { #expect(try run("sfdisk", "--dump", loop.path).contains("bootable")) }

            let again = try hash(loop.file)
            let repeated = try img("-bootfix", "disks=\(loop.path)")
            #expect(repeated.status == 0 && repeated.errors == "", "\(repeated)")
            #expect(repeated.output.hasSuffix("there is nothing to do\npress Ctrl+Alt+Del\n"))
            #expect(try hash(loop.file) == again, "the second run changed the disk")
        }
    }

    @Test func findsTheBootPartitionByFstab() throws {
        let script = "label: dos\nstart=2048, size=204800, type=83\ntype=83\n"
        try withLoopDevice(320 * MiB) { loop in
            try run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", loop.path], input: script)
            try loop.addPartitions()
            for number in 1...2 { try run("mkfs.ext4", "-q", loop.partition(number)) }
            let uuid = try run("blkid", "-o", "value", "-s", "UUID", loop.partition(1)).dropLast()
            try mounted(loop.partition(2)) { root in
                try fillRoot(root)
                try mounted(loop.partition(1)) { boot in
                    for name in try FileTree.entries(of: "\(root)/boot") {
                        try run("cp", "-r", "\(root)/boot/\(name)", boot)
                    }
                }
                try run("rm", "-r", "\(root)/boot/grub")
                try run(["tee", "\(root)/etc/fstab"], input: "UUID=\(uuid) /boot ext4 defaults 0 2\n")
            }
            let said = try img("bootfix", "disks=\(loop.path)")
            #expect(said.status == 0, "\(said)")
            #expect(said.output.contains("  partition 1: /boot of Test Linux 1 (ext4)\n"))
            #expect(said.output.contains("  partition 2: Test Linux 1 (ext4)\n"))
            // The boot partition gets the mark and GRUB's modules.
            #expect(said.output.contains("2. \(loop.path): makes partition 1 active"))
            try mounted(loop.partition(1)) { #expect(FileTree.exists("\($0)/grub/i386-pc/core.img")) }
            let kexec = try img("bootfix", "kexec", "plan", "disks=\(loop.path)")
            #expect(
                kexec.output.contains("of \(loop.partition(1)) by kexec, as /grub/grub.cfg says"), "\(kexec)")
            #expect(kexec.output.contains("kernel: /vmlinuz-9\n"), "\(kexec)")
        }
    }

    @Test func findsTheRootInASubvolume() throws {
        try withLoopDevice(320 * MiB) { loop in
            try run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", loop.path], input: mbr)
            try loop.addPartitions()
            try run("mkfs.btrfs", "-q", loop.partition(1))
            try mounted(loop.partition(1)) { top in
                try run("btrfs", "subvolume", "create", "\(top)/@rootfs")
                try fillRoot("\(top)/@rootfs")
                // An ordinary directory that looks like a root is none.
                try fillRoot("\(top)/chroot")
            }
            let said = try img("bootfix", "disks=\(loop.path)")
            #expect(said.status == 0, "\(said)")
            #expect(said.output.contains("  partition 1: Test Linux 1 (btrfs)\n"), "\(said)")
            try mounted(loop.partition(1)) {
                #expect(FileTree.exists("\($0)/@rootfs/boot/grub/i386-pc/core.img"))
                #expect(!FileTree.exists("\($0)/chroot/boot/grub/i386-pc"))
            }
            let kexec = try img("bootfix", "kexec", "plan", "disks=\(loop.path)")
            #expect(kexec.output.contains("kernel: /boot/vmlinuz-9\n"), "\(kexec)")
        }
    }

    /// The disk's boot code as `BootCode` sees it.
    private func facts(_ path: String) throws -> BootCode {
        let disk = try DiskInventory().describe(path: path)
        let reader = try DiskReader(disk, direct: false)
        let partitions = disk.partitions.map {
            BootPartition(
                number: $0.number, path: $0.path, extent: $0.extent, type: $0.type,
                content: $0.content?.type ?? "")
        }
        return BootCode(try reader.bytes(512, at: 0), on: reader, partitions)
    }

    @Test func seesWhatIsWrongWithAnInstalledGRUB() throws {
        try withSystem(mbr) { loop in
            #expect(try img("bootfix", "disks=\(loop.path)").status == 0)
            #expect(try facts(loop.path) == .grub(core: 1))
            let core = try bytes(1 * 1024 * 1024 - 512, at: 512, of: loop.path)
            let sector = try bytes(512, at: 0, of: loop.path)
            func broken(_ change: () throws -> Void) throws -> String {
                try change()
                defer {
                    try? write(sector, at: 0, of: loop.path)
                    try? write(core, at: 512, of: loop.path)
                }
                guard case .brokenGrub(let problem) = try facts(loop.path) else { return "not broken" }
                return problem
            }
            func pointing(to number: UInt64) -> [UInt8] {
                var copy = sector
                for index in 0..<8 {
                    copy[0x5c + index] = UInt8(truncatingIfNeeded: number >> UInt64(8 * index))
                }
                return copy
            }
            let end = 320 * MiB / 512
            #expect(
                try broken { try write(pointing(to: 40), at: 0, of: loop.path) }
                    == "loads sector 40, where no core image is")
            #expect(
                try broken { try write(pointing(to: end), at: 0, of: loop.path) }
                    == "loads sector \(end), but the disk ends at sector \(end - 1)")
            #expect(
                try broken { try write(pointing(to: .max), at: 0, of: loop.path) }
                    == "loads sector \(UInt64.max), but the disk ends at sector \(end - 1)")
            #expect(
                try broken { try write([UInt8](repeating: 0, count: 65536), at: 1024, of: loop.path) }
                    == "has a core image of which only the first sector is there")
            // The list of the parts: the last twelve bytes of the first sector.
            var outside = Array(core[..<512])
            outside.replaceSubrange(500..<508, with: [0, 0, 0, 0, 0, 0, 0, 1])
            #expect(
                try broken { try write(outside, at: 512, of: loop.path) }
                    == "has a core image whose parts do not lie on the disk")
            var into = Array(core[..<512])
            into.replaceSubrange(500..<508, with: [0xf0, 7, 0, 0, 0, 0, 0, 0])
            #expect(
                try broken { try write(into, at: 512, of: loop.path) }
                    == "has a core image that reaches into partition 1")
            #expect(try facts(loop.path) == .grub(core: 1))

            // A core image that is not there is put back.
            try write([UInt8](repeating: 0, count: core.count), at: 512, of: loop.path)
            let repaired = try img("bootfix", "disks=\(loop.path)")
            #expect(repaired.status == 0, "\(repaired)")
            #expect(
                repaired.output.contains("because GRUB in the MBR loads sector 1, where no core image is"))
            #expect(try facts(loop.path) == .grub(core: 1))
        }
    }

    @Test func survivesGarbageInTheFirstSectors() throws {
        try withSparseFile(8 * MiB) { path in
            var random = SeededRandom(seed: 3)
            let boot = try bytes(512, at: 0, of: "/usr/lib/grub/i386-pc/boot.img")
            for _ in 0..<300 {
                try write(random.bytes(8192), at: 512, of: path)
                var sector = boot
                sector[0x5c] = UInt8(1 + random.next() % 15)
                for _ in 0..<4 {
                    sector[Int(random.next() % 440)] = UInt8(truncatingIfNeeded: random.next())
                }
                try write(sector, at: 0, of: path)
                #expect(try facts(path) != .grub(core: 1))
            }
        }
    }

    @Test func usesTheSystemsOwnProgram() throws {
        try withSystem(mbr) { loop in
            try mounted(loop.partition(1)) { root in
                // A program of the system's own that says where it ran and with what.
                try run(
                    "mkdir", "-p", "\(root)/usr/sbin", "\(root)/usr/bin", "\(root)/bin",
                    "\(root)/usr/lib/grub/i386-pc")
                try run("cp", "/usr/lib/grub/i386-pc/boot.img", "\(root)/usr/lib/grub/i386-pc/")
                try staticShell(in: root)
                let script = try Descriptor(
                    opening: "\(root)/usr/sbin/grub-install", [.writeOnly, .create], mode: 0o755)
                try script.write(
                    Array(
                        "#!/bin/sh\necho \"$@\" > /called\n[ -e /dev/null ] && [ -e /proc/self ] && echo ok >> /called\necho 'error: no luck' >&2\nexit 1\n"
                            .utf8),
                    at: 0)
                try script.close()
            }
            let said = try img("bootfix", "disks=\(loop.path)")
            #expect(said.status == 1)
            #expect(
                said.errors.contains(
                    "installing GRUB on \(loop.path) by Test Linux 1's /usr/sbin/grub-install failed: error: no luck"
                ),
                "\(said)")
            try mounted(loop.partition(1)) { root in
                let said = try FileTree.text(of: "\(root)/called")
                #expect(said == "--target=i386-pc --recheck \(loop.path)\nok\n")
            }
        }
    }

    /// A shell and env with their libraries, so that a script runs in the system's root.
    private func staticShell(in root: String) throws {
        for program in ["/bin/sh", "/usr/bin/env"] {
            try run("cp", "-L", program, "\(root)\(program)")
            let libraries = try run("ldd", program).split(whereSeparator: {
                $0 == "\n" || $0 == " " || $0 == "\t"
            })
            for library in libraries where library.hasPrefix("/") {
                let folder = library.split(separator: "/").dropLast().joined(separator: "/")
                try run("mkdir", "-p", "\(root)/\(folder)")
                try run("cp", "-L", String(library), "\(root)\(library)")
            }
        }
    }

    @Test func linksInTheSystemLeadNowhere() throws {
        try withSystem(mbr) { loop in
            try withTemporaryDirectory { outside in
                try mounted(loop.partition(1)) { root in
                    try run("ln", "-s", outside, "\(root)/boot/grub/i386-pc")
                }
                let said = try img("bootfix", "disks=\(loop.path)")
                #expect(said.status == 1)
                #expect(
                    said.errors.contains(
                        "Test Linux 1: /boot/grub/i386-pc is a link"),
                    "\(said)")
                #expect(try FileTree.entries(of: outside).isEmpty)
            }
        }
    }

    @Test func refusesADiskInUse() throws {
        try withSystem(mbr) { loop in
            try mounted(loop.partition(1)) { root in
                let before = try bytes(512, at: 0, of: loop.path)
                for words in [["bootfix"], ["bootfix", "kexec"]] {
                    let said = try runAnyway([builtProgram("img")] + words + ["disks=\(loop.path)"])
                    #expect(said.status == 1)
                    #expect(
                        said.errors
                            == "img: \(loop.path) is mounted (\(loop.partition(1).dropFirst(5)) at \(root))\n"
                    )
                }
                #expect(try bytes(512, at: 0, of: loop.path) == before)
            }
        }
    }

    @Test func badInputIsOneSentence() throws {
        try withSparseFile(16 * MiB) { path in
            for (words, sentence) in [
                (["disks=\(path)x"], "\(path)x is no disk: No such file or directory"),
                (["disks=/tmp"], "/tmp is a directory, not a disk"),
                (["disks=\(path)"], "no installed system was found on"),
                (["kexec", "disks=\(path)"], "no installed Linux was found on"),
            ] {
                let said = try runAnyway([builtProgram("img"), "bootfix"] + words)
                #expect(said.status == 1)
                #expect(said.errors.hasPrefix("img: \(sentence)"), "\(said)")
                #expect(said.errors.split(separator: "\n").count == 1)
            }
            #expect(try img("bootfix", "now").status == 2)
        }
    }

    @Test func kexecPlansTheDefaultKernel() throws {
        try withSystem(mbr) { loop in
            let before = try hash(loop.file)
            let said = try img("bootfix", "kexec", "plan", "disks=\(loop.path)")
            #expect(
                said.output == """
                    starts Test Linux 1 of \(loop.partition(1)) by kexec, as /boot/grub/grub.cfg says
                      kernel: /boot/vmlinuz-9
                      initrd: /boot/initrd.img-9
                      command line: root=/dev/sda1 ro

                    """, "\(said)")
            #expect(try hash(loop.file) == before)
        }
    }

    @Test func kexecFindsTheNewestKernelByItself() throws {
        try withSystem(mbr) { loop in
            try mounted(loop.partition(1)) { root in
                try run("rm", "-r", "\(root)/boot/grub")
                try run("cp", "\(root)/boot/vmlinuz-9", "\(root)/boot/vmlinuz-10")
                // A link that leads out of the system is not followed out of it.
                try run("ln", "-s", "/../../../etc/passwd", "\(root)/boot/vmlinuz-11")
            }
            let uuid = try run("blkid", "-o", "value", "-s", "UUID", loop.partition(1)).dropLast()
            let said = try img("bootfix", "kexec", "plan", "disks=\(loop.file)")
            #expect(said.errors.contains("is held by"), "\(said)")
            let named = try img("bootfix", "kexec", "plan", "disks=\(loop.path)")
            #expect(named.output.contains("kernel: /boot/vmlinuz-10\n"), "\(named)")
            #expect(named.output.contains("initrd: none\n"))
            #expect(named.output.contains("command line: root=UUID=\(uuid) ro\n"))
        }
    }

    @Test func worksOnARegularFile() throws {
        try withSparseFile(320 * MiB) { path in
            try withLoopDevice(path) { loop in
                try run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", loop.path], input: mbr)
                try loop.addPartitions()
                try run("mkfs.ext4", "-q", loop.partition(1))
                try mounted(loop.partition(1)) { try fillRoot($0) }
            }
            let said = try img("bootfix", "disks=\(path)")
            #expect(said.status == 0, "\(said)")
            #expect(try facts(path) == .grub(core: 1))
            #expect(try !run("losetup", "-a").contains(path))
        }
    }
}

@Suite(.serialized) struct WindowsTests {
    /// A disk with one partition of NTFS made by mkntfs, with the mark of a Windows loader.
    private func withWindows(
        _ script: String, start: UInt64, hidden: Int, _ body: (_ loop: LoopDisk) throws -> Void
    ) throws {
        try withLoopDevice(10 * GiB) { loop in
            try run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", loop.path], input: script)
            try loop.addPartitions()
            try run("mkntfs", "-Q", "-F", "-q", "--partition-start", "\(hidden)", loop.partition(1))
            // Microsoft's loader itself is not ours to have: an INT 13h in the first sector, its name behind it.
            try write([0xcd, 0x13], at: start * 512 + 0x60, of: loop.path)
            try write(
                "BOOTMGR".utf8.flatMap { [$0, UInt8(0)] }, at: start * 512 + 0x202, of: loop.path)
            let backup = 64 * MiB - 512
            try write(try bytes(512, at: start * 512, of: loop.path), at: backup, of: loop.path)
            try body(loop)
        }
    }

    @Test func correctsBothBootSectors() throws {
        try withWindows("label: dos\nstart=2048, size=129024, type=7, bootable\n", start: 2048, hidden: 63) {
            loop in
            let before = try bytes(Int(64 * MiB), at: 0, of: loop.path)
            let planned = try img("bootfix", "plan", "disks=\(loop.path)")
            #expect(
                planned.output.contains(
                    "1. \(loop.path): the boot sector of partition 1 gets 2048 as the partition's first sector, "
                        + "because it says 63 and a BIOS start depends on it"), "\(planned)")
            let said = try img("bootfix", "disks=\(loop.path)")
            #expect(said.status == 0 && said.errors == "", "\(said)")
            let after = try bytes(Int(64 * MiB), at: 0, of: loop.path)
            let start = 2048 * 512
            let changed = before.indices.filter { before[$0] != after[$0] && $0 >= 446 }
            #expect(
                changed == [
                    start + 0x1c, start + 0x1d, Int(64 * MiB) - 512 + 0x1c, Int(64 * MiB) - 512 + 0x1d,
                ])
            #expect(Array(after[start + 0x1c..<start + 0x20]) == [0, 8, 0, 0])
            // The boot code comes from libparted, and the second run finds all as it should be.
            let again = try img("bootfix", "disks=\(loop.path)")
            #expect(again.output.contains("boot code: starts the active partition"))
            #expect(again.output.hasSuffix("there is nothing to do\npress Ctrl+Alt+Del\n"), "\(again)")
            #expect(try bytes(Int(64 * MiB), at: 0, of: loop.path) == after)
        }
    }

    @Test func leavesACopyAloneThatIsNone() throws {
        try withWindows("label: dos\nstart=2048, size=129024, type=7, bootable\n", start: 2048, hidden: 63) {
            loop in
            try write([UInt8](repeating: 0x11, count: 512), at: 64 * MiB - 512, of: loop.path)
            #expect(try img("bootfix", "disks=\(loop.path)").status == 0)
            #expect(
                try bytes(512, at: 64 * MiB - 512, of: loop.path) == [UInt8](repeating: 0x11, count: 512))
        }
    }

    @Test func aDataVolumeIsNoWindows() throws {
        try withLoopDevice(64 * MiB) { loop in
            try run(
                ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", loop.path],
                input: "label: dos\nstart=2048, size=129024, type=7, bootable\n")
            try loop.addPartitions()
            try run("mkntfs", "-Q", "-F", "-q", "--partition-start", "63", loop.partition(1))
            let before = try bytes(Int(64 * MiB), at: 0, of: loop.path)
            let said = try img("bootfix", "disks=\(loop.path)")
            #expect(said.status == 1 && said.errors.contains("no installed system was found"), "\(said)")
            #expect(try bytes(Int(64 * MiB), at: 0, of: loop.path) == before)
        }
    }
}
