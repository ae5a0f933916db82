// Fits an image's partition tables to a disk of another size: bytes in, bytes out.
package import Blocks

/// Moves table regions to a disk whose size differs from that of the disk they were read from.
///
/// All input is hostile: it comes from an image file or from the network.
package enum TableRelocation {
    /// The regions to write to a disk of `size` bytes that has logical sectors of `sectorSize` bytes.
    ///
    /// A GPT comes out whole whatever was damaged in `regions`: the backup goes to the disk's real end, and a
    /// missing copy is made from the other one. Entries are never changed. A lone protective entry of the MBR
    /// follows the size; a hybrid MBR stays as it is. MBR tables come back unchanged. Throws when a partition
    /// does not fit or when the regions contradict each other.
    package static func regions(
        _ regions: [TableRegion], sectorSize: UInt32, forDiskOf size: UInt64
    ) throws(DecodeError) -> [TableRegion] {
        let tables = try Tables(regions, sectorSize: sectorSize)
        guard tables.smallestDisk <= size else {
            throw .invalid(
                "the partitions need a disk of \(tables.smallestDisk) bytes, this one has \(size)")
        }
        let unit = UInt64(sectorSize)
        guard let gpt = tables.gpt else { return regions.sorted { $0.offset < $1.offset } }

        let total = size / unit
        let last = total - 1
        let length = gpt.header.arraySectors(sectorSize)
        let backupEntries = last - length
        let lastUsable = backupEntries - 1
        let primary = gpt.header.moved(
            to: 1, alternate: last, lastUsable: lastUsable, entries: gpt.primaryEntries)
        let backup = gpt.header.moved(
            to: last, alternate: 1, lastUsable: lastUsable, entries: backupEntries)
        var result: [TableRegion] = []
        if let record = tables.record {
            let bytes = fitted(record, total: total)
            result.append(TableRegion(role: .mbr, offset: 0, bytes: bytes))
        }
        result.append(TableRegion(role: .gptHeader, offset: unit, bytes: primary.sector))
        result.append(
            TableRegion(role: .gptEntries, offset: gpt.primaryEntries * unit, bytes: gpt.array))
        result.append(
            TableRegion(role: .gptBackupEntries, offset: backupEntries * unit, bytes: gpt.array))
        result.append(TableRegion(role: .gptBackupHeader, offset: last * unit, bytes: backup.sector))
        return result
    }

    /// Size in bytes of the smallest disk that holds all partitions and the tables; nil without any table.
    ///
    /// For a GPT the end of the last partition plus the backup table, for an MBR the end of the last partition.
    package static func smallestDisk(
        _ regions: [TableRegion], sectorSize: UInt32
    ) throws(DecodeError) -> UInt64? {
        regions.isEmpty ? nil : try Tables(regions, sectorSize: sectorSize).smallestDisk
    }

    /// Sector 0 with a lone protective entry set to the disk's size (UEFI §5.2.3).
    private static func fitted(_ record: MasterBootRecord, total: UInt64) -> [UInt8] {
        var record = record
        let used = record.entries.indices.filter { record.entries[$0].type != 0 }
        if used.count == 1, record.entries[used[0]].isProtective, record.entries[used[0]].start == 1 {
            let count = UInt32(clamping: total - 1)
            if record.entries[used[0]].count != count {
                record.setCount(count, of: used[0])
                record.clearLastGeometry(of: used[0])
            }
        }
        return record.sector
    }
}

/// Table regions taken apart and checked against each other.
private struct Tables {
    struct GPT {
        let header: GPTHeader
        let array: [UInt8]
        /// First sector of the primary entry array.
        let primaryEntries: UInt64
    }

    var record: MasterBootRecord?
    var gpt: GPT?
    /// In bytes.
    var smallestDisk: UInt64 = 0

