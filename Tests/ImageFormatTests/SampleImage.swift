// Small images made by the encoder, for goldens and round trips.
import Blocks
import ImageFormat
import TestSupport

/// What a frame is to hold.
struct PlannedFrame {
    var kind = FrameKind.chunk
    var number: UInt32
    var disk: Int
    var extents: [Extent]
    var roles: [TableRole] = []
    var unreadable: [Extent] = []
    var content: [UInt8]
}

/// An image as a capture would plan it.
struct SampleImage {
    var id: GUID
    var layout: ChunkLayout
    var tableTypes: [String]
    var frames: [PlannedFrame]
    /// Ranges that the closing record names and no frame does: before headers told them, files were so.
    var unreadableBesides: [ClosingRecord.Unreadable] = []

    /// What the closing record names.
    var unreadable: [ClosingRecord.Unreadable] {
        frames.sorted { $0.number < $1.number }.flatMap { frame in
            frame.unreadable.map { ClosingRecord.Unreadable(disk: frame.disk, extent: $0) }
        } + unreadableBesides
    }

    var manifest: Manifest {
        let disks = layout.diskSizes.enumerated().map { index, size in
            Manifest.DiskEntry(
                size: size, logicalSectorSize: 512, physicalSectorSize: 4096, tableType: tableTypes[index],
                model: "Sample", serial: "S\(index)", bus: "sata", rotational: false,
                role: index == 0 ? "boot" : "data", smallestTarget: size / 2)
        }
        let partitions = layout.diskSizes.indices.map { disk in
            Manifest.PartitionEntry(
                slot: disk + 1, disk: disk, number: 1, type: "0x83", typeName: "Linux", name: "",
                uuid: "5a5a5a5a-01", fileSystem: "ext4", label: "größe", offset: 4096, size: 8192,
                usedBytes: 4096, content: .used, reason: "")
        }
        return Manifest(
            imageID: id, created: "2026-11-21T09:35:19Z", creator: "img 0.1 on sample", firmware: "uefi",
            layout: layout, chunkCount: frames.count,
            usedBytes: frames.reduce(0) { $0 + UInt64($1.content.count) },
            disks: disks, partitions: partitions)
    }

    var existing: ChunkSet { ChunkSet(frames.map(\.number)) }

    /// The whole file, as a writer makes it.
    func encoded(_ compression: Compression) throws -> [UInt8] {
        var encoder = try ImageFileEncoder(manifest: manifest, existing: existing)
        var file = encoder.start
        for frame in encodedFrames(compression) {
            let (header, length) = try frame.withBytes { span throws(DecodeError) in
                var offset = 0
                return (try FrameHeader(from: span, at: &offset, layout: layout), offset)
            }
            encoder.add(header, prefixAndHeader: Array(frame[..<length]))
            file += frame
        }
        file += try encoder.finish()
        if !unreadableBesides.isEmpty { try file.replaceUnreadable(with: unreadable) }
        return file
    }

    func encodedFrames(_ compression: Compression) -> [[UInt8]] {
        let encoder = FrameEncoder(compression, layout: layout)
        return frames.map {
            encoder.frame(
                kind: $0.kind, number: $0.number, disk: $0.disk, extents: $0.extents, roles: $0.roles,
                unreadable: $0.unreadable, content: $0.content)
        }
    }

    /// A file that extends `file`, an image of the same layout, by this image's frames (as the format allows).
    func extending(_ file: [UInt8], _ compression: Compression) throws -> [UInt8] {
        let old = try ImageFileReader(MemoryImage(file))
        let new = Set(frames.map(\.number))
        let kept = old.entries.filter { !new.contains($0.header.number) }
        var image = self
        image.frames =
            try kept.map { entry in
                let (header, content) = try FrameDecoder().content(
                    of: old.frame(entry), layout: layout)
                return PlannedFrame(
                    kind: header.kind, number: header.number, disk: header.disk, extents: header.extents,
                    roles: header.roles, unreadable: header.unreadable, content: content)
            } + frames
        var writer = ByteWriter()
        writer.append(file)
        var places: [UInt64] = []
        var hashed: [UInt8] = []
        func append(_ kind: FrameKind, _ payload: [UInt8]) {
            var frame = ByteWriter()
            FramePrefix(kind: kind, headerLength: 0, payloadLength: payload.count).encode(into: &frame)
            frame.append(payload)
            places.append(UInt64(writer.count))
            hashed += frame.bytes
            writer.append(frame.bytes)
        }
        append(.manifest, try image.manifest.encoded())
        var set = ByteWriter()
        image.existing.encode(into: &set)
        append(.chunkSet, set.bytes)
        var index = ByteWriter()
        var closing = ClosingRecord(
            frameCount: 0, contentBytes: 0, payloadBytes: 0, unreadable: image.unreadable)
        var headers: [UInt32: [UInt8]] = [:]
        func note(_ header: FrameHeader, at offset: UInt64) {
            headers[header.number] = header.encoded(in: layout)
            index.u64(offset)
            index.append(header.encoded(in: layout))
            closing.frameCount += 1
            closing.contentBytes += UInt64(header.rawLength)
            closing.payloadBytes += UInt64(header.payloadLength)
        }
        for entry in kept { note(entry.header, at: entry.offset) }
        for frame in encodedFrames(compression) {
            let header = try frame.withBytes { span throws(DecodeError) in
                var offset = 0
                return try FrameHeader(from: span, at: &offset, layout: layout)
            }
            note(header, at: UInt64(writer.count))
            writer.append(frame)
        }
        closing.digest = ClosingRecord.digest(
            manifest: try image.manifest.encoded(), chunkSet: set.bytes,
            headers: headers.sorted { $0.key < $1.key }.map(\.value))
        append(.closing, closing.encoded)
        append(.index, index.bytes)
        let footer = FileFooter(
            manifest: places[0], chunkSet: places[1], closing: places[2], index: places[3],
            fileLength: UInt64(writer.count + FileFooter.byteCount), digest: Digest.of(hashed))
        return writer.bytes + footer.encoded
    }
}

extension FrameDecoder {
    /// Decodes a frame whose layout is that of the sample images' frames.
    func content(of frame: [UInt8], layout: ChunkLayout) throws -> (FrameHeader, [UInt8]) {
        try frame.withBytes { span throws(DecodeError) in try content(of: span, layout: layout) }
    }
}
