// Disks that cannot be read everywhere, captured and restored by the real program: zeros there, and nowhere else.
import Blocks
import ImageFormat
import Imaging
import Linux
import SystemPackage
import Testing
import TestSupport

/// A disk with an MBR and one partition of noise that ends with the disk.
private func withNoisyDisk<R>(_ size: UInt64 = 24 * MiB, _ body: (_ file: String) throws -> R) throws -> R {
    try withSparseFile(size) { file in
        try run("sfdisk", "-q", file, input: "label: dos\nstart=2048, type=83\n")
        let disk = try Descriptor(opening: file, .readWrite)
        for offset in stride(from: MiB, to: size, by: 1 << 16) { try disk.write(noise(1 << 16), at: offset) }
        try disk.close()
        return try body(file)
    }
}

/// Whether `target` is `source` but for `lost`, ranges of bytes that are zeros on it.
private func expectCopy(
    of source: String, on target: String, _ range: Range<UInt64>, but lost: [Extent],
    location: SourceLocation = #_sourceLocation
) throws {
    let disk = try Descriptor(opening: target, .readOnly)
    let holes = ExtentSet(lost)
    for hole in holes.extents {
        #expect(
            try disk.read(Int(hole.length), at: hole.offset).allSatisfy { $0 == 0 }, "\(hole)",
            sourceLocation: location)
    }
    for good in ExtentSet([Extent(range)]).subtracting(holes).extents {
        #expect(
            try sha256(target, good.offset..<good.end) == sha256(source, good.offset..<good.end), "\(good)",
            sourceLocation: location)
    }
}

