// The first sector of an NTFS or FAT volume: where it believes to lie on its disk.

/// The fields of a volume's boot sector that a BIOS start depends on (the "BIOS parameter block").
///
/// Its code finds the rest of the loader by "hidden sectors": the number of sectors before the volume.
package struct VolumeBootRecord: Equatable, Sendable {
    package enum Kind: Equatable, Sendable {
        case ntfs
        case fat
    }

    package let kind: Kind
    /// Sectors before the volume, in units of the volume's own sectors.
    package let hiddenSectors: UInt32
    /// Bytes of a sector as the volume counts them.
    package let sectorSize: UInt32
    /// Whether there is a loader: the code reads a disk, and NTFS's goes on to BOOTMGR or NTLDR.
    package let startsSystem: Bool
    /// Byte of the partition at which a copy of the sector is; nil where there is none.
    package let backup: UInt64?

    /// Offset of the field in the sector; u32, little endian.
    static let hiddenSectorsOffset = 0x1c
    /// Bytes of a partition that `init` wants: NTFS's loader has 16 sectors.
    package static let length = 8192

    /// Reads a partition's first bytes; nil where they are no boot sector of NTFS or FAT.
    ///
    /// - Parameters:
    ///   - bytes: The first `length` bytes of the partition.
    ///   - partitionSize: In bytes; NTFS keeps the copy in its last sector.
    package init?(_ bytes: [UInt8], partitionSize: UInt64) {
        guard bytes.count >= 512, bytes[510] == 0x55, bytes[511] == 0xaa else { return nil }
        let sectorSize = UInt32(bytes.number(2, at: 0x0b))
        guard [512, 1024, 2048, 4096].contains(sectorSize) else { return nil }
        self.sectorSize = sectorSize
        hiddenSectors = UInt32(truncatingIfNeeded: bytes.number(4, at: VolumeBootRecord.hiddenSectorsOffset))
        let code = Array(bytes[..<510])
        let unit = UInt64(sectorSize)
        if bytes[3..<11].elementsEqual("NTFS    ".utf8) {
            kind = .ntfs
            let loaders = ["BOOTMGR", "NTLDR"].map { name in name.utf8.flatMap { [$0, UInt8(0)] } }
            startsSystem = BootCode.readsDisk(code) && loaders.contains { bytes.contains($0) }
            backup = partitionSize > unit ? partitionSize / unit * unit - unit : nil
        } else if bytes[0x36..<0x39].elementsEqual("FAT".utf8) || bytes[0x52..<0x55].elementsEqual("FAT".utf8)
        {
            kind = .fat
            // mkfs.fat's code only shows "This is not a bootable disk".
            startsSystem = BootCode.readsDisk(code)
            let isFAT32 = bytes[0x52..<0x55].elementsEqual("FAT".utf8)
            let copy = isFAT32 ? bytes.number(2, at: 0x32) : 0
            backup = copy > 0 && copy < 32 ? copy * unit : nil
        } else {
            return nil
        }
    }

    /// Whether `copy` is a copy of the boot sector `sector`, the field apart.
    static func isCopy(_ copy: [UInt8], of sector: [UInt8]) -> Bool {
        guard copy.count >= 512, sector.count >= 512 else { return false }
        let field = hiddenSectorsOffset..<hiddenSectorsOffset + 4
        return (0..<512).allSatisfy { field.contains($0) || copy[$0] == sector[$0] }
    }

    /// What the field must be for a partition that starts at byte `offset`; nil where it does not fit 32 bits.
    package func expected(at offset: UInt64) -> UInt32? { UInt32(exactly: offset / UInt64(sectorSize)) }
}
