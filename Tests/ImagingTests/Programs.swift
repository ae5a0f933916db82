// The real program beside these tests, and what the tools that are not ours say about disks.
import Blocks
import ImageFormat
import Imaging
import Linux
import SystemPackage
import Testing
import TestSupport

/// Captures with loop devices and mounts, one test after the other.
@Suite(.serialized) struct OnRealDisks {}

/// Restores to loop devices and files, one test after the other.
@Suite(.serialized) struct OnRealTargets {}

/// The `img` that was built with these tests.
func imgPath() throws -> String {
    let own = try FileTree.realPath("/proc/self/exe")
    return own.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/img"
}

/// Runs `img` with `words`, whatever it says.
func img(_ words: String...) throws -> ExternalCommand.Outcome { try runAnyway([imgPath()] + words) }

/// Runs `img` with `words`, which must succeed, and returns what it printed.
@discardableResult
func imgSucceeds(_ words: String..., location: SourceLocation = #_sourceLocation) throws -> String {
    let outcome = try runAnyway([imgPath()] + words)
    #expect(outcome.status == 0, "\(words): \(outcome.errors)\(outcome.output)", sourceLocation: location)
    return outcome.output
}

/// Runs `img` with `words`, which must fail with `status` and say each of `sentences` on standard error.
func imgFails(
    _ words: String..., status: Int32 = 1, saying sentences: String...,
    location: SourceLocation = #_sourceLocation
) throws {
    let outcome = try runAnyway([imgPath()] + words)
    #expect(
        outcome.status == status, "\(words): \(outcome.errors)\(outcome.output)", sourceLocation: location)
    #expect(outcome.errors.hasPrefix("img: "), sourceLocation: location)
    for sentence in sentences {
        #expect(
            outcome.errors.contains(sentence), "\(words) did not say '\(sentence)': \(outcome.errors)",
            sourceLocation: location)
    }
}

/// Runs a tool and returns its standard output whatever its exit status.
func run(_ arguments: String..., anyStatus: Bool) throws -> String { try runAnyway(arguments).output }

/// The manifest of an image file.
func imageManifest(_ path: String) throws -> Manifest { try ImageFileReader(path: path).manifest }

/// SHA-256 of a file or device, by sha256sum.
func sha256(_ path: String) throws -> String { String(try run("sha256sum", "--binary", path).prefix(64)) }

/// SHA-256 of a range of a file or device.
func sha256(_ path: String, _ range: Range<UInt64>) throws -> Digest {
    let file = try Descriptor(opening: path, .readOnly)
    var hasher = DigestHasher()
    var next = range.lowerBound
    while next < range.upperBound {
        let count = min(1 << 20, range.upperBound - next)
        hasher.update(try file.read(Int(count), at: next))
        next += count
    }
    return hasher.finish()
}

/// What sfdisk says of the table, without the device's name; a line for each partition: number, start, size, type.
func tableDump(_ path: String) throws -> [String] {
    try run("sfdisk", "--dump", path).split(separator: "\n").compactMap { line in
        if line.hasPrefix("device:") { return nil }
        // "/dev/loop3p1 : …" for a device, "disk1 : …" for a file.
        return line.hasPrefix(path) ? String(line.dropFirst(path.count).drop { $0 == "p" }) : String(line)
    }
}

/// Whether the file system in `device` is sound, by its own checker, which changes nothing.
func check(_ device: String, _ type: String, location: SourceLocation = #_sourceLocation) throws {
    let command: [String]
    switch type {
    case "ext2", "ext3", "ext4": command = ["e2fsck", "-fn", device]
    case "xfs": command = ["xfs_repair", "-n", device]
    case "btrfs": command = ["btrfs", "check", "--readonly", device]
    default: command = ["ntfsfix", "-n", device]
    }
    let outcome = try runAnyway(command)
    #expect(outcome.status == 0, "\(command): \(outcome.output)\(outcome.errors)", sourceLocation: location)
}

/// Mounts `device` on a directory of its own, and unmounts it after `body`.
@discardableResult
func withMount<R>(
    _ device: String, _ type: String, readOnly: Bool = false, _ body: (_ root: String) throws -> R
) throws -> R {
    try withTemporaryDirectory { root in
        if type == "ntfs" {
            try run("ntfs-3g", device, root, "-o", readOnly ? "ro" : "rw")
        } else {
            if type == "btrfs" { _ = try? run("btrfs", "device", "scan", "--forget") }
            let options = (readOnly ? "ro" : "rw") + (type == "xfs" ? ",nouuid" : "")
            try run("mount", "-t", type, "-o", options, device, root)
        }
        let result = Result { try body(root) }
        try run("umount", root)
        if type == "ntfs" { try waitUntil("ntfs-3g has ended") { !isOpen(device) } }
        return try result.get()
    }
}

/// Whether another program holds the device exclusively or keeps it open: ntfs-3g ends after its unmount.
private func isOpen(_ device: String) -> Bool {
    ((try? runAnyway(["sh", "-c", "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q -- '-> \(device)$'"]))?.status)
        == 0
}

/// SHA-256 and name of every file below `root`, one a line.
func fileHashes(_ root: String) throws -> String {
    try run("sh", "-ec", "cd '\(root)'; find . -type f -print0 | sort -z | xargs -0r sha256sum")
}

/// Puts files of many sizes below `root`, each of them and their directories on the medium when this returns.
func populate(_ root: String, seed: UInt64, largest: Int = 1_500_000) throws {
    var random = SeededRandom(seed: seed)
    for directory in ["a", "b", "b/c"] { try run("mkdir", "\(root)/\(directory)") }
    let pattern = random.bytes(65_536)
    for index in 0..<24 {
        let size = index < 4 ? [0, 1, 4096, largest][index] : Int(random.next() % 90_000)
        let path = "\(root)/\(["a", "b", "b/c"][index % 3])/file \(index)"
        let file = try Descriptor(opening: path, [.readWrite, .create, .exclusive])
        let start = Int(random.next() % 60_000)
        var bytes: [UInt8] = []
        while bytes.count < size {
            bytes += pattern[start...].map { $0 &+ UInt8(truncatingIfNeeded: bytes.count) }
        }
        try file.write(Array(bytes.prefix(size)), at: 0)
        try file.synchronize()
    }
    try run("rm", "\(root)/a/file 6", "\(root)/b/file 7")
    for directory in ["", "a", "b", "b/c"] {
        try Descriptor(opening: "\(root)/\(directory)", [.readOnly, .directory]).synchronize()
    }
}

/// `count` bytes (a multiple of 8) that do not shrink, others each time.
func noise(_ count: Int) -> [UInt8] {
    var random = SeededRandom(seed: MonotonicClock.now())
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    for _ in 0..<count / 8 {
        let word = random.next()
        for shift in 0..<UInt64(8) { bytes.append(UInt8(truncatingIfNeeded: word >> (8 * shift))) }
    }
    return bytes
}

/// Waits for a condition that another process brings about; ten seconds without it are a failure.
func waitUntil(_ what: String, seconds: UInt64 = 10, _ condition: () throws -> Bool) throws {
    let deadline = MonotonicClock.now() + seconds * 1_000_000_000
    while try !condition() {
        guard MonotonicClock.now() < deadline else { throw Failure("waited in vain until \(what)") }
        MonotonicClock.sleep(nanoseconds: 2_000_000)
    }
}

/// What a tool said that does not let a test go on.
struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ text: String) { description = text }
}
