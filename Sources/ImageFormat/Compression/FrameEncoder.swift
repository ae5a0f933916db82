// Turns the content of a chunk into a frame; one encoder per thread, its working memory kept between chunks.
package import Blocks
internal import CZlib
internal import CZstd

/// Encodes frames with one codec and level.
@safe package final class FrameEncoder {
    private let compression: Compression
    private let layout: ChunkLayout
    private var zstd: OpaquePointer?

    package init(_ compression: Compression, layout: ChunkLayout) {
        self.compression = compression
        self.layout = layout
        if compression.codec == .zstd {
            unsafe zstd = ZSTD_createCCtx()
        } else {
            unsafe zstd = nil
        }
    }

    deinit { unsafe ZSTD_freeCCtx(zstd) }

    /// Encodes `content` into `payload` and makes its header.
    ///
    /// Content of zeros gets no payload. Content that does not shrink is stored: then the content itself is
    /// the payload.
    ///
    /// - Parameters:
    ///   - kind: `.chunk` or `.table`.
    ///   - number: The chunk number.
    ///   - disk: The image disk's index.
    ///   - extents: Where the content lies on the disk; their lengths add up to the content's.
    ///   - roles: One per extent of a table frame.
    ///   - unreadable: What of the extents could not be read and is zeros; ascending, disjoint, each range inside
    ///     one extent. More than a header takes are joined.
    ///   - content: The bytes, at least one.
    ///   - payload: Room for at least as many bytes as the content has.
    /// - Returns: The header, and whether the content is stored; otherwise the first `header.payloadLength`
    ///   bytes of `payload` are the payload.
    package func encode(
        kind: FrameKind = .chunk, number: UInt32, disk: Int, extents: [Extent], roles: [TableRole] = [],
        unreadable: [Extent] = [], content: RawSpan, payload: UnsafeMutableRawBufferPointer
    ) -> (header: FrameHeader, isStored: Bool) {
        let digest = Digest.of(content)
        let zero = content.isZero
        let shrunk = zero ? 0 : unsafe compress(content, into: payload)
        let header = FrameHeader(
            kind: kind, number: number, disk: disk, codec: shrunk > 0 ? compression.codec : .none,
            extents: extents, roles: roles, unreadable: FrameHeader.joined(unreadable, in: extents),
            payloadLength: zero ? 0 : shrunk > 0 ? shrunk : content.byteCount, digest: digest)
        return (header, !zero && shrunk == 0)
    }

    /// A whole frame: prefix, header and payload in one array.
    package func frame(
        kind: FrameKind = .chunk, number: UInt32, disk: Int, extents: [Extent], roles: [TableRole] = [],
        unreadable: [Extent] = [], content: [UInt8]
    ) -> [UInt8] {
        var payload = [UInt8](repeating: 0, count: content.count)
        let (header, isStored) = content.withBytes { span in
            unsafe payload.withUnsafeMutableBytes { room in
                unsafe encode(
                    kind: kind, number: number, disk: disk, extents: extents, roles: roles,
                    unreadable: unreadable, content: span, payload: room)
            }
        }
        return header.encoded(in: layout) + (isStored ? content : Array(payload[..<header.payloadLength]))
    }

    /// Length of the compressed content in `room`, or 0 when it is not shorter than the content.
    private func compress(_ content: RawSpan, into room: UnsafeMutableRawBufferPointer) -> Int {
        let limit = content.byteCount - 1
        guard limit > 0, room.count >= limit else { return 0 }
        switch compression.codec {
        case .none: return 0
        case .zlib:
            var length = uLongf(limit)
            let result = unsafe content.withUnsafeBytes { source in
                unsafe compress2(
                    room.baseAddress?.assumingMemoryBound(to: Bytef.self), &length,
                    source.baseAddress?.assumingMemoryBound(to: Bytef.self), uLong(source.count),
                    compression.level)
            }
            return result == Z_OK ? Int(length) : 0
        case .zstd:
            let length = unsafe content.withUnsafeBytes { source in
                unsafe ZSTD_compressCCtx(
                    zstd, room.baseAddress, limit, source.baseAddress, source.count, compression.level)
            }
            return ZSTD_isError(length) == 0 ? length : 0
        }
    }
}
