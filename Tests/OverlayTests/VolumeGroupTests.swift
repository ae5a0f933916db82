// What LVM reports, turned into ranges; what keeps a group from being asked; and what an overlay's record makes of it.
import Blocks
import Linux
import Overlay
import Testing

/// A group of two physical volumes of 200 MiB, and one beside it, as LVM 2.03.16 reported them.
private enum Report {
    static let places = [
        (device: "/dev/loop0", place: Extent(offset: 0, length: 200 * MiB)),
        (device: "/dev/loop1", place: Extent(offset: 200 * MiB, length: 200 * MiB)),
        (device: "/dev/loop2", place: Extent(offset: 400 * MiB, length: 200 * MiB)),
    ]
    static let uuid = "3eejo4-BO4w-9rEi-3vJX-HMFe-aqKI-a3nJih"
    static let first =
        "  /dev/loop0|2HGiDW-djes-lFHW-qi0O-WM91-ycb3-gMu4yX|1048576|49|||vg-a|\(uuid)|4194304|wz--n-||0"
    static let second =
        "  /dev/loop1|aueQe0-EJQp-kD26-JpWe-wPZb-NZSs-SFasYp|1048576|49|||vg-a|\(uuid)|4194304|wz--n-||0"
    static let orphan = "  /dev/loop2|MPJp1z-3TDY-ElVX-o455-LH8n-0IJ5-J8iNz0|1048576|0|||||0|r-----||0"
    static let other =
        "  /dev/loop2|m7JuFN-oGSn-fWWn-1eUY-54LZ-DeqJ-heXNDn|1048576|49|||other|"
        + "zlfNTv-JWzN-nj6F-pIXS-mfy8-dsSs-qj1Rd0|4194304|wz--n-||0"
    static let physical = [first, second, orphan].joined(separator: "\n") + "\n"

    static let nodes = "/mnt/dev/mapper"
    static let linear = "|3SVw0t-7VWL-09QX-lCu8-3Mcu-AVoZ-Fphm14|146800640|public|linear|"
    static let volumes = """
          lin\(linear)41943040|/dev/loop0:0-9|/mnt/dev/mapper/vg--a-lin
          lin\(linear)58720256|/dev/loop0:35-48|/mnt/dev/mapper/vg--a-lin
          lin\(linear)46137344|/dev/loop1:10-20|/mnt/dev/mapper/vg--a-lin
          m2|H2rsnl-a4Jn-6f7H-XlCO-SQzW-aAcy-rvSpfc|62914560|public|linear|62914560|/dev/loop0:20-34|/mnt/dev/mapper/vg--a-m2
          str|TfjCIt-D0jk-BZKm-HnFq-XReW-STOo-ULeqLJ|83886080|public|striped|83886080|/dev/loop0:10-19 /dev/loop1:0-9|/mnt/dev/mapper/vg--a-str

        """

    static func group() throws -> VolumeGroup {
        try #require(VolumeGroup.groups(physical, places).first { $0.exists })
    }
}

/// Extents of 4 MiB that begin 1 MiB behind `start`.
private func extents(_ start: UInt64, _ numbers: ClosedRange<UInt64>) -> Extent {
    Extent(start + MiB + numbers.lowerBound * 4 * MiB..<start + MiB + (numbers.upperBound + 1) * 4 * MiB)
}

@Suite struct VolumeGroupTests {
    @Test func groupsOfAReport() throws {
        let groups = VolumeGroup.groups(Report.physical, Report.places)
        #expect(groups.map(\.name) == ["vg-a", ""])
        #expect(groups.map(\.members) == [[0, 1], [2]])
        #expect(groups.map(\.refusal) == [nil, "it belongs to no volume group"])
        #expect(groups[0].deviceMapperPrefix == "LVM-3eejo4BO4w9rEi3vJXHMFeaqKIa3nJih")
        #expect(groups[0].allExtents == ExtentSet([extents(0, 0...48), extents(200 * MiB, 0...48)]))
    }

