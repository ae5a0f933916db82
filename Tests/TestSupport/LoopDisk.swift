// Disks for tests: sparse files and loop devices that are gone when the test is over, whether it failed or not.
internal import Linux

/// A directory of its own below /tmp, removed with everything in it after `body`.
@discardableResult
package func withTemporaryDirectory<R>(_ body: (_ path: String) throws -> R) throws -> R {
    let path = "/tmp/img-test-" + Random.bytes(8).map { String($0, radix: 16) }.joined(separator: "")
    try run("mkdir", path)
    defer { _ = try? run("rm", "-rf", "--one-file-system", path) }
    return try body(path)
}

/// A sparse file of `size` bytes in a directory of its own, removed after `body`.
@discardableResult
package func withSparseFile<R>(_ size: UInt64, _ body: (_ path: String) throws -> R) throws -> R {
    try withTemporaryDirectory { directory in
        let path = "\(directory)/disk"
        try run("truncate", "-s", "\(size)", path)
        return try body(path)
    }
}

/// A loop device over a new sparse file; both are gone after `body`.
///
/// This build machine's kernel knows no partition tables: use `LoopDisk.addPartitions` once there is a table.
@discardableResult
package func withLoopDevice<R>(
    _ size: UInt64, sectorSize: Int = 512, readOnly: Bool = false, _ body: (LoopDisk) throws -> R
) throws -> R {
    try withSparseFile(size) { file in
        try withLoopDevice(file, sectorSize: sectorSize, readOnly: readOnly, body)
    }
}

/// A loop device over an existing file, detached after `body`.
@discardableResult
package func withLoopDevice<R>(
    _ file: String, sectorSize: Int = 512, readOnly: Bool = false, _ body: (LoopDisk) throws -> R
) throws -> R {
    let loop = try LoopDisk(attaching: file, sectorSize: sectorSize, readOnly: readOnly)
    defer { loop.detach() }
    return try body(loop)
}

/// An attached loop device, which whoever attached it detaches.
///
/// The functions `withLoopDevice` do so by themselves.
package struct LoopDisk: Sendable {
    /// "/dev/loop3".
    package let path: String
    /// The file behind the device.
    package let file: String

    /// Attaches `file` to a free loop device that may have partitions (`losetup --partscan`).
    package init(attaching file: String, sectorSize: Int = 512, readOnly: Bool = false) throws {
        var command = ["losetup", "--find", "--show", "--partscan", "--sector-size", "\(sectorSize)"]
        if readOnly { command.append("--read-only") }
        let output = try run(command + [file])
        self.path = String(output.prefix { $0 != "\n" })
        self.file = file
        // What an earlier user set outlives the attachment; a killed capture leaves it read-only.
        if !readOnly { try run("blockdev", "--setrw", path) }
    }

    /// "/dev/loop3p1" for 1.
    package func partition(_ number: Int) -> String { "\(path)p\(number)" }

    /// Makes the kernel know the partitions of the table on the device (`partx --add`, ioctl BLKPG).
    package func addPartitions() throws { try run("partx", "--add", path) }

    /// Unmounts what is mounted from the device and its partitions, and detaches it; errors are ignored.
    ///
    /// A device that has another file by now belongs to another test and is left alone.
    package func detach() {
        let name = path.split(separator: "/").last ?? ""
        let backing = (try? run("cat", "/sys/block/\(name)/loop/backing_file")) ?? ""
        guard backing.split(separator: "\n").first.map(String.init) == (try? FileTree.realPath(file)) else {
            return
        }
        let mounts = (try? run("cat", "/proc/self/mounts")) ?? ""
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ").map(String.init)
            guard fields.count > 1, fields[0] == path || fields[0].hasPrefix(path + "p") else { continue }
            _ = try? run("umount", "-l", fields[1])
        }
        // The flag outlives the attachment: a killed capture leaves the next user of the device a read-only one.
        _ = try? run("blockdev", "--setrw", path)
        _ = try? run("losetup", "--detach", path)
    }
}
