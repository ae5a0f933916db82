// The two ways to find what an image file holds: by its footer, and by walking its frames.
internal import Blocks

/// Everything an image file says about itself.
struct Contents {
    var manifest: Manifest
    var layout: ChunkLayout
    var existing: ChunkSet
    var closing: ClosingRecord
    var entries: [ImageFileReader.Entry]
    var origin: ImageFileReader.Origin

    /// Reads the frames that the footer names and proves their hash.
    init(byFooterOf bytes: any ImageBytes) throws {
        let length = bytes.byteCount
        let footerLength = UInt64(FileFooter.byteCount)
        guard length >= UInt64(FileHeader.byteCount) + footerLength else { throw DecodeError.truncated("it") }
        let tail = try bytes.read(FileFooter.byteCount, at: length - footerLength)
        let footer = try tail.withBytes { span throws(DecodeError) in try FileFooter(from: span) }
        guard footer.fileLength == length else {
            throw DecodeError.invalid("its footer belongs to another length")
        }
        var hasher = DigestHasher()
        var payloads: [[UInt8]] = []
        let expected: [(FrameKind, UInt64)] = [
            (.manifest, footer.manifest), (.chunkSet, footer.chunkSet), (.closing, footer.closing),
            (.index, footer.index),
        ]
        for (kind, offset) in expected {
            let prefix = try FramePrefix(of: bytes, at: offset, limit: length - footerLength)
            guard prefix.kind == kind, prefix.headerLength == 0,
                kind != .manifest || prefix.payloadLength <= Manifest.maximumLength
            else { throw DecodeError.invalid("its footer points at the wrong frames") }
            let frame = try bytes.read(prefix.frameLength, at: offset)
            hasher.update(frame)
            payloads.append(Array(frame[FramePrefix.byteCount...]))
        }
        guard hasher.finish() == footer.digest else {
            throw DecodeError.corrupt("its manifest or index does not have the hash of the footer")
        }
        try self.init(
            manifest: payloads[0], existing: payloads[1], closing: payloads[2], origin: .index)
        entries = try Contents.index(payloads[3], layout: layout, limit: length - footerLength)
    }

    /// Walks the frames from the file header on.
    ///
    /// A later frame of the same chunk replaces an earlier one, as in an extended file.
    /// - Throws: `DecodeError` naming what is missing where the frames do not add up to a whole image.
    init(scanning bytes: any ImageBytes, because reason: String) throws {
        let found = try ImageScan(bytes)
        guard let manifest = found.manifest, let existing = found.existing else {
            throw DecodeError.corrupt("\(reason), and its manifest cannot be read")
        }
        guard let closing = found.closing else {
            throw DecodeError.corrupt(
                "\(reason), and its frames end after \(found.entries.count) chunks: it is not a whole image")
        }
        try self.init(manifest: manifest, existing: existing, closing: closing, origin: .scan(reason: reason))
        entries = found.entries.values.sorted { $0.header.number < $1.header.number }
    }

    private init(
        manifest: [UInt8], existing: [UInt8], closing: [UInt8], origin: ImageFileReader.Origin
    ) throws(DecodeError) {
        self.manifest = try Manifest(decoding: manifest)
        let layout = try self.manifest.layout()
        self.layout = layout
        self.existing = try existing.withBytes { span throws(DecodeError) in
            var offset = 0
            let set = try ChunkSet(from: span, at: &offset)
            guard offset == span.byteCount else { throw .invalid("the chunk set is too long") }
            guard set.isEmpty || (set.last ?? 0) < layout.numbers.upperBound else {
                throw .invalid("the chunk set names chunks beyond the disks")
            }
            return set
        }
        self.closing = try closing.withBytes { span throws(DecodeError) in
            try ClosingRecord(from: span, layout: layout)
        }
        self.origin = origin
        entries = []
    }

    private static func index(
        _ payload: [UInt8], layout: ChunkLayout, limit: UInt64
    ) throws(DecodeError) -> [ImageFileReader.Entry] {
        try payload.withBytes { span throws(DecodeError) in
            var entries: [ImageFileReader.Entry] = []
            var offset = 0
            while offset < span.byteCount {
                let position = try span.u64(at: &offset)
                let start = offset
                let header = try FrameHeader(from: span, at: &offset, layout: layout)
                let length = UInt64(offset - start + header.payloadLength)
                guard position >= UInt64(FileHeader.byteCount), position <= limit, length <= limit - position
                else {
                    throw .invalid("its index places chunk \(header.number) outside the file")
                }
                entries.append(
                    ImageFileReader.Entry(offset: position, header: header, headerLength: offset - start))
            }
            entries.sort { $0.header.number < $1.header.number }
            return entries
        }
    }
}

/// What a walk over the frames of a file finds, whole or not.
package struct ImageScan {
    package private(set) var manifest: [UInt8]?
    package private(set) var existing: [UInt8]?
    package private(set) var closing: [UInt8]?
    package private(set) var entries: [UInt32: ImageFileReader.Entry] = [:]
    /// Offset of the first byte that is not part of a good frame; the file's length where all are good.
    package private(set) var end: UInt64

    /// Walks until the file ends or a frame is not one; payloads are not decoded.
    package init(_ bytes: any ImageBytes) throws {
        end = UInt64(FileHeader.byteCount)
        var layout: ChunkLayout?
        while end < bytes.byteCount {
            guard let prefix = try? FramePrefix(of: bytes, at: end, limit: bytes.byteCount) else { return }
            switch prefix.kind {
            case .manifest, .chunkSet, .closing:
                guard prefix.headerLength == 0,
                    prefix.kind != .manifest || prefix.payloadLength <= Manifest.maximumLength
                else { return }
                let payload = try bytes.read(prefix.payloadLength, at: end + UInt64(FramePrefix.byteCount))
                switch prefix.kind {
                case .manifest:
                    manifest = payload
                    layout = try? Manifest(decoding: payload).layout()
                    if layout == nil { return }
                case .chunkSet: existing = payload
                default: closing = payload
                }
            case .chunk, .table:
                guard let layout else { return }
                let head = try bytes.read(FramePrefix.byteCount + prefix.headerLength, at: end)
                var offset = 0
                let header = try? head.withBytes { span throws(DecodeError) in
                    try FrameHeader(from: span, at: &offset, layout: layout)
                }
                guard let header else { return }
                entries[header.number] = ImageFileReader.Entry(
                    offset: end, header: header, headerLength: head.count)
            case .index, .footer: break
            default:
                guard prefix.kind.isSkippable else { return }
            }
            end += UInt64(prefix.frameLength)
        }
    }
}

extension FramePrefix {
    /// Reads the prefix at `offset` and makes sure that the whole frame lies before `limit`.
    init(of bytes: any ImageBytes, at offset: UInt64, limit: UInt64) throws {
        guard offset <= limit, limit - offset >= UInt64(FramePrefix.byteCount) else {
            throw DecodeError.truncated("a frame")
        }
        let head = try bytes.read(FramePrefix.byteCount, at: offset)
        var position = 0
        self = try head.withBytes { span throws(DecodeError) in try FramePrefix(from: span, at: &position) }
        guard UInt64(frameLength) <= limit - offset else { throw DecodeError.truncated("a frame") }
    }
}
