// Disks to be captured: one of every file system, and a small one that needs no mounting.
import Blocks
import Linux
import SystemPackage
import Testing
import TestSupport

/// A partition of the disk that has one of everything.
struct Volume: Sendable {
    let number: Int
    let type: String
    let mebibytes: Int

    static let all = [
        Volume(number: 1, type: "ext2", mebibytes: 24), Volume(number: 2, type: "ext3", mebibytes: 48),
        Volume(number: 3, type: "ext4", mebibytes: 96), Volume(number: 4, type: "xfs", mebibytes: 300),
        Volume(number: 5, type: "btrfs", mebibytes: 120), Volume(number: 6, type: "ntfs", mebibytes: 64),
        Volume(number: 7, type: "swap", mebibytes: 32),
    ]
    static let fileSystems = all.filter { $0.type != "swap" }
    /// Room for all of them.
    static let diskSize: UInt64 = 700 * MiB

    func make(_ device: String) throws {
        switch type {
        case "xfs": try run("mkfs.xfs", "-q", "-f", "-L", type, device)
        case "btrfs": try run("mkfs.btrfs", "-q", "-f", "-L", type, device)
        case "ntfs": try run("mkntfs", "-Q", "-F", "-q", "-L", type, device)
        case "swap": try run("mkswap", "-L", type, device)
        default: try run("mkfs.\(type)", "-q", "-F", "-L", type, device)
        }
    }

    /// Gives the disk in `loop` a GPT with every volume, and makes the file systems.
    static func format(_ loop: LoopDisk) throws {
        var command = ["sgdisk"]
        for volume in all {
            command += ["-n\(volume.number):0:+\(volume.mebibytes)M", "-c\(volume.number):\(volume.type)"]
        }
        try run(command + ["-t7:8200", loop.path])
        try loop.addPartitions()
        for volume in all { try volume.make(loop.partition(volume.number)) }
    }
}

/// Calls `body` with a directory whose files can be cloned in one instant, whatever is being written to them.
func withCloningDirectory<R>(_ body: (_ directory: String) throws -> R) throws -> R {
    try withLoopDevice(3000 * MiB) { loop in
        try run("mkfs.xfs", "-q", "-m", "reflink=1", loop.path)
        return try withMount(loop.path, "xfs", body)
    }
}

/// A small disk without file systems: GPT, boot code, boot-loader gap, and two partitions of unknown content.
///
/// Partition 1 is 6 MiB of random bytes from 1 MiB on, partition 2 has 2 MiB at 8 MiB; the rest of the disk is free.
@discardableResult
func withPlainDisk<R>(
    _ size: UInt64 = 24 * MiB, _ body: (_ file: String) throws -> R
) throws -> R {
    try withSparseFile(size) { file in
        try run(
            "sgdisk", "-n1:2048:+6M", "-c1:first", "-n2:16384:+2M", "-c2:second", "-t2:8300", "-A2:set:2",
            file)
        let random = noise(1 << 16)
        let disk = try Descriptor(opening: file, .readWrite)
        try disk.write(Array(random[0..<440]), at: 0)
        try disk.write(random, at: 32 * KiB)
        for index in 0..<UInt64(96) { try disk.write(noise(1 << 16), at: MiB + index << 16) }
        try disk.write(random, at: 7 * MiB + 64 * KiB)
        try disk.write(random, at: 8 * MiB + 4096)
        try disk.close()
        return try body(file)
    }
}

/// A plain disk and the image of it; `body` gets the paths.
func withPlainImage<R>(
    _ size: UInt64 = 24 * MiB, words: [String] = [], _ body: (_ disk: String, _ image: String) throws -> R
) throws -> R {
    try withPlainDisk(size) { disk in
        try withTemporaryDirectory { directory in
            let image = "\(directory)/disk.img"
            try run([imgPath(), "makel", image, "disks=\(disk)", "comp=speed"] + words)
            return try body(disk, image)
        }
    }
}

/// What a restored copy of a plain disk must have of it: the gap, and both partitions and what lies between them.
let plainRanges: [Range<UInt64>] = [17_408..<MiB, MiB..<10 * MiB]

/// Whether `target` holds what the plain disk `source` does.
func expectPlainCopy(of source: String, on target: String, location: SourceLocation = #_sourceLocation) throws
{
    for range in plainRanges {
        #expect(try sha256(target, range) == sha256(source, range), "\(range)", sourceLocation: location)
    }
    #expect(try sha256(target, 0..<440) == sha256(source, 0..<440), "boot code", sourceLocation: location)
    func entries(_ path: String) throws -> [String] {
        try tableDump(path).filter { $0.contains("start=") || $0.hasPrefix("label-id") }
    }
    #expect(try entries(target) == entries(source), sourceLocation: location)
    let verdict = try run("sgdisk", "-v", target)
    #expect(verdict.contains("No problems found"), "\(verdict)", sourceLocation: location)
}
