// What is said of real block devices, against what the kernel itself says.
import Blocks
import Disk
import Linux
import Testing
import TestSupport

@Suite(.serialized) struct LoopInventoryTests {
    @Test(arguments: [(512, gptScript), (4096, gptScript), (512, chainScript), (4096, chainScript)])
    func agreesWithTheKernel(_ sectorSize: Int, _ script: String) throws {
        // The scripts count sectors: a disk of larger ones is larger.
        let size = 64 * MiB * UInt64(sectorSize) / 512
        try withLoopDevice(size, sectorSize: sectorSize) { loop in
            try run(["sfdisk", "--quiet", "--no-reread", loop.path], input: script)
            // partx reads the table by itself and tells the kernel. It fails on an extended container of large
            // sectors, for which it asks half a sector, and goes on with the others.
            _ = try runAnyway(["partx", "--add", loop.path])
            let disk = try #require(try DiskInventory().disks().first { $0.path == loop.path })
            #expect(disk.size == size)
            #expect(disk.sectorSize == UInt32(sectorSize))
            #expect(disk.bus == .loop)
            #expect(disk.kind == .blockDevice)
            #expect(disk.obstacles == [.kind(.loop)])
            #expect(disk.slots.count == (script == gptScript ? 2 : 5))
            for partition in disk.slots {
                let name = try #require(partition.path.split(separator: "/").last)
                let place = "/sys/class/block/\(name)"
                #expect(try number("\(place)/start") * 512 == partition.extent.offset)
                #expect(try number("\(place)/size") * 512 == partition.extent.length)
                #expect(try number("\(place)/partition") == UInt64(partition.number))
            }
            let regions = try TableRegions(of: DiskReader(disk), table: disk.table)
            #expect(regions.soundness == .sound)
            #expect(regions.regions.allSatisfy { $0.bytes.count % sectorSize == 0 })
        }
    }

    private func number(_ path: String) throws -> UInt64 {
        try #require(UInt64(try FileTree.text(of: path).prefix { $0.isNumber }))
    }

    @Test func aDiskHasOneNameHoweverItIsAskedFor() throws {
        try withLoopDevice(64 * MiB) { loop in
            try run(["sfdisk", "--quiet", "--no-reread", loop.path], input: gptScript)
            try withTemporaryDirectory { directory in
                try run("ln", "-s", loop.path, "\(directory)/disk")
                let disk = try DiskInventory().describe(path: "\(directory)/disk")
                #expect(disk.path == loop.path)
                #expect(disk.partitions.map(\.path) == [loop.partition(1), loop.partition(2)])
            }
        }
    }

    @Test func anUnattachedLoopDeviceHasNoMedium() throws {
        let free = String(try run("losetup", "--find").prefix { $0 != "\n" })
        guard FileTree.exists(free) else { return }
        #expect(try !DiskInventory().disks().contains { $0.path == free && $0.size == 0 })
    }

    @Test func findsTheDisksBelowAnImageFileOnBtrfs() throws {
        try withLoopDevice(128 * MiB) { loop in
            try run("mkfs.btrfs", "-q", "-m", "single", loop.path)
            try withTemporaryDirectory { directory in
                try run("mount", loop.path, directory)
                defer { _ = try? run("umount", directory) }
                try run("mkdir", "\(directory)/a b")
                let file = "\(directory)/a b/new.img"
                let disks = try DiskInventory().disks(.init(imageFile: file, bootMedium: directory))
                let disk = try #require(disks.first { $0.path == loop.path })
                // btrfs has device numbers of its own: mountinfo's source tells.
                #expect(disk.obstacles.contains { "\($0)" == "is mounted (\(disk.name) at \(directory))" })
                #expect(disk.obstacles.contains(.bootMedium))
                // The disk under the loop device's file holds the image, too.
                #expect(disks.filter { $0.obstacles.contains(.bootMedium) }.count >= 2)
                let single = try DiskInventory().describe(path: loop.path, .init(imageFile: file))
                #expect(single.obstacles.contains(.holdsFile(file)))
            }
        }
    }
}
