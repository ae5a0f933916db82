// Where the restore pipeline gets its frames from: an image file or a session.
package import Blocks

/// A frame as it comes from a source: prefix, header, payload.
package struct SourceFrame: Sendable {
    package let number: UInt32
    package let bytes: [UInt8]
    /// Called once, when the bytes are no longer needed.
    let release: @Sendable () -> Void

    package init(number: UInt32, bytes: [UInt8], release: @escaping @Sendable () -> Void = {}) {
        self.number = number
        self.bytes = bytes
        self.release = release
    }
}

/// A source of the frames of one image; its calls may come from several threads at once.
package protocol FrameSource: AnyObject, Sendable {
    /// Waits for the next frame; nil when all that were asked for have been completed, or the source was cancelled.
    func next() throws -> SourceFrame?

    /// The content of this chunk has been proven and written.
    func completed(_ number: UInt32)

    /// The frame does not decode to what its header promises; a source that can get it again returns, others throw.
    func rejected(_ number: UInt32, because error: DecodeError) throws

    /// Wakes everybody who waits in `next`; they get nil.
    func cancel()
}