extension OnRealDisks {
    /// The kernel itself says EIO: the medium behind the device is shorter than the device.
    @Test func whatTheKernelCannotReadIsZerosAndTold() throws {
        try withNoisyDisk { file in
            try withTemporaryDirectory { directory in
                let (copy, image) = ("\(directory)/copy", "\(directory)/a.img")
                try run("cp", file, copy)
                let lost = Extent(offset: 24 * MiB - 3 * 4096, length: 3 * 4096)
                let first = lost.offset / 512
                try withLoopDevice(file) { loop in
                    try loop.loseEnd(lost.length)
                    let said = try imgSucceeds("makel", image, "disks=\(loop.path)")
                    #expect(
                        said.contains(
                            "WARNING: 24 unreadable sectors on \(loop.path) (first at sector \(first)): zeros"
                        ),
                        "\(said)")
                    #expect(
                        said.contains(
                            "\(image): completed with 24 unreadable sectors of the source (zeros in the image)"
                        ))
                    #expect(try run("blockdev", "--getro", loop.path) == "0\n")
                }
                let info = try imgSucceeds("info", image)
                #expect(
                    info.contains("zeros in place of 24 unreadable sectors of the source"), "\(info)")
                #expect(info.contains("disk 1: sectors \(first) to \(first + 23)"), "\(info)")
                let json = try imgSucceeds("info", image, "--json")
                let script = "import json, sys; print(json.load(sys.stdin)['unreadable'])"
                #expect(
                    try run("python3", "-c", script, input: json)
                        == "[{'count': 24, 'disk': 1, 'sector': \(first)}]\n")
                try withLoopDevice(24 * MiB) { target in
                    let said = try imgSucceeds("restorel", image, "disks=\(target.path)", "verify")
                    #expect(
                        said.contains(
                            "completed with 24 unreadable sectors of the source (zeros on the disk)\n  "
                                + "\(target.path): sectors \(first) to \(first + 23)"), "\(said)")
                    try expectCopy(of: copy, on: target.path, 0..<24 * MiB, but: [lost])
                }
            }
        }
    }

    /// Single sectors, runs, and a run over the edge of two chunks.
    @Test func badSectorsInTheMiddleAreFoundOneByOne() throws {
        try withNoisyDisk { disk in
            try withTemporaryDirectory { directory in
                let image = "\(directory)/a.img"
                let sectors: [ClosedRange<UInt64>] = [
                    2048...2048, 9000...9004, 16_380...16_390, 49_151...49_151,
                ]
                let bad = try BadSectors(sectors, of: disk, in: directory)
                let made = try runAnyway(bad.command + [imgPath(), "makel", image, "disks=\(disk)"])
                #expect(made.status == 0, "\(made)")
                #expect(
                    made.output.contains("18 unreadable sectors on \(disk) (first at sector 2048)"), "\(made)"
                )
                let lost = sectors.map { Extent($0.lowerBound * 512..<($0.upperBound + 1) * 512) }
                let reader = try ImageFileReader(path: image)
                #expect(ExtentSet(reader.closing.unreadable.map(\.extent)) == ExtentSet(lost))
                #expect(reader.closing.unreadable.count == 5, "one run lies in two chunks")
                try withLoopDevice(24 * MiB) { target in
                    try imgSucceeds("restorel", image, "disks=\(target.path)")
                    try expectCopy(of: disk, on: target.path, 0..<24 * MiB, but: lost)
                }
                // Without the bad sectors it is another image, and nothing is told.
                let sound = try imgSucceeds("makel", "\(directory)/b.img", "disks=\(disk)")
                #expect(!sound.contains("unreadable"))
                #expect(try imageManifest("\(directory)/b.img").usedBytes == reader.manifest.usedBytes)
            }
        }
    }

    /// The file system is asked as ever; a sector of one file's content is lost, the others are whole.
    @Test func aBadSectorInAFileLosesThatSectorOnly() throws {
        try withSparseFile(80 * MiB) { disk in
            try run("sgdisk", "-n1:0:+64M", disk)
            let pattern = noise(16_384)
            var hashes = ""
            try withLoopDevice(disk) { loop in
                try loop.addPartitions()
                try Volume(number: 1, type: "ext4", mebibytes: 64).make(loop.partition(1))
                try withMount(loop.partition(1), "ext4") { root in
                    try populate(root, seed: 5)
                    hashes = try fileHashes(root)
                    let file = try Descriptor(opening: "\(root)/hit", [.writeOnly, .create])
                    try file.write(pattern, at: 0)
                    try file.synchronize()
                }
            }
            let place = try #require(try find(Array(pattern[4096..<4608]), on: disk))
            try withTemporaryDirectory { directory in
                let image = "\(directory)/a.img"
                let bad = try BadSectors([place / 512...place / 512], of: disk, in: directory)
                let made = try runAnyway(bad.command + [imgPath(), "makel", image, "disks=\(disk)"])
                #expect(made.status == 0 && !made.output.contains("captured whole"), "\(made)")
                #expect(
                    made.output.contains("1 unreadable sector on \(disk) (first at sector \(place / 512))"),
                    "\(made)")
                #expect(try imageManifest(image).partitions[0].content == .used)
                try withLoopDevice(80 * MiB) { target in
                    try imgSucceeds("restorel", image, "disks=\(target.path)")
                    try check(target.partition(1), "ext4")
                    try withMount(target.partition(1), "ext4", readOnly: true) { root in
                        let file = try Descriptor(opening: "\(root)/hit", .readOnly)
                        var expected = pattern
                        expected.replaceSubrange(4096..<4608, with: repeatElement(0, count: 512))
                        #expect(try file.read(pattern.count, at: 0) == expected)
                        let all = try fileHashes(root)
                        #expect(
                            all.split(separator: "\n").filter { !$0.hasSuffix("./hit") }
                                == hashes.split(separator: "\n"))
                    }
                }
            }
        }
    }

    /// What a file system says of itself cannot be read: the partition is taken whole, and the capture goes on.
    @Test(arguments: ["superblock", "root directory"]) func aBadSectorInTheFileSystemItself(place: String)
        throws
    {
        try withSparseFile(80 * MiB) { disk in
            try run("sgdisk", "-n1:0:+64M", disk)
            var sector: UInt64 = 2048 + 2
            try withLoopDevice(disk) { loop in
                try loop.addPartitions()
                try Volume(number: 1, type: "ext4", mebibytes: 64).make(loop.partition(1))
                guard place == "root directory" else { return }
                // "Group 0: … Inode table at 35-291": the root's inode is in its first block.
                let groups = try run("dumpe2fs", loop.partition(1))
                let start = try #require(groups.firstRange(of: "Inode table at "))
                let block = try #require(UInt64(groups[start.upperBound...].prefix { $0.isNumber }))
                let size = try #require(groups.firstRange(of: "Block size:"))
                let bytes = try #require(
                    UInt64(groups[size.upperBound...].drop { $0 == " " }.prefix { $0.isNumber }))
                sector = 2048 + block * bytes / 512
            }
            try withTemporaryDirectory { directory in
                let image = "\(directory)/a.img"
                let bad = try BadSectors([sector...sector], of: disk, in: directory)
                let made = try runAnyway(bad.command + [imgPath(), "makel", image, "disks=\(disk)"])
                #expect(made.status == 0, "\(made)")
                #expect(made.output.contains("is captured whole, 67.1 MB: "), "\(made)")
                #expect(made.output.contains("1 unreadable sector on \(disk) (first at sector \(sector))"))
                let lost = Extent(offset: sector * 512, length: 512)
                try withLoopDevice(80 * MiB) { target in
                    try imgSucceeds("restorel", image, "disks=\(target.path)")
                    try expectCopy(of: disk, on: target.path, MiB..<65 * MiB, but: [lost])
                }
            }
        }
    }

    /// A partition table with a hole would lose partitions: the sector is named and there is no image.
    @Test(arguments: [0, 4096] as [UInt64]) func aBadSectorInThePartitionTableIsRefused(sector: UInt64) throws
    {
        try withSparseFile(24 * MiB) { disk in
            try run(
                "sfdisk", "-q", disk,
                input: "label: dos\nstart=2048, size=2048\nstart=4096, type=5\nstart=6144, size=2048\n")
            try withTemporaryDirectory { directory in
                let image = "\(directory)/a.img"
                let bad = try BadSectors([sector...sector], of: disk, in: directory)
                let made = try runAnyway(bad.command + [imgPath(), "makel", image, "disks=\(disk)"])
                #expect(made.status == 1, "\(made)")
                #expect(made.errors.contains(disk), "\(made)")
                if sector > 0 { #expect(made.errors.contains("cannot read sector \(sector) of"), "\(made)") }
                #expect(!FileTree.exists(image))
            }
        }
    }

    /// Of a GPT there are two: the one that can be read is enough.
    @Test func anUnreadableBackupTableIsMadeAnew() throws {
        try withPlainDisk { file in
            try withTemporaryDirectory { directory in
                let (copy, image) = ("\(directory)/copy", "\(directory)/a.img")
                try run("cp", file, copy)
                try withLoopDevice(file) { loop in
                    try loop.loseEnd(4096)
                    let said = try imgSucceeds("makel", image, "disks=\(loop.path)")
                    #expect(said.contains("its backup GPT is unusable"), "\(said)")
                    #expect(!said.contains("unreadable sector"))
                }
                try withLoopDevice(24 * MiB) { target in
                    try imgSucceeds("restorel", image, "disks=\(target.path)")
                    try expectPlainCopy(of: copy, on: target.path)
                }
            }
        }
    }

    /// Nothing answers any more: an end, a sentence that names the disk, and no file.
    @Test func aDeadDiskIsGivenUp() throws {
        try withNoisyDisk { disk in
            try withTemporaryDirectory { directory in
                let image = "\(directory)/a.img"
                let bad = try BadSectors([4096...49_151], of: disk, in: directory)
                let made = try runAnyway(bad.command + [imgPath(), "makel", image, "disks=\(disk)"])
                #expect(made.status == 1)
                #expect(
                    made.errors.contains("img: \(disk) is given up: 4096 reads in a row failed"), "\(made)")
                #expect(!FileTree.exists(image))
            }
        }
    }
}

/// Where on a disk `bytes` stand, searched at sectors; nil where they do not.
private func find(_ bytes: [UInt8], on path: String) throws -> UInt64? {
    let disk = try Descriptor(opening: path, .readOnly)
    let size = try disk.size()
    for offset in stride(from: 0, to: size, by: 1 << 20) {
        let piece = try disk.read(Int(min(1 << 20, size - offset)), at: offset)
        for sector in stride(from: 0, to: piece.count, by: 512) {
            if piece[sector] == bytes[0], piece[sector..<sector + 512].elementsEqual(bytes) {
                return offset + UInt64(sector)
            }
        }
    }
    return nil
}