    @Test func volumesOfAReport() throws {
        let layout = try Report.group().volumes(Report.volumes, nodes: Report.nodes).get()
        #expect(layout.volumes.map(\.name) == ["lin", "m2", "str"])
        #expect(layout.volumes.map(\.size) == [140 * MiB, 60 * MiB, 80 * MiB])
        #expect(
            layout.volumes[0].extents
                == ExtentSet([extents(0, 0...9), extents(0, 35...48), extents(200 * MiB, 10...20)]))
        #expect(layout.volumes[2].extents == ExtentSet([extents(0, 10...19), extents(200 * MiB, 0...9)]))
        #expect(layout.unallocated == ExtentSet([extents(200 * MiB, 21...48)]))
    }

    @Test(arguments: [
        ("wz--n-", "wzx-n-", "its volume group 'vg-a' is exported"),
        ("wz--n-", "wz--ns", "its volume group 'vg-a' is shared with other machines"),
        ("wz--n-", "wz--nc", "its volume group 'vg-a' is shared with other machines"),
        ("wz--n-||0", "wz--n-|host7|0", "its volume group 'vg-a' belongs to the system 'host7'"),
        (
            "wz--n-||0", "wz-pn-||1",
            "its volume group 'vg-a' is incomplete: 1 of its physical volumes are not among what is captured"
        ),
        ("|49||", "|49||duplicate", "a physical volume of its volume group 'vg-a' is there twice"),
        ("|1048576|", "|1048064|", "its extents do not begin at multiples of 4096 bytes"),
        ("|4194304|", "|4194816|", "its extents do not begin at multiples of 4096 bytes"),
        ("|49|", "|50|", "its volume group expects it to be larger"),
        ("|49|", "|18446744073709551615|", "its volume group expects it to be larger"),
        ("|1048576|", "|18446744073709547520|", "its volume group expects it to be larger"),
        ("|4194304|", "|0|", "LVM does not tell where its extents are"),
        ("|4194304|", "|-1|", "LVM does not tell where its extents are"),
        ("vg-a", "-vg", "LVM reports a group without a name"),
        ("vg-a", "v/g", "LVM reports a group without a name"),
        ("wz--n-", "wz", "LVM does not tell the state of its volume group 'vg-a'"),
    ])
    func refusedGroups(_ text: String, _ replacement: String, _ reason: String) throws {
        let report = replacing(text, by: replacement, in: Report.physical)
        let group = try #require(VolumeGroup.groups(report, Report.places).first { $0.exists })
        #expect(group.refusal == reason)
    }

    @Test func missingPhysicalVolume() throws {
        let unknown = replacing("/dev/loop1", by: "[unknown]", in: Report.second)
        let missing = replacing("|49|||", by: "|49|missing||", in: unknown)
        let report = [Report.first, missing, Report.other].joined(separator: "\n")
        let groups = VolumeGroup.groups(report, Report.places)
        let group = try #require(groups.first { $0.name == "vg-a" })
        #expect(group.members == [0])
        #expect(
            group.refusal
                == "its volume group 'vg-a' is incomplete: 1 of its physical volumes are not among what is captured"
        )
        #expect(groups.first { $0.name == "other" }?.refusal == nil)
        #expect(groups.first { !$0.exists }?.refusal == "LVM does not recognise it")
    }

    @Test func nameClash() {
        let report = [Report.first, Report.second, replacing("|other|", by: "|vg-a|", in: Report.other)]
        let groups = VolumeGroup.groups(report.joined(separator: "\n"), Report.places)
        #expect(
            groups.map(\.refusal)
                == Array(repeating: "another volume group here is called 'vg-a' too", count: 2))
    }

    @Test func nothingReported() {
        for report in ["", "  WARNING: nonsense\n", "a|b|c\n"] {
            let groups = VolumeGroup.groups(report, Report.places)
            #expect(groups.map(\.members) == [[0, 1, 2]])
            #expect(groups.map(\.refusal) == ["LVM does not recognise it"])
        }
    }

    @Test(arguments: [
        (
            "|striped|", "|thin-pool|",
            "its volume group 'vg-a' holds 'str' of type thin-pool, which is not asked"
        ),
        ("|striped|", "|raid1|", "its volume group 'vg-a' holds 'str' of type raid1, which is not asked"),
        (
            "|striped|", "|snapshot|",
            "its volume group 'vg-a' holds 'str' of type snapshot, which is not asked"
        ),
        // Thick snapshots: what they share their content by calls itself linear or striped.
        (
            "|83886080|public|", "|83886080|public,origin,thickorigin|",
            "its volume group 'vg-a' holds 'str', a volume with a snapshot (origin), which is not asked"
        ),
        (
            "|83886080|public|", "|83886080|public,snapshot,thicksnapshot|",
            "its volume group 'vg-a' holds 'str', a volume with a snapshot (snapshot), which is not asked"
        ),
        ("loop0:10-19", "tp_tdata:0-9", "'str' lies where its volume group has no extents"),
        ("loop0:10-19", "loop2:10-19", "'str' lies where its volume group has no extents"),
        ("loop0:20-34", "loop0:40-54", "'m2' lies where its volume group has no extents"),
        ("loop0:20-34", "loop0:34-20", "'m2' lies where its volume group has no extents"),
        ("loop0:20-34", "loop0:20-18446744073709551615", "'m2' lies where its volume group has no extents"),
        ("loop0:20-34", "loop0:20", "'m2' lies where its volume group has no extents"),
        ("loop0:10-19", "loop0:9-18", "the extents of 'str' contradict each other"),
        ("loop0:10-19", "loop0:10-18", "the extents of 'str' contradict each other"),
        ("|83886080|public", "|83886592|public", "the size of 'str' is not that of its extents"),
        ("mapper/vg--a-str", "mapper/../../sda", "LVM names no device for 'str'"),
        ("/mnt/dev/mapper/vg--a-str", "/dev/sda", "LVM names no device for 'str'"),
        ("|83886080|public", "|x|public", "LVM reports its volumes in a way not known here"),
    ])
    func refusedVolumes(_ text: String, _ replacement: String, _ reason: String) throws {
        let report = replacing(text, by: replacement, in: Report.volumes)
        #expect(throws: VolumeRefusal(reason)) {
            _ = try Report.group().volumes(report, nodes: Report.nodes).get()
        }
    }

    @Test func privateVolumesAreUsed() throws {
        let report = replacing("|62914560|public|", by: "|62914560|private,pool,spare|", in: Report.volumes)
        let layout = try Report.group().volumes(report, nodes: Report.nodes).get()
        #expect(layout.volumes.map(\.name) == ["lin", "str"])
        #expect(layout.unallocated == ExtentSet([extents(200 * MiB, 21...48)]))
    }

    @Test func placesInTheFile() {
        #expect(OverlaySegment.starts([1, MiB, MiB + 1, 5]) == [0, MiB, 2 * MiB, 4 * MiB])
        #expect(OverlaySegment.starts([UInt64(Int64.max), 1]) == nil)
        #expect(OverlaySegment.starts([UInt64.max]) == nil)
    }
}

