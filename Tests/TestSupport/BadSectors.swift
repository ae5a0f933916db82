// Bad sectors where a test wants them: a small library that makes a program's reads of them fail.
internal import Linux

/// Bad sectors of one disk, for programs that are started with the words of `command`.
package struct BadSectors {
    /// The words to be put before a program's own.
    package let command: [String]

    /// Makes the library in `directory`; the programs cannot read `sectors` (of 512 bytes) of `disk`.
    package init(_ sectors: [ClosedRange<UInt64>], of disk: String, in directory: String) throws {
        let folder = #filePath.split(separator: "/").dropLast(2).reduce("") { $0 + "/" + $1 }
        let library = "\(directory)/bad-sectors.so"
        try run("cc", "-shared", "-fPIC", "-O1", "-o", library, "\(folder)/Tools/bad-sectors.c", "-ldl")
        let list = sectors.map { "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
        command = ["env", "LD_PRELOAD=\(library)", "IMG_BAD_DISK=\(disk)", "IMG_BAD_SECTORS=\(list)"]
    }
}

extension LoopDisk {
    /// Takes the last `bytes` of the device's medium away: reads of them fail in the kernel with EIO.
    ///
    /// The device keeps its size, its file is cut; what is read must come from the file itself, past the page cache.
    package func loseEnd(_ bytes: UInt64) throws {
        try run("losetup", "--direct-io=on", path)
        try run("blockdev", "--flushbufs", path)
        let size = try FileStatus(of: file).size
        try run("truncate", "-s", "\(size - bytes)", file)
    }
}
