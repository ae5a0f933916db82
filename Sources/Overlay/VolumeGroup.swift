// What LVM reports of physical volumes, groups and volumes, turned into ranges of the overlay's file.
//
// The reports are lines of columns: none of the columns asked for can hold the separator, as LVM allows only letters,
// digits and "+_.-" in names. The metadata behind them comes from a foreign disk, so every number is checked.
package import Blocks

/// A volume group whose physical volumes are shown by the overlay.
package struct VolumeGroup: Equatable, Sendable {
    package let name: String
    /// LVM's UUID with its dashes.
    package let uuid: String
    /// Indices of its physical volumes among those of the overlay, ascending.
    package let members: [Int]
    /// Why its physical volumes are captured whole, as a clause about one of them; nil where they need not be.
    package let refusal: String?
    /// Extents of its physical volumes by device, for reading the volumes' report.
    let extents: [String: PhysicalExtents]

    /// Whether it is a group at all, not a heap of physical volumes outside of any.
    package var exists: Bool { !name.isEmpty }
    /// What the UUID of each of its devices in the kernel begins with.
    package var deviceMapperPrefix: String { "LVM-" + uuid.filter { $0 != "-" } }

    /// All physical extents of its members, as ranges of the overlay's file.
    package var allExtents: ExtentSet { ExtentSet(extents.values.compactMap { $0.range(0..<$0.count) }) }
}

/// The physical extents of one physical volume.
struct PhysicalExtents: Equatable, Sendable {
    /// First byte of extent 0 in the overlay's file.
    let start: UInt64
    /// Bytes of each; a multiple of the overlay's blocks.
    let size: UInt64
    let count: UInt64

    /// The bytes of these extents, or nil where there are no such.
    func range(_ numbers: Range<UInt64>) -> Extent? {
        guard numbers.upperBound <= count else { return nil }
        return Extent(start + numbers.lowerBound * size..<start + numbers.upperBound * size)
    }
}

/// How a group's extents are shared out.
package struct VolumeLayout: Equatable, Sendable {
    /// The volumes that may be asked.
    package let volumes: [LogicalVolume]
    /// Extents that belong to no volume, as ranges of the overlay's file.
    package let unallocated: ExtentSet
}

/// A logical volume that may be asked.
package struct LogicalVolume: Equatable, Sendable {
    package let name: String
    /// Its device node.
    package let device: String
    /// Bytes.
    package let size: UInt64
    /// Where its bytes are in the overlay's file.
    package let extents: ExtentSet
}

extension VolumeGroup {
    /// Columns of `pvs` that `groups` reads.
    package static let physicalColumns = [
        "pv_name", "pv_uuid", "pe_start", "pv_pe_count", "pv_missing", "pv_duplicate", "vg_name", "vg_uuid",
        "vg_extent_size", "vg_attr", "vg_systemid", "vg_missing_pv_count",
    ]

    /// Columns of `lvs -a --segments` that `volumes` reads.
    package static let segmentColumns = [
        "lv_name", "lv_uuid", "lv_size", "lv_role", "segtype", "seg_size", "seg_pe_ranges", "lv_dm_path",
    ]

    /// The groups of the physical volumes in a report of `physicalColumns`.
    ///
    /// `places` are the physical volumes by device in the order of the overlay: where each lies in its file. Those
    /// that LVM does not name come as one group without a name.
    package static func groups(_ report: String, _ places: [(device: String, place: Extent)]) -> [VolumeGroup]
    {
        var rows: [PhysicalRow] = []
        for line in report.split(separator: "\n") {
            if let row = PhysicalRow(line) { rows.append(row) }
        }
        let devices = Dictionary(places.enumerated().map { ($1.device, $0) }, uniquingKeysWith: { a, _ in a })
        var groups: [VolumeGroup] = []
        var seen = Set<Int>()
        let named = rows.filter { !$0.groupName.isEmpty && devices[$0.device] != nil }
        for uuid in Set(named.map(\.groupUUID)).sorted() {
            let own = rows.filter { $0.groupUUID == uuid }
            let members = own.compactMap { devices[$0.device] }.sorted()
            seen.formUnion(members)
            let name = own[0].groupName
            let clash = named.contains { $0.groupName == name && $0.groupUUID != uuid }
            groups.append(VolumeGroup(name, uuid, own, members, places, clashes: clash))
        }
        let orphans = places.indices.filter { !seen.contains($0) }
        if !orphans.isEmpty {
            let known = orphans.allSatisfy { index in rows.contains { $0.device == places[index].device } }
            groups.append(
                VolumeGroup(
                    name: "", uuid: "", members: orphans,
                    refusal: known ? "it belongs to no volume group" : "LVM does not recognise it",
                    extents: [:]))
        }
        return groups
    }