/// Two physical volumes of 64 MiB with a volume over both of them and one on the second.
private struct Scene {
    let sources = ["a", "b"].map {
        PartitionSource(path: $0, extent: Extent(offset: 7 * MiB, length: 64 * MiB))
    }
    let segments = [UInt64(0), 64 * MiB].enumerated().map { index, start in
        OverlaySegment(
            disk: UInt8(index), extent: Extent(offset: 7 * MiB, length: 64 * MiB), start: start,
            sectorSize: 512)
    }
    var group = GroupFinding(
        name: "vg", members: [0, 1], refusal: nil,
        unallocated: ExtentSet([Extent(offset: 40 * MiB, length: 20 * MiB)]))
    let first = ExtentSet([
        Extent(offset: 4 * MiB, length: 16 * MiB), Extent(offset: 68 * MiB, length: 16 * MiB),
    ])
    let second = ExtentSet([Extent(offset: 84 * MiB, length: 20 * MiB)])
    var record = OverlayRecord(
        free: ExtentSet([
            Extent(offset: 8 * MiB, length: 12 * MiB), Extent(offset: 72 * MiB, length: 8 * MiB),
            Extent(offset: 90 * MiB, length: 4 * MiB),
        ]), changes: Changes(), nextSlot: 0)
    var outcomes: [VolumeFinding.Outcome] = [
        .asked(fileSystem: "ext4", .free(20)), .asked(fileSystem: "ext4", .free(5)),
    ]

