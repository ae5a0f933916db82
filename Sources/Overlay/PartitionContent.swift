// What a partition holds as the overlay saw it: which bytes are used, and the source patched with what changed.
package import Blocks
package import Linux
internal import SystemPackage

/// A partition, or a whole disk without a table, on a disk or in a file that stands for one.
package struct PartitionSource: Hashable, Sendable {
    /// The disk or the file.
    package var path: String
    /// Where the partition lies in it.
    package var extent: Extent
    /// Bytes of the disk's logical sector.
    package var sectorSize: UInt32
    /// How messages call it: "/dev/sda2".
    package var name: String

    package init(path: String, extent: Extent, sectorSize: UInt32 = 512, name: String? = nil) {
        self.path = path
        self.extent = extent
        self.sectorSize = sectorSize
        self.name = name ?? path
    }
}

/// The bytes of a partition that must be captured, and how to read them.
package final class PartitionContent: Sendable {
    package let source: PartitionSource
    /// What must be captured; offsets from the partition's start.
    package let used: ExtentSet
    private let changes: Changes
    private let pool: OverlayPool?

    init(source: PartitionSource, used: ExtentSet, changes: Changes, pool: OverlayPool?) {
        self.source = source
        self.used = used
        self.changes = changes
        self.pool = pool
    }

    /// All of a partition, as it is.
    package static func whole(of source: PartitionSource) -> PartitionContent {
        PartitionContent(
            source: source, used: ExtentSet([Extent(offset: 0, length: source.extent.length)]),
            changes: Changes(),
            pool: nil)
    }

    /// Number of bytes that differ from the source because its journal was replayed.
    package var changedByteCount: UInt64 {
        UInt64(changes.patches.count) * overlayBlockSize + changes.zeroed.byteCount
    }

    /// Fills `buffer` with the partition's bytes from `offset`: the source, patched with what the overlay changed.
    ///
    /// `disk` is the open source disk; where it was opened with `direct`, the buffer, its size and
    /// `source.extent.offset + offset` are multiples of the sector size. Any number of threads may read at once.
    package func read(
        into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64, from disk: borrowing Descriptor
    ) throws(SystemError) {
        guard offset <= source.extent.length, UInt64(buffer.count) <= source.extent.length - offset else {
            throw SystemError("read \(buffer.count) bytes at \(offset) of \(source.name)", .invalidArgument)
        }
        try unsafe disk.readFully(buffer, at: source.extent.offset + offset)
        unsafe patch(buffer, at: offset)
    }

    /// Replaces what the overlay changed in `buffer`, which holds the source's bytes from `offset` of the partition.
    package func patch(_ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) {
        let window = Extent(offset: offset, length: UInt64(buffer.count))
        for extent in changes.zeroed.intersection(window).extents {
            unsafe zero(buffer, extent, at: offset)
        }
        var index = changes.firstPatch(at: offset / overlayBlockSize)
        while index < changes.patches.count {
            let patch = changes.patches[index]
            let start = patch.block * overlayBlockSize
            guard start < window.end else { return }
            guard let part = window.intersection(Extent(offset: start, length: overlayBlockSize)) else {
                return
            }
            switch patch.content {
            case .slot(let slot):
                guard let pool else { return }
                let from = Int(slot) * Int(overlayBlockSize) + Int(part.offset - start)
                unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[Int(part.offset - offset)...])
                    .copyMemory(
                        from: UnsafeRawBufferPointer(
                            rebasing: pool.memory.bytes[from..<from + Int(part.length)]))
            case .zeroSectors(let mask):
                for sector in zeroSectors(mask) {
                    if let part = window.intersection(Extent(offset: start + sector, length: sectorUnit)) {
                        unsafe zero(buffer, part, at: offset)
                    }
                }
            }
            index += 1
        }
    }

    /// What of `window`, a range of the partition, `patch` fills without regard to the source.
    package func replaced(in window: Extent) -> ExtentSet {
        var result = changes.zeroed.intersection(window)
        var index = changes.firstPatch(at: window.offset / overlayBlockSize)
        while index < changes.patches.count {
            let patch = changes.patches[index]
            let block = Extent(offset: patch.block * overlayBlockSize, length: overlayBlockSize)
            guard let part = window.intersection(block) else { break }
            switch patch.content {
            case .slot: result.insert(part)
            case .zeroSectors(let mask):
                for sector in zeroSectors(mask) {
                    let zeros = Extent(offset: block.offset + sector, length: sectorUnit)
                    if let part = window.intersection(zeros) { result.insert(part) }
                }
            }
            index += 1
        }
        return result
    }

    private func zero(_ buffer: UnsafeMutableRawBufferPointer, _ extent: Extent, at offset: UInt64) {
        let from = Int(extent.offset - offset)
        unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[from..<from + Int(extent.length)])
            .initializeMemory(as: UInt8.self, repeating: 0)
    }
}

/// Bytes of the smallest piece a loop device zeroes.
let sectorUnit: UInt64 = 512

/// One block that is not what the source has.
package struct Patch: Equatable, Sendable {
    /// What the block holds.
    package enum Content: Equatable, Sendable {
        /// What this slot of the pool holds.
        case slot(UInt32)
        /// What the source has, but sector i is zero where bit i is set.
        case zeroSectors(UInt8)
    }

    /// Number of the 4 KiB block in the partition.
    package let block: UInt64
    package let content: Content

    package init(block: UInt64, content: Content) {
        self.block = block
        self.content = content
    }
}

/// Offsets in a block of the sectors whose bit in `mask` is set.
func zeroSectors(_ mask: UInt8) -> [UInt64] {
    (0..<8).filter { mask >> $0 & 1 != 0 }.map { UInt64($0) * sectorUnit }
}

/// Everything that differs from the source and is used.
package struct Changes: Equatable, Sendable {
    /// Ascending blocks.
    package var patches: [Patch] = []
    /// Whole blocks that are zero.
    package var zeroed = ExtentSet()

    package init(patches: [Patch] = [], zeroed: ExtentSet = ExtentSet()) {
        self.patches = patches
        self.zeroed = zeroed
    }

    /// Index of the first patch whose block is not below `block`.
    func firstPatch(at block: UInt64) -> Int {
        var low = 0
        var high = patches.count
        while low < high {
            let middle = (low + high) / 2
            if patches[middle].block < block { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