    private init(
        _ name: String, _ uuid: String, _ rows: [PhysicalRow], _ members: [Int],
        _ places: [(device: String, place: Extent)], clashes: Bool
    ) {
        self.name = name
        self.uuid = uuid
        self.members = members
        var extents: [String: PhysicalExtents] = [:]
        var problem: String?
        for row in rows {
            guard let place = places.first(where: { $0.device == row.device })?.place else { continue }
            switch row.extents(in: place) {
            case .success(let found) where extents[row.device] == nil: extents[row.device] = found
            case .success: problem = "LVM names it twice"
            case .failure(let reason): problem = reason.description
            }
        }
        self.extents = extents
        refusal = VolumeGroup.refusal(name, uuid, rows, clashes: clashes) ?? problem
    }

    /// What keeps a group from being activated on the overlay, as far as the report of its physical volumes tells.
    private static func refusal(_ name: String, _ uuid: String, _ rows: [PhysicalRow], clashes: Bool)
        -> String?
    {
        let group = "its volume group '\(name.onScreen)'"
        let row = rows[0]
        let attributes = Array(row.groupAttributes)
        if !isName(name) || uuid.filter({ $0 != "-" }).utf8.count != 32 {
            return "LVM reports a group without a name"
        }
        if attributes.count < 6 { return "LVM does not tell the state of \(group)" }
        if clashes { return "another volume group here is called '\(name)' too" }
        if attributes[2] == "x" { return "\(group) is exported" }
        if attributes[5] == "c" || attributes[5] == "s" { return "\(group) is shared with other machines" }
        if !row.systemID.isEmpty { return "\(group) belongs to the system '\(row.systemID.onScreen)'" }
        if rows.contains(where: { $0.isDuplicate }) { return "a physical volume of \(group) is there twice" }
        let missing = rows.filter(\.isMissing).count
        if missing > 0 || row.missingCount != "0" || attributes[3] == "p" {
            return
                "\(group) is incomplete: \(max(missing, Int(row.missingCount) ?? 1)) of its physical volumes "
                + "are not among what is captured"
        }
        return nil
    }

    /// The logical volumes in a report of `segmentColumns` about this group, or why they cannot be asked.
    ///
    /// A volume that LVM keeps for itself is left out: its extents are used. Device nodes must lie in `nodes`.
    package func volumes(_ report: String, nodes: String) -> Result<VolumeLayout, VolumeRefusal> {
        var found: [String: (volume: LogicalVolume, isPublic: Bool)] = [:]
        var order: [String] = []
        var taken = ExtentSet()
        for line in report.split(separator: "\n") {
            guard let row = SegmentRow(line), VolumeGroup.isName(row.name.filter { !"[]".contains($0) })
            else {
                return .failure("LVM reports its volumes in a way not known here")
            }
            guard row.type == "linear" || row.type == "striped" else {
                return .failure(
                    VolumeRefusal(
                        "its volume group '\(name)' holds '\(row.name)' of type \(row.type.onScreen), "
                            + "which is not asked"
                    ))
            }
            // A snapshot's volumes call themselves linear: only their roles tell.
            let special = row.roles.first { VolumeGroup.entangled.contains($0) }
            if let special {
                return .failure(
                    VolumeRefusal(
                        "its volume group '\(name)' holds '\(row.name)', a volume with a snapshot (\(special)), "
                            + "which is not asked"))
            }
            var pieces: [Extent] = []
            for word in row.ranges.split(separator: " ") {
                guard let piece = piece(word) else {
                    return .failure(VolumeRefusal("'\(row.name)' lies where its volume group has no extents"))
                }
                pieces.append(piece)
            }
            let set = ExtentSet(pieces)
            guard set.byteCount == row.length, set.intersection(taken).isEmpty else {
                return .failure(VolumeRefusal("the extents of '\(row.name)' contradict each other"))
            }
            taken = taken.union(set)
            let before = found[row.uuid]?.volume
            if before == nil { order.append(row.uuid) }
            found[row.uuid] = (
                LogicalVolume(
                    name: row.name, device: row.device, size: row.size,
                    extents: set.union(before?.extents ?? ExtentSet())), row.isPublic
            )
        }
        var volumes: [LogicalVolume] = []
        for uuid in order {
            guard let (volume, isPublic) = found[uuid] else { continue }
            guard volume.extents.byteCount == volume.size else {
                return .failure(VolumeRefusal("the size of '\(volume.name)' is not that of its extents"))
            }
            guard isPublic else { continue }
            let node = volume.device.dropFirst(nodes.count + 1)
            guard volume.device.hasPrefix(nodes + "/"), VolumeGroup.isName(String(node)) else {
                return .failure(VolumeRefusal("LVM names no device for '\(volume.name)'"))
            }
            volumes.append(volume)
        }
        return .success(VolumeLayout(volumes: volumes, unallocated: allExtents.subtracting(taken)))
    }

