// What an image file holds, found by a footer or, where there is no valid one, by a walk over its frames.
internal import Blocks

/// Everything an image file says about itself.
struct Contents {
    /// Longest payload of the chunk set and of the closing record in bytes: both are read in one piece.
    static let maximumRecordLength = 64 << 20
    /// How many of a file's footers are tried, the last ones first: each try may read the whole file.
    private static let maximumFooters = 4

    let manifestJSON: [UInt8]
    let manifest: Manifest
    let layout: ChunkLayout
    let existing: ChunkSet
    let closing: ClosingRecord
    let entries: [ImageFileReader.Entry]
    let origin: ImageFileReader.Origin
    /// Offset of the manifest's frame: the first manifest has the image id of the file header.
    let manifestOffset: UInt64

    /// The contents that the last valid footer names, or that a scan finds where no footer is valid.
    static func find(in bytes: any ImageBytes) throws -> Contents {
        let damage: DecodeError
        do {
            return try Contents(bytes, footerEndingAt: bytes.byteCount, origin: .index)
        } catch let error as DecodeError where error.code != .unsupported { damage = error }
        let scan = try ImageScan(bytes)
        for end in scan.footerEnds.suffix(maximumFooters).reversed() where end < bytes.byteCount {
            do {
                return try Contents(
                    bytes, footerEndingAt: end,
                    origin: .earlierIndex(length: end, reason: damage.description))
            } catch let error as DecodeError where error.code != .unsupported { continue }
        }
        return try Contents(scan, because: damage.description)
    }

    /// Reads the frames that the footer before `end` names and proves their hash.
    private init(
        _ bytes: any ImageBytes, footerEndingAt end: UInt64, origin: ImageFileReader.Origin
    ) throws {
        guard end >= UInt64(FileHeader.byteCount + FileFooter.byteCount) else {
            throw DecodeError.truncated("it")
        }
        let limit = end - UInt64(FileFooter.byteCount)
        let tail = try bytes.read(FileFooter.byteCount, at: limit)
        let footer = try tail.withBytes { span throws(DecodeError) in try FileFooter(from: span) }
        guard footer.fileLength == end else {
            throw DecodeError.invalid("its footer belongs to a file of \(footer.fileLength) bytes")
        }
        let places: [(FrameKind, UInt64, maximum: Int)] = [
            (.manifest, footer.manifest, Manifest.maximumLength),
            (.chunkSet, footer.chunkSet, Contents.maximumRecordLength),
            (.closing, footer.closing, Contents.maximumRecordLength),
            (.index, footer.index, Int(UInt32.max)),
        ]
        var hasher = DigestHasher()
        var payloads: [Range<UInt64>] = []
        for (kind, offset, maximum) in places {
            let prefix = try FramePrefix(of: bytes, at: offset, limit: limit)
            guard prefix.kind == kind, prefix.headerLength == 0, prefix.payloadLength <= maximum else {
                throw DecodeError.invalid("its footer points at the wrong frames")
            }
            let frame = offset..<offset + UInt64(prefix.frameLength)
            for piece in frame.pieces { hasher.update(try bytes.read(piece.count, at: piece.lowerBound)) }
            payloads.append(offset + UInt64(FramePrefix.byteCount)..<frame.upperBound)
        }
        guard hasher.finish() == footer.digest else {
            throw DecodeError.corrupt("its manifest or index does not have the hash of the footer")
        }
        let records = try payloads[..<3].map { try bytes.read($0.count, at: $0.lowerBound) }
        try self.init(
            manifest: records[0], at: footer.manifest, existing: records[1], closing: records[2],
            origin: origin
        ) { layout, count in
            try IndexReader(layout: layout, limit: limit, count: count).entries(of: payloads[3], in: bytes)
        }
    }

    /// Puts together what a walk over the frames found.
    ///
    /// - Throws: `DecodeError` naming what is missing where the frames do not add up to a whole image.
    private init(_ scan: ImageScan, because reason: String) throws {
        // What this version does not know is no damage, unless a whole image stands before it.
        if let stop = scan.stop, stop.code == .unsupported, scan.closing == nil { throw stop }
        let stop = scan.stop?.description ?? reason
        let end = stop == reason ? "" : ", and behind \(scan.end) bytes \(stop)"
        guard let manifest = scan.manifest, let existing = scan.existing else {
            throw DecodeError.corrupt("\(reason)\(end): no manifest can be read")
        }
        guard let closing = scan.closing else {
            throw DecodeError.corrupt(
                "\(reason)\(end): it is not a whole image, it has \(scan.entries.count) chunks and no end")
        }
        try self.init(
            manifest: manifest.payload, at: manifest.offset, existing: existing, closing: closing,
            origin: .scan(reason: reason)
        ) { _, _ in
            scan.entries.values.sorted { $0.header.number < $1.header.number }
        }
    }

