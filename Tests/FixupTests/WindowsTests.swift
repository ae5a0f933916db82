// Volumes of mkntfs in the place of a Windows: its boot sectors, its boot code and its mark.
import Blocks
import Linux
import Testing
import TestSupport

@Suite(.serialized) struct WindowsTests {
    private let windows = "label: dos\nlabel-id: 0x51a9c0de\nstart=2048, size=129024, type=7, bootable\n"

    /// A disk with one partition of NTFS made by mkntfs, with the mark of a Windows loader.
    private func withWindows(
        _ script: String, start: UInt64, hidden: Int, _ body: (_ loop: LoopDisk) throws -> Void
    ) throws {
        try withLoopDevice(10 * GiB) { loop in
            try run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", loop.path], input: script)
            try loop.addPartitions()
            try run("mkntfs", "-Q", "-F", "-q", "--partition-start", "\(hidden)", loop.partition(1))
            // Partition and disk have caches of their own, and somebody may still look at the partition.
            try run("blockdev", "--flushbufs", loop.partition(1), loop.path)
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
        try withWindows(windows, start: 2048, hidden: 63) {
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
            let changed = before.indices.filter { before[$0] != after[$0] && $0 >= 440 }
            #expect(
                changed == [
                    start + 0x1c, start + 0x1d, Int(64 * MiB) - 512 + 0x1c, Int(64 * MiB) - 512 + 0x1d,
                ])
            #expect(Array(after[start + 0x1c..<start + 0x20]) == [0, 8, 0, 0])
            // Windows finds its disk by the signature.
            #expect(try run("sfdisk", "--dump", loop.path).contains("label-id: 0x51a9c0de"))
            // The boot code comes from libparted, and the second run finds all as it should be.
            let again = try img("bootfix", "disks=\(loop.path)")
            #expect(again.output.contains("boot code: starts the active partition"))
            #expect(again.output.hasSuffix("there is nothing to do\npress Ctrl+Alt+Del\n"), "\(again)")
            #expect(try bytes(Int(64 * MiB), at: 0, of: loop.path) == after)
        }
    }

    /// GRUB's first sector without a core image: its code must really go, and nothing else.
    @Test func brokenCodeIsReplaced() throws {
        try withWindows(windows, start: 2048, hidden: 2048) { loop in
            let grub = try bytes(440, at: 0, of: "/usr/lib/grub/i386-pc/boot.img")
            try write(grub, at: 0, of: loop.path)
            let before = try bytes(1 << 20, at: 0, of: loop.path)
            let said = try img("bootfix", "disks=\(loop.path)")
            #expect(said.status == 0 && said.output.contains("code starts partition 1"), "\(said)")
            let after = try bytes(1 << 20, at: 0, of: loop.path)
            #expect(after[440...] == before[440...])
            #expect(Array(after[..<440]) != grub && after[0] == 0xfa)
        }
    }

    /// The mark of a Linux's partition on a disk with another loader's code is one byte.
    @Test func aMarkIsOneByte() throws {
        let script = windows.replacing(", bootable", with: "")
        try withWindows(script, start: 2048, hidden: 2048) { loop in
            // Code that begins with a zero, as libparted takes for none.
            try write([0, 0xcd, 0x13] + Array("Missing operating system".utf8), at: 0, of: loop.path)
            let before = try bytes(1 << 20, at: 0, of: loop.path)
            #expect(try img("bootfix", "disks=\(loop.path)").status == 0)
            let after = try bytes(1 << 20, at: 0, of: loop.path)
            #expect(before.indices.filter { before[$0] != after[$0] } == [446])
            #expect(after[446] == 0x80)
        }
    }

    @Test func leavesACopyAloneThatIsNone() throws {
        try withWindows(windows, start: 2048, hidden: 63) {
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
            // Partition and disk have caches of their own, and somebody may still look at the partition.
            try run("blockdev", "--flushbufs", loop.partition(1), loop.path)
            let before = try bytes(Int(64 * MiB), at: 0, of: loop.path)
            let said = try img("bootfix", "disks=\(loop.path)")
            #expect(said.status == 1 && said.errors.contains("no installed system was found"), "\(said)")
            #expect(try bytes(Int(64 * MiB), at: 0, of: loop.path) == before)
        }
    }
}
