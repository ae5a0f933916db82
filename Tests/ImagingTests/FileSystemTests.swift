// Capture and restore of every file system, clean and cut off: what was on the medium comes back, the source stays.
import Blocks
import ImageFormat
import Linux
import Testing
import TestSupport

extension OnRealDisks {
    @Test func everyCleanFileSystemComesBack() throws {
        try withTemporaryDirectory { directory in
            let image = "\(directory)/clean.img"
            var hashes: [String: String] = [:]
            try withLoopDevice(Volume.diskSize) { loop in
                try Volume.format(loop)
                for volume in Volume.fileSystems {
                    try withMount(loop.partition(volume.number), volume.type) { root in
                        try populate(root, seed: UInt64(volume.number))
                        hashes[volume.type] = try fileHashes(root)
                    }
                }
                // What a suspended or crashed machine leaves in swap is not worth a byte: only the header is taken.
                try run(
                    "dd", "if=/dev/urandom", "of=\(loop.partition(7))", "bs=1M", "seek=8", "count=16",
                    "status=none")
                let before = try sha256(loop.path)
                let output = try imgSucceeds("makel", image, "disks=\(loop.path)", "comp=speed")
                #expect(try sha256(loop.path) == before, "the source has changed")
                #expect(try sha256(loop.file) == before, "the source has changed")
                #expect(!output.contains("whole"), "\(output)")
                #expect(try run("blockdev", "--getro", loop.path) == "0\n", "the source stays read-only")
                let table = try tableDump(loop.path)
                try expectRestored(image, hashes, table: table)
            }
            let manifest = try imageManifest(image)
            #expect(manifest.usedBytes < Volume.diskSize / 3, "\(manifest.usedBytes) bytes are taken as used")
            #expect(manifest.partitions.map(\.fileSystem) == Volume.all.map(\.type))
            #expect(manifest.partitions.map(\.label) == Volume.all.map(\.type))
            #expect(manifest.partitions.map(\.content).last == .header)
            #expect(manifest.partitions.dropLast().allSatisfy { $0.content == .used && $0.reason.isEmpty })
            let swap = try #require(manifest.partitions.last)
            #expect(swap.usedBytes <= 64 * KiB)
        }
    }

