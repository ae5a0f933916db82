// A small image of incompressible regions, whole and frame by frame.
import Blocks
import ImageFormat
import Linux
import TestSupport

struct MadeImage {
    static let chunkSize = 64 * KiB
    let id: GUID
    let manifest: [UInt8]
    let existing: ChunkSet
    /// The frames in the order of their chunks.
    let frames: [[UInt8]]
    /// The whole file.
    let file: [UInt8]

    init(chunks: Int, seed: UInt64 = 1) throws {
        var random = SeededRandom(seed: seed)
        let size = UInt64(chunks) * MadeImage.chunkSize
        let layout = try ChunkLayout(chunkSize: MadeImage.chunkSize, diskSizes: [size])
        id = GUID(random: (0..<16).map { _ in UInt8.random(in: 0...255, using: &random) })
        existing = ChunkSet((0..<UInt32(chunks)).map { $0 })
        let described = Manifest(
            imageID: id, created: "2026-11-21T09:35:19Z", creator: "img on \u{1b}[31mred", firmware: "uefi",
            layout: layout, chunkCount: chunks, usedBytes: size,
            disks: [
                Manifest.DiskEntry(
                    size: size, logicalSectorSize: 512, physicalSectorSize: 512, tableType: "none",
                    model: "made up", serial: "1", bus: "virtio", rotational: false, role: "data",
                    smallestTarget: size)
            ],
            partitions: [
                Manifest.PartitionEntry(
                    slot: 0, disk: 0, number: 0, type: "", typeName: "whole disk", name: "", uuid: "",
                    fileSystem: "ext4", label: "größe", offset: 0, size: size, usedBytes: size,
                    content: .used, reason: "")
            ])
        manifest = try described.encoded()
        var encoder = try ImageFileEncoder(manifestJSON: manifest, existing: existing)
        let frameEncoder = FrameEncoder(Compression(.none, level: 0), layout: layout)
        var file = encoder.start
        var frames: [[UInt8]] = []
        for number in 0..<UInt32(chunks) {
            let content = (0..<MadeImage.chunkSize).map { _ in UInt8.random(in: 0...255, using: &random) }
            let extent = Extent(offset: UInt64(number) * MadeImage.chunkSize, length: MadeImage.chunkSize)
            let frame = frameEncoder.frame(number: number, disk: 0, extents: [extent], content: content)
            var offset = 0
            let header = try frame.withBytes { span throws(DecodeError) in
                try FrameHeader(from: span, at: &offset, layout: layout)
            }
            encoder.add(header, prefixAndHeader: Array(frame[..<offset]))
            file += frame
            frames.append(frame)
        }
        file += try encoder.finish()
        self.frames = frames
        self.file = file
    }

    /// Writes the whole file, as a person would copy it there.
    func store(at path: String) throws {
        let output = try Descriptor(opening: path, [.writeOnly, .create, .truncate])
        try output.write(file, at: 0)
        try output.close()
    }
}

/// Calls `body` with an empty file system of its own in memory, of so many KiB.
func withSmallDisk<R>(kibibytes: Int, _ body: (_ path: String) throws -> R) throws -> R {
    try withTemporaryDirectory { directory in
        try run("mount", "-t", "tmpfs", "-o", "size=\(kibibytes)k", "img-test", directory)
        defer { _ = try? run("umount", "-l", directory) }
        return try body(directory)
    }
}
