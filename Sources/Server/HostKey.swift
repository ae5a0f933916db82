// The server's lasting identity: an Ed25519 key in its state directory.
internal import Blocks
internal import Linux
package import SessionProtocol

/// The key by which participants know this server.
package enum HostKey {
    /// Where the state lives unless somebody says otherwise.
    package static let defaultDirectory = "/var/lib/imgserv"
    private static let fileName = "host.key"

    /// Reads the key of a state directory; makes directory and key at the first start.
    ///
    /// The file holds the 32 bytes of the seed (RFC 8032) as 64 hexadecimal digits and a line end, mode 0600.
    package static func load(from directory: String) throws -> PrivateKey {
        let path = "\(directory)/\(fileName)"
        if let content = try PrivateFile.read(path, limit: 4096) { return try key(content, path) }
        try PrivateFile.makeDirectory(directory)
        let seed = Random.bytes(Specification.keyBytes)
        // Two first starts at once: the one that comes second takes the first one's key.
        _ = try PrivateFile.create(path, Array((seed.hex + "\n").utf8))
        guard let content = try PrivateFile.read(path, limit: 4096) else {
            throw ServerError("\(path) has vanished while it was made")
        }
        return try key(content, path)
    }

    /// The same for root's commands beside a service that has a user of its own: what is made here belongs to that.
    package static func loadAsOwner(from directory: String) throws -> PrivateKey {
        try ThisProcess.asOwner(of: directory) { try load(from: directory) }
    }

    private static func key(_ content: [UInt8], _ path: String) throws -> PrivateKey {
        let digits = content.last == UInt8(ascii: "\n") ? content.dropLast() : content[...]
        let nibbles = digits.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        guard nibbles.count == 64, digits.count == 64 else {
            throw ServerError("\(path) is not a host key; move it away and a new one is made")
        }
        let seed = stride(from: 0, to: 64, by: 2).map { UInt8(nibbles[$0] << 4 | nibbles[$0 + 1]) }
        guard let key = PrivateKey(seed: seed) else { throw ServerError("\(path) is not a host key") }
        return key
    }
}
