// Disk images for the overlay's tests: made, filled, cut off, restored and compared with tools that are not ours.
import Blocks
import Linux
import Overlay
import SystemPackage
import TestSupport
import Testing

/// Unmounts `root`; tries again while a child process that another test is just starting holds copies of our files.
private func detachWhenFree(_ root: String) throws {
    let deadline = MonotonicClock.now() + 10_000_000_000
    while true {
        do throws(SystemError) { return try Mount.detach(root) } catch {
            guard error.errno == .resourceBusy, MonotonicClock.now() < deadline else { throw error }
            MonotonicClock.sleep(nanoseconds: 50_000_000)
        }
    }
}

/// A directory of its own that goes away with everything mounted in it.
final class Workspace {
    let path: String
    private var mounted: [(path: String, helper: ChildProcess?)] = []

    init() throws {
        path = "/tmp/img-overlay-\(ThisProcess.pid)-\(Random.bytes(4).hex)"
        try Mount.makeDirectory(path)
    }

    deinit {
        for mount in mounted.reversed() { try? Mount.detach(mount.path) }
        _ = try? run("rm", "-rf", path)
    }

    /// A sparse file of `size` bytes with what `command`, given the file's path as last word, makes of it.
    func image(_ name: String, size: UInt64, _ command: [String]) throws -> String {
        let image = "\(path)/\(name)"
        try run(["truncate", "-s", String(size), image])
        if !command.isEmpty { try run(command + [image]) }
        return image
    }

    /// Mounts `image` through a loop device, calls `body` with the root, and unmounts.
    func withMounted<R>(
        _ image: String, type: String, options: String = "", readOnly: Bool = false,
        _ body: (String) throws -> R
    ) throws -> R {
        let root = "\(path)/mount-\(Random.bytes(4).hex)"
        try Mount.makeDirectory(root)
        let file = try Descriptor(opening: image, readOnly ? .readOnly : .readWrite)
        var settings = LoopDevice.Options()
        settings.readOnly = readOnly
        let loop = try LoopDevice(attaching: file, settings)
        if type == "ntfs" {
            try run(["ntfs-3g", loop.path, root])
        } else {
            if type == "btrfs" { try Mount.forgetScannedBtrfsDevices() }
            let flags: Mount.Flags = readOnly ? .readOnly : []
            try Mount.attach(loop.path, at: root, type: type, flags, data: options)
        }
        mounted.append((root, nil))
        let result = Result { try body(root) }
        try detachWhenFree(root)
        mounted.removeLast()
        try loop.detach()
        return try result.get()
    }

    /// A copy of `image` as it is now, holes kept.
    func copy(_ image: String, as name: String) throws -> String {
        let copy = "\(path)/\(name)"
        try run(["cp", "--sparse=always", image, copy])
        return copy
    }

    /// The disk that `content` describes: its used bytes, and random bytes everywhere else.
    func restore(_ content: PartitionContent, as name: String) throws -> String {
        let target = "\(path)/\(name)"
        let size = content.source.extent.length
        let source = try Descriptor(opening: content.source.path, .readOnly)
        let file = try Descriptor(opening: target, [.writeOnly, .create, .exclusive])
        let noise = Random.bytes(256)
        let block = (0..<4096).flatMap { index in noise.map { $0 ^ UInt8(truncatingIfNeeded: index) } }
        var offset: UInt64 = 0
        while offset < size {
            let count = min(UInt64(block.count), size - offset)
            try file.write(Array(block[0..<Int(count)]), at: offset)
            offset += count
        }
        for extent in content.used.extents {
            var next = extent.offset
            while next < extent.end {
                let count = min(1 << 20, extent.end - next)
                try file.write(content.read(Int(count), at: next, from: source), at: next)
                next += count
            }
        }
        try file.close()
        return target
    }
}

struct CommandFailed: Error, CustomStringConvertible {
    let description: String
}

