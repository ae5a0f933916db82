// Where restored content goes.
package import Blocks
internal import Disk
package import ImageFormat

/// The receiving end of a restore; `write` may be called from several threads, for each disk from one at a time.
package protocol ContentSink: AnyObject, Sendable {
    /// Called once, before the first write, when a first chunk has been proven: disks are emptied here.
    func prepare() throws

    /// Writes `bytes` at `offset` of image disk `disk`; page-aligned memory, whole sectors.
    func write(_ bytes: UnsafeRawBufferPointer, disk: Int, offset: UInt64) throws

    /// Waits until everything written is on the medium.
    func flush() throws

    /// Reads back, past any cache, what image disk `disk` now holds at `offset`.
    func read(_ bytes: UnsafeMutableRawBufferPointer, disk: Int, offset: UInt64) throws

    /// How errors call the target of image disk `disk`.
    func name(ofDisk disk: Int) -> String

    /// Called once, when all data is written: flushes it, then writes the tables of each disk, and reads them back.
    func finish(tables: [TableContent]) throws

    /// Called instead of `finish` when the restore failed; must leave no disk looking bootable.
    func abandon()
}

/// The partition tables of one image disk, as its table frame holds them.
package struct TableContent: Sendable {
    package let disk: Int
    package let pieces: [(role: TableRole, offset: UInt64, bytes: [UInt8])]
    /// Whether all of it could be read where it was captured.
    private let isWhole: Bool

    package init(_ header: FrameHeader, content: [UInt8]) {
        disk = header.disk
        isWhole = header.unreadable.isEmpty
        var position = 0
        var pieces: [(role: TableRole, offset: UInt64, bytes: [UInt8])] = []
        for (role, extent) in zip(header.roles, header.extents) {
            pieces.append((role, extent.offset, Array(content[position..<position + Int(extent.length)])))
            position += Int(extent.length)
        }
        self.pieces = pieces
    }

    /// The regions to write to `target`, moved to its size.
    ///
    /// - Throws: Where it does not fit there, or has holes: zeros would take partitions away.
    func regions(on target: LocalDisk) throws(DecodeError) -> [TableRegion] {
        guard isWhole else { throw .invalid("parts of it could not be read where it was captured") }
        return try TableRelocation.regions(
            pieces.map { TableRegion(role: $0.role, offset: $0.offset, bytes: $0.bytes) },
            sectorSize: target.sectorSize, forDiskOf: target.size)
    }
}
