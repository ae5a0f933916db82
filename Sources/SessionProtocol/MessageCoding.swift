// Encoders and decoders of the control messages, one pair each; the layouts are in Messages.swift.
package import Blocks

extension ByteWriter {
    /// Appends u16 count and UTF-8, cut to 1024 bytes at a character's end.
    mutating func text(_ value: String) {
        let bytes = value.utf8Prefix(Specification.maximumTextBytes)
        u16(UInt16(bytes.count))
        append(bytes)
    }

    /// Appends u8 count and UTF-8, cut to 255 bytes at a character's end.
    mutating func name(_ value: String) {
        let bytes = value.utf8Prefix(255)
        u8(UInt8(bytes.count))
        append(bytes)
    }
}

extension String {
    /// At most `count` bytes of UTF-8 that end at a character's end.
    func utf8Prefix(_ count: Int) -> [UInt8] {
        if utf8.count <= count { return Array(utf8) }
        var bytes: [UInt8] = []
        for scalar in unicodeScalars {
            let more = Array(String(scalar).utf8)
            if bytes.count + more.count > count { break }
            bytes += more
        }
        return bytes
    }
}

extension RawSpan {
    func shortText(at offset: inout Int, _ what: String) throws(DecodeError) -> String {
        let count = Int(try u16(at: &offset))
        guard count <= Specification.maximumTextBytes else { throw .invalid("\(what) has \(count) bytes") }
        return try text(count, at: &offset, what).onScreen
    }

    func name(at offset: inout Int, _ what: String) throws(DecodeError) -> String {
        try text(Int(try u8(at: &offset)), at: &offset, what)
    }

    /// Moves past `count` bytes that have no meaning yet.
    func skip(_ count: Int, at offset: inout Int) throws(DecodeError) {
        guard count <= byteCount - offset else { throw .truncated("a reserved field") }
        offset += count
    }

    func chunkSet(at offset: inout Int) throws(DecodeError) -> ChunkSet {
        try ChunkSet(from: self, at: &offset)
    }
}

/// A whole control message: header and the body that `write` appends.
func message(
    _ type: MessageType, mustUnderstand isCritical: Bool = false, _ write: (inout ByteWriter) -> Void
) -> [UInt8] {
    var writer = ByteWriter(reserving: 256)
    writer.u32(0)
    writer.u16(type.rawValue)
    writer.u16(isCritical ? mustUnderstand : 0)
    write(&writer)
    writer.replaceU32(at: 0, with: UInt32(writer.count - Specification.messageHeaderBytes))
    return writer.bytes
}

