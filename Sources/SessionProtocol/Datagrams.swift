// The datagrams: SYMBOL and BEACON of the data plane, SEEK and ANNOUNCE of discovery.
//
// All integers are little endian; byte 0 is the version, byte 1 the type.
//
//   1 SYMBOL    0 u8 version  1 u8 type  2 u8 stream  3 u8 generation  4 u64 session  12 u32 sequence
//               16 u32 chunk  20 u32 length (frame + seal)  24 u16 stripe  26 u16 symbol  28 u32 zero
//               32 payload[1408]
//   2 BEACON    0 u8 version  1 u8 type  2 u8 stream  3 u8 state  4 u64 session  12 u32 next sequence
//               16 u32 cursor  20 u32 sweeps  24 u64 rate (bytes/s)  32 u16 joined  34 u16 needed  36 zero[12]
//   3 SEEK      0 u8 lowest version  1 u8 type  2 u8 highest version  3 u8 zero  4 magic[4]
//               8 participant GUID[16]  24 name session
//   4 ANNOUNCE  0 u8 version  1 u8 type  2 u16 zero  4 magic[4]  8 signature[64] by the host key over context,
//               then bytes 0..7, then the datagram from 72 on
//               72 u8 lowest version  73 u8 highest version  74 u8 state  75 u8 zero  76 u64 session
//               84 u16 joined  86 u16 needed  88 u16 control port  90 u16 data port  92 host key[32]
//               124 group address[17]  141 name session  then u8 addresses, per address [17]
package import Blocks

/// The types of datagrams with their numbers on the wire.
enum DatagramType: UInt8 {
    case symbol = 1
    case beacon, seek, announce
}

/// What every datagram of discovery has at offset 4.
let discoveryMagic: [UInt8] = Array("imgs".utf8)

/// The longest datagram of discovery: 9 addresses of 17 bytes, a name of 256 and fixed fields, never a fragment.
let maximumDiscoveryBytes = 1200

/// The header of a SYMBOL.
package struct SymbolHeader: Equatable, Sendable {
    package var stream: UInt8 = 0
    package var generation: UInt8 = 0
    package var session: UInt64
    package var sequence: UInt32
    package var chunk: UInt32
    /// Bytes of frame and seal.
    package var length: UInt32
    package var stripe: UInt16
    package var symbol: UInt16

    /// Writes the 32 bytes at `offset`; the span must have room for them.
    package func write(to bytes: inout MutableRawSpan, at offset: Int) {
        bytes.store(Specification.version, at: offset)
        bytes.store(DatagramType.symbol.rawValue, at: offset + 1)
        bytes.store(stream, at: offset + 2)
        bytes.store(generation, at: offset + 3)
        bytes.store(session, at: offset + 4)
        bytes.store(sequence, at: offset + 12)
        bytes.store(chunk, at: offset + 16)
        bytes.store(length, at: offset + 20)
        bytes.store(stripe, at: offset + 24)
        bytes.store(symbol, at: offset + 26)
        bytes.store(UInt32(0), at: offset + 28)
    }

    /// Writes a header like `template` with what differs from one symbol of a chunk to the next.
    @inline(__always)
    static func write(
        _ template: SymbolHeader, sequence: UInt32, stripe: UInt16, symbol: UInt16,
        to bytes: inout MutableRawSpan, at offset: Int
    ) {
        var header = template
        header.sequence = sequence
        header.stripe = stripe
        header.symbol = symbol
        header.write(to: &bytes, at: offset)
    }

    /// Reads the header of a SYMBOL datagram, whose size must be exactly right.
    package init(from bytes: RawSpan) throws(DecodeError) {
        guard bytes.byteCount == Specification.datagramBytes else {
            throw .invalid("a SYMBOL of \(bytes.byteCount) bytes")
        }
        var offset = 0
        try bytes.expectStart(.symbol, at: &offset)
        stream = try bytes.u8(at: &offset)
        generation = try bytes.u8(at: &offset)
        session = try bytes.u64(at: &offset)
        sequence = try bytes.u32(at: &offset)
        chunk = try bytes.u32(at: &offset)
        length = try bytes.u32(at: &offset)
        guard length > Specification.sealBytes, length <= Specification.maximumSealedFrameBytes else {
            throw .invalid("a SYMBOL of a frame of \(length) bytes")
        }
        stripe = try bytes.u16(at: &offset)
        symbol = try bytes.u16(at: &offset)
    }

    package init(
        stream: UInt8 = 0, generation: UInt8 = 0, session: UInt64, sequence: UInt32, chunk: UInt32,
        length: UInt32, stripe: UInt16, symbol: UInt16
    ) {
        self.stream = stream
        self.generation = generation
        self.session = session
        self.sequence = sequence
        self.chunk = chunk
        self.length = length
        self.stripe = stripe
        self.symbol = symbol
    }
}

