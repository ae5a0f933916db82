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

/// Capture → service: which partition to map.
struct ServiceRequest: Equatable {
    var fileSystem: String
    var extent: Extent
    var sectorSize: UInt32
    var firstSlot: UInt32
    var faults: OverlayFaults

    var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.text(fileSystem)
        writer.extent(extent)
        writer.u32(sectorSize)
        writer.u32(firstSlot)
        writer.extent(faults.plantedHole ?? Extent(offset: 0, length: 0))
        writer.u8(faults.stallsWhenMounted ? 1 : 0)
        return writer.bytes
    }

    init(
        fileSystem: String, extent: Extent, sectorSize: UInt32, firstSlot: UInt32, faults: OverlayFaults
    ) {
        self.fileSystem = fileSystem
        self.extent = extent
        self.sectorSize = sectorSize
        self.firstSlot = firstSlot
        self.faults = faults
    }

    init(decoding bytes: [UInt8]) throws(DecodeError) {
        self = try bytes.withBytes { (span) throws(DecodeError) in
            var offset = 0
            let fileSystem = try span.text(at: &offset)
            let extent = try span.extent(at: &offset)
            let sectorSize = try span.u32(at: &offset)
            let firstSlot = try span.u32(at: &offset)
            let hole = try span.extent(at: &offset)
            let stalls = try span.u8(at: &offset) != 0
            return ServiceRequest(
                fileSystem: fileSystem, extent: extent, sectorSize: sectorSize, firstSlot: firstSlot,
                faults: OverlayFaults(plantedHole: hole.length > 0 ? hole : nil, stallsWhenMounted: stalls))
        }
    }
}

/// Service → capture: what came of it.
enum ServiceReport: Equatable {
    case mapped(free: ExtentSet, changes: Changes, nextSlot: UInt32, statistics: SpaceStatistics)
    /// Not mappable, and why.
    case failed(MountFailure)

    var encoded: [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .mapped(let free, let changes, let nextSlot, let statistics):
            writer.u8(1)
            writer.extents(free.withoutSmallest(downTo: mostFreeExtents))
            writer.extents(changes.zeroed)
            writer.varint(UInt64(changes.patches.count))
            var last: UInt64 = 0
            for patch in changes.patches {
                writer.varint(patch.block - last)
                last = patch.block
                switch patch.content {
                case .zeroSectors(let mask):
                    writer.varint(0)
                    writer.u8(mask)
                case .slot(let slot): writer.varint(UInt64(slot) + 1)
                }
            }
            writer.u32(nextSlot)
            writer.statistics(statistics)
        case .failed(let failure):
            writer.u8(2)
            writer.append(failure.encoded)
        }
        return writer.bytes
    }

    init(decoding bytes: [UInt8]) throws(DecodeError) {
        self = try bytes.withBytes { (span) throws(DecodeError) in
            var offset = 0
            guard try span.u8(at: &offset) == 1 else {
                return .failed(try MountFailure(from: span, at: &offset))
            }
            let free = try span.extents(at: &offset)
            var changes = Changes()
            changes.zeroed = try span.extents(at: &offset)
            var block: UInt64 = 0
            for _ in 0..<(try span.varint(at: &offset)) {
                let (next, overflow) = block.addingReportingOverflow(try span.varint(at: &offset))
                guard !overflow else { throw .invalid("a block exceeds 64 bits") }
                block = next
                let content: Patch.Content =
                    switch try span.varint(at: &offset) {
                    case 0: .zeroSectors(try span.u8(at: &offset))
                    case let slot: .slot(UInt32(clamping: slot - 1))
                    }
                changes.patches.append(Patch(block: block, content: content))
            }
            let nextSlot = try span.u32(at: &offset)
            return .mapped(
                free: free, changes: changes, nextSlot: nextSlot, statistics: try span.statistics(at: &offset)
            )
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
            case let kind: throw .invalid("an unknown mounter message \(kind)")
            }
        }
    }

    /// Most bytes a message can have.
    static let limit = 65_536
}

extension ExtentSet {
    /// The set without its smallest extents, so that at most `count` remain: less free space is never wrong.
    func withoutSmallest(downTo count: Int) -> ExtentSet {
        guard extents.count > count else { return self }
        let smallest = extents.map(\.length).sorted(by: >)[count]
        return ExtentSet(extents.filter { $0.length > smallest })
    }
}

/// Most free extents a report holds, about 40 MB.
private let mostFreeExtents = 4_000_000

extension ByteWriter {
    fileprivate mutating func text(_ text: String) {
        varint(UInt64(text.utf8.count))
        append(text.utf8)
    }

    fileprivate mutating func extent(_ extent: Extent) {
        varint(extent.offset)
        varint(extent.length)
    }

    fileprivate mutating func extents(_ set: ExtentSet) {
        varint(UInt64(set.extents.count))
        var last: UInt64 = 0
        for extent in set.extents {
            varint(extent.offset - last)
            varint(extent.length)
            last = extent.end
        }
    }

    fileprivate mutating func statistics(_ statistics: SpaceStatistics) {
        varint(statistics.blockSize)
        varint(statistics.blocks)
        varint(statistics.freeBlocks)
        u8(statistics.readOnly ? 1 : 0)
        varint(statistics.reserved)
    }
}

extension RawSpan {
    fileprivate func text(at offset: inout Int) throws(DecodeError) -> String {
        let count = try varint(at: &offset)
        return try text(Int(clamping: count), at: &offset, "a text")
    }

    fileprivate func extent(at offset: inout Int) throws(DecodeError) -> Extent {
        let start = try varint(at: &offset)
        let length = try varint(at: &offset)
        guard length <= UInt64.max - start else { throw .invalid("an extent exceeds 64 bits") }
        return Extent(offset: start, length: length)
    }

    fileprivate func extents(at offset: inout Int) throws(DecodeError) -> ExtentSet {
        var all: [Extent] = []
        var last: UInt64 = 0
        for _ in 0..<(try varint(at: &offset)) {
            let extent = try extent(at: &offset)
            guard extent.end <= UInt64.max - last else { throw .invalid("an extent exceeds 64 bits") }
            all.append(Extent(offset: last + extent.offset, length: extent.length))
            last += extent.end
        }
        return ExtentSet(all)
    }

    fileprivate func statistics(at offset: inout Int) throws(DecodeError) -> SpaceStatistics {
        SpaceStatistics(
            blockSize: try varint(at: &offset), blocks: try varint(at: &offset),
            freeBlocks: try varint(at: &offset), readOnly: try u8(at: &offset) != 0,
            reserved: try varint(at: &offset))
    }
}
