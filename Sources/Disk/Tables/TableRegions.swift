// Finds the exact sectors that are partition tables: what travels apart from all other data.
package import Blocks

/// Whole sectors that are part of a partition table.
package struct TableRegion: Hashable, Sendable {
    package let role: TableRole
    /// In bytes from the start of the disk, a multiple of the logical sector size.
    package let offset: UInt64
    /// A multiple of the logical sector size.
    package let bytes: [UInt8]

    package init(role: TableRole, offset: UInt64, bytes: [UInt8]) {
        self.role = role
        self.offset = offset
        self.bytes = bytes
    }

    /// `offset + bytes.count` must not exceed 64 bits.
    package var extent: Extent { Extent(offset: offset, length: UInt64(bytes.count)) }
}

/// A disk's partition tables, sector by sector.
package struct TableRegions: Sendable {
    package enum Soundness: Hashable, Sendable {
        /// Everything that should be there is there.
        case sound
        /// The first GPT is unusable for the reason given; the regions are the backup alone.
        case primaryDamaged(String)
        /// The GPT's backup is missing or unusable for the reason given; the regions are the primary alone.
        case backupDamaged(String)
        /// The table cannot be followed to its end for the reason given; nobody should rely on it.
        case unusable(String)
    }

    package internal(set) var table: TableType
    /// What travels as table frame, by ascending offset; at most one of each role but `ebr`.
    package internal(set) var regions: [TableRegion] = []
    /// Places where a table stands or belongs that is not part of `regions`: damaged or outdated GPT copies.
    package internal(set) var outdated: [Extent] = []
    package internal(set) var soundness: Soundness = .sound

    /// All bytes that are cut out of the data: `regions` and `outdated`.
    package var extents: ExtentSet { ExtentSet(regions.map(\.extent) + outdated) }

    /// Largest number of extended boot records that are followed.
    package static let longestChain = 1024

    /// Reads the regions of `device`, on which libblkid found a table of type `table`.
    ///
    /// Only GPT and MBR are taken apart; with any other table, and with none, there are no regions: such a disk is
    /// data as a whole. What is wrong with a table is told by `soundness`; only failed reads are thrown.
    package init(of device: some BlockDevice, table: TableType) throws {
        self.table = table
        switch table {
        case .gpt: try readGPT(device)
        case .dos: try readChain(device)
        case .none, .other: break
        }
        regions.sort { $0.offset < $1.offset }
    }

    private mutating func add(_ role: TableRole, _ sector: UInt64, _ bytes: [UInt8], _ sectorSize: UInt32) {
        regions.append(TableRegion(role: role, offset: sector * UInt64(sectorSize), bytes: bytes))
    }
}

// MARK: MBR and extended boot records

extension TableRegions {
    private mutating func readChain(_ device: some BlockDevice) throws {
        guard let sector = try device.sectors(1, at: 0), let record = try? MasterBootRecord(sector) else {
            soundness = .unusable("sector 0 is no master boot record")
            return
        }
        add(.mbr, 0, sector, device.sectorSize)
        for entry in record.entries where entry.isExtended {
            try follow(UInt64(entry.start), of: device)
        }
    }

    /// Follows one extended partition's chain; links are relative to the extended partition's start.
    private mutating func follow(_ start: UInt64, of device: some BlockDevice) throws {
        var number = start
        while true {
            guard let sector = try device.sectors(1, at: number) else {
                soundness = .unusable(
                    "the extended partition's chain leads to sector \(number), beyond the end")
                return
            }
            let offset = number * UInt64(device.sectorSize)
            guard !regions.contains(where: { $0.offset == offset }) else {
                soundness = .unusable("the extended partition's chain leads back to sector \(number)")
                return
            }
            guard regions.count <= TableRegions.longestChain else {
                soundness = .unusable(
                    "the extended partition's chain has more than \(TableRegions.longestChain) links")
                return
            }
            guard let record = try? MasterBootRecord(sector) else {
                // Freshly made extended partitions may have no first record: no logical partitions.
                if number != start || !sector.allSatisfy({ $0 == 0 }) {
                    soundness = .unusable("sector \(number) of the extended partition is no boot record")
                }
                return
            }
            add(.ebr, number, sector, device.sectorSize)
            guard let link = record.entries.first(where: \.isExtended) else { return }
            number = start + UInt64(link.start)
        }
    }
}

// MARK: GPT

extension TableRegions {
    /// A header with its entry array.
    private struct Copy {
        let header: GPTHeader
        let array: [UInt8]
        let partitions: [ClosedRange<UInt64>]

