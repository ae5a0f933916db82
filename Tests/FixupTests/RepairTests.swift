// img bootfix as a person types it, on real disks: loop devices with real file systems and a real GRUB.
import Blocks
import Disk
import Fixup
import Linux
import Testing
import TestSupport

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
        try withBootPartition { loop in
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

    /// Two partitions: /boot, and a root whose fstab names it.
    private func withBootPartition(_ body: (_ loop: LoopDisk) throws -> Void) throws {
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
            try body(loop)
        }
    }

    /// A program of the system's own that says where it ran and with what, and fails.
    @Test func usesTheSystemsOwnProgram() throws {
        try withBootPartition { loop in
            try mounted(loop.partition(2)) { root in
                for folder in ["usr/sbin", "usr/bin", "bin", "usr/lib/grub/i386-pc"] {
                    try run("mkdir", "-p", "\(root)/\(folder)")
                }
                try run("cp", "/usr/lib/grub/i386-pc/boot.img", "\(root)/usr/lib/grub/i386-pc/")
                try shell(in: root)
                let program = "\(root)/usr/sbin/grub-install"
                try run(
                    ["tee", program],
                    input: """
                        #!/bin/sh
                        echo "$@" > /called
                        [ -e /dev/null ] && [ -e /proc/self ] && [ -e /sys/class ] && echo ok >> /called
                        [ -e /boot/grub/grub.cfg ] && echo boot >> /called && echo here > /boot/called
                        echo 'error: no luck' >&2
                        exit 1
                        """)
                try run("chmod", "755", program)
            }
            let said = try img("bootfix", "disks=\(loop.path)")
            #expect(said.status == 1)
            #expect(
                said.errors
                    == "img: installing GRUB on \(loop.path) by Test Linux 1's /usr/sbin/grub-install failed: "
                    + "error: no luck\n")
            // The other step was tried all the same.
            #expect(said.output.contains("done: \(loop.path): partition 1 is active"))
            try mounted(loop.partition(2)) { root in
                let called = try FileTree.text(of: "\(root)/called")
                #expect(called == "--target=i386-pc --recheck \(loop.path)\nok\nboot\n")
                #expect(!FileTree.exists("\(root)/boot/called"))
            }
            try mounted(loop.partition(1)) { #expect(FileTree.exists("\($0)/called")) }
        }
    }

    /// A shell and env with their libraries, so that a script runs in the system's root.
    private func shell(in root: String) throws {
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