extension JoinMessage {
    package func encode() -> [UInt8] {
        message(.join, mustUnderstand: true) { writer in
            writer.u8(lowestVersion)
            writer.u8(highestVersion)
            writer.u16(0)
            writer.append(nonce)
            writer.u32(identity.linkMegabits)
            writer.append(identity.mac)
            writer.u16(0)
            writer.append(participant.bytes)
            writer.append(knownImage?.bytes ?? [UInt8](repeating: 0, count: 16))
            writer.name(session)
            writer.name(identity.name)
            writer.name(identity.serial)
            writer.u8(UInt8(min(identity.disks.count, Specification.maximumDisks)))
            for disk in identity.disks.prefix(Specification.maximumDisks) {
                writer.u64(disk.size)
                writer.name(disk.text)
            }
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        lowestVersion = try body.u8(at: &offset)
        highestVersion = try body.u8(at: &offset)
        guard lowestVersion <= highestVersion else {
            throw .invalid("JOIN's versions \(lowestVersion) to \(highestVersion) do not ascend")
        }
        try body.skip(2, at: &offset)
        nonce = try body.array(Specification.nonceBytes, at: &offset, "JOIN's nonce")
        let linkMegabits = try body.u32(at: &offset)
        let mac = try body.array(6, at: &offset, "JOIN's MAC address")
        try body.skip(2, at: &offset)
        participant = try GUID(from: body, at: &offset)
        let image = try GUID(from: body, at: &offset)
        knownImage = image.high == 0 && image.low == 0 ? nil : image
        session = try body.name(at: &offset, "JOIN's session name")
        let name = try body.name(at: &offset, "JOIN's name").onScreen
        let serial = try body.name(at: &offset, "JOIN's serial number").onScreen
        let count = Int(try body.u8(at: &offset))
        guard count <= Specification.maximumDisks else { throw .invalid("JOIN lists \(count) disks") }
        var disks: [DiskSummary] = []
        for _ in 0..<count {
            let size = try body.u64(at: &offset)
            disks.append(DiskSummary(text: try body.name(at: &offset, "a disk's name").onScreen, size: size))
        }
        identity = ParticipantIdentity(
            name: name, serial: serial, mac: mac, linkMegabits: linkMegabits, disks: disks)
    }
}

extension AcceptMessage {
    /// The message, signed by `key`, which must be that of `hostKey`.
    package func encode(signedBy key: PrivateKey) -> [UInt8] {
        var writer = ByteWriter(reserving: 512 + manifest.count)
        writer.append(nonce)
        writer.u8(version)
        writer.u8(streams)
        writer.u16(slot)
        writer.u32(maximumSealedBytes)
        writer.u64(session)
        writer.append(image.bytes)
        writer.append(hostKey.bytes)
        writer.append(sessionKey.bytes)
        writer.u16(dataPort)
        group.encode(into: &writer)
        writer.u8(UInt8(min(addresses.count, Specification.maximumAddresses)))
        for address in addresses.prefix(Specification.maximumAddresses) { address.encode(into: &writer) }
        writer.u32(UInt32(manifest.count))
        writer.append(manifest)
        existing.encode(into: &writer)
        let signed = writer.bytes
        return message(.accept, mustUnderstand: true) { message in
            message.append(key.signature(of: SignatureContext.accept + signed))
            message.append(signed)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = Specification.signatureBytes
        nonce = try body.array(Specification.nonceBytes, at: &offset, "ACCEPT's nonce")
        version = try body.u8(at: &offset)
        streams = try body.u8(at: &offset)
        guard streams >= 1, streams <= Specification.maximumStreams else {
            throw .invalid("ACCEPT names \(streams) streams")
        }
        slot = try body.u16(at: &offset)
        maximumSealedBytes = try body.u32(at: &offset)
        guard maximumSealedBytes <= Specification.maximumSealedFrameBytes else {
            throw .invalid("ACCEPT announces frames of \(maximumSealedBytes) bytes")
        }
        session = try body.u64(at: &offset)
        image = try GUID(from: body, at: &offset)
        hostKey = try PublicKey(from: body, at: &offset)
        sessionKey = try PublicKey(from: body, at: &offset)
        dataPort = try body.u16(at: &offset)
        group = try Address(from: body, at: &offset)
        addresses = try body.addresses(at: &offset)
        let count = Int(try body.u32(at: &offset))
        guard count <= Specification.maximumManifestBytes else {
            throw .invalid("a manifest of \(count) bytes")
        }
        manifest = try body.array(count, at: &offset, "ACCEPT's manifest")
        existing = try body.chunkSet(at: &offset)
    }
}

extension RawSpan {
    /// Reads u8 count and that many addresses.
    func addresses(at offset: inout Int) throws(DecodeError) -> [Address] {
        let count = Int(try u8(at: &offset))
        guard count <= Specification.maximumAddresses else { throw .invalid("a list of \(count) addresses") }
        var result: [Address] = []
        for _ in 0..<count { result.append(try Address(from: self, at: &offset)) }
        return result
    }
}

extension RefuseMessage {
    package func encode() -> [UInt8] {
        message(.refuse, mustUnderstand: true) { writer in
            writer.u8(lowestVersion)
            writer.u8(highestVersion)
            writer.u16(code)
            writer.text(reason)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        lowestVersion = try body.u8(at: &offset)
        highestVersion = try body.u8(at: &offset)
        code = try body.u16(at: &offset)
        reason = try body.shortText(at: &offset, "REFUSE's reason")
    }
}

extension NeedMessage {
    package func encode() -> [UInt8] {
        message(.need, mustUnderstand: true) { writer in
            writer.u8(mode.rawValue)
            writer.append(zeros: 3)
            chunks.encode(into: &writer)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        let mode = try body.u8(at: &offset)
        guard let mode = Mode(rawValue: mode) else { throw .unsupported("NEED of mode \(mode)") }
        self.mode = mode
        try body.skip(3, at: &offset)
        chunks = try body.chunkSet(at: &offset)
    }
}

extension ChunkMessage {
    package func encode() -> [UInt8] { ChunkMessage.encode(chunk: chunk, sealed: sealed[...]) }

