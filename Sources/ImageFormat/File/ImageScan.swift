// Walks over the frames of an image file whose footer is not to be had.
package import Blocks

/// What a walk over the frames of a file finds, whole or not.
///
/// A later frame of the same chunk replaces an earlier one, as in an extended file.
package struct ImageScan {
    /// The last manifest's offset in the file and its JSON.
    package private(set) var manifest: (offset: UInt64, payload: [UInt8])?
    package private(set) var existing: [UInt8]?
    /// The last closing record, if nothing but an index, a footer or a skippable frame follows it.
    ///
    /// A record before further frames closes a state of the image that those frames have changed.
    package private(set) var closing: [UInt8]?
    package private(set) var entries: [UInt32: ImageFileReader.Entry] = [:]
    /// Offsets behind the footers that have the hash they state and stand where they say, ascending.
    package private(set) var footerEnds: [UInt64] = []
    /// Offset behind the last frame that could be read.
    package private(set) var end = UInt64(FileHeader.byteCount)
    /// Why the walk ended before the end of the file; nil where it did not.
    package private(set) var stop: DecodeError?
    private var layout: ChunkLayout?

    /// Walks from the file header to the end or to the first frame that cannot be read.
    ///
    /// - Throws: What `bytes` throws; damage of the file is no error but `stop`.
    package init(_ bytes: any ImageBytes) throws {
        do {
            while end < bytes.byteCount {
                let prefix = try FramePrefix(of: bytes, at: end, limit: bytes.byteCount)
                try take(prefix, from: bytes)
                end += UInt64(prefix.frameLength)
            }
        } catch let error as DecodeError { stop = error }
    }

    private mutating func take(_ prefix: FramePrefix, from bytes: any ImageBytes) throws {
        switch prefix.kind {
        case .manifest:
            let json = try payload(prefix, maximum: Manifest.maximumLength, of: bytes)
            layout = try Manifest(decoding: json).layout()
            manifest = (end, json)
            closing = nil
        case .chunkSet:
            existing = try payload(prefix, maximum: Contents.maximumRecordLength, of: bytes)
            closing = nil
        case .chunk, .table:
            guard let layout else { throw DecodeError.invalid("a chunk stands before the manifest") }
            let head = try bytes.read(FramePrefix.byteCount + prefix.headerLength, at: end)
            let header = try head.withBytes { span throws(DecodeError) in
                var offset = 0
                return try FrameHeader(from: span, at: &offset, layout: layout)
            }
            entries[header.number] = ImageFileReader.Entry(
                offset: end, header: header, headerLength: head.count)
            closing = nil
        case .closing:
            closing = try payload(prefix, maximum: Contents.maximumRecordLength, of: bytes)
        case .footer:
            guard prefix.frameLength == FileFooter.byteCount else {
                throw DecodeError.invalid("a footer has \(prefix.frameLength) bytes")
            }
            let frame = try bytes.read(FileFooter.byteCount, at: end)
            let footer = try? frame.withBytes { span throws(DecodeError) in try FileFooter(from: span) }
            if let footer, footer.fileLength == end + UInt64(frame.count) {
                footerEnds.append(footer.fileLength)
            }
        case .index: break
        default:
            guard prefix.kind.isSkippable else {
                throw DecodeError.unsupported(
                    "it has a frame of kind \(prefix.kind.rawValue), which this version does not know")
            }
        }
    }

    private func payload(
        _ prefix: FramePrefix, maximum: Int, of bytes: any ImageBytes
    ) throws -> [UInt8] {
        guard prefix.headerLength == 0, prefix.payloadLength <= maximum else {
            throw DecodeError.invalid(
                "a frame of kind \(prefix.kind.rawValue) claims \(prefix.payloadLength) bytes")
        }
        return try bytes.read(prefix.payloadLength, at: end + UInt64(FramePrefix.byteCount))
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