/// BEACON, host to group: the host lives and has nothing else to say.
package struct Beacon: Equatable, Sendable {
    package var stream: UInt8 = 0
    package var state: SessionSnapshot.State
    package var session: UInt64
    /// The sequence the stream's next SYMBOL will have: what is below and has not come is lost.
    package var nextSequence: UInt32
    package var cursor: UInt32
    package var sweeps: UInt32
    /// Bytes per second.
    package var rate: UInt64
    package var joined: UInt16
    package var needed: UInt16

    /// Writes the 48 bytes at `offset`; the span must have room for them.
    package func write(to bytes: inout MutableRawSpan, at offset: Int) {
        bytes.store(Specification.version, at: offset)
        bytes.store(DatagramType.beacon.rawValue, at: offset + 1)
        bytes.store(stream, at: offset + 2)
        bytes.store(state.rawValue, at: offset + 3)
        bytes.store(session, at: offset + 4)
        bytes.store(nextSequence, at: offset + 12)
        bytes.store(cursor, at: offset + 16)
        bytes.store(sweeps, at: offset + 20)
        bytes.store(rate, at: offset + 24)
        bytes.store(joined, at: offset + 32)
        bytes.store(needed, at: offset + 34)
        bytes.store(UInt32(0), at: offset + 36)
        bytes.store(UInt64(0), at: offset + 40)
    }

    package init(from bytes: RawSpan) throws(DecodeError) {
        guard bytes.byteCount >= Specification.beaconBytes else {
            throw .truncated("a BEACON of \(bytes.byteCount) bytes")
        }
        var offset = 0
        try bytes.expectStart(.beacon, at: &offset)
        stream = try bytes.u8(at: &offset)
        let state = try bytes.u8(at: &offset)
        guard let state = SessionSnapshot.State(rawValue: state) else {
            throw .unsupported("session state \(state)")
        }
        self.state = state
        session = try bytes.u64(at: &offset)
        nextSequence = try bytes.u32(at: &offset)
        cursor = try bytes.u32(at: &offset)
        sweeps = try bytes.u32(at: &offset)
        rate = try bytes.u64(at: &offset)
        joined = try bytes.u16(at: &offset)
        needed = try bytes.u16(at: &offset)
    }

    package init(
        stream: UInt8 = 0, state: SessionSnapshot.State, session: UInt64, nextSequence: UInt32,
        cursor: UInt32, sweeps: UInt32,
        rate: UInt64, joined: UInt16, needed: UInt16
    ) {
        self.stream = stream
        self.state = state
        self.session = session
        self.nextSequence = nextSequence
        self.cursor = cursor
        self.sweeps = sweeps
        self.rate = rate
        self.joined = joined
        self.needed = needed
    }
}

/// SEEK, participant to everyone: the question who hosts a session of this name.
package struct SeekMessage: Equatable, Sendable {
    package var lowestVersion: UInt8 = Specification.lowestVersion
    package var highestVersion: UInt8 = Specification.version
    package var participant: GUID
    package var session: String

    package func encode() -> [UInt8] {
        var writer = ByteWriter(reserving: 288)
        writer.u8(lowestVersion)
        writer.u8(DatagramType.seek.rawValue)
        writer.u8(highestVersion)
        writer.u8(0)
        writer.append(discoveryMagic)
        writer.append(participant.bytes)
        writer.name(session)
        return writer.bytes
    }

    package init(from bytes: RawSpan) throws(DecodeError) {
        var offset = 0
        lowestVersion = try bytes.u8(at: &offset)
        try bytes.expect(.seek, at: &offset)
        highestVersion = try bytes.u8(at: &offset)
        guard lowestVersion <= highestVersion else {
            throw .invalid("SEEK's versions \(lowestVersion) to \(highestVersion) do not ascend")
        }
        try bytes.skip(1, at: &offset)
        try bytes.expectMagic(at: &offset)
        participant = try GUID(from: bytes, at: &offset)
        session = try bytes.name(at: &offset, "SEEK's session name")
    }

    package init(participant: GUID, session: String) {
        self.participant = participant
        self.session = session
    }
}

