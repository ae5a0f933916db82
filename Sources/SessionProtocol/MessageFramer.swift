// Cuts a byte stream into control messages, with a bound on what is kept.
package import Blocks

/// Collects the bytes of one control connection and gives out whole messages.
package struct MessageFramer {
    /// The longest body taken at all: a peer that has not said who it is gets little memory.
    var longestBody: Int
    private var pending: [UInt8] = []
    private var consumed = 0

    package init(longestBody: Int) { self.longestBody = longestBody }

    /// Appends bytes as they came from the connection.
    package mutating func append(_ bytes: RawSpan) {
        if consumed > 0, consumed >= pending.count / 2 {
            pending.removeFirst(consumed)
            consumed = 0
        }
        unsafe bytes.withUnsafeBytes { unsafe pending.append(contentsOf: $0) }
    }

    /// The next whole message, or nil while there is none; unknown ones are skipped.
    ///
    /// After an error the connection is of no further use.
    package mutating func next() throws(DecodeError) -> ControlMessage? {
        while pending.count - consumed >= Specification.messageHeaderBytes {
            let start = consumed
            let (length, number, flags) = try pending.withBytes {
                (bytes) throws(DecodeError) -> (Int, UInt16, UInt16) in
                var offset = start
                return (
                    Int(try bytes.u32(at: &offset)), try bytes.u16(at: &offset), try bytes.u16(at: &offset)
                )
            }
            let type = MessageType(rawValue: number)
            if type == nil, flags & mustUnderstand != 0 {
                throw .unsupported("a control message of type \(number) that must be understood")
            }
            let limit = min(type?.maximumBodyBytes ?? maximumUnknownBodyBytes, longestBody)
            guard length <= limit else {
                throw .invalid("a control message of type \(number) with \(length) bytes")
            }
            let body = start + Specification.messageHeaderBytes
            guard pending.count - body >= length else {
                if type == .chunk { pending.reserveCapacity(body + length) }
                return nil
            }
            consumed = body + length
            guard let type else { continue }
            return try pending.withBytes(in: body..<body + length) { (bytes) throws(DecodeError) in
                try ControlMessage(type, bytes)
            }
        }
        return nil
    }
}