    /// Roles (`lv_role`) of volumes whose content depends on another volume.
    private static let entangled: Set<String> = [
        "snapshot", "origin", "thinsnapshot", "thinorigin", "thicksnapshot", "thickorigin",
        "multithickorigin",
        "multithinorigin", "cow",
    ]

    /// "/dev/loop3:0-9": the bytes of these extents in the overlay's file.
    private func piece(_ word: Substring) -> Extent? {
        guard let colon = word.lastIndex(of: ":"), let volume = extents[String(word[..<colon])] else {
            return nil
        }
        let ends = word[word.index(after: colon)...].split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = UInt64(ends[0]), let last = UInt64(ends[1]), first <= last,
            last < UInt64.max
        else { return nil }
        return volume.range(first..<last + 1)
    }

    /// Whether LVM could have given this name; with these letters it is safe as an argument and in a path.
    private static func isName(_ text: String) -> Bool {
        let letters = text.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || "+_.-".utf8.contains(byte)
        }
        return letters && !text.isEmpty && text != "." && text != ".." && !text.hasPrefix("-")
    }
}

/// Why a group's physical volumes are captured whole: a clause about one of them.
package struct VolumeRefusal: Error, Equatable, CustomStringConvertible, ExpressibleByStringLiteral {
    package let description: String
    package init(_ description: String) { self.description = description }
    package init(stringLiteral description: String) { self.description = description }
}

/// The columns of a line of a report, without the blanks around them; nil unless there are `count`.
private func columns(_ line: Substring, _ count: Int) -> [String]? {
    let fields = line.split(separator: reportSeparator, omittingEmptySubsequences: false).map { field in
        String(field.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
    return fields.count == count ? fields : nil
}

/// Between the columns of a report.
let reportSeparator: Character = "|"

/// A line of a report of `VolumeGroup.physicalColumns`.
private struct PhysicalRow {
    let device: String
    let extentStart: String
    let extentCount: String
    let isMissing: Bool
    let isDuplicate: Bool
    let groupName: String
    let groupUUID: String
    let extentSize: String
    let groupAttributes: String
    let systemID: String
    let missingCount: String

    init?(_ line: Substring) {
        guard let fields = columns(line, VolumeGroup.physicalColumns.count) else { return nil }
        device = fields[0]
        extentStart = fields[2]
        extentCount = fields[3]
        isMissing = !fields[4].isEmpty
        isDuplicate = !fields[5].isEmpty
        groupName = fields[6]
        groupUUID = fields[7]
        extentSize = fields[8]
        groupAttributes = fields[9]
        systemID = fields[10]
        missingCount = fields[11]
    }

    /// Its physical extents, which must lie inside `place` and in whole blocks of the overlay.
    func extents(in place: Extent) -> Result<PhysicalExtents, VolumeRefusal> {
        guard let start = UInt64(extentStart), let count = UInt64(extentCount), let size = UInt64(extentSize),
            size > 0
        else { return .failure("LVM does not tell where its extents are") }
        guard start % overlayBlockSize == 0, size % overlayBlockSize == 0 else {
            return .failure(
                VolumeRefusal("its extents do not begin at multiples of \(overlayBlockSize) bytes"))
        }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
        guard !overflow, start <= place.length, bytes <= place.length - start else {
            return .failure("its volume group expects it to be larger")
        }
        return .success(PhysicalExtents(start: place.offset + start, size: size, count: count))
    }
}

/// A line of a report of `VolumeGroup.segmentColumns`.
private struct SegmentRow {
    let name: String
    let uuid: String
    let size: UInt64
    /// The words of `lv_role`.
    let roles: [String]
    let type: String
    let length: UInt64
    let ranges: String
    let device: String

    var isPublic: Bool { roles.contains("public") }

    init?(_ line: Substring) {
        guard let fields = columns(line, VolumeGroup.segmentColumns.count), let size = UInt64(fields[2]),
            let length = UInt64(fields[5]), !fields[1].isEmpty
        else { return nil }
        name = fields[0]
        uuid = fields[1]
        self.size = size
        roles = fields[3].split(separator: ",").map(String.init)
        type = fields[4]
        self.length = length
        ranges = fields[6]
        device = fields[7]
    }
}
