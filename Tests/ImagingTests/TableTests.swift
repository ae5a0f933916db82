// Disks with an MBR, without any table, and with large sectors, from capture to restore.
import Blocks
import ImageFormat
import Linux
import SystemPackage
import Testing
import TestSupport

/// Two primary partitions, and an extended one with three logical partitions.
private let chainScript = """
    label: dos
    label-id: 0x1234abcd
    start=2048, size=8192, type=c, bootable
    start=10240, size=8192, type=83
    start=18432, size=73728, type=f
    start=20480, size=16384, type=83
    start=38912, size=16384, type=83
    start=57344, size=16384, type=7
    """

extension OnRealTargets {
    @Test func anMBRWithLogicalPartitionsComesBackByteForByte() throws {
        try withTemporaryDirectory { directory in
            let image = "\(directory)/a.img"
            try withLoopDevice(64 * MiB) { source in
                try run(
                    "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", source.path, input: chainScript)
                try source.addPartitions()
                // Boot code, the boot loader's gap, and what lies behind each extended boot record.
                let device = try Descriptor(opening: source.path, .readWrite)
                let random = noise(1 << 20)
                try device.write(Array(random[0..<440]), at: 0)
                try device.write(Array(random[512...]), at: 512)
                for (number, start) in [(1, 2048), (2, 10_240), (6, 38_912), (7, 57_344)] as [(Int, UInt64)] {
                    try device.write(Array(random.reversed()), at: start * 512 + 4096 * UInt64(number))
                }
                try device.synchronize()
                try run("mkfs.ext4", "-q", "-F", "-L", "logical", source.partition(5))
                let before = try sha256(source.path)
                try imgSucceeds("makel", image, "disks=\(source.path)", "comp=size")
                #expect(try sha256(source.path) == before)
                let manifest = try imageManifest(image)
                #expect(manifest.partitions.map(\.number) == [1, 2, 5, 6, 7])
                #expect(manifest.partitions.map(\.slot) == [1, 2, 3, 4, 5])
                #expect(manifest.partitions.map(\.content) == [.whole, .whole, .used, .whole, .whole])
                #expect(manifest.disks[0].role == "boot")

                // To a disk that is full of other data, larger, and one that ends with the last partition.
                for size in [70 * MiB, 92_160 * 512 as UInt64] {
                    try withLoopDevice(size) { target in
                        try run("sh", "-ec", "yes noise | head -c \(size) >\(target.path)")
                        try imgSucceeds("restorel", image, "disks=\(target.path)")
                        #expect(try tableDump(target.path) == tableDump(source.path))
                        // Sector 0 with boot code, and the gap.
                        #expect(try sha256(target.path, 0..<MiB) == sha256(source.path, 0..<MiB))
                        // The extended boot records.
                        for sector in [18_432, 36_864, 55_296] as [UInt64] {
                            let record = sector * 512..<sector * 512 + 512
                            #expect(try sha256(target.path, record) == sha256(source.path, record))
                        }
                        for number in [1, 2, 6, 7] {
                            #expect(try sha256(target.partition(number)) == sha256(source.partition(number)))
                        }
                        try check(target.partition(5), "ext4")
                        #expect(
                            try run("blkid", "-p", "-s", "LABEL", "-o", "value", target.partition(5))
                                == "logical\n")
                    }
                }
            }
        }
    }

    @Test func aDiskWithoutATableIsAFileSystem() throws {
        try withTemporaryDirectory { directory in
            let image = "\(directory)/a.img"
            try withLoopDevice(64 * MiB) { source in
                try run("mkfs.ext4", "-q", "-F", source.path)
                let hashes = try withMount(source.path, "ext4") { root in
                    try populate(root, seed: 5)
                    return try fileHashes(root)
                }
                let before = try sha256(source.path)
                try imgSucceeds("makel", image, "disks=\(source.path)")
                #expect(try sha256(source.path) == before)
                let manifest = try imageManifest(image)
                #expect(manifest.partitions.map(\.slot) == [0])
                #expect(manifest.disks[0].tableType == "none")
                #expect(manifest.disks[0].smallestTarget == 64 * MiB)
                #expect(manifest.usedBytes < 40 * MiB)
                try withLoopDevice(100 * MiB) { target in
                    try run("sgdisk", "-n1:0:+20M", target.path)
                    try imgSucceeds("restorel", image, "disks=\(target.path)", "verify")
                    try check(target.path, "ext4")
                    #expect(try withMount(target.path, "ext4", readOnly: true, fileHashes) == hashes)
                    #expect(try run("blkid", "-p", "-o", "export", target.path).contains("PTTYPE") == false)
                }
            }
        }
    }

    @Test func unknownContentIsCopiedWhole() throws {
        try withTemporaryDirectory { directory in
            try withSparseFile(16 * MiB) { source in
                let random = noise(1 << 20)
                let file = try Descriptor(opening: source, .readWrite)
                for place in [0, 5 * MiB, 15 * MiB] { try file.write(random, at: place) }
                let output = try imgSucceeds("makel", "\(directory)/a.img", "disks=\(source)")
                #expect(output.contains("is captured whole, 16.8 MB: it holds no file system known here"))
                try withSparseFile(20 * MiB) { target in
                    try imgSucceeds("restorel", "\(directory)/a.img", "disks=\(target)")
                    #expect(try sha256(target, 0..<16 * MiB) == sha256(source, 0..<16 * MiB))
                }
            }
        }
    }

    @Test func disksWithLargeSectors() throws {
        try withTemporaryDirectory { directory in
            let image = "\(directory)/a.img"
            try withLoopDevice(160 * MiB, sectorSize: 4096) { source in
                try run(
                    "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", source.path,
                    input: "label: gpt\nsize=96MiB, type=L, name=root\nsize=8MiB, type=L")
                try source.addPartitions()
                try run("mkfs.ext4", "-q", "-F", source.partition(1))
                let hashes = try withMount(source.partition(1), "ext4") { root in
                    try populate(root, seed: 9)
                    return try fileHashes(root)
                }
                try run(
                    "dd", "if=/dev/urandom", "of=\(source.partition(2))", "bs=1M", "count=8", "status=none")
                let before = try sha256(source.path)
                try imgSucceeds("makel", image, "disks=\(source.path)")
                #expect(try sha256(source.path) == before)
                #expect(try imageManifest(image).partitions.map(\.content) == [.used, .whole])
                try withLoopDevice(120 * MiB, sectorSize: 4096) { target in
                    try imgSucceeds("restorel", image, "disks=\(target.path)", "verify")
                    #expect(try run("sgdisk", "-v", target.path).contains("No problems found"))
                    let entries = try tableDump(source.path).filter { $0.contains("start=") }
                    #expect(entries.count == 2)
                    #expect(try tableDump(target.path).filter { $0.contains("start=") } == entries)
                    try check(target.partition(1), "ext4")
                    #expect(try withMount(target.partition(1), "ext4", readOnly: true, fileHashes) == hashes)
                    #expect(try sha256(target.partition(2)) == sha256(source.partition(2)))
                }
                try withLoopDevice(200 * MiB) { target in
                    try imgFails(
                        "restorel", image, "disks=\(target.path)", saying: "has sectors of 512 bytes",
                        "of 4096")
                }
            }
        }
    }
}
