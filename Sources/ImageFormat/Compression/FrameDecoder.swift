// Turns a frame's payload back into content and proves its hash; one decoder per thread.
package import Blocks
internal import CZlib
internal import CZstd

/// Decodes frames of every codec.
@safe package final class FrameDecoder {
    private var zstd: OpaquePointer?

    package init() { unsafe zstd = ZSTD_createDCtx() }

    deinit { unsafe ZSTD_freeDCtx(zstd) }

    /// Decodes `payload` into the first `header.rawLength` bytes of `content` and checks the SHA-256.
    ///
    /// - Parameters:
    ///   - header: A header that was read and so checked with `FrameHeader.init(from:at:layout:)`.
    ///   - payload: Exactly `header.payloadLength` bytes.
    ///   - content: At least `header.rawLength` bytes; whatever it held is overwritten, also on failure.
    /// - Throws: `DecodeError.corrupt` where the payload does not decode to exactly the hashed content.
    package func decode(
        _ header: FrameHeader, payload: RawSpan, into content: UnsafeMutableRawBufferPointer
    ) throws(DecodeError) {
        guard payload.byteCount == header.payloadLength, content.count >= header.rawLength else {
            throw .truncated("the payload of chunk \(header.number)")
        }
        let room = unsafe UnsafeMutableRawBufferPointer(rebasing: content[0..<header.rawLength])
        guard unsafe expand(header, payload, into: room) else {
            throw .corrupt("the payload of chunk \(header.number) does not decode")
        }
        guard unsafe Digest.of(UnsafeRawBufferPointer(room).bytes) == header.digest else {
            throw .corrupt("the content of chunk \(header.number) does not have the hash of its header")
        }
    }

    /// Decodes a whole frame held in an array.
    package func content(of frame: RawSpan, layout: ChunkLayout) throws(DecodeError) -> (FrameHeader, [UInt8])
    {
        var offset = 0
        let header = try FrameHeader(from: frame, at: &offset, layout: layout)
        guard frame.byteCount - offset == header.payloadLength else {
            throw .truncated("the payload of chunk \(header.number)")
        }
        var content = [UInt8](repeating: 0, count: header.rawLength)
        let payload = frame.extracting(offset..<frame.byteCount)
        var failure: DecodeError?
        unsafe content.withUnsafeMutableBytes { room in
            do throws(DecodeError) { try unsafe decode(header, payload: payload, into: room) } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return (header, content)
    }

    private func expand(_ header: FrameHeader, _ payload: RawSpan, into room: UnsafeMutableRawBufferPointer)
        -> Bool
    {
        if header.isZero {
            unsafe room.initializeMemory(as: UInt8.self, repeating: 0)
            return true
        }
        return unsafe payload.withUnsafeBytes { source in
            switch header.codec {
            case .none:
                guard source.count == room.count else { return false }
                unsafe room.copyMemory(from: source)
                return true
            case .zlib:
                var length = uLongf(room.count)
                var consumed = uLong(source.count)
                let result = unsafe uncompress2(
                    room.baseAddress?.assumingMemoryBound(to: Bytef.self), &length,
                    source.baseAddress?.assumingMemoryBound(to: Bytef.self), &consumed)
                return result == Z_OK && Int(length) == room.count && Int(consumed) == source.count
            case .zstd:
                return unsafe ZSTD_decompressDCtx(
                    zstd, room.baseAddress, room.count, source.baseAddress, source.count)
                    == room.count
            }
        }
    }
}
