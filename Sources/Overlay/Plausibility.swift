// Whether what the overlay recorded as free can be true: a wrong "free" is data loss.
internal import Blocks
package import Linux

/// How much of a partition was recorded as free, and what its file system says about its space.
package struct FreeSpaceClaim: Sendable {
    /// Type as libblkid names it.
    package var fileSystem: String
    /// Bytes recorded as free by the overlay (never FITRIM's return value).
    package var recorded: UInt64
    /// Bytes of the partition.
    package var partitionSize: UInt64
    /// What the file system said right after the trim.
    package var statistics: SpaceStatistics

    package init(fileSystem: String, recorded: UInt64, partitionSize: UInt64, statistics: SpaceStatistics) {
        self.fileSystem = fileSystem
        self.recorded = recorded
        self.partitionSize = partitionSize
        self.statistics = statistics
    }

    /// Bytes the file system may have called free at most, from its own figures.
    package var limit: UInt64 {
        let size = bytes(statistics.blocks)
        let free = bytes(statistics.freeBlocks)
        let reserved = statistics.reserved
        switch fileSystem {
        case "btrfs":
            // What is in use is a sharper figure than what is free; the global reserve counts as in use.
            let inUse = size > free ? size - free : 0
            return saturating(partitionSize > inUse ? partitionSize - inUse : 0, saturating(reserved, slack))
        case "xfs":
            // Each allocation group also keeps a share back that XFS does not tell.
            return saturating(free, saturating(reserved, slack + size / 100 * 3))
        case "f2fs":
            // The segments it keeps for its own cleaning are free as well.
            return saturating(free, saturating(reserved, slack))
        default:
            return saturating(free, slack)
        }
    }

    /// Why the claim cannot be true, with both figures, or nil where it can.
    package var objection: String? {
        if bytes(statistics.blocks) > partitionSize { return "its file system is larger than the partition" }
        guard recorded > limit else { return nil }
        return "its free space is not plausible: \(recorded.asBytes) were trimmed, "
            + "but its own figures allow \(limit.asBytes) at most"
    }

    private func bytes(_ blocks: UInt64) -> UInt64 {
        let (product, overflow) = blocks.multipliedReportingOverflow(by: statistics.blockSize)
        return overflow ? .max : product
    }

    private func saturating(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let (sum, overflow) = a.addingReportingOverflow(b)
        return overflow ? .max : sum
    }
}

/// What every limit allows above the file system's own figure.
private let slack = MiB
