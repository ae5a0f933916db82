// Every file system: mapped clean and cut off, restored with noise in all free space, checked with its own tools.
import Blocks
import Linux
import Overlay
import SystemPackage
import TestSupport
import Testing

/// One way to make a file system, and how to check it.
struct FileSystemCase: CustomTestStringConvertible, Sendable {
    let name: String
    /// Type as libblkid names it.
    let type: String
    let size: UInt64
    let make: [String]
    /// The driver that mounts it in the test.
    let driver: String
    let check: [[String]]

    var testDescription: String { name }

    static func ext(_ name: String, _ type: String, _ options: [String], size: UInt64 = 96 * MiB)
        -> FileSystemCase
    {
        FileSystemCase(
            name: name, type: type, size: size, make: ["mkfs.\(type)", "-q", "-F"] + options, driver: "ext4",
            check: [["e2fsck", "-f", "-n"]])
    }

    static let journalled: [FileSystemCase] = [
        .ext("ext3", "ext3", ["-b", "1024"]),
        .ext(
            "ext4, 1 KiB blocks, lazy tables", "ext4",
            ["-b", "1024", "-E", "lazy_itable_init=1,lazy_journal_init=1"]),
        .ext(
            "ext4, 4 KiB blocks, lazy tables", "ext4",
            ["-b", "4096", "-E", "lazy_itable_init=1,lazy_journal_init=1"]),
        .ext("ext4, 4 KiB blocks", "ext4", ["-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
        FileSystemCase(
            name: "XFS", type: "xfs", size: 300 * MiB, make: ["mkfs.xfs", "-q"], driver: "xfs",
            check: [["xfs_repair", "-n", "-f"]]),
        FileSystemCase(
            name: "btrfs", type: "btrfs", size: 128 * MiB, make: ["mkfs.btrfs", "-q"], driver: "btrfs",
            check: [["btrfs", "check", "--readonly"]]),
    ]

    /// One of each rule of plausibility, small enough to be quick.
    static let small: [FileSystemCase] = [
        .ext("ext4", "ext4", [], size: 48 * MiB),
        FileSystemCase(
            name: "XFS", type: "xfs", size: 64 * MiB, make: ["mkfs.xfs", "-q", "--unsupported"],
            driver: "xfs", check: []),
        FileSystemCase(
            name: "btrfs", type: "btrfs", size: 112 * MiB, make: ["mkfs.btrfs", "-q"], driver: "btrfs",
            check: []),
    ]

    static let all: [FileSystemCase] =
        journalled + [
            .ext("ext2", "ext2", ["-b", "4096"]),
            FileSystemCase(
                name: "NTFS", type: "ntfs", size: 64 * MiB, make: ["mkntfs", "-Q", "-F"], driver: "ntfs",
                check: [["ntfsfix", "-n"]]),
        ]
}

extension OverlayOnRealDisks {
    /// What the map must be true for: the restored disk is clean and every file is what it was.
    private func prove(
        _ content: PartitionContent, _ fileSystem: FileSystemCase, holds files: [String: Digest],
        in workspace: Workspace
    ) throws {
        let restored = try workspace.restore(content, as: "restored")
        for check in fileSystem.check { try run(check + [restored]) }
        let found = try workspace.withMounted(
            restored, type: fileSystem.driver, readOnly: fileSystem.type != "ntfs"
        ) {
            try digests(below: $0)
        }
        #expect(found == files)
        #expect(content.used.byteCount < fileSystem.size / 2, "hardly anything was recognised as free")
    }

    @Test(arguments: FileSystemCase.all)
    func cleanDisk(_ fileSystem: FileSystemCase) throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: fileSystem.size, fileSystem.make)
        let files = try workspace.withMounted(image, type: fileSystem.driver) { try populate($0) }
        let content = try mapUnchanged(wholeFile(image), fileSystem.type).mapped()
        try prove(content, fileSystem, holds: files, in: workspace)
    }