    func assembled() -> [PhysicalVolumeOutcome] {
        VolumeGroupAssembly(
            sources: sources, segments: segments, record: record, groups: [group],
            volumes: [
                VolumeFinding(group: "vg", name: "one", extents: first, outcome: outcomes[0]),
                VolumeFinding(group: "vg", name: "two", extents: second, outcome: outcomes[1]),
            ]
        ).outcomes(nil)
    }
}

extension SpaceStatistics {
    /// A file system of 20 MiB with this many MiB free.
    fileprivate static func free(_ mebibytes: UInt64) -> SpaceStatistics {
        SpaceStatistics(blockSize: 4096, blocks: 20 * 256, freeBlocks: mebibytes * 256, readOnly: false)
    }
}

@Suite struct VolumeGroupAssemblyTests {
    /// What is not used, in bytes from the physical volume's start.
    private func unused(_ outcome: PhysicalVolumeOutcome) throws -> ExtentSet {
        ExtentSet([Extent(offset: 0, length: 64 * MiB)]).subtracting(try outcome.outcome.mapped().used)
    }

    @Test func trimmedAndUnallocatedIsFree() throws {
        let outcomes = Scene().assembled()
        #expect(
            try unused(outcomes[0])
                == ExtentSet([
                    Extent(offset: 8 * MiB, length: 12 * MiB), Extent(offset: 40 * MiB, length: 20 * MiB),
                ]))
        #expect(
            try unused(outcomes[1])
                == ExtentSet([
                    Extent(offset: 8 * MiB, length: 8 * MiB), Extent(offset: 26 * MiB, length: 4 * MiB),
                ]))
        #expect(outcomes.map(\.notices) == [[], []])
    }

    @Test func whatWasTrimmedOutsideOfVolumesIsUsed() throws {
        var scene = Scene()
        scene.record.free.insert(Extent(offset: 2 * MiB, length: MiB))
        scene.record.free.insert(Extent(offset: 110 * MiB, length: MiB))
        let found = try scene.assembled().map { try unused($0) }
        let expected = try Scene().assembled().map { try unused($0) }
        #expect(found == expected)
    }

    @Test func implausibleVolumeIsUsedAndUnchanged() throws {
        var scene = Scene()
        scene.outcomes[0] = .asked(fileSystem: "ext4", .free(18))
        // One change in each volume, one outside of both.
        scene.record.changes.zeroed = ExtentSet([
            Extent(offset: 5 * MiB, length: 4096), Extent(offset: 100 * MiB, length: 8192),
            Extent(offset: 0, length: 4096),
        ])
        let outcomes = scene.assembled()
        #expect(try unused(outcomes[0]) == ExtentSet([Extent(offset: 40 * MiB, length: 20 * MiB)]))
        #expect(try unused(outcomes[1]) == ExtentSet([Extent(offset: 26 * MiB, length: 4 * MiB)]))
        let changed = try outcomes.map { try $0.outcome.mapped().changedByteCount }
        #expect(changed == [0, 8192])
        #expect(
            outcomes[0].notices == [
                "logical volume vg/one is captured whole, 33.6 MB: its free space is not plausible: 21.0 MB were "
                    + "trimmed, but its own figures allow 19.9 MB at most"
            ])
        #expect(outcomes[1].notices.isEmpty)
    }

    @Test func changesAreCountedFromThePhysicalVolumesStart() throws {
        var scene = Scene()
        scene.record.changes.patches = [
            Patch(block: 4 * 256, content: .zeroSectors(1)),
            Patch(block: 84 * 256 + 1, content: .zeroSectors(2)),
        ]
        let contents = try scene.assembled().map { try $0.outcome.mapped() }
        let places = [4 * MiB, 20 * MiB + 4096]
        for (content, place) in zip(contents, places) {
            let replaced = content.replaced(in: Extent(offset: 0, length: 64 * MiB))
            #expect(replaced == ExtentSet([Extent(offset: place + (place > 4 * MiB ? 512 : 0), length: 512)]))
        }
    }

    @Test func wholeVolumeIsTold() throws {
        var scene = Scene()
        scene.outcomes[1] = .whole("it is encrypted (LUKS)")
        let outcomes = scene.assembled()
        #expect(try unused(outcomes[1]) == ExtentSet([Extent(offset: 8 * MiB, length: 8 * MiB)]))
        #expect(
            outcomes[0].notices == [
                "logical volume vg/two is captured whole, 21.0 MB: it is encrypted (LUKS)"
            ])
    }

    @Test func sleepingSystemStopsTheGroup() {
        var scene = Scene()
        scene.outcomes[1] = .hibernated(what: "a suspended system", remedy: "wake it")
        for outcome in scene.assembled() {
            guard case .hibernated(let what, let remedy) = outcome.outcome else {
                Issue.record("it was not seen")
                continue
            }
            #expect(what == "a suspended system in the logical volume vg/two")
            #expect(remedy == "wake it")
        }
    }

    @Test func refusedAndForeignGroups() {
        var scene = Scene()
        scene.group.refusal = "because"
        #expect(scene.assembled().map(\.outcome.reason) == ["because", "because"])
        scene = Scene()
        scene.group.members = [1]
        #expect(
            scene.assembled().map(\.outcome.reason) == [
                "LVM does not recognise it", "the overlay service places its volumes outside of it",
            ])
        scene = Scene()
        scene.group.unallocated = ExtentSet([Extent(offset: 128 * MiB, length: MiB)])
        #expect(
            scene.assembled().map(\.outcome.reason)
                == Array(repeating: "the overlay service places its volumes outside of it", count: 2))
    }
}

