// What the kernel's reverse path filter has dropped.

/// The filter that drops what comes in by another interface than the route back to its sender (`rp_filter`).
package enum ReversePathFilter {
    /// IPv4 packets it has dropped since the calling thread's network namespace was made; nil: the kernel does not say.
    ///
    /// It counts the drops of all interfaces, whoever sent the packets.
    package static func drops() -> UInt64? {
        // Of the thread, not the process: threads may live in other network namespaces.
        guard let file = try? Descriptor(opening: "/proc/thread-self/net/netstat", .readOnly),
            let bytes = try? file.readToEnd(limit: 1 << 20)
        else { return nil }
        return counter("IPReversePathFilter", of: "TcpExt:", in: String(decoding: bytes, as: UTF8.self))
    }

    /// The counter `name` in the kernel's pairs of lines: names, then numbers, both beginning with `group`.
    package static func counter(_ name: String, of group: String, in text: String) -> UInt64? {
        let lines = text.split(separator: "\n").map { $0.split(separator: " ") }.filter {
            $0.first.map { $0 == group } ?? false
        }
        guard lines.count == 2, let column = lines[0].firstIndex(where: { $0 == name }),
            column < lines[1].count
        else { return nil }
        return UInt64(lines[1][column])
    }
}
