// The manifest: round trip, and every figure that is checked.
import Blocks
import ImageFormat
import Testing

/// A way to spoil a manifest.
private struct Spoiling: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let change: @Sendable (inout Manifest) -> Void

    init(_ what: String, _ change: @escaping @Sendable (inout Manifest) -> Void) {
        testDescription = what
        self.change = change
    }
}

@Suite struct ManifestTests {
    private static var sample: Manifest { Golden.all[4].image().manifest }

    @Test func roundTrips() throws {
        let json = try Self.sample.encoded()
        let manifest = try Manifest(decoding: json)
        #expect(manifest == Self.sample)
        #expect(try manifest.encoded() == json)
        #expect(try manifest.layout() == Golden.all[4].image().layout)
        #expect(try manifest.identifier() == Golden.all[4].image().id)
    }

    @Test func ignoresFieldsOfLaterVersions() throws {
        let json = try Self.sample.encoded()
        let later = Array("{\"colour\":[1,{}],".utf8) + json.dropFirst()
        #expect(try Manifest(decoding: later) == Self.sample)
    }

    private static let spoilings = [
        Spoiling("formatVersion") { $0.formatVersion = 2 },
        Spoiling("imageID") { $0.imageID = "no" },
        Spoiling("chunkSize") { $0.chunkSize = 1000 },
        Spoiling("negative chunkCount") { $0.chunkCount = -1 },
        Spoiling("chunkCount beyond the layout") { $0.chunkCount = 7 },
        Spoiling("usedBytes") { $0.usedBytes = 231_425 },
        Spoiling("bases") { $0.bases = [0, 1] },
        Spoiling("one base") { $0.bases = [0] },
        Spoiling("no disks") { $0.disks = [] },
        Spoiling("disk size 0") { $0.disks[1].size = 0 },
        Spoiling("disk size") { $0.disks[1].size = .max },
        Spoiling("odd disk size") { $0.disks[1].size -= 1 },
        Spoiling("logical sector") { $0.disks[0].logicalSectorSize = 0 },
        Spoiling("logical sector 8192") { $0.disks[0].logicalSectorSize = 8192 },
        Spoiling("physical sector") { $0.disks[0].physicalSectorSize = 0 },
        Spoiling("smallest target") { $0.disks[0].smallestTarget = $0.disks[0].size + 1 },
        Spoiling("negative slot") { $0.partitions[0].slot = -1 },
        Spoiling("slot twice") { $0.partitions[1].slot = 1 },
        Spoiling("partition's disk") { $0.partitions[0].disk = 2 },
        Spoiling("partition's negative disk") { $0.partitions[0].disk = -1 },
        Spoiling("partition's offset") { $0.partitions[0].offset = .max },
        Spoiling("partition's size") { $0.partitions[0].size = .max },
        Spoiling("partition's used bytes") { $0.partitions[0].usedBytes = $0.partitions[0].size + 1 },
        Spoiling("number of partitions") { manifest in
            manifest.partitions = (1...1025).map {
                var partition = manifest.partitions[0]
                partition.slot = $0
                return partition
            }
        },
    ]

    @Test(arguments: spoilings) private func refuses(spoiling: Spoiling) throws {
        var manifest = Self.sample
        spoiling.change(&manifest)
        let json = try manifest.encoded()
        #expect(throws: DecodeError.self) { try Manifest(decoding: json) }
    }

    @Test func saysWhichVersionItCannotRead() throws {
        var manifest = Self.sample
        manifest.formatVersion = 2
        let json = try manifest.encoded()
        let expected = DecodeError.unsupported("the image has format version 2, this program reads 1")
        #expect(throws: expected) { try Manifest(decoding: json) }
    }

    @Test func refusesWhatIsNoManifest() {
        let deep = String(repeating: "[", count: 100_000)
        for text in [
            "", "{}", "[]", "null", "{\"formatVersion\":1}", "{\"formatVersion\":1e99}", deep, "\u{0}",
        ] {
            #expect(throws: DecodeError.self) { try Manifest(decoding: Array(text.utf8)) }
        }
        let long = [UInt8](repeating: 32, count: Manifest.maximumLength + 1)
        #expect(throws: DecodeError.self) { try Manifest(decoding: long) }
        #expect(throws: DecodeError.self) { try Manifest(decoding: [0xff, 0xfe, 0x7b]) }
    }
}