@Suite struct FieldTests {
    /// The advice about a FAT of `size` bytes after `change`.
    private func advice(_ bits: String, _ change: (inout [UInt8]) -> Void) throws -> MountAdvice {
        let workspace = try Workspace()
        let size = bits == "32" ? 64 * MiB : bits == "16" ? 32 * MiB : 4 * MiB
        let image = try workspace.image("disk", size: size, ["mkfs.vfat", "-F", bits])
        let file = try Descriptor(opening: image, .readOnly)
        var bytes = try file.read(Int(MiB), at: 0)
        change(&bytes)
        return try adviceBeforeMount("vfat") { offset, count in
            Array(bytes[Int(offset)..<Int(offset) + count])
        }
    }

    @Test(arguments: ["12", "16", "32"])
    func fatMarks(_ bits: String) throws {
        let dirty = MountAdvice.whole("it was not unmounted cleanly")
        #expect(try advice(bits) { _ in } == .mount)
        #expect(try advice(bits) { $0[bits == "32" ? 65 : 37] |= 1 } == dirty)
        let marked = try advice(bits) { bytes in
            let table = (Int(bytes[11]) | Int(bytes[12]) << 8) * (Int(bytes[14]) | Int(bytes[15]) << 8)
            bytes[table + (bits == "32" ? 7 : 3)] &= bits == "32" ? 0xf7 : 0x7f
        }
        #expect(marked == (bits == "12" ? .mount : dirty))
    }

    @Test func segmentsThatF2fsKeepsForItselfAreFree() {
        // A fresh f2fs of 300 MiB with 50 MB in it: 39 segments are kept for cleaning, and trimmed.
        var claim = FreeSpaceClaim(
            fileSystem: "f2fs", recorded: 278_736_896, partitionSize: 300 * MiB,
            statistics: SpaceStatistics(
                blockSize: 4096, blocks: 76_288, freeBlocks: 48_083, readOnly: false, reserved: 39 * 2 * MiB))
        #expect(claim.objection == nil)
        claim.recorded += MiB + 1
        #expect(claim.objection != nil)
    }
}

/// `text` with every `old` replaced.
private func replacing(_ old: String, by new: String, in text: String) -> String {
    var result = ""
    var rest = Substring(text)
    while !rest.isEmpty {
        if rest.hasPrefix(old) {
            result += new
            rest = rest.dropFirst(old.count)
        } else {
            result.append(rest.removeFirst())
        }
    }
    return result
}
