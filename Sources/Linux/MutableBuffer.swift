// Writing into an aligned buffer through a checked span.

extension AlignedBuffer {
    /// Calls `body` with all bytes of the buffer, for writing.
    package func withMutableBytes<R, E: Error>(_ body: (inout MutableRawSpan) throws(E) -> R) throws(E) -> R {
        var span = unsafe bytes.mutableBytes
        return try body(&span)
    }
}
