// Disks that an image may, or may not, be put on.
import Blocks
import ImageFormat
import Linux
import SystemPackage
import Testing
import TestSupport

/// What blkid finds when it looks at the whole disk, one "KEY=value" a line; empty for nothing.
private func blkid(_ path: String) throws -> [String] {
    try runAnyway(["blkid", "-p", "-o", "export", path]).output.split(separator: "\n").map(String.init)
        .filter { $0.contains("TYPE=") }
}

/// `img restorel` must refuse `words`, saying `sentences`, and must not change `target`.
private func expectRefused(
    _ target: String, _ words: [String], _ sentences: [String], location: SourceLocation = #_sourceLocation
) throws {
    let before = try sha256(target)
    let outcome = try runAnyway([imgPath(), "restorel"] + words)
    #expect(outcome.status == 1, "\(outcome)", sourceLocation: location)
    #expect(outcome.errors.hasPrefix("img: "), sourceLocation: location)
    for sentence in sentences {
        #expect(
            outcome.errors.contains(sentence), "'\(sentence)': \(outcome.errors)", sourceLocation: location)
    }
    #expect(try sha256(target) == before, "the target was touched", sourceLocation: location)
}

extension OnRealTargets {
    @Test func aLargerDiskGetsItsBackupTableAtItsEnd() throws {
        try withPlainImage { source, image in
            try withLoopDevice(64 * MiB) { target in
                try imgSucceeds("restorel", image, "disks=\(target.path)")
                try expectPlainCopy(of: source, on: target.path)
                let disk = try Descriptor(opening: target.path, .readOnly)
                #expect(try disk.read(8, at: 64 * MiB - 512) == Array("EFI PART".utf8))
                #expect(try disk.read(8, at: 24 * MiB - 512) != Array("EFI PART".utf8))
                // The backup alone is enough.
                try run(
                    "dd", "if=/dev/zero", "of=\(target.path)", "bs=512", "seek=1", "count=1", "status=none")
                #expect(try run("sgdisk", "-p", target.path).contains("second"))
            }
        }
    }

