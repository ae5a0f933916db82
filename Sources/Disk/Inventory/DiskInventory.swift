// Finds the disks of this machine and says of each what it is and whether it may be taken.
internal import Linux
internal import Blocks
internal import SystemPackage

/// Reads disks from sysfs, procfs and the disks themselves; it never writes to one.
package struct DiskInventory: Sendable {
    /// Where sysfs is mounted; another directory in tests.
    let sys: String
    /// Where procfs is mounted; another directory in tests.
    let proc: String
    /// Where device nodes are; another directory in tests.
    let dev: String

    package init() { self.init(sys: "/sys", proc: "/proc", dev: "/dev") }

    package init(sys: String, proc: String, dev: String) {
        self.sys = sys
        self.proc = proc
        self.dev = dev
    }

    /// Things that a disk may hold and that make it unfit.
    package struct Context: Sendable {
        /// The image file of this run, existing or not; nil for none.
        package var imageFile: String?
        /// A file or directory on the medium this system was started from, or its device node; nil for none.
        package var bootMedium: String?
        /// Logical sector size of regular files that stand for disks; nil finds out by their GPT, else 512.
        package var fileSectorSize: UInt32?

        package init(imageFile: String? = nil, bootMedium: String? = nil, fileSectorSize: UInt32? = nil) {
            self.imageFile = imageFile
            self.bootMedium = bootMedium
            self.fileSectorSize = fileSectorSize
        }
    }

    /// All whole disks with a medium, in the order of their kernel names, slots assigned over all of them.
    ///
    /// The order is natural: sda, sdb, …, sdaa; nvme0n1 … nvme10n1. Drives without a medium (an empty card reader,
    /// an unattached loop device) have size 0 and are left out.
    package func disks(_ context: Context = Context()) throws -> [LocalDisk] {
        let uses = DiskUses(sys: sys, proc: proc)
        let places = DiskPlaces(context, sys: sys, mounts: uses.mounts)
        let names = try FileTree.entries(of: "\(sys)/block").sorted(by: NaturalOrder.ascends)
        var disks: [LocalDisk] = []
        for name in names {
            if let disk = blockDevice(name, path: nodePath(name), uses: uses, places: places) {
                disks.append(disk)
            }
        }
        return DiskInventory.assignSlots(disks)
    }

    /// What a word of `disks=` stands for: a whole block device or a regular file; slots count from 1.
    ///
    /// Throws one sentence for what is missing, a partition, a directory, or too small to be a disk.
    package func describe(path: String, _ context: Context = Context()) throws -> LocalDisk {
        let status: FileStatus
        do throws(SystemError) {
            status = try FileStatus(of: path)
        } catch {
            throw DiskError(.notADisk, "\(path) is no disk: \(error.errno.description)")
        }
        switch status.kind {
        case .directory: throw DiskError(.notADisk, "\(path) is a directory, not a disk")
        case .other: throw DiskError(.notADisk, "\(path) is neither a block device nor a regular file")
        case .regularFile:
            let disk = try regularFile(path, status, DiskUses(sys: sys, proc: proc), context)
            return DiskInventory.assignSlots([disk])[0]
        case .blockDevice:
            guard let link = try? FileTree.realPath("\(sys)/dev/block/\(status.represents)"),
                let name = link.split(separator: "/").last.map(String.init)
            else { throw DiskError(.notADisk, "\(path) is a block device the kernel does not list") }
            if FileTree.exists("\(link)/partition") {
                let owner = link.split(separator: "/").dropLast().last.map(String.init) ?? "a disk"
                throw DiskError(.notADisk, "\(path) is a partition of \(owner), not a whole disk")
            }
            let uses = DiskUses(sys: sys, proc: proc)
            let places = DiskPlaces(context, sys: sys, mounts: uses.mounts)
            let found = blockDevice(
                name, path: canonical(path, name, status.represents), uses: uses, places: places)
            guard let found else { throw DiskError(.notADisk, "\(path) has no medium: its size is 0") }
            guard found.size >= DiskInventory.smallestSize else {
                throw DiskError(.notADisk, "\(path) is too small to be a disk: it has \(found.size) bytes")
            }
            return DiskInventory.assignSlots([found])[0]
        }
    }

    /// The device node under its usual name, so that partitions' nodes can be told from it.
    private func canonical(_ path: String, _ name: String, _ number: DeviceNumber) -> String {
        let usual = nodePath(name)
        return DiskUses.represented(usual) == number ? usual : (try? FileTree.realPath(path)) ?? path
    }

    /// sysfs writes "/" in names as "!": cciss!c0d0.
    private func nodePath(_ name: String) -> String { "\(dev)/" + String(name.map { $0 == "!" ? "/" : $0 }) }

    /// Nothing smaller is taken as a disk: the first and last MiB are zeroed apart from each other.
    package static let smallestSize: UInt64 = 2 * MiB

    /// Examines `disk` again right before it is opened for writing.
    ///
    /// Refuses it when it is not the disk that was planned with, or when something stands in the way by now.
    package func confirm(_ disk: LocalDisk, named: Bool, _ context: Context = Context()) throws -> LocalDisk {
        var context = context
        if disk.kind == .regularFile { context.fileSectorSize = disk.sectorSize }
        let now = try describe(path: disk.path, context)
        guard now.kind == disk.kind, now.deviceNumber == disk.deviceNumber, now.size == disk.size,
            now.sectorSize == disk.sectorSize, now.serial == disk.serial
        else { throw DiskError(.refused, "\(disk.path) is not the disk it was when the plan was made") }
        if let obstacle = now.refusals(for: .restore, named: named).first {
            throw DiskError(.refused, "\(disk.path) \(obstacle)")
        }
        return now
    }

    /// Numbers the partitions 1, 2, … across `disks` in their order, extended containers not counted.
    package static func assignSlots(_ disks: [LocalDisk]) -> [LocalDisk] {
        var next = 1
        return disks.map { disk in
            var disk = disk
            for index in disk.partitions.indices where disk.partitions[index].role != .extended {
                disk.partitions[index].slot = next
                next += 1
            }
            return disk
        }
    }
}
