// What img makel does not take: one sentence, the right exit status, and no file.
import Blocks
import Linux
import SystemPackage
import Testing
import TestSupport

/// What a directory holds, for proving that nothing was made.
private func entries(_ directory: String) throws -> [String] { try FileTree.entries(of: directory).sorted() }

extension OnRealDisks {
    @Test func hibernatedWindowsStopsThePlan() throws {
        try withTemporaryDirectory { directory in
            try withLoopDevice(80 * MiB) { loop in
                try run("sgdisk", "-n1:0:+64M", "-t1:0700", loop.path)
                try loop.addPartitions()
                try Volume(number: 1, type: "ntfs", mebibytes: 64).make(loop.partition(1))
                try withMount(loop.partition(1), "ntfs") { root in
                    let file = try Descriptor(opening: "\(root)/hiberfil.sys", [.writeOnly, .create])
                    try file.write(Array("hibr".utf8) + [UInt8](repeating: 1, count: 65_532), at: 0)
                }
                let before = try sha256(loop.path)
                try imgFails(
                    "makel", "\(directory)/a.img", "disks=\(loop.path)",
                    saying: "slot 1", "hibernated", "shutdown /s /t 0", "'whole'", "67.1 MB")
                try imgFails(
                    "makel", "\(directory)/a.img", "disks=\(loop.path)", "plan", saying: "shutdown /s /t 0")
                #expect(try entries(directory) == [])
                #expect(try run("blockdev", "--getro", loop.path) == "0\n")
                let output = try imgSucceeds("makel", "\(directory)/a.img", "disks=\(loop.path)", "whole")
                #expect(
                    output.contains(
                        "slot 1 (\(loop.partition(1))) is captured whole, 67.1 MB: it holds a Windows"))
                #expect(try sha256(loop.path) == before)
                try withLoopDevice(80 * MiB) { target in
                    try imgSucceeds("restorel", "\(directory)/a.img", "disks=\(target.path)")
                    #expect(try sha256(target.partition(1)) == sha256(loop.partition(1)))
                }
            }
        }
    }

    @Test func suspendedSwapStopsThePlan() throws {
        try withTemporaryDirectory { directory in
            try withSparseFile(40 * MiB) { disk in
                try run("sgdisk", "-n1:2048:+32M", "-t1:8200", disk)
                try withLoopDevice(disk) { loop in
                    try loop.addPartitions()
                    try run("mkswap", loop.partition(1))
                }
                let file = try Descriptor(opening: disk, .readWrite)
                try file.write(Array("S1SUSPEND\0".utf8), at: MiB + 4086)
                try file.write(Array("memory of a sleeping system".utf8), at: 20 * MiB)
                let image = "\(directory)/a.img"
                try imgFails(
                    "makel", image, "disks=\(disk)", saying: "slot 1", "suspended", "'whole'", "33.6 MB")
                #expect(try entries(directory) == [])
                // Leaving the partition out is the other way.
                try imgSucceeds("makel", image, "disks=\(disk)", "x1", "plan")
                try imgSucceeds("makel", image, "disks=\(disk)", "whole")
                try withSparseFile(40 * MiB) { target in
                    try imgSucceeds("restorel", image, "disks=\(target)")
                    #expect(try sha256(target, MiB..<33 * MiB) == sha256(disk, MiB..<33 * MiB))
                }
            }
        }
    }

    @Test func aMountedSourceIsRefused() throws {
        try withTemporaryDirectory { directory in
            try withLoopDevice(40 * MiB) { loop in
                try run("sgdisk", "-n1:0:+32M", loop.path)
                try loop.addPartitions()
                try run("mkfs.ext4", "-q", "-F", loop.partition(1))
                try withMount(loop.partition(1), "ext4") { root in
                    try imgFails(
                        "makel", "\(directory)/a.img", "disks=\(loop.path)", saying: loop.path, "is mounted",
                        "at \(root)")
                    // The file behind it is the same disk.
                    try imgFails(
                        "makel", "\(directory)/a.img", "disks=\(loop.file)",
                        saying: "\(loop.file) is held by loop")
                }
                #expect(try entries(directory) == [])
                try imgSucceeds("makel", "\(directory)/a.img", "disks=\(loop.path)", "plan")
            }
        }
    }

    @Test func swapInUseIsRefused() throws {
        try withTemporaryDirectory { directory in
            try withLoopDevice(24 * MiB) { loop in
                try run("sgdisk", "-n1:0:+16M", loop.path)
                try loop.addPartitions()
                try run("mkswap", loop.partition(1))
                try run("dd", "if=\(loop.path)", "of=\(loop.file).full", "bs=1M", "status=none")
                try run("losetup", "--detach", loop.path)
                // Swap on a sparse file's loop device would need blocks while memory is short.
                try withLoopDevice("\(loop.file).full") { full in
                    try full.addPartitions()
                    try run("swapon", full.partition(1))
                    let word = "disks=\(full.path)"
                    let refusals = Result {
                        try imgFails(
                            "makel", "\(directory)/a.img", word, saying: "\(full.path) is used as swap")
                    }
                    try run("swapoff", full.partition(1))
                    try refusals.get()
                }
            }
        }
    }

    @Test func nothingIsMadeWhereThePlanCannotHold() throws {
        try withPlainDisk { disk in
            try withTemporaryDirectory { directory in
                let image = "\(directory)/a.img"
                let word = "disks=\(disk)"
                try imgFails("makel", image, word, "x3", saying: "x3 names a slot that does not exist")
                try imgFails("makel", image, word, "comp=10", status: 2, saying: "comp= takes 0 to 9")
                try imgFails("makel", image, word, "comp=best", status: 2, saying: "'best'")
                try imgFails("makel", image, "disks=", status: 2, saying: "'disks=' lacks a value")
                try imgFails("makel", image, "disks=\(disk),", saying: "disks= lacks the name of a disk")
                try imgFails(
                    "makel", image, "disks=\(directory)", saying: "\(directory) is a directory, not a disk")
                try imgFails("makel", image, "disks=/dev/none", saying: "/dev/none is no disk: No such file")
                try imgFails(
                    "makel", image, "disks=/dev/null", saying: "neither a block device nor a regular file")
                try imgFails(
                    "makel", "\(directory)/none/a.img", word, saying: "\(directory)/none/a.img",
                    "No such file")
                try imgFails("makel", directory, word, saying: "\(directory) exists already")
                try imgFails("makel", "/proc/a.img", word, saying: "/proc/a.img")
                try imgFails("makel", disk, word, saying: "\(disk) exists already")
                try imgFails("makel", word, status: 2)
                #expect(try entries(directory) == [])

                try write("precious", to: image)
                try imgFails(
                    "makel", image, word, saying: "\(image) exists already; an image never replaces a file")
                #expect(try run("cat", image) == "precious")
                #expect(try entries(directory) == ["a.img"])
            }
        }
    }

    @Test func aPartitionIsNoDisk() throws {
        try withPlainDisk { file in
            try withLoopDevice(file) { loop in
                try loop.addPartitions()
                try withTemporaryDirectory { directory in
                    try imgFails(
                        "makel", "\(directory)/a.img", "disks=\(loop.partition(1))",
                        saying:
                            "\(loop.partition(1)) is a partition of \(loop.path.dropFirst(5)), not a whole disk"
                    )
                    try imgFails(
                        "makel", "\(directory)/a.img", "disks=\(loop.path),\(loop.path)",
                        saying: "\(loop.path) is named twice")
                    #expect(try entries(directory) == [])
                }
            }
        }
    }

    @Test func aDirectoryThatCannotBeWrittenIsNamed() throws {
        try withPlainDisk { disk in
            try withLoopDevice(disk) { loop in
                try withTemporaryDirectory { directory in
                    try run("mount", "-t", "tmpfs", "-o", "ro", "none", directory)
                    let outcome = Result { try img("makel", "\(directory)/a.img", "disks=\(loop.path)") }
                    try run("umount", directory)
                    let said = try outcome.get()
                    #expect(said.status == 1)
                    #expect(said.errors == "img: cannot create \(directory)/a.img: Read-only file system\n")
                    #expect(try run("blockdev", "--getro", loop.path) == "0\n", "the source stays read-only")
                }
            }
        }
    }

    @Test func aFullFileSystemLeavesNoImage() throws {
        try withPlainDisk { disk in
            try withTemporaryDirectory { directory in
                try run("mount", "-t", "tmpfs", "-o", "size=2M", "none", directory)
                let outcome = Result {
                    (try img("makel", "\(directory)/a.img", "disks=\(disk)"), try entries(directory))
                }
                try run("umount", directory)
                let (said, left) = try outcome.get()
                #expect(said.status == 1)
                #expect(
                    said.errors.contains("\(directory)/a.img") && said.errors.contains("No space left"),
                    "\(said)")
                #expect(left == [])
            }
        }
    }

    @Test func aMachineWithoutAnEligibleDiskSaysWhy() throws {
        try withPlainDisk { file in
            try withLoopDevice(file) { loop in
                let name = loop.path.dropFirst(5)
                // A machine that has no disks, and one whose only disk is a loop device.
                func machine(_ more: String, _ words: String) throws -> ExternalCommand.Outcome {
                    let place = try FileTree.realPath("/sys/block/\(name)")
                    let script = "mount -t tmpfs none /sys/block; \(more); exec \(try imgPath()) \(words)"
                    return try runAnyway([
                        "unshare", "--mount", "sh", "-c", script.replacing("PLACE", with: place),
                    ])
                }
                let words = "makel \(file).img"
                let none = try machine("true", words)
                #expect(none.status == 1)
                #expect(none.errors == "img: this machine has no disks\n", "\(none)")
                let one = try machine("ln -s PLACE /sys/block/\(name)", words)
                #expect(one.status == 1)
                let reason = "no disk of this machine is eligible: \(loop.path) is a loop device"
                #expect(one.errors.hasPrefix("img: \(reason)") && one.errors.contains("disks="), "\(one)")
                #expect(!FileTree.exists("\(file).img"))
                // A restore that has no words to go by lists what there is.
                try imgSucceeds("makel", "\(file).img", "disks=\(loop.path)", "comp=speed")
                let restore = try machine("ln -s PLACE /sys/block/\(name)", "restorel \(file).img plan")
                #expect(restore.status == 1)
                #expect(
                    restore.errors.contains("it is not certain")
                        && restore.errors.contains("is a loop device"))
            }
        }
    }
}

/// Makes a file of `text`.
func write(_ text: String, to path: String) throws {
    try Descriptor(opening: path, [.writeOnly, .create, .truncate]).write(Array(text.utf8), at: 0)
}
