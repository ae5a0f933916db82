// Deletes one partition or makes it the active one; what was written is read back before it counts as done.
internal import Blocks
internal import Linux

/// A change of one partition.
package enum PartitionEdit: Sendable {
    case delete
    /// The MBR's mark of the partition that a BIOS starts; a GPT has none.
    case activate
    /// The same, with libparted's boot code, which starts the active partition, in place of what is there.
    case activateWithStartCode
}

/// Changes a partition table through libparted.
package enum PartitionEditor {
    /// Checks that the change could be made now, without making it.
    ///
    /// - Parameters:
    ///   - edit: What is to be done.
    ///   - partition: One of the partitions of `disk`.
    ///   - disk: The disk as it was planned with.
    ///   - named: Whether the user named the disk with disks=.
    ///   - inventory: Where disks are looked for.
    /// - Throws: `DiskError` in one sentence for a disk in use, a table that is not whole, or a change that the
    ///   kind of table does not know.
    package static func check(
        _ edit: PartitionEdit, _ partition: LocalPartition, of disk: LocalDisk, named: Bool,
        inventory: DiskInventory = DiskInventory()
    ) throws {
        let now = try confirm(edit, partition, of: disk, named: named, inventory)
        try openExclusively(now, []).close()
    }

    /// Makes the change, lets the kernel read the table anew, and returns the disk as it is afterwards.
    ///
    /// The disk is examined anew and opened exclusively before anything is written. The content of a deleted
    /// partition stays where it is, but nothing leads to it any more. Boot code and disk signature stay as they
    /// are, but for the code of `activateWithStartCode`. Parameters are those of `check`.
    package static func apply(
        _ edit: PartitionEdit, to partition: LocalPartition, of disk: LocalDisk, named: Bool,
        inventory: DiskInventory = DiskInventory()
    ) throws -> LocalDisk {
        let now = try confirm(edit, partition, of: disk, named: named, inventory)
        let descriptor = try openExclusively(now, [])
        try keepingFirstSector(of: now, descriptor, startCode: edit == .activateWithStartCode) {
            try Parted.apply(edit, to: partition.number, at: partition.extent, of: now.path)
        }
        if now.kind == .blockDevice { try PartitionNodes.refresh(descriptor, disk: now) }
        try descriptor.close()
        let context = DiskInventory.Context(
            fileSectorSize: now.kind == .regularFile ? now.sectorSize : nil)
        let after = try inventory.describe(path: now.path, context)
        let expected = expectation(edit, partition, now.partitions)
        guard after.table == now.table, after.tableProblem == nil,
            after.partitions.map(Entry.init) == expected
        else {
            throw DiskError(
                .verification, "the partition table of \(now.path) does not read back as it was to become")
        }
        return after
    }

    /// Runs `edit`, of which only the table and the signature 55 AA of the first sector stay.
    ///
    /// libparted writes boot code and a new disk signature into a sector that begins with a zero, and a signature
    /// where there is none. Windows finds its disk by that signature (bytes 440 to 443), Linux its PARTUUID. So
    /// whatever becomes of the edit, everything else is put back, and read from the medium.
    ///
    /// - Parameters:
    ///   - disk: As it is now.
    ///   - descriptor: Open on it.
    ///   - startCode: Whether libparted's boot code is wanted; nothing of the old code is kept then.
    ///   - edit: What goes through libparted.
    /// - Throws: What `edit` throws, and `DiskError` where the sector does not read back as it should be.
    private static func keepingFirstSector(
        of disk: LocalDisk, _ descriptor: borrowing Descriptor, startCode: Bool, _ edit: () throws -> Void
    ) throws {
        let length = Int(disk.sectorSize)
        let before = try descriptor.read(length, at: 0)
        // libparted writes its code where no other begins.
        if startCode { try descriptor.write([0] + before.dropFirst(), at: 0) }
        let result = Result { try edit() }
        let written = try descriptor.read(length, at: 0)
        var expected = before
        expected.replaceSubrange(tableBytes, with: written[tableBytes])
        if startCode, case .success = result {
            expected.replaceSubrange(codeBytes, with: written[codeBytes])
        }
        if written != expected { try descriptor.write(expected, at: 0) }
        try descriptor.synchronize()
        if disk.kind == .blockDevice { try descriptor.flushBlockDeviceBuffers() }
        descriptor.dropCache()
        try result.get()
        guard try descriptor.read(length, at: 0) == expected else {
            throw DiskError(.verification, "the first sector of \(disk.path) does not read back as written")
        }
        guard !startCode || expected[0] != 0 else {
            throw DiskError(.parted, "libparted wrote no boot code to \(disk.path)")
        }
    }

    /// Where boot code is in the first sector; behind it is the disk's signature.
    private static let codeBytes = 0..<440
    /// Where the table and the signature 55 AA are.
    private static let tableBytes = 446..<512

    private static func confirm(
        _ edit: PartitionEdit, _ partition: LocalPartition, of disk: LocalDisk, named: Bool,
        _ inventory: DiskInventory
    ) throws -> LocalDisk {
        let now = try inventory.confirm(disk, named: named)
        guard now.partitions.map(Entry.init) == disk.partitions.map(Entry.init),
            now.partitions.map(Entry.init).contains(Entry(partition))
        else { throw DiskError(.refused, "\(now.path) has other partitions than when the plan was made") }
        if let problem = now.tableProblem {
            throw DiskError(.refused, "\(now.path) has a damaged partition table: \(problem)")
        }
        if let notice = now.tableNotice {
            throw DiskError(.refused, "the partition table of \(now.path) is not changed: \(notice)")
        }
        switch (edit, now.table) {
        case (.activate, .gpt), (.activateWithStartCode, .gpt):
            throw DiskError(
                .refused,
                "\(now.path) has a GPT, and UEFI has no active partition: it starts what its boot entries name"
            )
        case (.activate, _) where partition.role == .logical,
            (.activateWithStartCode, _) where partition.role == .logical:
            throw DiskError(
                .refused,
                "partition \(partition.number) of \(now.path) is a logical one: a BIOS starts only primary "
                    + "partitions")
        case (_, .gpt):
            // libparted writes a plain protective MBR, whatever was there.
            let reader = try DiskReader(now, direct: false)
            let record = try? MasterBootRecord(try reader.bytes(512, at: 0))
            if record?.entries.contains(where: { !$0.isEmpty && !$0.isProtective }) == true {
                throw DiskError(
                    .refused, "\(now.path) has an MBR with partitions beside its GPT: that would be lost")
            }
        case (_, _): break
        }
        return now
    }

    /// The table after the change: logical partitions behind a deleted one count one less.
    private static func expectation(
        _ edit: PartitionEdit, _ partition: LocalPartition, _ before: [LocalPartition]
    ) -> [Entry] {
        switch edit {
        case .delete:
            before.filter { $0.number != partition.number }.map { other in
                var entry = Entry(other)
                if partition.role == .logical, other.role == .logical, other.number > partition.number {
                    entry.number -= 1
                }
                return entry
            }
        case .activate, .activateWithStartCode:
            before.map { other in
                var entry = Entry(other)
                entry.isActive = other.number == partition.number
                return entry
            }
        }
    }

    /// What must be as expected of a partition; its PARTUUID follows from its number on an MBR.
    private struct Entry: Equatable {
        var number: Int
        var isActive: Bool
        let extent: Extent
        let role: LocalPartition.Role
        let type: PartitionType
        let name: String

        init(_ partition: LocalPartition) {
            number = partition.number
            isActive = partition.isActive
            extent = partition.extent
            role = partition.role
            type = partition.type
            name = partition.name
        }
    }
}
