// Bounds-checked readers over RawSpan: every decoder of the project reads through these.

extension RawSpan {
    /// Reads an unsigned 8-bit integer and advances `offset` by 1.
    package func u8(at offset: inout Int) throws(DecodeError) -> UInt8 {
        try integer(at: &offset)
    }

    /// Reads a little-endian unsigned 16-bit integer and advances `offset` by 2.
    package func u16(at offset: inout Int) throws(DecodeError) -> UInt16 {
        try integer(at: &offset)
    }

    /// Reads a little-endian unsigned 32-bit integer and advances `offset` by 4.
    package func u32(at offset: inout Int) throws(DecodeError) -> UInt32 {
        try integer(at: &offset)
    }

    /// Reads a little-endian unsigned 64-bit integer and advances `offset` by 8.
    package func u64(at offset: inout Int) throws(DecodeError) -> UInt64 {
        try integer(at: &offset)
    }

    /// Reads an unsigned LEB128 integer of at most 10 bytes and advances `offset` past it.
    ///
    /// A value has exactly one accepted form: an encoding with a needless trailing zero byte is refused.
    package func varint(at offset: inout Int) throws(DecodeError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = try u8(at: &offset)
            let bits = UInt64(byte & 0x7f)
            guard shift < 63 || bits <= 1 else { throw .invalid("a varint does not fit 64 bits") }
            value |= bits << shift
            if byte & 0x80 == 0 {
                guard byte != 0 || shift == 0 else {
                    throw .invalid("a varint is longer than it needs to be")
                }
                return value
            }
            shift += 7
            guard shift < 70 else { throw .invalid("a varint does not end") }
        }
    }

    /// Copies `count` bytes and advances `offset` past them; `what` names the field in the error.
    ///
    /// The count is checked against the span before anything is allocated.
    package func array(_ count: Int, at offset: inout Int, _ what: String) throws(DecodeError) -> [UInt8] {
        guard offset >= 0, count >= 0, count <= byteCount - offset else { throw .truncated(what) }
        let part = unsafe extracting(unchecked: offset..<offset + count)
        offset += count
        return unsafe part.withUnsafeBytes { unsafe [UInt8]($0) }
    }

    /// Copies all bytes.
    package var array: [UInt8] {
        unsafe withUnsafeBytes { unsafe [UInt8]($0) }
    }

    /// Reads `count` bytes as UTF-8 text and advances `offset`; `what` names the field in the error.
    package func text(_ count: Int, at offset: inout Int, _ what: String) throws(DecodeError) -> String {
        guard let text = String(validating: try array(count, at: &offset, what), as: UTF8.self) else {
            throw .invalid("\(what) is not UTF-8")
        }
        return text
    }

    /// Whether every byte is zero.
    package var isZero: Bool {
        unsafe withUnsafeBytes { buffer in
            var offset = 0
            while offset + 64 <= buffer.count {
                var folded: UInt64 = 0
                for word in 0..<8 {
                    folded |= unsafe buffer.loadUnaligned(fromByteOffset: offset + word * 8, as: UInt64.self)
                }
                if folded != 0 { return false }
                offset += 64
            }
            while offset < buffer.count {
                if unsafe buffer[offset] != 0 { return false }
                offset += 1
            }
            return true
        }
    }

    @inline(__always)
    private func integer<T: FixedWidthInteger & BitwiseCopyable>(at offset: inout Int) throws(DecodeError)
        -> T
    {
        let size = MemoryLayout<T>.size
        guard offset >= 0, offset <= byteCount - size else { throw .truncated("a \(size * 8)-bit integer") }
        let value = unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: T.self)
        offset += size
        return T(littleEndian: value)
    }
}

extension Array where Element == UInt8 {
    /// Calls `body` with the bytes of the array; they are valid only during the call.
    package func withBytes<R: ~Copyable, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
        try unsafe body(span.bytes)
    }

    /// Calls `body` with `range` of the array's bytes; they are valid only during the call.
    package func withBytes<R: ~Copyable, E: Error>(
        in range: Range<Int>, _ body: (RawSpan) throws(E) -> R
    ) throws(E) -> R {
        try unsafe body(span.bytes.extracting(range))
    }
}
