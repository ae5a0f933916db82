// Mounting, trimming and unmounting file systems; private mount namespaces.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// One line of /proc/self/mountinfo.
package struct MountEntry: Equatable, Sendable {
    /// Where it is mounted; as the kernel prints it, with blanks as "\040".
    package let mountPoint: String
    package let fileSystem: String
    /// The device's path, or a word for file systems without one.
    package let source: String
    /// Mount options and file-system options, comma separated.
    package let options: String
    package let device: DeviceNumber
}

/// Mounts, seen from the calling process's mount namespace.
package enum Mount {
    /// Flags of mount(2).
    package struct Flags: OptionSet, Sendable {
        package let rawValue: UInt
        package init(rawValue: UInt) { self.rawValue = rawValue }
        package static let readOnly = Flags(rawValue: 1)
        package static let noSetuid = Flags(rawValue: 2)
        package static let noDevices = Flags(rawValue: 4)
        package static let noExecution = Flags(rawValue: 8)
        package static let noAccessTimes = Flags(rawValue: 1024)
        package static let bind = Flags(rawValue: 4096)
        package static let recursive = Flags(rawValue: 16384)
        package static let makePrivate = Flags(rawValue: 1 << 18)
    }

    /// C function `mount`; `data` are the file system's own options.
    package static func attach(
        _ source: String, at target: String, type: String, _ flags: Flags, data: String = ""
    ) throws(SystemError) {
        _ = try systemCall("mount \(source) as \(type)") {
            unsafe mount(source, target, type, flags.rawValue, data)
        }
    }

    /// Unmounts `target` (C function `umount2`) and returns once the file system has written everything.
    package static func detach(_ target: String) throws(SystemError) {
        _ = try systemCall("unmount \(target)") { unsafe umount2(target, 0) }
    }

    /// Gives the calling thread, and the processes that it starts, a mount namespace of their own from which nothing
    /// spreads.
    package static func unshareNamespace() throws(SystemError) {
        _ = try systemCall("make a mount namespace") { clinux_unshare(CLONE_NEWNS) }
        try attach("none", at: "/", type: "none", [.recursive, .makePrivate])
    }

    /// All mounts that process `pid` (default: the calling thread) sees.
    package static func entries(of pid: Int32? = nil) throws(SystemError) -> [MountEntry] {
        let who = pid.map(String.init) ?? "thread-self"
        let file = try Descriptor(opening: "/proc/\(who)/mountinfo", .readOnly)
        let text = String(decoding: try file.readToEnd(limit: 16 << 20), as: UTF8.self)
        return text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 3 else {
                return nil
            }
            guard let device = DeviceNumber(fields[2]) else { return nil }
            return MountEntry(
                mountPoint: String(fields[4]), fileSystem: String(fields[dash + 1]),
                source: String(fields[dash + 2]),
                options: "\(fields[5]),\(fields[dash + 3])",
                device: device)
        }
    }

    /// What a file system says about its space (C function `fstatfs`).
    ///
    /// XFS, btrfs and f2fs are also asked for their reserves (ioctls XFS_IOC_GET_RESBLKS and BTRFS_IOC_SPACE_INFO,
    /// /sys/fs/f2fs/DEVICE/ovp_segments).
    package static func statistics(_ root: borrowing Descriptor) throws(SystemError) -> SpaceStatistics {
        var raw = statfs()
        _ = try systemCall("ask \(root.name) for its free space") { unsafe fstatfs(root.number, &raw) }
        return SpaceStatistics(
            blockSize: UInt64(max(0, raw.f_bsize)), blocks: UInt64(raw.f_blocks),
            freeBlocks: UInt64(raw.f_bfree),
            readOnly: raw.f_flags & 1 != 0,
            reserved: reserve(root, kind: UInt64(raw.f_type), block: UInt64(raw.f_bsize)))
    }

    private static func reserve(_ root: borrowing Descriptor, kind: UInt64, block: UInt64) -> UInt64 {
        switch kind {
        case UInt64(BTRFS_SUPER_MAGIC): return UInt64(max(0, clinux_btrfs_global_reserve(root.number)))
        case UInt64(XFS_SUPER_MAGIC):
            var answer = clinux_xfs_fsop_resblks()
            guard unsafe clinux_ioctl(root.number, clinux_XFS_IOC_GET_RESBLKS, &answer) == 0 else { return 0 }
            return answer.resblks_avail.multipliedReportingOverflow(by: block).partialValue
        case f2fsMagic:
            var status = stat()
            guard unsafe fstat(root.number, &status) == 0,
                let device = try? FileTree.realPath(
                    "/sys/dev/block/\(DeviceNumber(combined: UInt64(status.st_dev)))"),
                let name = device.split(separator: "/").last,
                let segments = try? FileTree.text(of: "/sys/fs/f2fs/\(name)/ovp_segments"),
                let count = UInt64(segments.filter { $0 != "\n" }), count < 1 << 40
            else { return 0 }
            // A segment always has 512 blocks.
            return (count * 512).multipliedReportingOverflow(by: block).partialValue
        default: return 0
        }
    }

    /// Has the file system that `root` belongs to discard everything it calls free (ioctl FITRIM).
    package static func trim(_ root: borrowing Descriptor) throws(SystemError) {
        var range = fstrim_range(start: 0, len: .max, minlen: 0)
        _ = try systemCall("trim \(root.name)") { unsafe clinux_ioctl(root.number, clinux_FITRIM, &range) }
    }

    /// Writes a file without a name (O_TMPFILE) in the file system mounted at `root`, and lets go of it.
    package static func writeNamelessFile(below root: String) throws(SystemError) {
        let nameless = Descriptor.Options(rawValue: 0o20000000 | O_DIRECTORY)
        let file = try Descriptor(opening: root, [.readWrite, nameless], mode: 0o600)
        try file.write([0], at: 0)
        try file.synchronize()
        try file.close()
    }

    /// Has btrfs forget all devices it has seen and not mounted (ioctl BTRFS_IOC_FORGET_DEV).
    package static func forgetScannedBtrfsDevices() throws(SystemError) {
        let control = try Descriptor(opening: "/dev/btrfs-control", .readWrite)
        var arguments = btrfs_ioctl_vol_args()
        _ = try systemCall("have btrfs forget its scanned devices") {
            unsafe clinux_ioctl(control.number, clinux_BTRFS_IOC_FORGET_DEV, &arguments)
        }
    }

    /// C function `mkdir`, mode 0700.
    package static func makeDirectory(_ path: String) throws(SystemError) {
        _ = try systemCall("make directory \(path)") { unsafe mkdir(path, 0o700) }
    }
}

