// Cuts the byte stream of a connection to the imaging server into messages.
package import Blocks

/// Cuts a byte stream into messages of the work plane, with a bound on what is kept.
package struct WorkFramer: Sendable {
    /// The longest body taken at all: a peer that nobody knows yet gets little memory.
    package var longestBody = Int.max
    private var pending: [UInt8] = []
    private var consumed = 0

    package init() {}

    /// Whether no part of a message waits.
    package var isEmpty: Bool { pending.count == consumed }

    /// Appends bytes as they came from the connection.
    package mutating func append(_ bytes: RawSpan) {
        if consumed > 0, consumed >= pending.count / 2 {
            pending.removeFirst(consumed)
            consumed = 0
        }
        unsafe bytes.withUnsafeBytes { unsafe pending.append(contentsOf: $0) }
    }

    private func header() throws(DecodeError) -> (Int, UInt16, UInt16)? {
        guard pending.count - consumed >= Specification.messageHeaderBytes else { return nil }
        let start = consumed
        return try pending.withBytes { (bytes) throws(DecodeError) in
            var offset = start
            return (Int(try bytes.u32(at: &offset)), try bytes.u16(at: &offset), try bytes.u16(at: &offset))
        }
    }

    /// The next whole message, or nil while there is none; unknown ones are skipped.
    package mutating func next() throws(DecodeError) -> WorkMessage? {
        while let (length, number, flags) = try header() {
            let type = WorkMessageType(rawValue: number)
            if type == nil, flags & mustUnderstand != 0 {
                throw .unsupported("a message of type \(number) that must be understood")
            }
            guard length <= min(type?.maximumBodyBytes ?? maximumUnknownBodyBytes, longestBody) else {
                throw .invalid("a message of type \(number) with \(length) bytes")
            }
            let body = consumed + Specification.messageHeaderBytes
            guard pending.count - body >= length else { return nil }
            consumed = body + length
            guard let type else { continue }
            return try pending.withBytes(in: body..<body + length) { (bytes) throws(DecodeError) in
                try WorkMessage(type, bytes)
            }
        }
        return nil
    }
}