        func extents(_ sectorSize: UInt32) -> [Extent] {
            let unit = UInt64(sectorSize)
            return [
                Extent(offset: header.ownSector * unit, length: unit),
                Extent(offset: header.entriesSector * unit, length: UInt64(array.count)),
            ]
        }
    }

    private mutating func readGPT(_ device: some BlockDevice) throws {
        let last = device.size / UInt64(device.sectorSize) - 1
        if let sector = try device.sectors(1, at: 0) { add(.mbr, 0, sector, device.sectorSize) }
        do throws(DecodeError) {
            let primary = try copy(of: device, at: 1)
            add(.gptHeader, 1, primary.header.sector, device.sectorSize)
            add(.gptEntries, primary.header.entriesSector, primary.array, device.sectorSize)
            readBackup(of: primary, device, last: last)
        } catch {
            do throws(DecodeError) {
                let backup = try copy(of: device, at: last)
                soundness = .primaryDamaged(error.description)
                addBackup(backup, device.sectorSize)
                cutOut(1..<2 + backup.header.arraySectors(device.sectorSize), device, backup.partitions)
            } catch let second {
                soundness = .unusable("\(error.description), and of the backup: \(second.description)")
            }
        }
    }

    private mutating func readBackup(of primary: Copy, _ device: some BlockDevice, last: UInt64) {
        let sectors = primary.header.arraySectors(device.sectorSize)
        var found: Copy?
        var reason = "its header names no place for it"
        for place in primary.header.alternateSector == last ? [last] : [primary.header.alternateSector, last]
        {
            do throws(DecodeError) {
                guard place > 1 else { continue }
                let backup = try copy(of: device, at: place)
                if found == nil, backup.header.describesSameTable(as: primary.header) {
                    found = backup
                } else {
                    // An older table's backup: not data, and not to be restored either.
                    reason = "the one in sector \(place) belongs to another table"
                    outdated += backup.extents(device.sectorSize)
                }
            } catch {
                if found == nil { reason = error.description }
            }
        }
        if let found {
            addBackup(found, device.sectorSize)
        } else {
            soundness = .backupDamaged(reason)
            if last > sectors { cutOut(last - sectors..<last + 1, device, primary.partitions) }
        }
    }

    private mutating func addBackup(_ backup: Copy, _ sectorSize: UInt32) {
        add(.gptBackupEntries, backup.header.entriesSector, backup.array, sectorSize)
        add(.gptBackupHeader, backup.header.ownSector, backup.header.sector, sectorSize)
    }

    /// Cuts the sectors out, unless a partition has part of them.
    private mutating func cutOut(
        _ sectors: Range<UInt64>, _ device: some BlockDevice, _ partitions: [ClosedRange<UInt64>]
    ) {
        guard !partitions.contains(where: { $0.overlaps(sectors) }),
            sectors.upperBound <= device.size / UInt64(device.sectorSize)
        else { return }
        let unit = UInt64(device.sectorSize)
        outdated.append(Extent(sectors.lowerBound * unit..<sectors.upperBound * unit))
    }

    /// Reads and checks the header in sector `number` and its entries.
    private func copy(of device: some BlockDevice, at number: UInt64) throws(DecodeError) -> Copy {
        guard let sector = sectors(1, at: number, of: device) else {
            throw .invalid("sector \(number) with the GPT header cannot be read")
        }
        let header = try GPTHeader(sector, at: number)
        let length = header.arraySectors(device.sectorSize)
        guard let array = sectors(length, at: header.entriesSector, of: device) else {
            throw .invalid("the GPT's entries in sector \(header.entriesSector) cannot be read")
        }
        guard header.matches(array) else { throw .corrupt("the checksum of the GPT's entries is wrong") }
        let partitions = try header.partitions(in: array)
        let total = device.size / UInt64(device.sectorSize)
        let own = [header.entriesSector...header.entriesSector + length - 1, 0...0, number...number]
        for partition in partitions {
            guard partition.upperBound < total else {
                throw .invalid(
                    "a GPT partition ends in sector \(partition.upperBound), beyond the end of the disk")
            }
            guard !own.contains(where: { $0.overlaps(partition) }) else {
                throw .invalid("a GPT partition lies over the table")
            }
        }
        guard !own[0].overlaps(own[1]), !own[0].overlaps(own[2]) else {
            throw .invalid("the GPT's entries lie over a header")
        }
        return Copy(header: header, array: array, partitions: partitions)
    }

    /// An unreadable table sector counts as a damaged table: the other copy may do.
    private func sectors(_ count: UInt64, at number: UInt64, of device: some BlockDevice) -> [UInt8]? {
        do { return try device.sectors(count, at: number) } catch { return nil }
    }
}
