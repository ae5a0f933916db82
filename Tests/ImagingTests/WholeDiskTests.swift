// Disks whose table does not tell what they hold, sources that somebody tries to change, and one disk behind two names.
import Blocks
import Disk
import ImageFormat
import Imaging
import Linux
import TestSupport
import Testing

@Suite(.serialized) struct WholeDiskTests {
    /// libblkid sees a table without partitions; the file system is on the disk itself.
    @Test func fileSystemUnderABootSignatureIsNotLost() throws {
        try withSparseFile(96 * MiB) { source in
            try run("mkfs.ext4", "-q", "-F", source)
            let disk = try Descriptor(opening: source, .readWrite)
            try disk.write(noise(1 << 20), at: 80 * MiB)
            try disk.write([0x55, 0xaa], at: 510)
            try disk.close()
            try withTemporaryDirectory { directory in
                let said = try imgSucceeds("makel", "\(directory)/image", "disks=\(source)", "comp=speed")
                #expect(said.contains("has a partition table without partitions"), "\(said)")
                try withLoopDevice(96 * MiB) { target in
                    try imgSucceeds("restorel", "\(directory)/image", "disks=\(target.path)", "verify")
                    #expect(try sha256(target.path) == sha256(source))
                }
            }
        }
    }

    @Test func aSourceStaysReadOnlyFromThePlanOn() throws {
        try withLoopDevice(64 * MiB) { loop in
            try run("mkfs.ext4", "-q", loop.path)
            let device = try Descriptor(opening: loop.path, .readOnly)
            let plan = try CapturePlan(
                [DiskInventory().describe(path: loop.path)], named: true,
                request: CapturePlan.Request())
            #expect(try device.isBlockDeviceReadOnly())
            try plan.release()
            #expect(try !device.isBlockDeviceReadOnly())
        }
    }

    @Test func twoLoopDevicesOverOneFileAreOneDisk() throws {
        try withPlainImage { _, image in
            try withLoopDevice(24 * MiB) { first in
                try run("mkfs.ext4", "-q", first.path)
                let before = try sha256(first.path)
                try withLoopDevice(first.file) { second in
                    try imgFails("restorel", image, "disks=\(second.path)", saying: "is held by")
                    #expect(try sha256(first.path) == before)
                }
            }
        }
    }

    @Test func aFileNamedTwiceIsSeen() throws {
        try withTemporaryDirectory { directory in
            try run("truncate", "-s", "24M", "\(directory)/disk")
            try run("ln", "\(directory)/disk", "\(directory)/hard")
            try run("ln", "-s", "disk", "\(directory)/soft")
            for other in ["hard", "soft", "./disk"] {
                try imgFails(
                    "makel", "\(directory)/image", "disks=\(directory)/disk,\(directory)/\(other)",
                    saying: "is named twice")
            }
        }
    }

    /// O_EXCL protects devices; a file needs a lock against a second restore.
    @Test func aFileIsWrittenByOneRestoreAtATime() throws {
        try withSparseFile(8 * MiB) { file in
            let disk = try DiskInventory().describe(path: file)
            let first = try DiskWriter(disk, named: true)
            #expect(throws: DiskError.self) { _ = try DiskWriter(disk, named: true) }
            try first.close()
            try DiskWriter(disk, named: true).close()
        }
    }

    /// A manifest may promise a smaller target than the chunks need.
    @Test func aTargetThatEndsBeforeTheLastChunkIsRefused() throws {
        try withPlainImage { _, image in
            let reader = try ImageFileReader(path: image)
            var manifest = reader.manifest
            manifest.disks[0].smallestTarget = 512
            try withSparseFile(4 * MiB) { small in
                let disk = try DiskInventory().describe(path: small)
                let error = #expect(throws: ImagingError.self) {
                    try RestorePlan(manifest: manifest, disks: [], named: [disk], existing: reader.existing)
                }
                #expect(error?.description.contains("is too small") == true, "\(String(describing: error))")
            }
        }
    }
}
