// Frames: the prefix every record of an image has, and the header of chunk and table frames.
package import Blocks

/// What a frame holds; the raw values are part of the format.
package struct FrameKind: Equatable, Hashable, Sendable {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let manifest = FrameKind(rawValue: 1)
    package static let chunkSet = FrameKind(rawValue: 2)
    package static let chunk = FrameKind(rawValue: 3)
    package static let table = FrameKind(rawValue: 4)
    package static let closing = FrameKind(rawValue: 5)
    package static let index = FrameKind(rawValue: 6)
    package static let footer = FrameKind(rawValue: 7)

    /// Whether a reader that does not know this kind may skip the frame (bit 15).
    package var isSkippable: Bool { rawValue & 0x8000 != 0 }
    package var isKnown: Bool { (1...7).contains(rawValue) }
}

/// The first 8 bytes of every frame: kind u16, header length u16, payload length u32.
package struct FramePrefix: Equatable, Sendable {
    package static let byteCount = 8

    package let kind: FrameKind
    package let headerLength: Int
    package let payloadLength: Int

    package init(kind: FrameKind, headerLength: Int, payloadLength: Int) {
        self.kind = kind
        self.headerLength = headerLength
        self.payloadLength = payloadLength
    }

    package init(from bytes: RawSpan, at offset: inout Int) throws(DecodeError) {
        kind = FrameKind(rawValue: try bytes.u16(at: &offset))
        headerLength = Int(try bytes.u16(at: &offset))
        payloadLength = Int(try bytes.u32(at: &offset))
    }

    package func encode(into writer: inout ByteWriter) {
        writer.u16(kind.rawValue)
        writer.u16(UInt16(headerLength))
        writer.u32(UInt32(payloadLength))
    }

    /// Length of the whole frame in bytes.
    package var frameLength: Int { FramePrefix.byteCount + headerLength + payloadLength }
}