    init(_ regions: [TableRegion], sectorSize: UInt32) throws(DecodeError) {
        let unit = UInt64(sectorSize)
        guard [512, 1024, 2048, 4096].contains(sectorSize) else {
            throw .unsupported("a sector size of \(sectorSize) bytes")
        }
        var seen: Set<TableRole> = []
        for region in regions {
            guard region.offset % unit == 0, region.offset < UInt64(1) << 62, !region.bytes.isEmpty,
                region.bytes.count % Int(sectorSize) == 0, region.bytes.count <= GPTHeader.largestArray
            else { throw .invalid("a table region at \(region.offset) is not made of whole sectors") }
            guard region.role == .ebr || seen.insert(region.role).inserted else {
                throw .invalid("two table regions have the role \(region.role)")
            }
        }
        if let sector = regions.first(where: { $0.role == .mbr }) {
            guard sector.offset == 0, sector.bytes.count == Int(sectorSize) else {
                throw .invalid("the master boot record is not sector 0")
            }
            record = try MasterBootRecord(sector.bytes)
        }
        if seen.isDisjoint(with: [.gptHeader, .gptEntries, .gptBackupHeader, .gptBackupEntries]) {
            try measureChain(regions, unit)
        } else {
            gpt = try Tables.gpt(regions, sectorSize)
            try measureGPT(sectorSize)
        }
    }

    /// The table from the primary, or from the backup where that is all there is.
    private static func gpt(_ regions: [TableRegion], _ sectorSize: UInt32) throws(DecodeError) -> GPT {
        func pair(_ header: TableRole, _ entries: TableRole) throws(DecodeError) -> (GPTHeader, [UInt8])? {
            guard let sector = regions.first(where: { $0.role == header }) else { return nil }
            guard let array = regions.first(where: { $0.role == entries }) else {
                throw .invalid("a GPT header comes without its entries")
            }
            guard sector.bytes.count == Int(sectorSize) else {
                throw .invalid("a GPT header is not one sector")
            }
            let decoded = try GPTHeader(sector.bytes, at: sector.offset / UInt64(sectorSize))
            guard decoded.arraySectors(sectorSize) * UInt64(sectorSize) == UInt64(array.bytes.count),
                decoded.entriesSector * UInt64(sectorSize) == array.offset, decoded.matches(array.bytes)
            else { throw .corrupt("the GPT's entries do not belong to its header") }
            return (decoded, array.bytes)
        }
        if let (header, array) = try pair(.gptHeader, .gptEntries) {
            guard header.ownSector == 1, header.entriesSector >= 2 else {
                throw .invalid("the GPT header is not in sector 1")
            }
            return GPT(header: header, array: array, primaryEntries: header.entriesSector)
        }
        guard let (header, array) = try pair(.gptBackupHeader, .gptBackupEntries) else {
            throw .invalid("GPT entries come without a header")
        }
        return GPT(header: header, array: array, primaryEntries: 2)
    }

    private mutating func measureGPT(_ sectorSize: UInt32) throws(DecodeError) {
        guard let gpt else { return }
        let length = gpt.header.arraySectors(sectorSize)
        let entries = gpt.primaryEntries..<gpt.primaryEntries + length
        var end = max(gpt.header.firstUsable + 1, entries.upperBound)
        for partition in try gpt.header.partitions(in: gpt.array) {
            guard partition.lowerBound >= 2, !partition.overlaps(entries) else {
                throw .invalid("a GPT partition lies over the table")
            }
            end = max(end, partition.upperBound + 1)
        }
        smallestDisk = (end + length + 1) * UInt64(sectorSize)
    }

    private mutating func measureChain(_ regions: [TableRegion], _ unit: UInt64) throws(DecodeError) {
        smallestDisk = regions.map { $0.offset + UInt64($0.bytes.count) }.max() ?? 0
        guard let record else { throw .invalid("extended boot records come without a master boot record") }
        for entry in record.entries where !entry.isEmpty {
            let end = (UInt64(entry.start) + UInt64(entry.count)) * unit
            smallestDisk = max(smallestDisk, end)
        }
        for region in regions where region.role == .ebr {
            let record = try MasterBootRecord(region.bytes)
            for entry in record.entries where !entry.isEmpty && !entry.isExtended {
                let end = region.offset + (UInt64(entry.start) + UInt64(entry.count)) * unit
                smallestDisk = max(smallestDisk, end)
            }
        }
    }
}
