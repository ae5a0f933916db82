// Where chunk numbers lie on disks: number ↔ (disk, region) by arithmetic alone.
package import Blocks

/// The numbering of an image's chunks.
///
/// Disk d's regions follow disk d−1's; behind the regions of the last disk each disk has one number for its
/// table frame.
package struct ChunkLayout: Equatable, Sendable {
    /// Smallest and largest size of a region, in bytes; it is a power of two.
    package static let chunkSizes: ClosedRange<UInt64> = 64 * KiB...16 * MiB
    package static let defaultChunkSize: UInt64 = 4 * MiB
    package static let maximumDisks = 64

    /// What a chunk number stands for.
    package enum Place: Equatable, Sendable {
        /// A region: the byte range of the disk, the last one of a disk possibly short.
        case region(disk: Int, Extent)
        /// The partition tables of a disk.
        case table(disk: Int)
    }

    /// Bytes per region.
    package let chunkSize: UInt64
    /// Size of each disk in bytes.
    package let diskSizes: [UInt64]
    /// Number of each disk's first region.
    package let bases: [UInt32]
    /// Number of the first disk's table frame; one more is the second disk's.
    package let tableBase: UInt32

    /// Lays out disks of the given sizes.
    ///
    /// - Throws: `DecodeError.invalid` where a figure is out of range or 2³² numbers do not suffice.
    package init(chunkSize: UInt64, diskSizes: [UInt64]) throws(DecodeError) {
        guard ChunkLayout.chunkSizes.contains(chunkSize), chunkSize & (chunkSize - 1) == 0 else {
            throw .invalid("chunk size \(chunkSize) is not a power of two from 64 KiB to 16 MiB")
        }
        guard (1...ChunkLayout.maximumDisks).contains(diskSizes.count) else {
            throw .invalid("an image has 1 to \(ChunkLayout.maximumDisks) disks, not \(diskSizes.count)")
        }
        var bases: [UInt32] = []
        var next: UInt64 = 0
        for size in diskSizes {
            guard size > 0, size <= UInt64(Int64.max) else { throw .invalid("a disk of \(size) bytes") }
            bases.append(UInt32(next))
            next += (size - 1) / chunkSize + 1
            guard next + UInt64(diskSizes.count) <= UInt64(UInt32.max) else {
                throw .invalid(
                    "disks of \(diskSizes.reduce(0.0) { $0 + Double($1) }) bytes need more than 2^32 chunks")
            }
        }
        self.chunkSize = chunkSize
        self.diskSizes = diskSizes
        self.bases = bases
        tableBase = UInt32(next)
    }

    /// All numbers of the layout, existing or not.
    package var numbers: Range<UInt32> { 0..<tableBase + UInt32(diskSizes.count) }

    /// What `number` stands for; nil beyond the layout.
    package func place(of number: UInt32) -> Place? {
        guard numbers.contains(number) else { return nil }
        if number >= tableBase { return .table(disk: Int(number - tableBase)) }
        let disk = (bases.lastIndex { $0 <= number }) ?? 0
        let offset = UInt64(number - bases[disk]) * chunkSize
        return .region(disk: disk, Extent(offset: offset, length: min(chunkSize, diskSizes[disk] - offset)))
    }

    /// The number of the region that holds byte `offset` of a disk; the offset must lie on the disk.
    package func number(disk: Int, offset: UInt64) -> UInt32 {
        precondition(offset < diskSizes[disk])
        return bases[disk] + UInt32(offset / chunkSize)
    }

    package func tableNumber(disk: Int) -> UInt32 { tableBase + UInt32(disk) }
}