    @Test func fileSystemsCutOffWhileMountedLoseNothing() throws {
        try withCloningDirectory { directory in
            let disk = "\(directory)/disk"
            let cut = "\(directory)/cut"
            let image = "\(directory)/cut.img"
            var hashes: [String: String] = [:]
            try run("truncate", "-s", "\(Volume.diskSize)", disk)
            try withLoopDevice(disk) { loop in
                try Volume.format(loop)
                func cutOff(_ volumes: ArraySlice<Volume>) throws {
                    guard let volume = volumes.first else {
                        // All are mounted: this is the moment in which the machine loses its power.
                        try run("cp", "--reflink=always", disk, cut)
                        return
                    }
                    try withMount(loop.partition(volume.number), volume.type) { root in
                        try populate(root, seed: 100 + UInt64(volume.number))
                        hashes[volume.type] = try fileHashes(root)
                        // Changes that nobody waited for: they may be lost, and must do no harm.
                        try run(
                            "sh", "-ec",
                            "mkdir '\(root)/late'; cp -r '\(root)/b' '\(root)/late'; rm -r '\(root)/late/b/c'"
                        )
                        try cutOff(volumes.dropFirst())
                    }
                }
                try cutOff(Volume.fileSystems.filter { $0.type != "ntfs" }[...])
                hashes["ext2"] = nil
            }
            try withLoopDevice(cut) { loop in
                try loop.addPartitions()
                try run("ntfsfix", loop.partition(6))
                // They are dirty: what was tested would otherwise prove nothing.
                for number in [2, 3] {
                    #expect(try run("dumpe2fs", "-h", loop.partition(number)).contains("needs_recovery"))
                }
                let before = try sha256(loop.path)
                let output = try imgSucceeds("makel", image, "disks=\(loop.path)", "comp=speed")
                #expect(try sha256(loop.path) == before, "the source has changed")
                #expect(
                    output.contains(
                        "slot 6 (\(loop.partition(6))) is captured whole, 67.1 MB: Windows has marked it dirty"
                    ))
                #expect(output.contains("it has no journal and was not unmounted cleanly"))
                #expect(
                    output.split(separator: "\n").filter { $0.contains("captured whole") }.count == 2,
                    "\(output)")
                try expectRestored(image, hashes, isExact: false, table: tableDump(loop.path)) { target in
                    for number in [1, 6] {
                        let whole = try sha256(loop.partition(number))
                        #expect(try sha256(target.partition(number)) == whole)
                    }
                }
            }
            let manifest = try imageManifest(image)
            #expect(
                manifest.partitions.map(\.content) == [.whole, .used, .used, .used, .used, .whole, .header])
            #expect(manifest.partitions[5].usedBytes == 64 * MiB)
        }
    }

    @Test(arguments: ["none", "speed", "size"]) func everyCompressionRestoresTheSame(_ compression: String)
        throws
    {
        try withPlainDisk { source in
            try withTemporaryDirectory { directory in
                let image = "\(directory)/disk.img"
                let before = try sha256(source)
                try imgSucceeds("makel", image, "disks=\(source)", "comp=\(compression)")
                #expect(try sha256(source) == before)
                let manifest = try imageManifest(image)
                // The boot-loader gap, both partitions and what lies between, and the backup GPT from the disk's end.
                #expect(manifest.usedBytes == MiB + 8 * MiB + MiB + 33 * 512)
                try withLoopDevice(24 * MiB) { target in
                    let output = try imgSucceeds("restorel", image, "disks=\(target.path)", "verify")
                    #expect(output.contains("read back and compared"))
                    try expectPlainCopy(of: source, on: target.path)
                    #expect(try run("blkid", "-p", "-s", "PTTYPE", "-o", "value", target.path) == "gpt\n")
                    // The kernel knows the partitions at once.
                    #expect(
                        try sha256(target.partition(2), 0..<2 * MiB) == sha256(source, 8 * MiB..<10 * MiB))
                }
            }
        }
    }

    @Test func xNLeavesASlotOut() throws {
        try withPlainImage(words: ["x1"]) { source, image in
            let manifest = try imageManifest(image)
            #expect(manifest.partitions.map(\.content) == [.excluded, .whole])
            #expect(manifest.partitions[0].usedBytes == 0)
            #expect(manifest.partitions[0].reason == "left out by x1")
            try withSparseFile(24 * MiB) { target in
                try imgSucceeds("restorel", image, "disks=\(target)")
                #expect(try sha256(target, 8 * MiB..<10 * MiB) == sha256(source, 8 * MiB..<10 * MiB))
                #expect(try sha256(target, MiB..<7 * MiB) == Digest.of([UInt8](repeating: 0, count: 6 << 20)))
                #expect(try tableDump(target).filter { $0.contains("start=") }.count == 2)
            }
        }
    }
}

/// Restores `image` to a new, larger loop device and proves table, file systems and files by tools not ours.
///
/// `isExact` says that there are exactly the files of `hashes`; otherwise further ones are none of our business.
private func expectRestored(
    _ image: String, _ hashes: [String: String], isExact: Bool = true, table: [String],
    also body: (LoopDisk) throws -> Void = { _ in }
) throws {
    try withLoopDevice(Volume.diskSize + 100 * MiB) { target in
        try imgSucceeds("restorel", image, "disks=\(target.path)")
        #expect(try run("sgdisk", "-v", target.path).contains("No problems found"))
        let entries = table.filter { $0.contains("start=") || $0.hasPrefix("label-id") }
        #expect(entries.count == Volume.all.count + 1)
        #expect(try tableDump(target.path).filter { entries.contains($0) } == entries)
        for volume in Volume.fileSystems {
            guard let expected = hashes[volume.type] else { continue }
            let device = target.partition(volume.number)
            try check(device, volume.type)
            try withMount(device, volume.type, readOnly: true) { root in
                let found = try fileHashes(root)
                if isExact { #expect(found == expected, "\(volume.type)") }
                let lost = Set(expected.split(separator: "\n")).subtracting(found.split(separator: "\n"))
                #expect(lost.isEmpty, "\(volume.type) lost \(lost)")
                #expect(expected.split(separator: "\n").count == 22)
            }
        }
        #expect(try run("blkid", "-p", "-s", "TYPE", "-o", "value", target.partition(7)) == "swap\n")
        try body(target)
    }
}
