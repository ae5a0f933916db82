// Writes one field of a volume's boot sector, and of its copy.
internal import Blocks
internal import Disk
internal import Linux

enum HiddenSectors {
    /// Sets the field and reads it back; the disk must not be in use.
    static func write(_ value: UInt32, partition number: Int, of choice: ChosenDisks.Choice) throws {
        let writer = try DiskWriter(choice.disk, named: choice.isNamed)
        defer { try? writer.close() }
        guard let partition = writer.disk.partitions.first(where: { $0.number == number }) else {
            throw FixupError("\(writer.name) has no partition \(number) any more")
        }
        let (start, length) = (partition.extent.offset, partition.extent.length)
        let head = try writer.bytes(Int(min(UInt64(VolumeBootRecord.length), length)), at: start)
        guard let record = VolumeBootRecord(head, partitionSize: length), record.expected(at: start) == value
        else {
            throw FixupError(
                "partition \(number) of \(writer.name) has another boot sector than when planned")
        }
        // The copy first: it is what a repair would be made from.
        if let backup = record.backup, backup + 512 <= length {
            let copy = try writer.bytes(512, at: start + backup)
            if VolumeBootRecord.isCopy(copy, of: head) { try set(value, at: start + backup, writer) }
        }
        try set(value, at: start, writer)
        try writer.close()
    }

    /// Changes the field of the boot sector at byte `offset` of the disk.
    private static func set(_ value: UInt32, at offset: UInt64, _ writer: DiskWriter) throws {
        let unit = UInt64(writer.sectorSize)
        let from = offset / unit * unit
        let at = Int(offset - from) + VolumeBootRecord.hiddenSectorsOffset
        var bytes = try writer.bytes(Int(unit), at: from)
        for index in 0..<4 { bytes[at + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) }
        let buffer = AlignedBuffer(capacity: bytes.count)
        unsafe buffer.bytes.copyBytes(from: bytes)
        try writer.write(bytes.count, at: from, from: buffer)
        try writer.flush()
        guard try writer.bytes(Int(unit), at: from) == bytes else {
            throw FixupError(
                "the boot sector at byte \(offset) of \(writer.name) does not read back as written")
        }
    }
}
