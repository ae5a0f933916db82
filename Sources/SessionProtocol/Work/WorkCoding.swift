// Encoders and decoders of the messages of the work plane; the layouts are in WorkMessages.swift.
package import Blocks

/// A whole message of the work plane: header and the body that `write` appends.
private func message(_ type: WorkMessageType, _ write: (inout ByteWriter) -> Void) -> [UInt8] {
    var writer = ByteWriter(reserving: 256)
    writer.u32(0)
    writer.u16(type.rawValue)
    writer.u16(mustUnderstand)
    write(&writer)
    writer.replaceU32(at: 0, with: UInt32(writer.count - Specification.messageHeaderBytes))
    return writer.bytes
}

/// A whole message that begins with the signature of the rest of its body.
private func message(
    _ type: WorkMessageType, signedBy key: PrivateKey, _ context: [UInt8], _ write: (inout ByteWriter) -> Void
) -> [UInt8] {
    var writer = ByteWriter(reserving: 512)
    write(&writer)
    let signed = writer.bytes
    return message(type) { message in
        message.append(key.signature(of: context + signed))
        message.append(signed)
    }
}

extension ByteWriter {
    fileprivate mutating func identifier(_ value: GUID?) {
        append(value?.bytes ?? [UInt8](repeating: 0, count: 16))
    }

    fileprivate mutating func manifest(_ json: [UInt8], _ existing: ChunkSet) {
        u32(UInt32(json.count))
        append(json)
        existing.encode(into: &self)
    }
}

extension RawSpan {
    fileprivate func identifier(at offset: inout Int) throws(DecodeError) -> GUID? {
        let value = try GUID(from: self, at: &offset)
        return value.high == 0 && value.low == 0 ? nil : value
    }

    fileprivate func versions(
        at offset: inout Int, _ what: String
    ) throws(DecodeError) -> (UInt8, UInt8) {
        let (lowest, highest) = (try u8(at: &offset), try u8(at: &offset))
        guard lowest <= highest else {
            throw .invalid("\(what)'s versions \(lowest) to \(highest) do not ascend")
        }
        return (lowest, highest)
    }

    fileprivate func nonce(at offset: inout Int) throws(DecodeError) -> [UInt8] {
        try array(Specification.nonceBytes, at: &offset, "a nonce")
    }

    fileprivate func mac(at offset: inout Int) throws(DecodeError) -> [UInt8] {
        try array(6, at: &offset, "a MAC address")
    }

    /// A text made safe for a screen.
    fileprivate func screenName(at offset: inout Int, _ what: String) throws(DecodeError) -> String {
        try name(at: &offset, what).onScreen
    }

    fileprivate func manifest(at offset: inout Int) throws(DecodeError) -> [UInt8] {
        let count = Int(try u32(at: &offset))
        guard count <= Specification.maximumManifestBytes else {
            throw .invalid("a manifest of \(count) bytes")
        }
        return try array(count, at: &offset, "a manifest")
    }
}