    @Test(arguments: FileSystemCase.journalled)
    func diskCutOffWhileMounted(_ fileSystem: FileSystemCase) throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: fileSystem.size, fileSystem.make)
        let (cut, files) = try workspace.withMounted(image, type: fileSystem.driver) { root in
            let files = try populate(root)
            return (try workspace.copy(image, as: "cut"), files)
        }
        let content = try mapUnchanged(wholeFile(cut), fileSystem.type).mapped()
        #expect(content.changedByteCount > 0, "nothing was replayed")
        try prove(content, fileSystem, holds: files, in: workspace)
    }

    @Test func ntfsCutOffUnderNtfs3g() throws {
        // ntfs-3g writes no journal and sets no dirty flag: what it has flushed is there.
        let workspace = try Workspace()
        let ntfs = try #require(FileSystemCase.all.last)
        let image = try workspace.image("disk", size: ntfs.size, ntfs.make)
        let (cut, files) = try workspace.withMounted(image, type: "ntfs") { root in
            let files = try populate(root)
            try run(["sync", "-f", root])
            return (try workspace.copy(image, as: "cut"), files)
        }
        try prove(try mapUnchanged(wholeFile(cut), "ntfs").mapped(), ntfs, holds: files, in: workspace)
    }

    @Test func ext2CutOffIsCapturedWhole() throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: 64 * MiB, ["mkfs.ext2", "-q", "-F"])
        let cut = try workspace.withMounted(image, type: "ext4") { root in
            _ = try populate(root, scale: 200_000)
            return try workspace.copy(image, as: "cut")
        }
        #expect(
            try mapUnchanged(wholeFile(cut), "ext2").reason
                == "it has no journal and was not unmounted cleanly")
    }

    @Test func everyInodeTableOfLazyExt4IsUsed() throws {
        let workspace = try Workspace()
        let image = try workspace.image(
            "disk", size: 512 * MiB, ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1"])
        let content = try mapUnchanged(wholeFile(image), "ext4").mapped()
        let description = try run(["dumpe2fs", image])
        let blockSize = try #require(
            description.split(separator: "\n").first { $0.hasPrefix("Block size:") }?.split(separator: " ")
                .last
                .flatMap { UInt64($0) })
        var tables = 0
        for line in description.split(separator: "\n") where line.contains("Inode table at ") {
            let words = line.split(separator: " ")
            let at = try #require(words.firstIndex(of: "at"))
            let blocks = words[at + 1].split(separator: "-").compactMap { UInt64($0) }
            try #require(blocks.count == 2)
            let table = Extent(blocks[0] * blockSize..<(blocks[1] + 1) * blockSize)
            #expect(content.used.intersection(table).byteCount == table.length, "table at \(table)")
            tables += 1
        }
        #expect(tables >= 4)
    }

    @Test func sectorsOf4096Bytes() throws {
        let workspace = try Workspace()
        let image = try workspace.image("disk", size: 96 * MiB, ["mkfs.ext4", "-q", "-F", "-b", "4096"])
        let files = try workspace.withMounted(image, type: "ext4") { try populate($0) }
        let content = try mapUnchanged(wholeFile(image, sectorSize: 4096), "ext4").mapped()
        try prove(content, .ext("ext4", "ext4", []), holds: files, in: workspace)
    }

    @Test func partitionsInsideOneDiskShareThePool() throws {
        let workspace = try Workspace()
        var sources: [PartitionSource] = []
        var expected: [[String: Digest]] = []
        let disk = try workspace.image("disk", size: 160 * MiB, [])
        for index in 0..<2 {
            let image = try workspace.image("part\(index)", size: 64 * MiB, ["mkfs.ext4", "-q", "-F"])
            let (cut, files) = try workspace.withMounted(image, type: "ext4") { root in
                let files = try populate(root, scale: 100_000 * (index + 1))
                return (try workspace.copy(image, as: "cut\(index)"), files)
            }
            let offset = UInt64(index) * 80 * MiB + 3 * MiB + 512
            try run([
                "dd", "if=\(cut)", "of=\(disk)", "bs=512", "seek=\(offset / 512)", "conv=notrunc,sparse",
            ])
            sources.append(PartitionSource(path: disk, extent: Extent(offset: offset, length: 64 * MiB)))
            expected.append(files)
        }
        let pool = try OverlayPool(byteCount: 16 << 20)
        let contents = try sources.map { try mapUnchanged($0, "ext4", pool: pool).mapped() }
        #expect(pool.usedSlots > 0)
        for (index, content) in contents.enumerated() {
            let restored = try workspace.restore(content, as: "restored\(index)")
            try run(["e2fsck", "-f", "-n", restored])
            let found = try workspace.withMounted(restored, type: "ext4", readOnly: true) {
                try digests(below: $0)
            }
            #expect(found == expected[index])
        }
    }
}