    /// The message without a copy of the frame in between.
    static func encode(chunk: UInt32, sealed: ArraySlice<UInt8>) -> [UInt8] {
        var writer = ByteWriter(reserving: Specification.messageHeaderBytes + fixedBytes + sealed.count)
        writer.u32(UInt32(fixedBytes + sealed.count))
        writer.u16(MessageType.chunk.rawValue)
        writer.u16(mustUnderstand)
        writer.u32(chunk)
        writer.u32(UInt32(sealed.count))
        writer.append(sealed)
        return writer.bytes
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        chunk = try body.u32(at: &offset)
        let length = Int(try body.u32(at: &offset))
        guard length <= Specification.maximumSealedFrameBytes else {
            throw .invalid("a frame of \(length) bytes")
        }
        sealed = try body.array(length, at: &offset, "CHUNK's frame")
    }
}

extension StartMessage {
    package func encode() -> [UInt8] {
        message(.start, mustUnderstand: true) { writer in
            writer.u16(participants)
            writer.u16(reportInterval)
            writer.u32(sequence)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        participants = try body.u16(at: &offset)
        reportInterval = try body.u16(at: &offset)
        sequence = try body.u32(at: &offset)
    }
}

extension NoticeMessage {
    package func encode() -> [UInt8] {
        message(.notice) { writer in
            writer.u8(level.rawValue)
            writer.u8(state.rawValue)
            writer.u16(joined)
            writer.u16(needed)
            writer.text(text)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        let level = try body.u8(at: &offset)
        guard let level = Level(rawValue: level) else { throw .unsupported("NOTICE of level \(level)") }
        self.level = level
        let state = try body.u8(at: &offset)
        guard let state = SessionSnapshot.State(rawValue: state) else {
            throw .unsupported("session state \(state)")
        }
        self.state = state
        joined = try body.u16(at: &offset)
        needed = try body.u16(at: &offset)
        text = try body.shortText(at: &offset, "NOTICE's text")
    }
}

extension DoneMessage {
    package func encode() -> [UInt8] {
        message(.done, mustUnderstand: true) { writer in
            writer.u64(chunks)
            writer.u64(bytes)
            writer.text(text)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        chunks = try body.u64(at: &offset)
        bytes = try body.u64(at: &offset)
        text = try body.shortText(at: &offset, "DONE's text")
    }
}

extension AbortMessage {
    package func encode() -> [UInt8] { message(.abort, mustUnderstand: true) { $0.text(reason) } }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        reason = try body.shortText(at: &offset, "ABORT's reason")
    }
}

extension EndMessage {
    package func encode() -> [UInt8] {
        message(.end, mustUnderstand: true) { writer in
            writer.u8(outcome.rawValue)
            writer.u8(0)
            writer.text(text)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        let outcome = try body.u8(at: &offset)
        guard let outcome = Outcome(rawValue: outcome) else {
            throw .unsupported("END of outcome \(outcome)")
        }
        self.outcome = outcome
        try body.skip(1, at: &offset)
        text = try body.shortText(at: &offset, "END's text")
    }
}
