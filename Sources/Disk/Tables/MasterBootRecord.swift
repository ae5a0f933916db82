// The four entries of a master or extended boot record.
internal import Blocks

/// Sector 0 of a disk, or the first sector of a logical partition's area (EBR), with its four entries.
struct MasterBootRecord {
    struct Entry: Equatable {
        /// 0x80 for the active partition.
        let status: UInt8
        let type: UInt8
        /// First sector; what it is relative to depends on where the record stands.
        let start: UInt32
        /// Number of sectors.
        let count: UInt32

        var isEmpty: Bool { type == 0 || count == 0 }
        var isExtended: Bool { PartitionType.isExtended(type) && count > 0 }
        var isProtective: Bool { type == 0xee }
    }

    private(set) var sector: [UInt8]

    /// `sector` must have at least 512 bytes; throws without the signature 55 AA at byte 510.
    init(_ sector: [UInt8]) throws(DecodeError) {
        guard sector.count >= 512, sector[510] == 0x55, sector[511] == 0xaa else {
            throw .invalid("there is no boot record signature")
        }
        self.sector = sector
    }

    var entries: [Entry] {
        (0..<4).map { index in
            let at = 446 + index * 16
            return Entry(
                status: sector[at], type: sector[at + 4], start: sector.number32(at: at + 8),
                count: sector.number32(at: at + 12))
        }
    }

    /// Sets the number of sectors of entry `index` (0 to 3).
    mutating func setCount(_ count: UInt32, of index: Int) { sector.store(count, at: 446 + index * 16 + 12) }

    /// Sets the last sector's cylinder, head and sector of entry `index` to "not expressible".
    mutating func clearLastGeometry(of index: Int) {
        sector.replaceSubrange(446 + index * 16 + 5..<446 + index * 16 + 8, with: [0xff, 0xff, 0xff])
    }
}

extension Array where Element == UInt8 {
    fileprivate func number32(at offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(self[offset + $1]) << UInt32(8 * $1) }
    }
}
