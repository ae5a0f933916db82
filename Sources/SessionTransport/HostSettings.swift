// What a host is to do, and what came of it.
package import Blocks
internal import Linux
package import SessionProtocol

/// What to host and how.
package struct HostSettings: Sendable {
    /// The session's name, 1 to 255 bytes of UTF-8.
    package var name: String
    package var image: GUID
    package var manifest: [UInt8]
    /// The chunks the image has, table frames included.
    package var existing: ChunkSet
    /// The longest frame of the image in bytes, or an upper limit.
    package var maximumFrameBytes: Int
    package var hostKey: PrivateKey
    package var interface: HostInterface
    /// Registrations at which the session starts; nil: their number never starts it.
    package var participants: Int? = 1
    /// Nanoseconds after the last registration at which it starts with whoever is there; nil waits for ever.
    package var registrationTimeout: UInt64?
    /// Nanoseconds after `run` at which it starts with whoever is there, or else with the first who registers later.
    package var startDelay: UInt64?
    /// Whether the host, before the start, gives way to another one that announces the same name and is running already or
    /// has the smaller key: so do master workstations, of which one is to remain.
    package var yields = false
    /// Bytes of memory for frames that are being sent; at least two of the longest are kept.
    package var frameMemory = 64 << 20
    /// The most the session may take of the network in Mbit/s, headers included; nil is the link's speed.
    package var rate: Int?
    /// UDP ports the data is spread over, 1 to 8; nil is one, and more on a fast link.
    package var streams: Int?
    /// Routers multicast may pass.
    package var ttl: UInt8 = 16
    /// Nanoseconds the session waits for silent participants once the others have finished.
    package var linger: UInt64 = 120 * second

    package init(
        name: String, image: GUID, manifest: [UInt8], existing: ChunkSet, maximumFrameBytes: Int,
        hostKey: PrivateKey, interface: HostInterface
    ) {
        self.name = name
        self.image = image
        self.manifest = manifest
        self.existing = existing
        self.maximumFrameBytes = maximumFrameBytes
        self.hostKey = hostKey
        self.interface = interface
    }

    /// The most the data plane may send in bytes of UDP payload per second: `rate`, or what the link carries.
    ///
    /// On the wire a datagram of 1440 bytes takes 98 more: UDP, IP and Ethernet headers, preamble and gap. Where the
    /// link does not say how fast it is, the losses of the participants and the kernel's own queues decide.
    ///
    /// `limit` is a share of the link, in Mbit/s, that others leave to this session.
    func payloadRate(linkMegabits: Int?, limit: Int? = nil) -> UInt64 {
        let megabits = min(rate ?? linkMegabits ?? HostSettings.fastestLink, limit ?? .max)
        return max(UInt64(clamping: megabits) &* 125_000 &* 1440 / 1538, 1440)
    }

    /// Mbit/s that no link of today exceeds.
    private static let fastestLink = 100_000
}
