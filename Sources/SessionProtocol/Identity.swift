// Who the host is: its Ed25519 key (RFC 8032), the fingerprint people compare, the session's own key, and seals.
package import Blocks
internal import Crypto

/// An Ed25519 public key.
package struct PublicKey: Hashable, Sendable, CustomStringConvertible {
    /// The 32 bytes of the key.
    package let bytes: [UInt8]

    /// `bytes` must have 32 elements.
    package init(_ bytes: [UInt8]) {
        precondition(bytes.count == Specification.keyBytes, "a public key has 32 bytes")
        self.bytes = bytes
    }

    package init(from span: RawSpan, at offset: inout Int) throws(DecodeError) {
        bytes = try span.array(Specification.keyBytes, at: &offset, "a public key")
    }

    package var fingerprint: Fingerprint { Fingerprint(of: self) }
    package var description: String { fingerprint.description }

    /// Whether `signature` (64 bytes) is this key's signature of `message`.
    package func verifies(_ signature: [UInt8], of message: [UInt8]) -> Bool {
        guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: bytes) else { return false }
        return key.isValidSignature(signature, for: message)
    }
}

/// An Ed25519 private key: a host's lasting one or a session's.
package struct PrivateKey: Sendable {
    private let key: Curve25519.Signing.PrivateKey

    /// The key of a 32-byte seed (RFC 8032 §5.1.5); nil for any other count.
    package init?(seed: [UInt8]) {
        guard let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: seed) else { return nil }
        self.key = key
    }

    package var publicKey: PublicKey { PublicKey(Array(key.publicKey.rawRepresentation)) }

    /// The 64-byte signature of `message`; all zero (which no key verifies) if the library cannot sign.
    package func signature(of message: [UInt8]) -> [UInt8] {
        guard let signature = try? key.signature(for: message) else {
            return [UInt8](repeating: 0, count: Specification.signatureBytes)
        }
        return Array(signature)
    }
}

/// What people compare and pin: the first 80 bits of SHA-256(public key), written as 4 groups of 4 characters.
package struct Fingerprint: Hashable, Sendable, CustomStringConvertible {
    /// No l, o, 0 or 1: the text is read from one screen and typed at another.
    private static let alphabet = Array("abcdefghijkmnpqrstuvwxyz23456789")

    /// 16 characters, no separators.
    private let characters: String

    package init(of key: PublicKey) {
        let digest = Digest.of(key.bytes).bytes
        var characters = ""
        for index in 0..<16 {
            let bit = index * 5
            let pair = UInt16(digest[bit / 8]) << 8 | UInt16(digest[bit / 8 + 1])
            characters.append(Fingerprint.alphabet[Int(pair >> (11 - UInt16(bit % 8)) & 31)])
        }
        self.characters = characters
    }

    /// Parses 16 characters of the alphabet in either case; hyphens, colons and spaces between them do not count.
    package init?(_ text: String) {
        let characters = text.lowercased().filter { $0 != "-" && $0 != ":" && $0 != " " }
        guard characters.count == 16, characters.allSatisfy({ Fingerprint.alphabet.contains($0) }) else {
            return nil
        }
        self.characters = characters
    }

    /// "abcd-efgh-ijkm-npqr".
    package var description: String {
        let all = Array(characters)
        return stride(from: 0, to: 16, by: 4).map { String(all[$0..<$0 + 4]) }.joined(separator: "-")
    }
}

/// The context strings that keep a signature made for one purpose from being used for another.
enum SignatureContext {
    static let announce = Array("img session 1 announce\0".utf8)
    static let accept = Array("img session 1 accept\0".utf8)
    static let seal = Array("img session 1 seal\0".utf8)
    static let order = Array("img work 1 order\0".utf8)
    static let offer = Array("img work 1 offer\0".utf8)
    static let room = Array("img work 1 room\0".utf8)
}

