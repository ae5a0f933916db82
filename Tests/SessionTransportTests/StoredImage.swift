// A small image file whose frames are known, for hosts that are real processes.
import Blocks
import ImageFormat
import Linux
import TestSupport

/// An image file in a temporary directory, removed with the value.
final class StoredImage: KnownImage {
    let id: GUID
    let existing: ChunkSet
    let directory: String
    private let frames: [UInt32: [UInt8]]

    var path: String { "\(directory)/lab.img" }
    var stateDirectory: String { "\(directory)/state" }

    /// Makes an image of `chunks` regions of 1 MiB that do not shrink.
    init(chunks: Int) throws {
        directory = try run("mktemp", "-d", "/tmp/img-session.XXXXXX").filter { $0 != "\n" }
        id = GUID(random: Random.bytes(16))
        let size = UInt64(chunks) * MiB
        let layout = try ChunkLayout(chunkSize: MiB, diskSizes: [size])
        existing = ChunkSet((0..<UInt32(chunks)).map { $0 })
        let manifest = Manifest(
            imageID: id, created: WallClock.text(WallClock.now()), creator: "test", firmware: "bios",
            layout: layout, chunkCount: chunks, usedBytes: size,
            disks: [
                Manifest.DiskEntry(
                    size: size, logicalSectorSize: 512, physicalSectorSize: 512, tableType: "none",
                    model: "made up",
                    serial: "1", bus: "virtio", rotational: false, role: "data", smallestTarget: size)
            ], partitions: [])
        var encoder = try ImageFileEncoder(manifest: manifest, existing: existing)
        let frameEncoder = FrameEncoder(Compression(.none, level: 0), layout: layout)
        var file = encoder.start
        var frames: [UInt32: [UInt8]] = [:]
        for number in 0..<UInt32(chunks) {
            let content = [UInt8](
                MadeUpImage.frame(number, payloadBytes: Int(MiB) + 1024)[128..<128 + Int(MiB)])
            let extent = Extent(offset: UInt64(number) * MiB, length: MiB)
            let frame = frameEncoder.frame(number: number, disk: 0, extents: [extent], content: content)
            var offset = 0
            let header = try frame.withBytes { span throws(DecodeError) in
                try FrameHeader(from: span, at: &offset, layout: layout)
            }
            encoder.add(header, prefixAndHeader: Array(frame[..<offset]))
            file += frame
            frames[number] = frame
        }
        file += try encoder.finish()
        self.frames = frames
        let output = try Descriptor(opening: "\(directory)/lab.img", [.writeOnly, .create, .exclusive])
        try output.write(file, at: 0)
    }

    deinit { _ = try? run("rm", "-rf", directory) }

    func expected(_ chunk: UInt32) -> [UInt8] { frames[chunk] ?? [] }
}