/// The header of a chunk or table frame: which bytes of which disk, how encoded, and the hash of the content.
package struct FrameHeader: Equatable, Sendable {
    /// Largest content of a table frame in bytes.
    package static let maximumTableLength = 1 << 20
    /// Largest header in bytes: its length is a u16.
    ///
    /// With extents of whole 4 KiB blocks the header of a 16 MiB region stays below 12 KiB, unreadable ranges aside.
    package static let maximumLength = Int(UInt16.max)
    /// Most unreadable ranges a writer puts into a header; more are joined (see `joined`).
    ///
    /// 4096 ranges of at most 8 bytes leave half of the header to the extents.
    package static let maximumUnreadable = 4096
    /// Bit 0 of the flags: ranges that could not be read follow the extents.
    private static let hasUnreadable: UInt8 = 1

    /// `.chunk` or `.table`.
    package let kind: FrameKind
    package let number: UInt32
    /// Index of the image disk, from 0.
    package let disk: Int
    package let codec: Codec
    /// Disk byte ranges whose bytes, one after the other, are the content; ascending and disjoint.
    package let extents: [Extent]
    /// One role per extent of a table frame; empty for a chunk.
    package let roles: [TableRole]
    /// Disk byte ranges that the source could not read and that are zeros in the content.
    ///
    /// Ascending, disjoint, not empty, each inside one extent.
    package let unreadable: [Extent]
    /// Length of the content in bytes: the sum of the extents.
    package let rawLength: Int
    /// Length of the encoded content; 0 for content of zeros only.
    package let payloadLength: Int
    /// SHA-256 of the content.
    package let digest: Digest

    /// Makes a header; the caller guarantees the invariants that `validate` checks.
    package init(
        kind: FrameKind, number: UInt32, disk: Int, codec: Codec, extents: [Extent], roles: [TableRole] = [],
        unreadable: [Extent] = [], payloadLength: Int, digest: Digest
    ) {
        self.kind = kind
        self.number = number
        self.disk = disk
        self.codec = codec
        self.extents = extents
        self.roles = roles
        self.unreadable = unreadable
        rawLength = extents.reduce(0) { $0 + Int($1.length) }
        self.payloadLength = payloadLength
        self.digest = digest
    }

    /// Whether the content is zeros only and so has no payload.
    package var isZero: Bool { payloadLength == 0 }

    /// Prefix and header bytes, which the payload follows.
    ///
    /// This is what a seal signs and an index repeats.
    package func encoded(in layout: ChunkLayout) -> [UInt8] {
        var header = ByteWriter(reserving: 64)
        header.u32(number)
        header.u16(UInt16(disk))
        header.u8(codec.rawValue)
        header.u8(unreadable.isEmpty ? 0 : FrameHeader.hasUnreadable)
        header.u32(UInt32(rawLength))
        header.append(digest.bytes)
        header.varint(UInt64(extents.count))
        let start = kind == .chunk ? UInt64(number - layout.bases[disk]) * layout.chunkSize : 0
        var last = start
        for (index, extent) in extents.enumerated() {
            if kind == .table { header.u8(roles[index].rawValue) }
            header.varint(extent.offset - last)
            header.varint(extent.length)
            last = extent.end
        }
        if !unreadable.isEmpty {
            header.varint(UInt64(unreadable.count))
            last = start
            for range in unreadable {
                header.varint(range.offset - last)
                header.varint(range.length)
                last = range.end
            }
        }
        var frame = ByteWriter(reserving: FramePrefix.byteCount + header.count)
        FramePrefix(kind: kind, headerLength: header.count, payloadLength: payloadLength).encode(into: &frame)
        frame.append(header.bytes)
        return frame.bytes
    }

    /// Reads prefix and header at `offset`, advances it to the payload, and checks every field.
    ///
    /// - Throws: `DecodeError` for anything that `encoded` could not have written: an unknown codec, flag or role,
    ///   extents outside the region or the disk, overlapping or empty ones, unreadable ranges outside the extents,
    ///   lengths that contradict.
    package init(from bytes: RawSpan, at offset: inout Int, layout: ChunkLayout) throws(DecodeError) {
        let prefix = try FramePrefix(from: bytes, at: &offset)
        guard prefix.kind == .chunk || prefix.kind == .table else {
            throw .invalid("a frame of kind \(prefix.kind.rawValue) where a chunk was expected")
        }
        let end = offset + prefix.headerLength
        guard end <= bytes.byteCount else { throw .truncated("a frame header") }
        let number = try bytes.u32(at: &offset)
        let disk = Int(try bytes.u16(at: &offset))
        let codecNumber = try bytes.u8(at: &offset)
        let flags = try bytes.u8(at: &offset)
        let rawLength = Int(try bytes.u32(at: &offset))
        let digest = try Digest(from: bytes, at: &offset)
        guard let codec = Codec(rawValue: codecNumber) else {
            throw .unsupported("chunk \(number) uses codec \(codecNumber), which this version does not know")
        }
        guard flags & ~FrameHeader.hasUnreadable == 0 else {
            throw .unsupported("chunk \(number) has unknown flags \(flags)")
        }
        let place = layout.place(of: number)
        let window: Extent
        switch (prefix.kind, place) {
        case (.chunk, .region(disk, let region)?): window = region
        case (.table, .table(disk)?): window = Extent(offset: 0, length: layout.diskSizes[disk])
        default: throw .invalid("chunk number \(number) does not belong to disk \(disk)")
        }
        let limit = prefix.kind == .chunk ? Int(layout.chunkSize) : FrameHeader.maximumTableLength
        guard (1...limit).contains(rawLength), prefix.payloadLength <= rawLength else {
            throw .invalid(
                "chunk \(number) claims \(prefix.payloadLength) bytes for a content of \(rawLength)")
        }
        guard
            codec == .none
                ? prefix.payloadLength == 0 || prefix.payloadLength == rawLength : prefix.payloadLength > 0
        else {
            throw .invalid(
                "chunk \(number) has a payload of \(prefix.payloadLength) bytes under codec \(codec)")
        }

        let count = try bytes.varint(at: &offset)
        guard count >= 1, count <= UInt64(prefix.headerLength) else {
            throw .invalid("chunk \(number) has \(count) extents")
        }
        var extents: [Extent] = []
        var roles: [TableRole] = []
        var position = window.offset
        var total: UInt64 = 0
        for _ in 0..<count {
            if prefix.kind == .table {
                let role = try bytes.u8(at: &offset)
                guard let role = TableRole(rawValue: role) else { throw .unsupported("table role \(role)") }
                roles.append(role)
            }
            let gap = try bytes.varint(at: &offset)
            let length = try bytes.varint(at: &offset)
            guard gap <= window.end - position, length >= 1, length <= window.end - position - gap else {
                throw .invalid("chunk \(number) has an extent outside its region")
            }
            extents.append(Extent(offset: position + gap, length: length))
            position += gap + length
            total += length
        }
        var unreadable: [Extent] = []
        if flags & FrameHeader.hasUnreadable != 0 {
            unreadable = try FrameHeader.unreadable(
                from: bytes, at: &offset, of: number, in: extents, after: window.offset,
                limit: prefix.headerLength)
        }
        guard offset == end else {
            throw .invalid("the header of chunk \(number) does not end where its length says")
        }
        guard total == UInt64(rawLength) else {
            throw .invalid("the extents of chunk \(number) hold \(total) bytes, its header says \(rawLength)")
        }
        self.kind = prefix.kind
        self.number = number
        self.disk = disk
        self.codec = codec
        self.extents = extents
        self.roles = roles
        self.unreadable = unreadable
        self.rawLength = rawLength
        payloadLength = prefix.payloadLength
        self.digest = digest
    }
}

