// The few fields that must be looked at before a file system may be mounted; everything else the kernel knows itself.
//
// Mounting is dangerous in one way the overlay cannot hold: a file system that names *other* devices has the kernel
// write to those. And a few can be mounted although their own record of free space is not to be trusted.
internal import Blocks
package import Linux
internal import SystemPackage

/// What the fields say before anything is mounted.
package enum MountAdvice: Equatable {
    case mount
    case whole(String)
}

/// Reads `count` bytes at an offset of a partition; fewer where it ends.
package typealias FieldReader = (_ offset: UInt64, _ count: Int) throws(SystemError) -> [UInt8]

/// Whether a file system of libblkid's type `fileSystem` may be mounted through the overlay.
package func adviceBeforeMount(_ fileSystem: String, _ read: FieldReader) throws(SystemError) -> MountAdvice {
    switch fileSystem {
    case "ext2", "ext3", "ext4", "ext4dev":
        return try ExtFlags(read)?.advice ?? .whole("its superblock is missing")
    case "btrfs":
        let devices = try field(read, at: 0x1_0088, as: UInt64.self)
        if devices == 0 { return .whole("its superblock is missing") }
        return devices == 1 ? .mount : .whole("it is a btrfs of several devices")
    case "f2fs":
        // The path of a further device stands in each copy of the superblock.
        for copy: UInt64 in [1024, 4096 + 1024] where try read(copy + 2201, 1) != [0] {
            return .whole("it is an f2fs of several devices")
        }
        return .mount
    case "exfat":
        // VolumeFlags, bit 1: VolumeDirty (exFAT specification, 3.1.13).
        let flags = try field(read, at: 106, as: UInt16.self)
        return flags & 2 == 0 ? .mount : .whole("it was not unmounted cleanly")
    case "vfat": return try fatAdvice(read)
    case "ntfs": return try ntfsAdvice(read)
    default: return .mount
    }
}

/// Whether what an unmounted file system left behind is clean, or why not.
func objectionAfterUnmount(_ fileSystem: String, _ read: FieldReader) throws(SystemError) -> String? {
    guard fileSystem.hasPrefix("ext"), fileSystem != "exfat" else { return nil }
    guard let flags = try ExtFlags(read) else { return "its superblock is missing" }
    if flags.hasErrors { return extErrors }
    return flags.isClean ? nil : "it is not clean after its journal was replayed"
}

/// A suspended system's signature in a swap area, or nil.
///
/// It stands in the last 10 bytes of the first page, whose size the machine that suspended chose.
func suspendSignature(_ read: FieldReader) throws(SystemError) -> String? {
    for page in [UInt64(4096), 8192, 16_384, 32_768, 65_536] {
        let text = try read(page - 10, 10).prefix { $0 >= 0x20 && $0 < 0x7f }
        let signature = String(decoding: text, as: UTF8.self)
        // What mkswap wrote after a shorter signature may still stand behind it.
        for known in ["S1SUSPEND", "S2SUSPEND", "ULSUSPEND", "LINHIB0001"] where signature.hasPrefix(known) {
            return known
        }
    }
    return nil
}

/// The state fields of an ext2, ext3 or ext4 superblock (1024 bytes into the partition).
private struct ExtFlags {
    private let state: UInt16
    private let compatible: UInt32
    private let journalInode: UInt32

    /// Nil where there is no superblock.
    init?(_ read: FieldReader) throws(SystemError) {
        let block = try read(1024, 1024)
        guard block.count == 1024, integer(block, 0x38, UInt16.self) == 0xef53 else { return nil }
        state = integer(block, 0x3a, UInt16.self)
        compatible = integer(block, 0x5c, UInt32.self)
        journalInode = integer(block, 0xe0, UInt32.self)
    }

    var isClean: Bool { state & 1 != 0 }
    var hasErrors: Bool { state & 2 != 0 }

    var advice: MountAdvice {
        let hasJournal = compatible & 4 != 0
        if hasErrors { return .whole(extErrors) }
        // Without a journal nothing puts the block bitmaps right that were not written before the cut.
        if !hasJournal, !isClean { return .whole("it has no journal and was not unmounted cleanly") }
        if hasJournal, journalInode == 0 { return .whole("its journal is on another device") }
        return .mount
    }
}

