// Produces the bytes of an image file in order; who calls it writes them where they belong.
package import Blocks

/// The growing image file: each call returns bytes that follow those of the calls before.
package struct ImageFileEncoder: Sendable {
    private var position: UInt64 = 0
    private let manifestOffset: UInt64
    private let chunkSetOffset: UInt64
    private let promised: ChunkSet
    private var added = ChunkSet()
    private var index = ByteWriter()
    /// Per frame: its number, and where prefix and header stand in the index.
    private var headers: [(number: UInt32, place: Range<Int>)] = []
    /// What the frames' headers call unreadable, by chunk number.
    private var unreadable: [UInt32: [ClosingRecord.Unreadable]] = [:]
    private let manifest: [UInt8]
    private let chunkSet: [UInt8]
    private var closing = ClosingRecord(frameCount: 0, contentBytes: 0, payloadBytes: 0, unreadable: [])
    private var hasher = DigestHasher()

    /// Everything before the first chunk: file header, manifest, set of existing chunks.
    package let start: [UInt8]

    /// Starts an image of exactly the chunks `existing`.
    ///
    /// - Throws: `DecodeError` where manifest and chunk set are not what a reader would accept.
    package init(manifest: Manifest, existing: ChunkSet) throws {
        try self.init(manifestJSON: try manifest.encoded(), existing: existing)
    }

    /// Starts an image with a manifest that somebody else has encoded, fields unknown here included.
    ///
    /// - Throws: As the other; whatever reading the manifest throws.
    package init(manifestJSON json: [UInt8], existing: ChunkSet) throws {
        // What is written must be readable: the reader's own checks are run before the first byte is.
        let checked = try Manifest(decoding: json)
        let layout = try checked.layout()
        guard existing.count == checked.chunkCount, (existing.last ?? 0) < layout.numbers.upperBound else {
            throw DecodeError.invalid(
                "the manifest counts \(checked.chunkCount) chunks, the chunk set has \(existing.count)")
        }
        promised = existing
        var set = ByteWriter()
        existing.encode(into: &set)
        guard set.count <= Contents.maximumRecordLength else {
            throw DecodeError.invalid("the chunk set takes \(set.count) bytes")
        }
        self.manifest = json
        chunkSet = set.bytes
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
        added.insert(header.number)
        index.u64(position)
        headers.append((header.number, index.count..<index.count + prefixAndHeader.count))
        index.append(prefixAndHeader)
        position += UInt64(prefixAndHeader.count + header.payloadLength)
        closing.frameCount += 1
        closing.contentBytes += UInt64(header.rawLength)
        closing.payloadBytes += UInt64(header.payloadLength)
        if !header.unreadable.isEmpty { unreadable[header.number] = ClosingRecord.unreadable(of: header) }
    }

    /// Totals so far; what was unreadable only after `finish`.
    package var totals: ClosingRecord { closing }

    /// Everything after the last chunk: closing record, index, footer.
    ///
    /// - Throws: `DecodeError` where the chunks added are not exactly the promised ones, each once, or where a
    ///   record is longer than a reader accepts.
    package mutating func finish() throws(DecodeError) -> [UInt8] {
        closing.unreadable = unreadable.sorted { $0.key < $1.key }.flatMap(\.value)
        guard added == promised, closing.frameCount == UInt64(promised.count) else {
            throw .invalid("the image has \(closing.frameCount) chunks, \(promised.count) were promised")
        }
        guard index.count <= Int(UInt32.max) else { throw .invalid("the index exceeds 4 GiB") }
        headers.sort { $0.number < $1.number }
        closing.digest = ClosingRecord.digest(
            manifest: manifest, chunkSet: chunkSet,
            headers: headers.lazy.map { [index] in index.bytes[$0.place] })
        guard closing.encoded.count <= Contents.maximumRecordLength else {
            throw .invalid("the image has \(closing.unreadable.count) unreadable ranges")
        }
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
