// The first 64 bytes of an image file and its last 128.
package import Blocks

/// The header at offset 0: magic, version, feature bits, image id.
package struct FileHeader: Equatable, Sendable {
    package static let byteCount = 64
    /// A high bit, a name, and line ends of both kinds, so that transfers as text are noticed (as PNG does).
    package static let magic: [UInt8] = [0x89, 0x49, 0x4d, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
    package static let version: UInt16 = 1
    /// Features a reader must know; none exist yet.
    package static let knownIncompatible: UInt64 = 0

    package var incompatible: UInt64 = 0
    package var compatible: UInt64 = 0
    package let imageID: GUID

    package init(imageID: GUID) { self.imageID = imageID }

    package var encoded: [UInt8] {
        var writer = ByteWriter(reserving: FileHeader.byteCount)
        writer.append(FileHeader.magic)
        writer.u16(FileHeader.version)
        writer.u16(UInt16(FileHeader.byteCount))
        writer.u32(0)
        writer.u64(incompatible)
        writer.u64(compatible)
        writer.append(imageID.bytes)
        writer.append(zeros: FileHeader.byteCount - writer.count)
        return writer.bytes
    }

    package init(from bytes: RawSpan) throws(DecodeError) {
        var offset = 0
        guard try bytes.array(8, at: &offset, "the header") == FileHeader.magic else {
            throw .invalid("it does not begin like an image")
        }
        let version = try bytes.u16(at: &offset)
        guard version == FileHeader.version else {
            throw .unsupported("it has file version \(version), this program reads \(FileHeader.version)")
        }
        let length = try bytes.u16(at: &offset)
        guard Int(length) == FileHeader.byteCount, try bytes.u32(at: &offset) == 0 else {
            throw .invalid("its header has \(length) bytes")
        }
        incompatible = try bytes.u64(at: &offset)
        let unknown = incompatible & ~FileHeader.knownIncompatible
        guard unknown == 0 else {
            throw .unsupported(
                "it uses features this version does not know (bits \(String(unknown, radix: 16)))")
        }
        compatible = try bytes.u64(at: &offset)
        imageID = try GUID(from: bytes, at: &offset)
        guard try bytes.array(16, at: &offset, "the header").allSatisfy({ $0 == 0 }) else {
            throw .invalid("its header has unknown fields")
        }
    }
}

/// The footer: where manifest, chunk set, closing record and index are, and hashes that prove them.
package struct FileFooter: Equatable, Sendable {
    package static let byteCount = 128
    package static let magic: [UInt8] = Array("IMGFOOT\n".utf8)
    private static let hashedCount = 96

    /// Offsets of the four frames in the file.
    package var manifest: UInt64
    package var chunkSet: UInt64
    package var closing: UInt64
    package var index: UInt64
    /// Offset of the first byte after this footer.
    package var fileLength: UInt64
    /// SHA-256 over the four frames, prefixes included, in this order.
    package var digest: Digest

    package init(
        manifest: UInt64, chunkSet: UInt64, closing: UInt64, index: UInt64, fileLength: UInt64, digest: Digest
    ) {
        self.manifest = manifest
        self.chunkSet = chunkSet
        self.closing = closing
        self.index = index
        self.fileLength = fileLength
        self.digest = digest
    }

    package var encoded: [UInt8] {
        var writer = ByteWriter(reserving: FileFooter.byteCount)
        let header = FileFooter.byteCount - FramePrefix.byteCount
        FramePrefix(kind: .footer, headerLength: header, payloadLength: 0).encode(into: &writer)
        writer.append(FileFooter.magic)
        for value in [manifest, chunkSet, closing, index, fileLength, 0] { writer.u64(value) }
        writer.append(digest.bytes)
        return writer.bytes + Digest.of(writer.bytes).bytes
    }

    /// Reads the 128 bytes of a footer.
    package init(from bytes: RawSpan) throws(DecodeError) {
        var offset = 0
        let prefix = try FramePrefix(from: bytes, at: &offset)
        guard prefix.kind == .footer, prefix.frameLength == FileFooter.byteCount,
            bytes.byteCount == FileFooter.byteCount,
            try bytes.array(8, at: &offset, "the footer") == FileFooter.magic
        else { throw .invalid("it does not end with a footer") }
        manifest = try bytes.u64(at: &offset)
        chunkSet = try bytes.u64(at: &offset)
        closing = try bytes.u64(at: &offset)
        index = try bytes.u64(at: &offset)
        fileLength = try bytes.u64(at: &offset)
        guard try bytes.u64(at: &offset) == 0 else { throw .invalid("its footer has unknown fields") }
        digest = try Digest(from: bytes, at: &offset)
        let own = try Digest(from: bytes, at: &offset)
        guard Digest.of(bytes.extracting(0..<FileFooter.hashedCount)) == own else {
            throw .corrupt("its footer does not have the hash it states")
        }
    }
}

/// What is known only when a capture ends.
package struct ClosingRecord: Equatable, Sendable {
    /// Sectors of the source that could not be read and are zeros in the image.
    package struct Unreadable: Equatable, Hashable, Sendable {
        /// Index of the image disk.
        package var disk: Int
        package var extent: Extent

        package init(disk: Int, extent: Extent) {
            self.disk = disk
            self.extent = extent
        }
    }

    /// Number of chunk and table frames.
    package var frameCount: UInt64
    /// Bytes of content in all frames.
    package var contentBytes: UInt64
    /// Bytes of payload in all frames.
    package var payloadBytes: UInt64
    /// What proves manifest, chunk set and every frame's header where no index does; see `digest(of:…)`.
    package var digest = ClosingRecord.noDigest
    /// Those of the frames' headers, in the order of the chunk numbers.
    package var unreadable: [Unreadable]

    package init(frameCount: UInt64, contentBytes: UInt64, payloadBytes: UInt64, unreadable: [Unreadable]) {
        self.frameCount = frameCount
        self.contentBytes = contentBytes
        self.payloadBytes = payloadBytes
        self.unreadable = unreadable
    }

    private static let noDigest = Digest([UInt8](repeating: 0, count: Digest.byteCount))

    /// SHA-256 over the manifest's JSON, the chunk set's payload, and prefix and header of each frame.
    ///
    /// `headers` come in the order of their chunk numbers. A frame's own hash covers only its content: this one
    /// covers where the content belongs.
    package static func digest(
        manifest: [UInt8], chunkSet: [UInt8], headers: some Sequence<some Sequence<UInt8>>
    ) -> Digest {
        var hasher = DigestHasher()
        hasher.update(manifest)
        hasher.update(chunkSet)
        for header in headers { hasher.update(Array(header)) }
        return hasher.finish()
    }

    /// What a frame's header calls unreadable, as the record lists it.
    static func unreadable(of header: FrameHeader) -> [Unreadable] {
        header.unreadable.map { Unreadable(disk: header.disk, extent: $0) }
    }

    package var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.u64(frameCount)
        writer.u64(contentBytes)
        writer.u64(payloadBytes)
        writer.append(digest.bytes)
        writer.varint(UInt64(unreadable.count))
        for entry in unreadable {
            writer.varint(UInt64(entry.disk))
            writer.varint(entry.extent.offset)
            writer.varint(entry.extent.length)
        }
        return writer.bytes
    }

    package init(from bytes: RawSpan, layout: ChunkLayout) throws(DecodeError) {
        var offset = 0
        frameCount = try bytes.u64(at: &offset)
        contentBytes = try bytes.u64(at: &offset)
        payloadBytes = try bytes.u64(at: &offset)
        digest = try Digest(from: bytes, at: &offset)
        let count = try bytes.varint(at: &offset)
        // Each entry takes at least three bytes.
        guard count <= UInt64(bytes.byteCount - offset) / 3 else { throw .truncated("the closing record") }
        unreadable = []
        for _ in 0..<count {
            let disk = try bytes.varint(at: &offset)
            let from = try bytes.varint(at: &offset)
            let length = try bytes.varint(at: &offset)
            guard disk < UInt64(layout.diskSizes.count), from <= layout.diskSizes[Int(disk)],
                length <= layout.diskSizes[Int(disk)] - from
            else { throw .invalid("the closing record names sectors outside the image's disks") }
            unreadable.append(Unreadable(disk: Int(disk), extent: Extent(offset: from, length: length)))
        }
        guard offset == bytes.byteCount else { throw .invalid("the closing record is too long") }
    }
}
