// Disks with something installed on them, and img bootfix as a person types it.
import Blocks
import Linux
import TestSupport

func img(_ words: String...) throws -> ExternalCommand.Outcome {
    try runAnyway([builtProgram("img")] + words)
}

func hash(_ path: String) throws -> String { try run("sha256sum", path) }

func bytes(_ count: Int, at offset: UInt64, of path: String) throws -> [UInt8] {
    try Descriptor(opening: path, .readOnly).read(count, at: offset)
}

func write(_ bytes: [UInt8], at offset: UInt64, of path: String) throws {
    let file = try Descriptor(opening: path, .readWrite)
    try file.write(bytes, at: offset)
    try file.synchronize()
    try file.close()
}

/// What a Debian's root has that bootfix looks at.
func fillRoot(_ root: String, boot: String = "boot") throws {
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
func withSystem(
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

func mounted(_ device: String, _ body: (_ root: String) throws -> Void) throws {
    try withTemporaryDirectory { root in
        try run("mount", device, root)
        defer { _ = try? run("umount", root) }
        try body(root)
    }
}
