// Produces the bytes of an image file in order; who calls it writes them where they belong.
package import Blocks

/// The growing image file: each call returns bytes that follow those of the calls before.
package struct ImageFileEncoder: Sendable {
    private let layout: ChunkLayout
    private var position: UInt64 = 0
    private let manifestOffset: UInt64
    private let chunkSetOffset: UInt64
    private var index = ByteWriter()
    private var closing = ClosingRecord(frameCount: 0, contentBytes: 0, payloadBytes: 0, unreadable: [])
    private var hasher = DigestHasher()

    /// Everything before the first chunk: file header, manifest, set of existing chunks.
    package let start: [UInt8]

    /// - Throws: `DecodeError` where the manifest is not one a reader would accept.
    package init(manifest: Manifest, existing: ChunkSet) throws {
        let json = try manifest.encoded()
        // What is written must be readable: the reader's own checks are run before the first byte is.
        let checked = try Manifest(decoding: json)
        layout = try checked.layout()
        var set = ByteWriter()
        existing.encode(into: &set)
        let manifestFrame = ImageFileEncoder.frame(.manifest, payload: json)
        let chunkSetFrame = ImageFileEncoder.frame(.chunkSet, payload: set.bytes)
        manifestOffset = UInt64(FileHeader.byteCount)
        chunkSetOffset = manifestOffset + UInt64(manifestFrame.count)
        start = FileHeader(imageID: try checked.identifier()).encoded + manifestFrame + chunkSetFrame
        position = UInt64(start.count)
        hasher.update(manifestFrame)
        hasher.update(chunkSetFrame)
    }

    /// Notes that a frame with this header follows; its bytes are `prefixAndHeader` and then the payload.
    package mutating func add(_ header: FrameHeader, prefixAndHeader: [UInt8]) {
        index.u64(position)
        index.append(prefixAndHeader)
        position += UInt64(prefixAndHeader.count + header.payloadLength)
        closing.frameCount += 1
        closing.contentBytes += UInt64(header.rawLength)
        closing.payloadBytes += UInt64(header.payloadLength)
    }

    /// Totals so far.
    package var totals: ClosingRecord { closing }

    /// Everything after the last chunk: closing record, index, footer.
    package mutating func finish(unreadable: [ClosingRecord.Unreadable] = []) throws(DecodeError) -> [UInt8] {
        closing.unreadable = unreadable
        guard index.count <= Int(UInt32.max) else { throw .invalid("the index exceeds 4 GiB") }
        let closingFrame = ImageFileEncoder.frame(.closing, payload: closing.encoded)
        let indexFrame = ImageFileEncoder.frame(.index, payload: index.bytes)
        let closingOffset = position
        let indexOffset = closingOffset + UInt64(closingFrame.count)
        let fileLength = indexOffset + UInt64(indexFrame.count) + UInt64(FileFooter.byteCount)
        hasher.update(closingFrame)
        hasher.update(indexFrame)
        let footer = FileFooter(
            manifest: manifestOffset, chunkSet: chunkSetOffset, closing: closingOffset, index: indexOffset,
            fileLength: fileLength, digest: hasher.finish())
        position = fileLength
        return closingFrame + indexFrame + footer.encoded
    }

    private static func frame(_ kind: FrameKind, payload: [UInt8]) -> [UInt8] {
        var writer = ByteWriter(reserving: FramePrefix.byteCount + payload.count)
        FramePrefix(kind: kind, headerLength: 0, payloadLength: payload.count).encode(into: &writer)
        writer.append(payload)
        return writer.bytes
    }
}
