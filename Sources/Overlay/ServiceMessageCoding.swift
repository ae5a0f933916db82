// The values that the overlay's messages are made of, to bytes and back.
package import Blocks
package import Linux

/// What the overlay knows when nobody uses it any more; places are those of its file.
package struct OverlayRecord: Equatable, Sendable {
    /// Whole blocks that were trimmed and not written again.
    package var free: ExtentSet
    package var changes: Changes
    /// The first slot of the pool that nobody uses.
    package var nextSlot: UInt32

    package init(free: ExtentSet, changes: Changes, nextSlot: UInt32) {
        self.free = free
        self.changes = changes
        self.nextSlot = nextSlot
    }
}

/// What LVM says of one volume group, or of physical volumes that cannot be in one.
package struct GroupFinding: Equatable, Sendable {
    /// Its name; empty for physical volumes outside of any group.
    package var name: String
    /// Indices of its physical volumes among the request's segments.
    package var members: [UInt8]
    /// Why its physical volumes are captured whole, as a clause about one of them; nil where they need not be.
    package var refusal: String?
    /// Extents that belong to no logical volume.
    package var unallocated: ExtentSet

    package init(name: String, members: [UInt8], refusal: String?, unallocated: ExtentSet) {
        self.name = name
        self.members = members
        self.refusal = refusal
        self.unallocated = unallocated
    }
}

/// What was found out about one logical volume.
package struct VolumeFinding: Equatable, Sendable {
    package enum Outcome: Equatable, Sendable {
        /// Its file system was trimmed.
        case asked(fileSystem: String, SpaceStatistics)
        /// A swap area: all but its header was trimmed.
        case header
        /// All of it is used; the reason is a clause about it.
        case whole(String)
        /// A sleeping system lies in it.
        case hibernated(what: String, remedy: String)
    }

    /// Its group's name.
    package var group: String
    package var name: String
    /// Where its bytes are.
    package var extents: ExtentSet
    package var outcome: Outcome

    package init(group: String, name: String, extents: ExtentSet, outcome: Outcome) {
        self.group = group
        self.name = name
        self.extents = extents
        self.outcome = outcome
    }
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
    mutating func record(_ record: OverlayRecord) {
        extents(record.free.withoutSmallest(downTo: mostFreeExtents))
        extents(record.changes.zeroed)
        varint(UInt64(record.changes.patches.count))
        var last: UInt64 = 0
        for patch in record.changes.patches {
            varint(patch.block - last)
            last = patch.block
            switch patch.content {
            case .zeroSectors(let mask):
                varint(0)
                u8(mask)
            case .slot(let slot): varint(UInt64(slot) + 1)
            }
        }
        u32(record.nextSlot)
    }

    mutating func group(_ group: GroupFinding) {
        text(group.name)
        varint(UInt64(group.members.count))
        append(group.members)
        text(group.refusal ?? "")
        extents(group.unallocated)
    }

    mutating func volume(_ volume: VolumeFinding) {
        text(volume.group)
        text(volume.name)
        extents(volume.extents)
        switch volume.outcome {
        case .asked(let fileSystem, let figures):
            u8(1)
            text(fileSystem)
            statistics(figures)
        case .header: u8(2)
        case .whole(let reason):
            u8(3)
            text(reason)
        case .hibernated(let what, let remedy):
            u8(4)
            text(what)
            text(remedy)
        }
    }

    mutating func text(_ text: String) {
        varint(UInt64(text.utf8.count))
        append(text.utf8)
    }

    mutating func extent(_ extent: Extent) {
        varint(extent.offset)
        varint(extent.length)
    }

    mutating func extents(_ set: ExtentSet) {
        varint(UInt64(set.extents.count))
        var last: UInt64 = 0
        for extent in set.extents {
            varint(extent.offset - last)
            varint(extent.length)
            last = extent.end
        }
    }

    mutating func statistics(_ statistics: SpaceStatistics) {
        varint(statistics.blockSize)
        varint(statistics.blocks)
        varint(statistics.freeBlocks)
        u8(statistics.readOnly ? 1 : 0)
        varint(statistics.reserved)
    }
}

extension RawSpan {
    func record(at offset: inout Int) throws(DecodeError) -> OverlayRecord {
        let free = try extents(at: &offset)
        var changes = Changes()
        changes.zeroed = try extents(at: &offset)
        var block: UInt64 = 0
        for _ in 0..<(try varint(at: &offset)) {
            let (next, overflow) = block.addingReportingOverflow(try varint(at: &offset))
            guard !overflow else { throw .invalid("a block exceeds 64 bits") }
            block = next
            let content: Patch.Content =
                switch try varint(at: &offset) {
                case 0: .zeroSectors(try u8(at: &offset))
                case let slot: .slot(UInt32(clamping: slot - 1))
                }
            changes.patches.append(Patch(block: block, content: content))
        }
        return OverlayRecord(free: free, changes: changes, nextSlot: try u32(at: &offset))
    }

    func group(at offset: inout Int) throws(DecodeError) -> GroupFinding {
        let name = try text(at: &offset)
        var members: [UInt8] = []
        for _ in 0..<(try varint(at: &offset)) { members.append(try u8(at: &offset)) }
        let refusal = try text(at: &offset)
        return GroupFinding(
            name: name, members: members, refusal: refusal.isEmpty ? nil : refusal,
            unallocated: try extents(at: &offset))
    }

    func volume(at offset: inout Int) throws(DecodeError) -> VolumeFinding {
        let group = try text(at: &offset)
        let name = try text(at: &offset)
        let extents = try extents(at: &offset)
        let outcome: VolumeFinding.Outcome =
            switch try u8(at: &offset) {
            case 1: .asked(fileSystem: try text(at: &offset), try statistics(at: &offset))
            case 2: .header
            case 3: .whole(try text(at: &offset))
            case 4: .hibernated(what: try text(at: &offset), remedy: try text(at: &offset))
            case let kind: throw .invalid("an unknown outcome \(kind)")
            }
        return VolumeFinding(group: group, name: name, extents: extents, outcome: outcome)
    }

    func text(at offset: inout Int) throws(DecodeError) -> String {
        let count = try varint(at: &offset)
        return try text(Int(clamping: count), at: &offset, "a text")
    }

    func extent(at offset: inout Int) throws(DecodeError) -> Extent {
        let start = try varint(at: &offset)
        let length = try varint(at: &offset)
        guard length <= UInt64.max - start else { throw .invalid("an extent exceeds 64 bits") }
        return Extent(offset: start, length: length)
    }

    func extents(at offset: inout Int) throws(DecodeError) -> ExtentSet {
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

    func statistics(at offset: inout Int) throws(DecodeError) -> SpaceStatistics {
        SpaceStatistics(
            blockSize: try varint(at: &offset), blocks: try varint(at: &offset),
            freeBlocks: try varint(at: &offset), readOnly: try u8(at: &offset) != 0,
            reserved: try varint(at: &offset))
    }
}
