// libblkid: what is in a range of a disk, and which partitions its table names; it never writes here.
internal import Blocks
internal import CBlkid
package import Linux

/// What libblkid reads from a partition table.
struct ProbedTable {
    var type: TableType = .none
    var identifier = ""
    var partitions: [Partition] = []

    struct Partition {
        let number: Int
        /// In bytes; as the table says, so possibly beyond the end of the disk.
        let extent: Extent
        let role: LocalPartition.Role
        let type: PartitionType
        let name: String
        let uuid: String
        let isActive: Bool
    }
}

/// One run of libblkid over a range of an open disk; owns libblkid's `blkid_probe`.
///
/// The disk must not be open with O_DIRECT: libblkid's buffers are not aligned, and it takes a failed read for an
/// empty disk.
@safe final class Probe {
    private let probe: blkid_probe
    private let name: String

    /// Prepares a run over `range` of the open descriptor `number`, which must stay open as long as the probe lives.
    init(_ number: Int32, name: String, range: Extent, sectorSize: UInt32) throws(DiskError) {
        guard let probe = unsafe blkid_new_probe() else {
            throw DiskError(.blkid, "cannot probe \(name): no memory")
        }
        unsafe self.probe = probe
        self.name = name
        let (offset, length) = (blkid_loff_t(clamping: range.offset), blkid_loff_t(clamping: range.length))
        guard unsafe blkid_probe_set_device(probe, number, offset, length) == 0,
            unsafe blkid_probe_set_sectorsize(probe, sectorSize) == 0
        else { throw DiskError(.blkid, "cannot probe \(name) at \(range)") }
    }

    deinit { unsafe blkid_free_probe(probe) }

    /// What the range holds by its superblocks; nil when nothing is recognised.
    func content() -> FileSystemIdentity? {
        unsafe blkid_probe_enable_partitions(probe, 0)
        unsafe blkid_probe_enable_superblocks(probe, 1)
        unsafe blkid_probe_set_superblocks_flags(
            probe,
            BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID | BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE
                | BLKID_SUBLKS_VERSION)
        switch unsafe blkid_do_safeprobe(probe) {
        case 0: break
        case 1: return nil
        case -2: return unknown("ambivalent")
        default: return unknown("unreadable")
        }
        guard let type = value("TYPE") else { return nil }
        return FileSystemIdentity(
            type: type, label: value("LABEL") ?? "", uuid: value("UUID") ?? "",
            version: value("VERSION") ?? "",
            usage: usage(value("USAGE")))
    }

    /// What a range that is no whole disk holds: as `content`, or "partition table" where there are partitions inside.
    ///
    /// A signature beside such a table is what was there before it: whoever uses a volume as a disk and writes a table
    /// to it leaves the mark of an old swap area or file system in place.
    func contentOfVolume() -> FileSystemIdentity? {
        guard let content = content() else { return nil }
        do {
            return try table().partitions.isEmpty ? content : unknown("partition table")
        } catch {
            return unknown("unreadable")
        }
    }

    /// The partition table in the range, which must be a whole disk; throws when it cannot be read.
    func table() throws(DiskError) -> ProbedTable {
        var result = ProbedTable()
        unsafe blkid_probe_enable_superblocks(probe, 0)
        unsafe blkid_probe_enable_partitions(probe, 1)
        guard let list = unsafe blkid_probe_get_partitions(probe),
            let table = unsafe blkid_partlist_get_table(list),
            let type = unsafe text(blkid_parttable_get_type(table))
        else {
            // The list does not tell failed reads from nothing found.
            unsafe blkid_reset_probe(probe)
            guard unsafe blkid_do_probe(probe) >= 0 else {
                throw DiskError(.blkid, "cannot read the partition table of \(name)")
            }
            return result
        }
        result.identifier = unsafe text(blkid_parttable_get_id(table)) ?? ""
        switch type {
        case "gpt": result.type = .gpt
        case "dos": result.type = .dos
        default:
            result.type = .other(type)
            return result
        }
        for index in 0..<max(0, unsafe blkid_partlist_numof_partitions(list)) {
            guard let entry = unsafe blkid_partlist_get_partition(list, index),
                let owner = unsafe blkid_partition_get_table(entry),
                // A table inside a partition (BSD, Solaris, Minix) is that partition's content.
                unsafe blkid_parttable_get_parent(owner) == nil,
                let partition = unsafe partition(entry, in: result.type)
            else { continue }
            result.partitions.append(partition)
        }
        result.partitions.sort { $0.number < $1.number }
        return result
    }