extension FrameHeader {
    /// Reads the unreadable ranges of chunk `number`, each of which must lie inside one of `extents`.
    private static func unreadable(
        from bytes: RawSpan, at offset: inout Int, of number: UInt32, in extents: [Extent],
        after start: UInt64, limit: Int
    ) throws(DecodeError) -> [Extent] {
        let count = try bytes.varint(at: &offset)
        guard count >= 1, count <= UInt64(limit) else {
            throw .invalid("chunk \(number) has \(count) unreadable ranges")
        }
        var ranges: [Extent] = []
        var position = start
        var index = 0
        for _ in 0..<count {
            let gap = try bytes.varint(at: &offset)
            let length = try bytes.varint(at: &offset)
            let (from, overflows) = position.addingReportingOverflow(gap)
            while index < extents.count, extents[index].end <= from { index += 1 }
            guard !overflows, length >= 1, index < extents.count, from >= extents[index].offset,
                length <= extents[index].end - from
            else { throw .invalid("chunk \(number) has an unreadable range outside its extents") }
            ranges.append(Extent(offset: from, length: length))
            position = from + length
        }
        return ranges
    }

    /// Unreadable ranges as a header takes them: what touches is one range, and there are at most `limit`.
    ///
    /// Of more, those with the least between them are joined, never across the edge of an extent. What lies between
    /// then counts as unreadable although it was read; its bytes stay what they are.
    ///
    /// - Parameters:
    ///   - ranges: Ascending and disjoint, each inside one extent.
    ///   - extents: Those of the header.
    ///   - limit: Most ranges that may be left, where the extents allow it.
    /// - Returns: Ranges that cover the given ones, again ascending and disjoint.
    package static func joined(
        _ ranges: [Extent], in extents: [Extent], limit: Int = maximumUnreadable
    ) -> [Extent] {
        /// Bytes between each range and the one after it; nil where another extent begins there.
        var between: [UInt64?] = []
        var index = 0
        for (range, next) in zip(ranges, ranges.dropFirst()) {
            while extents[index].end <= range.offset { index += 1 }
            between.append(next.end <= extents[index].end ? next.offset - range.end : nil)
        }
        let places = between.indices.filter { between[$0] != nil }
        let byGap = places.sorted { (between[$0] ?? 0, $0) < (between[$1] ?? 0, $1) }
        let touching = byGap.prefix { between[$0] == 0 }.count
        let bridged = Set(byGap.prefix(max(touching, ranges.count - limit)))
        var result: [Extent] = []
        for (place, range) in ranges.enumerated() {
            if place > 0, bridged.contains(place - 1), let last = result.popLast() {
                result.append(Extent(last.offset..<range.end))
            } else {
                result.append(range)
            }
        }
        return result
    }
}