/// What f2fs answers as its kind (F2FS_SUPER_MAGIC of linux/magic.h).
private let f2fsMagic: UInt64 = 0xf2f5_2010

/// Sizes a file system reports, in blocks of `blockSize` bytes.
package struct SpaceStatistics: Equatable, Sendable {
    package var blockSize: UInt64
    package var blocks: UInt64
    package var freeBlocks: UInt64
    package var readOnly: Bool
    /// Bytes that are free but held back from `freeBlocks` for the file system's own needs, as far as it tells.
    package var reserved: UInt64

    package init(blockSize: UInt64, blocks: UInt64, freeBlocks: UInt64, readOnly: Bool, reserved: UInt64 = 0)
    {
        self.blockSize = blockSize
        self.blocks = blocks
        self.freeBlocks = freeBlocks
        self.readOnly = readOnly
        self.reserved = reserved
    }
}

extension Descriptor {
    /// The number of the block device that this descriptor opened, or nil for anything else.
    package func blockDeviceNumber() throws(SystemError) -> DeviceNumber? {
        var status = stat()
        _ = try systemCall("look at \(name)") { unsafe fstat(number, &status) }
        guard status.st_mode & S_IFMT == S_IFBLK else { return nil }
        return DeviceNumber(
            major: UInt32(truncatingIfNeeded: (status.st_rdev >> 8) & 0xfff),
            minor: UInt32(truncatingIfNeeded: (status.st_rdev & 0xff) | ((status.st_rdev >> 12) & 0xfff00)))
    }
}
