// Disks with tables made by the tools that are not ours.
import Blocks
import Disk
import Linux
import TestSupport

extension BlockDevice {
    /// The whole content; for small disks.
    func everything() throws -> [UInt8] { try bytes(Int(size), at: 0) }
}

/// A regular file of `size` bytes with the GPT that sgdisk makes by `arguments`.
@discardableResult
func withGPTFile<R>(
    _ size: UInt64, _ arguments: [String], _ body: (_ path: String) throws -> R
) throws -> R {
    try withSparseFile(size) { path in
        try run(["sgdisk"] + arguments + [path])
        return try body(path)
    }
}

/// A regular file of `size` bytes with the table that sfdisk makes from `script`.
@discardableResult
func withScriptedFile<R>(
    _ size: UInt64, _ script: String, sectorSize: Int = 512, _ body: (_ path: String) throws -> R
) throws -> R {
    try withSparseFile(size) { path in
        if sectorSize == 512 {
            try run(["sfdisk", "--quiet", path], input: script)
        } else {
            // sfdisk takes the sector size from a device only.
            try withLoopDevice(path, sectorSize: sectorSize) { loop in
                try run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", loop.path], input: script)
            }
        }
        return try body(path)
    }
}

/// What describes the file, opened for reading.
func open(_ path: String, sectorSize: UInt32? = nil) throws -> (disk: LocalDisk, reader: DiskReader) {
    let disk = try DiskInventory().describe(path: path, .init(fileSectorSize: sectorSize))
    return (disk, try DiskReader(disk))
}

/// A GPT with partitions of 10 MiB from 1 MiB on and of all the rest.
let gptScript = """
    label: gpt
    start=2048, size=20480, type=U, name="boot"
    start=22528, type=L
    """

/// A GPT with one partition of `mebibytes` from 1 MiB on.
func gptScript(_ mebibytes: Int) -> String { "label: gpt\nstart=2048, size=\(mebibytes * 2048), type=L\n" }

/// An MBR with two primary partitions, and an extended one with three logical partitions.
let chainScript = """
    label: dos
    label-id: 0x1234abcd
    start=2048, size=8192, type=c, bootable
    start=10240, size=8192, type=83
    start=18432, size=73728, type=f
    start=20480, size=16384, type=83
    start=38912, size=16384, type=82
    start=57344, size=16384, type=7
    """

/// The numbers (in sectors) of sfdisk's dump: start, size, type of each partition.
func dumped(_ path: String, sectorSize: Int = 512) throws -> [(start: UInt64, size: UInt64, type: String)] {
    let dump = try withLoopDevice(path, sectorSize: sectorSize, readOnly: true) { loop in
        try run("sfdisk", "--dump", loop.path)
    }
    return dump.split(separator: "\n").compactMap { line in
        guard line.contains("start="), let fields = line.split(separator: ":").last?.split(separator: ",")
        else {
            return nil
        }
        func value(_ key: String) -> String? {
            fields.lazy.map { $0.filter { !$0.isWhitespace } }.first { $0.hasPrefix("\(key)=") }
                .map { String($0.dropFirst(key.count + 1)) }
        }
        guard let start = value("start").flatMap({ UInt64($0) }),
            let size = value("size").flatMap({ UInt64($0) })
        else { return nil }
        return (start, size, value("type") ?? "")
    }
}
