// What a client may cost the server: sizes, times and numbers, with their units.
/// The limits of the HTTP service.
package struct HTTPLimits: Sendable {
    /// Bytes of a JSON or form body.
    package var bodyBytes = 1024 * 1024
    /// Seconds in which such a body must have arrived.
    package var bodySeconds = 30
    /// Bytes of one header field, and of all of them.
    package var headerFieldBytes = 8 * 1024
    package var headerBytes = 32 * 1024
    package var headerCount = 100
    /// Seconds that a connection may take for its (next) request's header.
    package var idleSeconds: Int64 = 30
    /// Seconds that a request or a response may stand still, neither side taking or giving a byte.
    package var stallSeconds: Int64 = 120
    /// Connections at once; the next one waits until one ends.
    package var connections = 256
    /// Bytes read from, or written to, a file at once.
    package var pieceBytes = 1024 * 1024
    /// Seconds that a stop leaves to requests that are being answered.
    package var stopSeconds = 5
    /// Seconds that the rest of a refused body is still read, so that the refusal is seen.
    package var refusedBodySeconds: Int64 = 2
    /// Threads for what may wait for a disk or the store.
    package var threads = 8

    package init() {}
}
