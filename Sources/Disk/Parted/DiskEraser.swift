// Empties a disk before an image is put on it: partitions, label, and every signature that would survive.
internal import Blocks
internal import Linux

/// Step 3 of putting an image down: afterwards nothing recognises anything on the disk.
package enum DiskEraser {
    /// What was taken away.
    package struct Report: Sendable {
        /// Number of partitions that libparted deleted, extended containers not counted.
        package let partitions: Int
        /// libblkid's names of the signatures that were still found, such as "LVM2_member".
        package let signatures: [String]
    }

    /// Bytes zeroed at either end.
    package static let zeroedLength = Int(MiB)

    /// Checks that `disk` could be erased now, without changing anything.
    ///
    /// Opens a block device exclusively for a moment: what this process's view of mounts does not show (another
    /// namespace, another program) answers here.
    package static func check(_ disk: LocalDisk, named: Bool, inventory: DiskInventory = DiskInventory())
        throws
    {
        let now = try inventory.confirm(disk, named: named)
        try openExclusively(now, []).close()
    }

    /// Deletes every partition, clobbers the label, zeroes the first and last MiB, and wipes what is left.
    ///
    /// The disk is examined anew and opened exclusively right before the first write; it is refused when it is
    /// mounted, held, read-only or another one than was planned with. The contents of former partitions stay, but
    /// nothing leads to them any more. Everything is flushed and the kernel forgets the partitions.
    @discardableResult
    package static func erase(
        _ disk: LocalDisk, named: Bool, inventory: DiskInventory = DiskInventory()
    ) throws -> Report {
        let now = try inventory.confirm(disk, named: named)
        let descriptor = try openExclusively(now, [])
        let partitions = try Parted.deleteAllPartitions(of: now.path)
        try zeroEnds(descriptor, now)
        let probe = try Probe(
            descriptor.number, name: now.path, range: Extent(offset: 0, length: now.size),
            sectorSize: now.sectorSize)
        let signatures = try probe.wipeSignatures()
        try descriptor.synchronize()
        if now.kind == .blockDevice {
            try descriptor.flushBlockDeviceBuffers()
            try PartitionNodes.reread(descriptor)
        }
        try expectNothing(descriptor, now)
        try descriptor.close()
        return Report(partitions: partitions, signatures: signatures)
    }

    private static func zeroEnds(_ descriptor: borrowing Descriptor, _ disk: LocalDisk) throws {
        let zeros = [UInt8](repeating: 0, count: zeroedLength)
        try descriptor.write(zeros, at: 0)
        try descriptor.write(zeros, at: disk.size - UInt64(zeroedLength))
        try descriptor.synchronize()
    }

    /// Nothing is called erased that was not looked at.
    private static func expectNothing(_ descriptor: borrowing Descriptor, _ disk: LocalDisk) throws {
        func probe() throws -> Probe {
            try Probe(
                descriptor.number, name: disk.path, range: Extent(offset: 0, length: disk.size),
                sectorSize: disk.sectorSize)
        }
        let table = try probe().table().type
        let content = try probe().content()
        guard table == .none, content == nil else {
            let found = content?.type ?? "a \(table) table"
            throw DiskError(.verification, "\(disk.path) still holds \(found) after it was erased")
        }
    }
}