    private init(
        manifest json: [UInt8], at manifestOffset: UInt64, existing: [UInt8], closing: [UInt8],
        origin: ImageFileReader.Origin,
        entries: (ChunkLayout, Int) throws -> [ImageFileReader.Entry]
    ) throws {
        manifestJSON = json
        self.manifestOffset = manifestOffset
        self.origin = origin
        let manifest = try Manifest(decoding: json)
        let layout = try manifest.layout()
        let chunkSet = existing
        let existing = try existing.withBytes { span throws(DecodeError) in
            var offset = 0
            let set = try ChunkSet(from: span, at: &offset)
            guard offset == span.byteCount else { throw .invalid("the chunk set is too long") }
            guard set.isEmpty || (set.last ?? 0) < layout.numbers.upperBound else {
                throw .invalid("the chunk set names chunks beyond the disks")
            }
            return set
        }
        self.manifest = manifest
        self.layout = layout
        self.existing = existing
        self.closing = try closing.withBytes { span throws(DecodeError) in
            try ClosingRecord(from: span, layout: layout)
        }
        self.entries = try entries(layout, existing.count)
        try validate(chunkSet: chunkSet)
    }

    /// Makes sure that manifest, chunk set, closing record and frames tell the same story.
    private func validate(chunkSet: [UInt8]) throws(DecodeError) {
        guard manifest.chunkCount == existing.count, UInt64(entries.count) == closing.frameCount,
            entries.count == existing.count, ChunkSet(entries.map(\.header.number)) == existing
        else { throw .corrupt("it does not hold exactly the chunks its manifest promises") }
        var content: UInt64 = 0
        var payload: UInt64 = 0
        for entry in entries {
            content += UInt64(entry.header.rawLength)
            payload += UInt64(entry.header.payloadLength)
        }
        guard content == closing.contentBytes, payload == closing.payloadBytes else {
            throw .corrupt(
                "its frames hold \(content) bytes, its closing record says \(closing.contentBytes)")
        }
        let unreadable = entries.flatMap { ClosingRecord.unreadable(of: $0.header) }
        // Files made before headers told what was unreadable have it in the closing record alone.
        guard unreadable.isEmpty || unreadable == closing.unreadable else {
            throw .corrupt("its frames and its closing record do not call the same bytes unreadable")
        }
        let digest = ClosingRecord.digest(
            manifest: manifestJSON, chunkSet: chunkSet,
            headers: entries.lazy.map { $0.header.encoded(in: layout) })
        guard digest == closing.digest else {
            throw .corrupt("its frames' headers do not have the hash of its closing record")
        }
    }
}

/// Reads an index piece by piece, so that its length costs no memory beyond the entries themselves.
private struct IndexReader {
    /// Offset, prefix and the longest header.
    private static let longestEntry = 8 + FramePrefix.byteCount + FrameHeader.maximumLength

    let layout: ChunkLayout
    /// Frames end before this offset of the file.
    let limit: UInt64
    /// Number of entries there may be.
    let count: Int

    func entries(of payload: Range<UInt64>, in bytes: any ImageBytes) throws -> [ImageFileReader.Entry] {
        var entries: [ImageFileReader.Entry] = []
        var window: [UInt8] = []
        for piece in payload.pieces {
            window += try bytes.read(piece.count, at: piece.lowerBound)
            let isLast = piece.upperBound == payload.upperBound
            let used = try window.withBytes { span throws(DecodeError) in
                var offset = 0
                while isLast ? offset < span.byteCount : span.byteCount - offset >= IndexReader.longestEntry {
                    guard entries.count < count else { throw .invalid("its index has too many entries") }
                    entries.append(try entry(from: span, at: &offset))
                }
                return offset
            }
            window.removeFirst(used)
        }
        entries.sort { $0.header.number < $1.header.number }
        return entries
    }

    private func entry(
        from span: RawSpan, at offset: inout Int
    ) throws(DecodeError) -> ImageFileReader.Entry {
        let position = try span.u64(at: &offset)
        let start = offset
        let header = try FrameHeader(from: span, at: &offset, layout: layout)
        let length = UInt64(offset - start + header.payloadLength)
        guard position >= UInt64(FileHeader.byteCount), position <= limit, length <= limit - position else {
            throw .invalid("its index places chunk \(header.number) outside the file")
        }
        return ImageFileReader.Entry(offset: position, header: header, headerLength: offset - start)
    }
}

extension Range<UInt64> {
    /// The range cut into pieces of at most 1 MiB, the most that is read at once from frames of any length.
    fileprivate var pieces: some Sequence<Range<UInt64>> {
        stride(from: lowerBound, to: upperBound, by: 1 << 20).lazy.map { from in
            from..<Swift.min(from + 1 << 20, upperBound)
        }
    }
}