    private func partition(_ entry: blkid_partition, in table: TableType) -> ProbedTable.Partition? {
        // libblkid counts in units of 512 bytes whatever the sector size is.
        let start = unsafe UInt64(clamping: blkid_partition_get_start(entry))
        let size = unsafe UInt64(clamping: blkid_partition_get_size(entry))
        guard start < 1 << 54, size > 0, size < 1 << 54 else { return nil }
        let flags = unsafe blkid_partition_get_flags(entry)
        let type: PartitionType
        if table == .gpt {
            guard let guid = unsafe text(blkid_partition_get_type_string(entry)).flatMap({ GUID($0) }) else {
                return nil
            }
            type = .gpt(guid)
        } else {
            type = unsafe .mbr(UInt8(truncatingIfNeeded: blkid_partition_get_type(entry)))
        }
        let isExtended = unsafe table == .dos && blkid_partition_is_extended(entry) != 0
        let isLogical = unsafe table == .dos && blkid_partition_is_logical(entry) != 0
        return ProbedTable.Partition(
            number: Int(unsafe blkid_partition_get_partno(entry)),
            extent: Extent(offset: start * 512, length: size * 512),
            role: isExtended ? .extended : isLogical ? .logical : .primary,
            type: type,
            name: unsafe text(blkid_partition_get_name(entry)) ?? "",
            uuid: unsafe text(blkid_partition_get_uuid(entry)) ?? "",
            // GPT: attribute bit 2, "legacy BIOS bootable" (UEFI table 5.8).
            isActive: table == .gpt ? flags & 4 != 0 : flags & 0x80 != 0)
    }

    private func unknown(_ type: String) -> FileSystemIdentity {
        FileSystemIdentity(type: type, label: "", uuid: "", version: "", usage: .other)
    }

    private func usage(_ text: String?) -> FileSystemIdentity.Usage {
        switch text {
        case "filesystem": .fileSystem
        case "raid": .raid
        case "crypto": .crypto
        default: .other
        }
    }

    private func value(_ key: String) -> String? {
        var data: UnsafePointer<CChar>?
        guard unsafe blkid_probe_lookup_value(probe, key, &data, nil) == 0 else { return nil }
        return unsafe text(data)
    }

    private func text(_ string: UnsafePointer<CChar>?) -> String? {
        unsafe string.map { unsafe String(cString: $0) }
    }
}

extension Probe {
    /// Removes every signature that libblkid finds in the range, partition tables included; returns their names.
    ///
    /// The descriptor must be writable. Bounded: a disk on which signatures do not go away throws.
    func wipeSignatures() throws(DiskError) -> [String] {
        var wiped: [String] = []
        unsafe blkid_probe_enable_superblocks(probe, 1)
        unsafe blkid_probe_set_superblocks_flags(
            probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_BADCSUM)
        unsafe blkid_probe_enable_partitions(probe, 1)
        unsafe blkid_probe_set_partitions_flags(probe, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT)
        while true {
            switch unsafe blkid_do_probe(probe) {
            case 0:
                wiped.append(value("TYPE") ?? value("PTTYPE") ?? "signature")
                guard wiped.count <= 1000 else {
                    throw DiskError(.blkid, "cannot wipe \(name): its signatures do not go away")
                }
                guard unsafe blkid_do_wipe(probe, 0) == 0 else {
                    throw DiskError(.blkid, "cannot wipe the \(wiped[wiped.count - 1]) signature of \(name)")
                }
            case 1: return wiped
            default: throw DiskError(.blkid, "cannot look for signatures on \(name): reading failed")
            }
        }
    }
}

extension FileSystemIdentity {
    /// What an open block device of `size` bytes holds; nil when nothing is recognised, "unreadable" as its type when
    /// the places to look at cannot be read, "partition table" where it is used as a disk.
    package init?(of device: borrowing Descriptor, size: UInt64, sectorSize: UInt32) {
        let range = Extent(offset: 0, length: size)
        guard
            let identity = try? Probe(device.number, name: device.name, range: range, sectorSize: sectorSize)
                .contentOfVolume()
        else { return nil }
        self = identity
    }
}
