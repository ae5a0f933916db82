// Pipes and socket pairs between our own processes, with length-prefixed messages.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// The two ends of a pipe.
package struct Pipe: ~Copyable {
    package let reader: Descriptor
    package let writer: Descriptor

    /// C function `pipe2`.
    package init() throws(SystemError) {
        var ends: [Int32] = [0, 0]
        _ = try systemCall("make a pipe") { unsafe clinux_pipe2(&ends, O_CLOEXEC) }
        reader = Descriptor(owning: ends[0], name: "pipe")
        writer = Descriptor(owning: ends[1], name: "pipe")
    }

    /// Closes the writing end, so that the reader sees the end once no child has it either.
    package consuming func closeWriter() throws(SystemError) -> Descriptor {
        try writer.close()
        return reader
    }

    /// Closes the reading end, so that only children have it.
    package consuming func closeReader() throws(SystemError) -> Descriptor {
        try reader.close()
        return writer
    }
}

/// One end of a socket pair that carries messages of bytes in both directions.
package struct MessageSocket: ~Copyable {
    private let descriptor: Descriptor

    /// The descriptor's number, to hand it to a child process.
    package var number: Int32 { descriptor.number }

    /// Takes ownership of one end.
    package init(owning number: Int32, name: String) {
        descriptor = Descriptor(owning: number, name: name)
    }

    /// Both ends of a new pair (C function `socketpair`); `name` is used in errors.
    package static func pair(_ name: String) throws(SystemError) -> MessageSocketPair {
        var ends: [Int32] = [0, 0]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        _ = try systemCall("make a socket pair") { unsafe socketpair(AF_UNIX, kind, 0, &ends) }
        return MessageSocketPair(
            ours: MessageSocket(owning: ends[0], name: name),
            theirs: MessageSocket(owning: ends[1], name: name))
    }

    /// Sends one message: its length as u32 little endian, then its bytes.
    package func send(_ message: [UInt8]) throws(SystemError) {
        let length = UInt32(message.count)
        let header = (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * UInt32($0))) }
        try sendAll(header)
        try sendAll(message)
    }

    /// The next message, or nil when the other end is closed; more than `limit` bytes is an error.
    package func receive(limit: Int) throws(SystemError) -> [UInt8]? {
        guard let header = try receiveExactly(4) else { return nil }
        let length = header.enumerated().reduce(UInt32(0)) {
            $0 | UInt32($1.element) << (8 * UInt32($1.offset))
        }
        guard length <= limit else {
            throw SystemError("take a message of \(length) bytes from \(descriptor.name)", .messageTooLong)
        }
        guard let message = try receiveExactly(Int(length)) else {
            throw SystemError("read a whole message from \(descriptor.name)", .ioError)
        }
        return message
    }

    private func sendAll(_ bytes: [UInt8]) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            let count = try systemCall("send to \(descriptor.name)") {
                unsafe bytes.withUnsafeBytes { buffer in
                    unsafe Glibc.send(
                        descriptor.number, buffer.baseAddress?.advanced(by: done), buffer.count - done,
                        Int32(MSG_NOSIGNAL))
                }
            }
            done += count
        }
    }

    private func receiveExactly(_ count: Int) throws(SystemError) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let number = descriptor.number
            let got = try systemCall("read from \(descriptor.name)") {
                unsafe bytes.withUnsafeMutableBytes { buffer in
                    unsafe Glibc.read(number, buffer.baseAddress?.advanced(by: done), count - done)
                }
            }
            if got == 0 {
                guard done == 0 else {
                    throw SystemError("read a whole message from \(descriptor.name)", .ioError)
                }
                return nil
            }
            done += got
        }
        return bytes
    }
}

/// Both ends of a socket pair: one stays, one goes to a child process.
package struct MessageSocketPair: ~Copyable {
    package let ours: MessageSocket
    package let theirs: MessageSocket

    /// Drops the child's end, so that our end sees when the child's copy closes.
    package consuming func keepOurs() -> MessageSocket { ours }
}

extension Descriptor {
    /// Reads a pipe or terminal until its end; bytes beyond `limit` are dropped.
    package func readToEnd(limit: Int) throws(SystemError) -> [UInt8] {
        var all: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = try systemCall("read \(name)") {
                unsafe part.withUnsafeMutableBytes { unsafe Glibc.read(number, $0.baseAddress, $0.count) }
            }
            if count == 0 { return all }
            all.append(contentsOf: part[0..<min(count, limit - all.count)])
        }
    }
}
