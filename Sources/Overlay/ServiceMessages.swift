// What the capture and its service process, and the service and its mounter, say to each other.
package import Blocks
internal import Linux

/// Deliberate faults, for tests only.
package struct OverlayFaults: Equatable, Sendable {
    /// A hole that no file system made, recorded as if it had arrived during the trim.
    package var plantedHole: Extent?
    /// The mounter waits for ever once the file system is mounted.
    package var stallsWhenMounted = false

    package init(plantedHole: Extent? = nil, stallsWhenMounted: Bool = false) {
        self.plantedHole = plantedHole
        self.stallsWhenMounted = stallsWhenMounted
    }
}

/// Capture → service: which partition to map, or which physical volumes to map together.
struct ServiceRequest: Equatable {
    /// libblkid's type; all the segments are of it.
    var fileSystem: String
    /// One partition, or several physical volumes in ascending order of `start`.
    var segments: [OverlaySegment]
    var firstSlot: UInt32
    var faults: OverlayFaults

    /// Whether LVM is asked what lies in the segments.
    var isVolumeGroups: Bool { fileSystem == physicalVolumeType }

    var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.text(fileSystem)
        writer.varint(UInt64(segments.count))
        for segment in segments {
            writer.u8(segment.disk)
            writer.extent(segment.extent)
            writer.varint(segment.start)
            writer.u32(segment.sectorSize)
        }
        writer.u32(firstSlot)
        writer.extent(faults.plantedHole ?? Extent(offset: 0, length: 0))
        writer.u8(faults.stallsWhenMounted ? 1 : 0)
        return writer.bytes
    }

    init(fileSystem: String, segments: [OverlaySegment], firstSlot: UInt32, faults: OverlayFaults) {
        self.fileSystem = fileSystem
        self.segments = segments
        self.firstSlot = firstSlot
        self.faults = faults
    }

    init(decoding bytes: [UInt8]) throws(DecodeError) {
        self = try bytes.withBytes { (span) throws(DecodeError) in
            var offset = 0
            let fileSystem = try span.text(at: &offset)
            var segments: [OverlaySegment] = []
            for _ in 0..<(try span.varint(at: &offset)) {
                segments.append(
                    OverlaySegment(
                        disk: try span.u8(at: &offset), extent: try span.extent(at: &offset),
                        start: try span.varint(at: &offset), sectorSize: try span.u32(at: &offset)))
            }
            let firstSlot = try span.u32(at: &offset)
            let hole = try span.extent(at: &offset)
            let stalls = try span.u8(at: &offset) != 0
            return ServiceRequest(
                fileSystem: fileSystem, segments: segments, firstSlot: firstSlot,
                faults: OverlayFaults(plantedHole: hole.length > 0 ? hole : nil, stallsWhenMounted: stalls))
        }
    }
}

/// Service → capture: what came of it.
enum ServiceReport: Equatable {
    case mapped(OverlayRecord, SpaceStatistics)
    /// What was found of LVM; places are those of the overlay's file.
    case groups(OverlayRecord, [GroupFinding], [VolumeFinding])
    /// Not mappable, and why.
    case failed(MountFailure)

    var encoded: [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .mapped(let record, let statistics):
            writer.u8(1)
            writer.record(record)
            writer.statistics(statistics)
        case .groups(let record, let groups, let volumes):
            writer.u8(3)
            writer.record(record)
            writer.varint(UInt64(groups.count))
            for group in groups { writer.group(group) }
            writer.varint(UInt64(volumes.count))
            for volume in volumes { writer.volume(volume) }
        case .failed(let failure):
            writer.u8(2)
            writer.append(failure.encoded)
        }
        return writer.bytes
    }

    init(decoding bytes: [UInt8]) throws(DecodeError) {
        self = try bytes.withBytes { (span) throws(DecodeError) in
            var offset = 0
            switch try span.u8(at: &offset) {
            case 1: return .mapped(try span.record(at: &offset), try span.statistics(at: &offset))
            case 2: return .failed(try MountFailure(from: span, at: &offset))
            case 3:
                let record = try span.record(at: &offset)
                var groups: [GroupFinding] = []
                for _ in 0..<(try span.varint(at: &offset)) { groups.append(try span.group(at: &offset)) }
                var volumes: [VolumeFinding] = []
                for _ in 0..<(try span.varint(at: &offset)) { volumes.append(try span.volume(at: &offset)) }
                return .groups(record, groups, volumes)
            case let kind: throw .invalid("an unknown report \(kind)")
            }
        }
    }

    /// Most bytes a report can have.
    static let limit = 256 << 20
}

/// Why a partition's file system could not be asked.
struct MountFailure: Equatable, Error {
    enum Kind: UInt8 {
        /// Captured whole.
        case notMappable
        /// A sleeping Windows lies in it.
        case hibernated
        case poolFull
    }

    var kind: Kind
    var reason: String

    init(_ kind: Kind, _ reason: String) {
        self.kind = kind
        self.reason = reason
    }

    init(_ reason: String) { self.init(.notMappable, reason) }

    var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.u8(kind.rawValue)
        writer.text(reason)
        return writer.bytes
    }

    init(from span: RawSpan, at offset: inout Int) throws(DecodeError) {
        guard let kind = Kind(rawValue: try span.u8(at: &offset)) else {
            throw .invalid("an unknown failure")
        }
        self.init(kind, try span.text(at: &offset))
    }
}

/// Mounter → service; the service answers each with one empty message.
enum MounterMessage: Equatable {
    /// The FUSE file is mounted: requests may be served.
    case overlayMounted
    /// FITRIM begins: holes are free space.
    case trimBegins
    /// The file system is unmounted: holes are no longer free space.
    case unmounted(SpaceStatistics)
    /// What LVM says of a volume group.
    case group(GroupFinding)
    /// What a logical volume's own content said; it is unmounted, holes are no longer free space.
    case volume(VolumeFinding)
    /// Loop device and FUSE file are gone too.
    case finished
    case failed(MountFailure)

    var encoded: [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .overlayMounted: writer.u8(1)
        case .trimBegins: writer.u8(2)
        case .unmounted(let statistics):
            writer.u8(3)
            writer.statistics(statistics)
        case .finished: writer.u8(4)
        case .failed(let failure):
            writer.u8(5)
            writer.append(failure.encoded)
        case .group(let group):
            writer.u8(6)
            writer.group(group)
        case .volume(let volume):
            writer.u8(7)
            writer.volume(volume)
        }
        return writer.bytes
    }

    init(decoding bytes: [UInt8]) throws(DecodeError) {
        self = try bytes.withBytes { (span) throws(DecodeError) in
            var offset = 0
            switch try span.u8(at: &offset) {
            case 1: return .overlayMounted
            case 2: return .trimBegins
            case 3: return .unmounted(try span.statistics(at: &offset))
            case 4: return .finished
            case 5: return .failed(try MountFailure(from: span, at: &offset))
            case 6: return .group(try span.group(at: &offset))
            case 7: return .volume(try span.volume(at: &offset))
            case let kind: throw .invalid("an unknown mounter message \(kind)")
            }
        }
    }

    /// Most bytes a message can have: a volume in many pieces names each of them.
    static let limit = 16 << 20
}
