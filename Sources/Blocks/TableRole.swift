// The pieces a partition table consists of.

/// Which part of a partition table some sectors are; the raw values are those of the image format.
package enum TableRole: UInt8, Sendable, CaseIterable {
    /// Sector 0: a real or a protective master boot record.
    case mbr = 1
    case gptHeader = 2
    case gptEntries = 3
    case gptBackupEntries = 4
    case gptBackupHeader = 5
    /// One link of the chain of logical partitions.
    case ebr = 6
}