/// ANNOUNCE, host to everyone and to who asked: here is the session, signed.
package struct AnnounceMessage: Equatable, Sendable {
    package var lowestVersion: UInt8 = Specification.lowestVersion
    package var highestVersion: UInt8 = Specification.version
    package var state: SessionSnapshot.State
    package var session: UInt64
    package var joined: UInt16
    package var needed: UInt16
    package var controlPort: UInt16
    package var dataPort: UInt16
    package var hostKey: PublicKey
    package var group: Address
    package var name: String
    package var addresses: [Address]

    private static let signedFrom = 8 + Specification.signatureBytes

    /// The datagram, signed by `key`, which must be that of `hostKey`.
    package func encode(signedBy key: PrivateKey) -> [UInt8] {
        var start = ByteWriter(reserving: 8)
        start.u8(Specification.version)
        start.u8(DatagramType.announce.rawValue)
        start.u16(0)
        start.append(discoveryMagic)
        var writer = ByteWriter(reserving: 512)
        writer.u8(lowestVersion)
        writer.u8(highestVersion)
        writer.u8(state.rawValue)
        writer.u8(0)
        writer.u64(session)
        writer.u16(joined)
        writer.u16(needed)
        writer.u16(controlPort)
        writer.u16(dataPort)
        writer.append(hostKey.bytes)
        group.encode(into: &writer)
        writer.name(name)
        writer.u8(UInt8(min(addresses.count, Specification.maximumAddresses)))
        for address in addresses.prefix(Specification.maximumAddresses) { address.encode(into: &writer) }
        let signature = key.signature(of: SignatureContext.announce + start.bytes + writer.bytes)
        return start.bytes + signature + writer.bytes
    }

    /// Reads an announcement and checks its signature by the key it names.
    package init(from bytes: RawSpan) throws(DecodeError) {
        try self.init(unverified: bytes)
        var offset = 0
        let start = try bytes.array(8, at: &offset, "ANNOUNCE")
        let signature = try bytes.array(Specification.signatureBytes, at: &offset, "ANNOUNCE's signature")
        let rest = try bytes.array(bytes.byteCount - offset, at: &offset, "ANNOUNCE")
        guard hostKey.verifies(signature, of: SignatureContext.announce + start + rest) else {
            throw .corrupt("the signature of an ANNOUNCE does not match")
        }
    }

    /// Whether a datagram says that it announces the session `name`; its signature is not checked.
    package static func claims(_ name: String, in bytes: RawSpan) -> Bool {
        (try? AnnounceMessage(unverified: bytes))?.name == name
    }

    /// Where to connect to, if the announcement came from `address`: there, or at an address of the same family.
    package func endpoint(heardFrom address: Address) -> Endpoint {
        let own =
            addresses.contains(address)
            ? address : addresses.first { $0.family == address.family } ?? address
        return Endpoint(own, port: controlPort)
    }

    /// Reads the fields of an announcement, which nobody may believe yet.
    package init(unverified bytes: RawSpan) throws(DecodeError) {
        guard bytes.byteCount <= maximumDiscoveryBytes else {
            throw .invalid("an ANNOUNCE of \(bytes.byteCount) bytes")
        }
        var offset = 0
        try bytes.expectStart(.announce, at: &offset)
        try bytes.skip(2, at: &offset)
        try bytes.expectMagic(at: &offset)
        try bytes.skip(Specification.signatureBytes, at: &offset)
        lowestVersion = try bytes.u8(at: &offset)
        highestVersion = try bytes.u8(at: &offset)
        let state = try bytes.u8(at: &offset)
        guard let state = SessionSnapshot.State(rawValue: state) else {
            throw .unsupported("session state \(state)")
        }
        self.state = state
        try bytes.skip(1, at: &offset)
        session = try bytes.u64(at: &offset)
        joined = try bytes.u16(at: &offset)
        needed = try bytes.u16(at: &offset)
        controlPort = try bytes.u16(at: &offset)
        dataPort = try bytes.u16(at: &offset)
        hostKey = try PublicKey(from: bytes, at: &offset)
        group = try Address(from: bytes, at: &offset)
        name = try bytes.name(at: &offset, "ANNOUNCE's session name")
        addresses = try bytes.addresses(at: &offset)
    }

    package init(
        state: SessionSnapshot.State, session: UInt64, joined: UInt16, needed: UInt16, controlPort: UInt16,
        dataPort: UInt16, hostKey: PublicKey, group: Address, name: String, addresses: [Address]
    ) {
        self.state = state
        self.session = session
        self.joined = joined
        self.needed = needed
        self.controlPort = controlPort
        self.dataPort = dataPort
        self.hostKey = hostKey
        self.group = group
        self.name = name
        self.addresses = addresses
    }
}

extension RawSpan {
    /// The type of a datagram, or nil if it is too short or of an unknown type.
    var datagramType: DatagramType? {
        var offset = 1
        guard let type = try? u8(at: &offset) else { return nil }
        return DatagramType(rawValue: type)
    }

    fileprivate func expect(_ type: DatagramType, at offset: inout Int) throws(DecodeError) {
        let found = try u8(at: &offset)
        guard found == type.rawValue else { throw .invalid("a datagram of type \(found)") }
    }

    fileprivate func expectStart(_ type: DatagramType, at offset: inout Int) throws(DecodeError) {
        let version = try u8(at: &offset)
        guard version == Specification.version else { throw .unsupported("a datagram of version \(version)") }
        try expect(type, at: &offset)
    }

    fileprivate func expectMagic(at offset: inout Int) throws(DecodeError) {
        guard try array(4, at: &offset, "the mark of discovery") == discoveryMagic else {
            throw .invalid("a datagram without the mark of discovery")
        }
    }
}

extension MutableRawSpan {
    /// Stores a little-endian integer; the offset must be within the span.
    @inline(__always)
    mutating func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }
}
