// How much memory is fitted, as the firmware's own table says (SMBIOS specification, type 17, memory device).

/// The memory devices of an SMBIOS table; every byte is hostile to the reader.
package enum FirmwareMemory {
    private static let memoryDevice: UInt8 = 17
    private static let endOfTable: UInt8 = 127
    /// More structures than any machine has.
    private static let mostStructures = 4096
    private static let mebibyte: UInt64 = 1 << 20

    /// Bytes of memory in all slots together; nil where the table tells of none.
    package static func installed(_ table: [UInt8]) -> UInt64? {
        var total: UInt64 = 0
        var start = 0
        for _ in 0..<mostStructures {
            guard start + 4 <= table.count else { break }
            let length = Int(table[start + 1])
            guard length >= 4, start + length <= table.count, table[start] != endOfTable else { break }
            if table[start] == memoryDevice {
                total = total.addingReportingOverflow(size(table[start..<start + length])).partialValue
            }
            // Its strings follow, each ended by a zero, and a further zero ends them all.
            var end = start + length
            while end + 1 < table.count, table[end] != 0 || table[end + 1] != 0 { end += 1 }
            start = end + 2
        }
        return total > 0 ? total : nil
    }

    /// Bytes of one memory device; 0 for an empty slot and for one whose size is not known.
    private static func size(_ device: ArraySlice<UInt8>) -> UInt64 {
        let first = device.startIndex
        guard device.count >= 0x0e else { return 0 }
        let size = UInt64(device[first + 0x0c]) | UInt64(device[first + 0x0d]) << 8
        switch size {
        case 0, 0xffff: return 0
        case 0x7fff:
            guard device.count >= 0x20 else { return 0 }
            let extended = (0..<4).reduce(UInt64(0)) { $0 | UInt64(device[first + 0x1c + $1]) << (8 * $1) }
            return (extended & 0x7fff_ffff) * mebibyte
        case 0x8000...: return (size & 0x7fff) * 1024
        default: return size * mebibyte
        }
    }
}