/// Linux marks a mounted FAT in its boot sector, Windows in its second entry of the table.
///
/// In a FAT that was cut off, a directory entry may be on the medium and its cluster not yet in the table.
private func fatAdvice(_ read: FieldReader) throws(SystemError) -> MountAdvice {
    let dirty = MountAdvice.whole("it was not unmounted cleanly")
    let boot = try read(0, 512)
    guard boot.count == 512 else { return .whole("its boot sector is missing") }
    let sector = UInt64(integer(boot, 11, UInt16.self))
    let table = sector * UInt64(integer(boot, 14, UInt16.self))
    let shortTable = UInt64(integer(boot, 22, UInt16.self))
    if shortTable == 0 {
        let entry = try field(read, at: table + 4, as: UInt32.self)
        return boot[65] & 1 == 0 && entry & 0x0800_0000 != 0 ? .mount : dirty
    }
    if boot[37] & 1 != 0 { return dirty }
    let shortSize = UInt64(integer(boot, 19, UInt16.self))
    let sectors = shortSize == 0 ? UInt64(integer(boot, 32, UInt32.self)) : shortSize
    let root = UInt64(integer(boot, 17, UInt16.self)) * 32 / max(sector, 1)
    let before = UInt64(integer(boot, 14, UInt16.self)) + UInt64(boot[16]) * shortTable + root
    let clusters = sectors > before ? (sectors - before) / UInt64(max(boot[13], 1)) : 0
    // Entries of 12 bits have no room for the mark.
    if clusters < 4085 { return .mount }
    return try field(read, at: table + 2, as: UInt16.self) & 0x8000 != 0 ? .mount : dirty
}

private let extErrors = "it has recorded errors of its own (e2fsck puts them right)"

/// ntfs-3g mounts a volume whose dirty flag is set; Windows would check it first, so it is not asked.
private func ntfsAdvice(_ read: FieldReader) throws(SystemError) -> MountAdvice {
    let unreadable = MountAdvice.whole("its volume information cannot be read")
    let boot = try read(0, 512)
    guard boot.count == 512 else { return unreadable }
    let sector = UInt64(integer(boot, 11, UInt16.self))
    // From 0x81 up the byte is a negative power of two.
    let cluster =
        boot[13] <= 0x80
        ? sector * UInt64(boot[13]) : boot[13] >= 0xf0 ? sector << (256 - UInt64(boot[13])) : 0
    let recordField = Int(Int8(bitPattern: boot[64]))
    let recordSize =
        recordField > 0 ? cluster * UInt64(recordField) : recordField > -32 ? 1 << UInt64(-recordField) : 0
    let (table, overflow) = integer(boot, 48, UInt64.self).multipliedReportingOverflow(by: cluster)
    guard !overflow, table < UInt64.max / 2, (512...65_536).contains(recordSize), sector >= 256 else {
        return unreadable
    }
    // Record 3 of the master file table is $Volume; 0x70 is its $VOLUME_INFORMATION.
    let record = try read(table + 3 * recordSize, Int(recordSize))
    guard record.count == Int(recordSize), record.starts(with: Array("FILE".utf8)) else { return unreadable }
    var at = Int(integer(record, 20, UInt16.self))
    while at + 24 <= record.count, integer(record, at, UInt32.self) != 0xffff_ffff {
        let length = Int(integer(record, at + 4, UInt32.self))
        if integer(record, at, UInt32.self) == 0x70 {
            let flags = at + Int(integer(record, at + 20, UInt16.self)) + 10
            guard flags + 2 <= record.count else { return unreadable }
            return integer(record, flags, UInt16.self) & 1 == 0
                ? .mount : .whole("Windows has marked it dirty")
        }
        guard length >= 24 else { return unreadable }
        at += length
    }
    return unreadable
}

private func field<T: FixedWidthInteger>(_ read: FieldReader, at offset: UInt64, as type: T.Type)
    throws(SystemError) -> T
{
    let bytes = try read(offset, MemoryLayout<T>.size)
    return bytes.count == MemoryLayout<T>.size ? integer(bytes, 0, type) : 0
}

/// A little-endian integer; `at` must leave room for it.
private func integer<T: FixedWidthInteger>(_ bytes: [UInt8], _ at: Int, _ type: T.Type) -> T {
    (0..<MemoryLayout<T>.size).reduce(T(0)) { $0 | T(truncatingIfNeeded: bytes[at + $1]) << T(8 * $1) }
}