    @Test func aSmallerDiskThatHoldsTheLastPartitionIsEnough() throws {
        try withPlainImage { source, image in
            // The last partition ends at 10 MiB; 33 sectors of backup table follow.
            let smallest = 10 * MiB + 33 * 512
            let said = try imgSucceeds("info", image)
            #expect(said.contains("smallest disk that fits: \(smallest) bytes"), "\(said)")
            try withLoopDevice(smallest) { target in
                try imgSucceeds("restorel", image, "disks=\(target.path)", "verify")
                try expectPlainCopy(of: source, on: target.path)
                #expect(
                    try Descriptor(opening: target.path, .readOnly).read(8, at: smallest - 512)
                        == Array("EFI PART".utf8))
            }
            try withLoopDevice(smallest - 512) { target in
                try expectRefused(
                    target.path, [image, "disks=\(target.path)"],
                    ["\(target.path) is too small", "needs \(smallest) bytes", "it has \(smallest - 512)"])
            }
        }
    }

    @Test func disksInUseAreRefused() throws {
        try withPlainImage { _, image in
            try withLoopDevice(32 * MiB) { target in
                let words = [image, "disks=\(target.path)"]
                try run("sgdisk", "-n1:0:+16M", target.path)
                try target.addPartitions()
                try run("mkfs.ext4", "-q", "-F", target.partition(1))
                for readOnly in [false, true] {
                    try withMount(target.partition(1), "ext4", readOnly: readOnly) { root in
                        try run("sync", "-f", root)
                        try expectRefused(target.path, words, ["\(target.path) is mounted", "at \(root)"])
                        try expectRefused(target.file, [image, "disks=\(target.file)"], ["is held by loop"])
                    }
                }
                // A loop device over a partition holds the disk.
                try withLoopDevice(target.partition(1)) { holder in
                    let name = String(holder.path.dropFirst(5))
                    try expectRefused(target.path, words, ["\(target.path) is held by \(name)"])
                }
                try run("blockdev", "--setro", target.path)
                try expectRefused(target.path, words, ["\(target.path) is read-only"])
                try run("blockdev", "--setrw", target.path)
                // Mounted where this process does not see it: in a namespace of its own.
                let script = "mount '\(target.partition(1))' /mnt && echo mounted && exec sleep 60"
                let pipe = try Pipe()
                let other = try ChildProcess(
                    "unshare", ["--mount", "sh", "-c", script], descriptors: [-1, pipe.writer.number, -1])
                let reader = try pipe.closeWriter()
                let refusal = Result {
                    try waitUntil("the other namespace has its mount") {
                        try Mount.entries(of: other.pid).contains { $0.source == target.partition(1) }
                    }
                    try expectRefused(target.path, words, ["\(target.path) is in use"])
                }
                other.kill()
                _ = try other.wait()
                try reader.close()
                try refusal.get()
                // What was refused for its use is taken when it is free.
                try imgSucceeds("restorel", image, "disks=\(target.path)")
            }
        }
    }

    @Test func otherSectorSizesAreRefused() throws {
        try withPlainImage { _, image in
            try withLoopDevice(32 * MiB, sectorSize: 4096) { target in
                try expectRefused(
                    target.path, [image, "disks=\(target.path)"],
                    ["\(target.path) has sectors of 4096 bytes", "has sectors of 512"])
            }
        }
    }

    @Test func signaturesOfOtherSystemsAreWiped() throws {
        try withPlainImage { source, image in
            // An LVM label at the start, an md superblock (version 0.90) at the end, where the image holds nothing.
            try withLoopDevice(64 * MiB) { target in
                try run("pvcreate", "--quiet", "--yes", target.path)
                #expect(try blkid(target.path).contains("TYPE=LVM2_member"))
                try imgSucceeds("restorel", image, "disks=\(target.path)")
                #expect(try blkid(target.path) == ["PTTYPE=gpt"])
                try expectPlainCopy(of: source, on: target.path)
            }
            try withLoopDevice(64 * MiB) { target in
                try plantRAID(on: target.path, size: 64 * MiB)
                #expect(try blkid(target.path).contains("TYPE=linux_raid_member"))
                try imgSucceeds("restorel", image, "disks=\(target.path)")
                #expect(try blkid(target.path) == ["PTTYPE=gpt"])
            }
        }
    }

    @Test func anUnreadableLabelIsNoObstacle() throws {
        try withPlainImage { source, image in
            try withLoopDevice(32 * MiB) { target in
                try run("sgdisk", "-n1:0:+4M", "-n2:0:+4M", target.path)
                // Both GPTs broken under their protective MBR.
                let zap = ["bs=512", "count=1", "conv=notrunc", "status=none"]
                try run(["dd", "if=/dev/urandom", "of=\(target.path)", "seek=1"] + zap)
                try run(["dd", "if=/dev/urandom", "of=\(target.path)", "seek=\(32 * 2048 - 1)"] + zap)
                try imgSucceeds("restorel", image, "disks=\(target.path)")
                try expectPlainCopy(of: source, on: target.path)
                // An MBR whose extended chain leads nowhere.
                try run("dd", "if=/dev/zero", "of=\(target.path)", "bs=1M", "count=32", "status=none")
                try run(
                    "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", target.path,
                    input:
                        "label: dos\nstart=2048, size=8192, type=83\nstart=16384, size=16384, type=5\nstart=18432, size=4096, type=83"
                )
                try run(["dd", "if=/dev/urandom", "of=\(target.path)", "seek=16384"] + zap)
                try imgSucceeds("restorel", image, "disks=\(target.path)")
                try expectPlainCopy(of: source, on: target.path)
            }
        }
    }

    @Test func theWordsOfDisksMustFitTheImage() throws {
        try withPlainImage { _, image in
            try withLoopDevice(32 * MiB) { target in
                try withSparseFile(32 * MiB) { second in
                    let both = "disks=\(target.path),\(second)"
                    try expectRefused(target.path, [image, both], ["the image has 1 disk, disks= names 2"])
                    let before = try sha256(target.path)
                    let plan = try imgSucceeds("restorel", image, "disks=\(target.path)", "plan")
                    #expect(plan.contains("disk 1 of the image (25.2 MB, gpt) goes to \(target.path)"))
                    #expect(plan.contains("named by disks="))
                    #expect(try sha256(target.path) == before)
                    try imgFails("restorel", image, "disks=\(image)", saying: "\(image) holds \(image)")
                    try imgFails(
                        "restorel", "\(image).none", "disks=\(second)", saying: "\(image).none",
                        "No such file")
                    try imgFails(
                        "restorel", second, "disks=\(target.path)", saying: "\(second) is not a usable image")
                    try imgFails(
                        "restorel", image, "disks=\(target.path)", "x1", status: 2,
                        saying: "does not take 'x1'")
                    #expect(try sha256(target.path) == before)
                }
            }
        }
    }

    @Test func twoDisksGoWhereTheirWordsSay() throws {
        try withPlainDisk { first in
            try withPlainDisk(28 * MiB) { second in
                try withTemporaryDirectory { directory in
                    let image = "\(directory)/two.img"
                    try imgSucceeds("makel", image, "disks=\(first),\(second)", "x3", "comp=speed")
                    #expect(try imageManifest(image).partitions.map(\.slot) == [1, 2, 3, 4])
                    try withLoopDevice(24 * MiB) { a in
                        try withLoopDevice(28 * MiB) { b in
                            let link = "\(directory)/link"
                            try run("ln", "-s", a.path, link)
                            try expectRefused(
                                a.path, [image, "disks=\(a.path),\(link)"],
                                ["is named for two disks of the image"])
                            try expectRefused(
                                a.path, [image, "disks=\(a.path)"], ["the image has 2 disks, disks= names 1"])
                            let words = "disks=\(a.path),\(b.path)"
                            let plan = try imgSucceeds("restorel", image, words, "plan")
                            #expect(plan.contains("disk 1 of the image (25.2 MB, gpt) goes to \(a.path)"))
                            #expect(plan.contains("disk 2 of the image (29.4 MB, gpt) goes to \(b.path)"))
                            try imgSucceeds("restorel", image, words)
                            try expectPlainCopy(of: first, on: a.path)
                            #expect(
                                try sha256(b.path, 8 * MiB..<10 * MiB) == sha256(second, 8 * MiB..<10 * MiB))
                            #expect(try sha256(b.path, MiB..<7 * MiB) != sha256(second, MiB..<7 * MiB))
                            #expect(try run("sgdisk", "-v", b.path).contains("No problems found"))
                        }
                    }
                }
            }
        }
    }
}

/// Writes an md superblock of version 0.90 (md(4)): 64 KiB aligned, at least 64 KiB before the end.
private func plantRAID(on device: String, size: UInt64) throws {
    var superblock = ByteWriter()
    superblock.u32(0xa92b_4efc)  // magic
    superblock.u32(0)  // major, minor, patch version
    superblock.u32(90)
    superblock.u32(0)
    superblock.u32(0)  // generic words
    superblock.u32(0x1234_5678)  // first word of the UUID
    superblock.u32(1)  // creation time
    superblock.u32(1)  // level
    superblock.u32(UInt32(size / 1024 - 64))  // size in KiB
    superblock.append(zeros: 4096 - superblock.count)
    let place = size / (64 * KiB) * (64 * KiB) - 64 * KiB
    let disk = try Descriptor(opening: device, .readWrite)
    try disk.write(superblock.bytes, at: place)
    try disk.synchronize()
}
