// Where the restore pipeline gets its frames from: an image file or a session.
package import Blocks
internal import SessionTransport

/// A frame as it comes from a source: prefix, header, payload.
package struct SourceFrame: Sendable {
    /// Where the bytes are: read from a file, or in a session's reassembly buffer.
    enum Storage: Sendable {
        case bytes([UInt8])
        case session(SessionFrame)
    }

    let number: UInt32
    let storage: Storage

    /// A frame that a source has read or made: the bytes of prefix, header and payload.
    package init(number: UInt32, bytes: [UInt8]) {
        self.init(number: number, storage: .bytes(bytes))
    }

    init(number: UInt32, storage: Storage) {
        self.number = number
        self.storage = storage
    }

    /// Length of the frame in bytes.
    var byteCount: Int {
        switch storage {
        case .bytes(let bytes): bytes.count
        case .session(let frame): frame.byteCount
        }
    }

    /// Calls `body` with the frame's bytes; they are valid only during the call.
    func withBytes<R>(_ body: (RawSpan) throws(DecodeError) -> R) throws(DecodeError) -> R {
        switch storage {
        case .bytes(let bytes): try bytes.withBytes(body)
        case .session(let frame): try frame.withBytes(body)
        }
    }
}

/// A source of the frames of one image; its calls may come from several threads at once.
package protocol FrameSource: AnyObject, Sendable {
    /// Waits for the next frame; nil when all that were asked for have been completed, or the source was cancelled.
    func next() throws -> SourceFrame?

    /// The frame's bytes are no longer needed; called exactly once for each frame.
    func release(_ frame: SourceFrame)

    /// The content of this chunk has been proven and written.
    func completed(_ number: UInt32)

    /// The frame does not decode to what its header promises; a source that can get it again returns, others throw.
    func rejected(_ number: UInt32, because error: DecodeError) throws

    /// The restore has failed: everybody who waits in `next` wakes with nil or an error.
    func cancel(because error: any Error)
}
