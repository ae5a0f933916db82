// What the file tree says: kinds of files, device numbers, directory entries, links and small text files.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A device's major and minor number, written "8:1".
package struct DeviceNumber: Hashable, Sendable, CustomStringConvertible {
    package let major: UInt32
    package let minor: UInt32

    package init(major: UInt32, minor: UInt32) {
        self.major = major
        self.minor = minor
    }

    /// Parses "8:1", as in sysfs and mountinfo.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let major = UInt32(parts[0]), let minor = UInt32(parts[1]) else { return nil }
        self.init(major: major, minor: minor)
    }

    /// From the kernel's combined form (`st_rdev`, C functions `gnu_dev_major` and `gnu_dev_minor`).
    init(combined: UInt64) {
        major = UInt32((combined >> 8) & 0xfff | (combined >> 32) & 0xffff_f000)
        minor = UInt32(combined & 0xff | (combined >> 12) & 0xffff_ff00)
    }

    package var description: String { "\(major):\(minor)" }
}

/// The facts of one file (C function `stat`).
package struct FileStatus: Sendable {
    package enum Kind: Sendable {
        case regularFile
        case directory
        case blockDevice
        case other
    }

    package let kind: Kind
    /// Size in bytes; 0 for devices.
    package let size: UInt64
    /// The device that holds the file.
    package let device: DeviceNumber
    /// The device that the file stands for, if it is a device node.
    package let represents: DeviceNumber
    package let inode: UInt64
    /// When its content was changed last, in nanoseconds since 1970.
    package let modified: Int64

    /// Follows symbolic links.
    package init(of path: String) throws(SystemError) {
        var facts = stat()
        _ = try systemCall("examine \(path)") { unsafe stat(path, &facts) }
        self.init(facts)
    }

    package init(of descriptor: borrowing Descriptor) throws(SystemError) {
        var facts = stat()
        let number = descriptor.number
        _ = try systemCall("examine \(descriptor.name)") { unsafe fstat(number, &facts) }
        self.init(facts)
    }

    init(_ facts: stat) {
        switch facts.st_mode & S_IFMT {
        case S_IFREG: kind = .regularFile
        case S_IFDIR: kind = .directory
        case S_IFBLK: kind = .blockDevice
        default: kind = .other
        }
        size = UInt64(clamping: facts.st_size)
        device = DeviceNumber(combined: UInt64(facts.st_dev))
        represents = DeviceNumber(combined: UInt64(facts.st_rdev))
        inode = UInt64(facts.st_ino)
        modified = Int64(facts.st_mtim.tv_sec) * 1_000_000_000 + Int64(facts.st_mtim.tv_nsec)
    }
}

/// The file tree, read.
package enum FileTree {
    /// At most `limit` names in a directory except "." and "..", in no order (C function `readdir`).
    package static func entries(of path: String, limit: Int = .max) throws(SystemError) -> [String] {
        let (opened, error) = unsafe withErrno { unsafe opendir(path) }
        guard let directory = unsafe opened else { throw SystemError("read the directory \(path)", error) }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while names.count < limit, let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// The text of a small file such as those of /proc and /sys, at most 1 MiB, invalid UTF-8 replaced.
    package static func text(of path: String) throws(SystemError) -> String {
        String(decoding: try bytes(of: path), as: UTF8.self)
    }

    /// The bytes of a small file, at most 1 MiB; files of /proc and /sys do not know their size before.
    package static func bytes(of path: String) throws(SystemError) -> [UInt8] {
        let file = try Descriptor(opening: path, .readOnly)
        var result: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 65536)
        while result.count < 1 << 20 {
            let number = file.number
            let count = try systemCall("read \(path)") {
                unsafe part.withUnsafeMutableBytes { unsafe Glibc.read(number, $0.baseAddress, $0.count) }
            }
            if count == 0 { break }
            result += part[..<count]
        }
        return result
    }

    /// The absolute path without symbolic links, "." and ".." (C function `realpath`); the file must exist.
    package static func realPath(_ path: String) throws(SystemError) -> String {
        let (resolved, error) = unsafe withErrno { unsafe realpath(path, nil) }
        guard let resolved = unsafe resolved else { throw SystemError("find \(path)", error) }
        defer { unsafe free(resolved) }
        return unsafe String(cString: resolved)
    }

    /// Whether `path` exists, symbolic links followed.
    package static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }
}