extension AskMessage {
    package func encode() -> [UInt8] {
        message(.ask) { writer in
            writer.u8(lowestVersion)
            writer.u8(highestVersion)
            writer.u8(workstation.firmware == .uefi ? 1 : 0)
            writer.u8(0)
            writer.append(nonce)
            writer.u64(workstation.memory)
            let macs = ([workstation.mac] + workstation.otherMACs).prefix(Specification.maximumInterfaces)
            writer.u8(UInt8(macs.count))
            for (index, mac) in macs.enumerated() {
                writer.append(mac)
                writer.name(index < workstation.networkCards.count ? workstation.networkCards[index] : "")
            }
            let addresses = workstation.addresses.prefix(Specification.maximumInterfaces)
            writer.u8(UInt8(addresses.count))
            for address in addresses { address.encode(into: &writer) }
            for text in [
                workstation.name, workstation.cpu, workstation.biosVendor, workstation.product,
                workstation.serial, workstation.assetTag,
            ] { writer.name(text) }
            let disks = workstation.disks.prefix(Specification.maximumDisks)
            writer.u8(UInt8(disks.count))
            for disk in disks {
                writer.u64(disk.size)
                writer.name(disk.model)
            }
            let video = workstation.video.prefix(Specification.maximumInterfaces)
            writer.u8(UInt8(video.count))
            for card in video { writer.name(card) }
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        let versions = try body.versions(at: &offset, "ASK")
        let firmware = try body.u8(at: &offset)
        try body.skip(1, at: &offset)
        let nonce = try body.nonce(at: &offset)
        let memory = try body.u64(at: &offset)
        let interfaces = Int(try body.u8(at: &offset))
        guard (1...Specification.maximumInterfaces).contains(interfaces) else {
            throw .invalid("ASK names \(interfaces) interfaces")
        }
        var macs: [[UInt8]] = []
        var cards: [String] = []
        for _ in 0..<interfaces {
            macs.append(try body.mac(at: &offset))
            cards.append(try body.screenName(at: &offset, "a network card"))
        }
        var workstation = Workstation(mac: macs[0])
        workstation.otherMACs = Array(macs.dropFirst())
        workstation.networkCards = cards
        workstation.firmware = firmware == 1 ? .uefi : .bios
        workstation.memory = memory
        let addresses = Int(try body.u8(at: &offset))
        guard addresses <= Specification.maximumInterfaces else {
            throw .invalid("ASK names \(addresses) addresses")
        }
        for _ in 0..<addresses { workstation.addresses.append(try Address(from: body, at: &offset)) }
        workstation.name = try body.screenName(at: &offset, "ASK's host name")
        workstation.cpu = try body.screenName(at: &offset, "ASK's CPU")
        workstation.biosVendor = try body.screenName(at: &offset, "ASK's BIOS vendor")
        workstation.product = try body.screenName(at: &offset, "ASK's product")
        workstation.serial = try body.screenName(at: &offset, "ASK's serial number")
        workstation.assetTag = try body.screenName(at: &offset, "ASK's asset tag")
        let disks = Int(try body.u8(at: &offset))
        guard disks <= Specification.maximumDisks else { throw .invalid("ASK lists \(disks) disks") }
        for _ in 0..<disks {
            let size = try body.u64(at: &offset)
            let model = try body.screenName(at: &offset, "a disk's model")
            workstation.disks.append(Workstation.Disk(size: size, model: model))
        }
        let video = Int(try body.u8(at: &offset))
        guard video <= Specification.maximumInterfaces else {
            throw .invalid("ASK lists \(video) video cards")
        }
        for _ in 0..<video { workstation.video.append(try body.screenName(at: &offset, "a video card")) }
        self.init(nonce: nonce, workstation: workstation)
        (lowestVersion, highestVersion) = versions
    }
}

extension OrderMessage {
    /// The message, signed by `key`, which must be that of `serverKey`.
    package func encode(signedBy key: PrivateKey) -> [UInt8] {
        message(.order, signedBy: key, SignatureContext.order) { writer in
            writer.append(nonce)
            writer.append(serverKey.bytes)
            writer.u64(order)
            writer.u8(verb.rawValue)
            writer.u8(0)
            writer.u16(seconds)
            writer.u16(clients)
            writer.u16(minutes)
            writer.identifier(image)
            writer.append(hostKey?.bytes ?? [UInt8](repeating: 0, count: Specification.keyBytes))
            writer.name(session)
            writer.name(imageName)
            writer.name(server)
            writer.text(reason)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = Specification.signatureBytes
        let nonce = try body.nonce(at: &offset)
        let serverKey = try PublicKey(from: body, at: &offset)
        let order = try body.u64(at: &offset)
        let number = try body.u8(at: &offset)
        guard let verb = WorkVerb(rawValue: number) else { throw .unsupported("an order of kind \(number)") }
        self.init(nonce: nonce, serverKey: serverKey, order: order, verb: verb)
        try body.skip(1, at: &offset)
        seconds = try body.u16(at: &offset)
        clients = try body.u16(at: &offset)
        minutes = try body.u16(at: &offset)
        image = try body.identifier(at: &offset)
        let key = try PublicKey(from: body, at: &offset)
        hostKey = key.bytes.allSatisfy { $0 == 0 } ? nil : key
        // Names that are asked for elsewhere: compared as they are, made safe where they are shown.
        session = try body.name(at: &offset, "an order's session")
        imageName = try body.name(at: &offset, "an order's image")
        server = try body.name(at: &offset, "an order's server")
        reason = try body.shortText(at: &offset, "an order's reason")
    }
}

extension OutcomeMessage {
    package func encode() -> [UInt8] {
        message(.outcome) { writer in
            writer.u64(order)
            writer.append(mac)
            writer.u8(isDone ? 0 : 1)
            writer.u8(0)
            writer.identifier(image)
            writer.u64(bytes)
            writer.u64(milliseconds)
            writer.text(text)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        order = try body.u64(at: &offset)
        mac = try body.mac(at: &offset)
        isDone = try body.u8(at: &offset) == 0
        try body.skip(1, at: &offset)
        image = try body.identifier(at: &offset)
        bytes = try body.u64(at: &offset)
        milliseconds = try body.u64(at: &offset)
        text = try body.shortText(at: &offset, "OUTCOME's text")
    }
}

extension NotedMessage {
    package func encode() -> [UInt8] { message(.noted) { $0.u64(order) } }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        order = try body.u64(at: &offset)
    }
}

extension RoleMessage {
    package func encode() -> [UInt8] {
        message(.role) { writer in
            writer.u64(order)
            writer.append(hostKey.bytes)
            writer.identifier(image)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        order = try body.u64(at: &offset)
        hostKey = try PublicKey(from: body, at: &offset)
        image = try GUID(from: body, at: &offset)
    }
}

extension FetchMessage {
    package func encode() -> [UInt8] {
        message(.fetch) { writer in
            writer.u8(lowestVersion)
            writer.u8(highestVersion)
            writer.u16(0)
            writer.append(nonce)
            writer.identifier(knownImage)
            writer.name(image)
            writer.name(host)
            writer.append(mac)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        (lowestVersion, highestVersion) = try body.versions(at: &offset, "FETCH")
        try body.skip(2, at: &offset)
        nonce = try body.nonce(at: &offset)
        knownImage = try body.identifier(at: &offset)
        image = try body.name(at: &offset, "FETCH's image")
        host = try body.screenName(at: &offset, "FETCH's host name")
        mac = try body.mac(at: &offset)
    }
}

extension OfferMessage {
    /// The message, signed by `key`, which must be that of `serverKey`.
    package func encode(signedBy key: PrivateKey) -> [UInt8] {
        message(.offer, signedBy: key, SignatureContext.offer) { writer in
            writer.append(nonce)
            writer.append(serverKey.bytes)
            writer.u64(session)
            writer.identifier(image)
            writer.append(sessionKey.bytes)
            writer.manifest(manifest, existing)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = Specification.signatureBytes
        nonce = try body.nonce(at: &offset)
        serverKey = try PublicKey(from: body, at: &offset)
        session = try body.u64(at: &offset)
        image = try GUID(from: body, at: &offset)
        sessionKey = try PublicKey(from: body, at: &offset)
        manifest = try body.manifest(at: &offset)
        existing = try body.chunkSet(at: &offset)
    }
}

extension StoreMessage {
    package func encode() -> [UInt8] {
        message(.store) { writer in
            writer.u8(lowestVersion)
            writer.u8(highestVersion)
            writer.u16(0)
            writer.append(nonce)
            writer.identifier(imageID)
            writer.u64(order)
            writer.u64(mostBytes)
            writer.append(mac)
            writer.u16(0)
            writer.name(image)
            writer.name(host)
            writer.manifest(manifest, existing)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        (lowestVersion, highestVersion) = try body.versions(at: &offset, "STORE")
        try body.skip(2, at: &offset)
        nonce = try body.nonce(at: &offset)
        imageID = try GUID(from: body, at: &offset)
        order = try body.u64(at: &offset)
        mostBytes = try body.u64(at: &offset)
        mac = try body.mac(at: &offset)
        try body.skip(2, at: &offset)
        image = try body.name(at: &offset, "STORE's image")
        host = try body.screenName(at: &offset, "STORE's host name")
        manifest = try body.manifest(at: &offset)
        existing = try body.chunkSet(at: &offset)
    }
}

extension RoomMessage {
    /// The message, signed by `key`, which must be that of `serverKey`.
    package func encode(signedBy key: PrivateKey) -> [UInt8] {
        message(.room, signedBy: key, SignatureContext.room) { writer in
            writer.append(nonce)
            writer.append(serverKey.bytes)
            writer.identifier(image)
            stored.encode(into: &writer)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = Specification.signatureBytes
        nonce = try body.nonce(at: &offset)
        serverKey = try PublicKey(from: body, at: &offset)
        image = try GUID(from: body, at: &offset)
        stored = try body.chunkSet(at: &offset)
    }
}

extension FrameMessage {
    package func encode() -> [UInt8] {
        message(.frame) { writer in
            writer.u32(chunk)
            writer.u32(UInt32(frame.count))
            writer.append(frame)
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        chunk = try body.u32(at: &offset)
        let length = Int(try body.u32(at: &offset))
        guard length <= Specification.maximumSealedFrameBytes else {
            throw .invalid("a frame of \(length) bytes")
        }
        frame = try body.array(length, at: &offset, "FRAME's frame")
    }
}