/// SHA-256 of a whole file.
func digest(_ path: String) throws -> Digest {
    let file = try Descriptor(opening: path, .readOnly)
    let size = try file.size()
    var hasher = DigestHasher()
    var offset: UInt64 = 0
    while offset < size {
        let count = min(1 << 20, size - offset)
        hasher.update(try file.read(Int(count), at: offset))
        offset += count
    }
    return hasher.finish()
}

/// Path below `root` → SHA-256 of every file.
func digests(below root: String) throws -> [String: Digest] {
    var result: [String: Digest] = [:]
    for path in try run(["find", root, "-type", "f"]).split(separator: "\n") {
        result[String(path.dropFirst(root.utf8.count))] = try digest(String(path))
    }
    return result
}

/// Fills a mounted file system with files of many sizes, deletes some, and has every one on the medium.
///
/// `scale` is the size in bytes of the largest file.
func populate(_ root: String, scale: Int = 2_000_000) throws -> [String: Digest] {
    var numbers = SplitMix(seed: 7)
    var paths: [String] = []
    for index in 0..<48 {
        let directory = "\(root)/d\(index % 5)"
        if index < 5 { try Mount.makeDirectory(directory) }
        let size = index % 8 == 0 ? scale : Int(numbers.next() % 60_000)
        let path = "\(directory)/file \(index)"
        let file = try Descriptor(opening: path, [.readWrite, .create, .exclusive])
        try file.write(numbers.bytes(size), at: 0)
        try file.synchronize()
        try file.close()
        paths.append(path)
    }
    for (index, path) in paths.enumerated() where index % 3 == 1 { try run(["rm", path]) }
    for directory in 0..<5 {
        try Descriptor(opening: "\(root)/d\(directory)", [.readOnly, .directory]).synchronize()
    }
    // Written after everything else, so that only the journal knows of them.
    for index in 0..<8 {
        let file = try Descriptor(opening: "\(root)/d\(index % 5)/late \(index)", [.writeOnly, .create])
        try file.write(numbers.bytes(5000 * (index + 1)), at: 0)
        try file.synchronize()
        try file.close()
    }
    return try digests(below: root)
}

/// A small seeded generator: failures repeat.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(count + 8)
        while result.count < count {
            var word = next()
            for _ in 0..<8 {
                result.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        result.removeLast(result.count - count)
        return result
    }
}

/// The `img` program built beside these tests, from which the overlay starts its processes.
func builtProgram() throws -> String {
    let own = try run(["readlink", "/proc/\(ThisProcess.pid)/exe"])
    let folder = own.split(separator: "\n")[0].split(separator: "/").dropLast().joined(separator: "/")
    return "/\(folder)/img"
}

/// A partition that fills the file `image`.
func wholeFile(_ image: String, sectorSize: UInt32 = 512) throws -> PartitionSource {
    let size = try Descriptor(opening: image, .readOnly).size()
    return PartitionSource(path: image, extent: Extent(offset: 0, length: size), sectorSize: sectorSize)
}

/// Maps `source` and sees to it that the disk below did not change by a bit.
func mapUnchanged(
    _ source: PartitionSource, _ fileSystem: String?, pool: OverlayPool? = nil,
    faults: OverlayFaults = .init()
) throws -> MapOutcome {
    let before = try digest(source.path)
    let outcome = try mapUsedBlocks(
        of: source, fileSystem: fileSystem, pool: try pool ?? OverlayPool(byteCount: 32 << 20),
        servicePath: builtProgram(), faults: faults)
    #expect(try digest(source.path) == before, "the source has changed")
    return outcome
}

extension MapOutcome {
    /// The content of a mapped partition.
    func mapped() throws -> PartitionContent {
        guard case .mapped(let content) = self else {
            throw CommandFailed(description: "not mapped: \(self)")
        }
        return content
    }

    /// The reason for capturing whole, or a word for another outcome.
    var reason: String {
        switch self {
        case .whole(let reason): reason
        case .mapped: "mapped"
        case .hibernated: "hibernated"
        }
    }
}