/// What a seal is made over, and how a participant checks it: everything a verifying thread needs, freely copied.
package struct SealVerifier: Sendable {
    package let session: UInt64
    package let image: GUID
    package let key: PublicKey

    package init(session: UInt64, image: GUID, key: PublicKey) {
        self.session = session
        self.image = image
        self.key = key
    }

    /// Checks a frame with its seal behind it and returns the number of bytes of the frame.
    ///
    /// Checked are the lengths, that the frame's header names `chunk`, and the seal over prefix and header. The
    /// payload is *not*: its SHA-256 is in the header, and whoever decodes the frame compares it.
    package func check(_ sealed: RawSpan, chunk: UInt32) throws(DecodeError) -> Int {
        let layout = try FrameLayout(of: sealed)
        guard layout.chunk == chunk else {
            throw .invalid("the frame sent as chunk \(chunk) says that it is chunk \(layout.chunk)")
        }
        var offset = 0
        let header = try sealed.array(layout.headerEnd, at: &offset, "a frame's header")
        offset = layout.frameBytes
        let seal = try sealed.array(Specification.sealBytes, at: &offset, "a seal")
        guard key.verifies(seal, of: sealedMessage(session: session, image: image, header: header)) else {
            throw .corrupt("the seal of chunk \(chunk) does not match")
        }
        return layout.frameBytes
    }
}

/// What the prefix of a frame says about its size.
struct FrameLayout {
    /// Bytes of prefix and header.
    let headerEnd: Int
    /// Bytes of the frame: prefix, header, payload.
    let frameBytes: Int
    /// The chunk number at the start of the header.
    let chunk: UInt32

    /// Reads the layout of a frame that has exactly a seal behind it.
    init(of sealed: RawSpan) throws(DecodeError) {
        try self.init(prefixOf: sealed)
        guard sealed.byteCount == frameBytes + Specification.sealBytes else {
            throw .invalid("a frame of \(frameBytes) bytes came as \(sealed.byteCount) with its seal")
        }
    }

    /// Reads the layout of a frame that has no seal yet.
    init(ofFrame frame: RawSpan) throws(DecodeError) {
        try self.init(prefixOf: frame)
        guard frame.byteCount == frameBytes else {
            throw .invalid("a frame of \(frame.byteCount) bytes says it has \(frameBytes)")
        }
    }

    private init(prefixOf bytes: RawSpan) throws(DecodeError) {
        var offset = 2
        let headerBytes = Int(try bytes.u16(at: &offset))
        let payloadBytes = Int(try bytes.u32(at: &offset))
        guard headerBytes >= 4 else {
            throw .invalid("a frame's header of \(headerBytes) bytes has no chunk number")
        }
        headerEnd = Specification.framePrefixBytes + headerBytes
        frameBytes = headerEnd + payloadBytes
        chunk = try bytes.u32(at: &offset)
    }
}

/// The bytes a seal signs: context, session, image, then the frame's prefix and header.
func sealedMessage(session: UInt64, image: GUID, header: [UInt8]) -> [UInt8] {
    var writer = ByteWriter(reserving: 64 + header.count)
    writer.append(SignatureContext.seal)
    writer.u64(session)
    writer.append(image.bytes)
    writer.append(header)
    return writer.bytes
}

extension PrivateKey {
    /// The 64-byte seal of `frame`, or why the frame is not one of `chunk`.
    package func seal(
        _ frame: [UInt8], chunk: UInt32, session: UInt64, image: GUID
    ) throws(DecodeError) -> [UInt8] {
        let layout = try frame.withBytes { (span) throws(DecodeError) in try FrameLayout(ofFrame: span) }
        guard layout.chunk == chunk else {
            throw .invalid("the frame loaded for chunk \(chunk) says that it is chunk \(layout.chunk)")
        }
        return signature(
            of: sealedMessage(session: session, image: image, header: Array(frame[..<layout.headerEnd])))
    }
}
