// What the kernel knows about a block device, and the few things it does to one (ioctl group BLK*).
internal import CLinux
internal import Glibc
internal import SystemPackage

extension Descriptor {
    /// Size of the block device in bytes (ioctl `BLKGETSIZE64`).
    package func blockDeviceSize() throws(SystemError) -> UInt64 {
        var size: UInt64 = 0
        _ = try systemCall("find the size of \(name)") {
            unsafe clinux_ioctl(number, clinux_BLKGETSIZE64, &size)
        }
        return size
    }

    /// Logical sector size of the block device in bytes (ioctl `BLKSSZGET`).
    package func logicalSectorSize() throws(SystemError) -> UInt32 {
        var size: Int32 = 0
        _ = try systemCall("find the sector size of \(name)") {
            unsafe clinux_ioctl(number, clinux_BLKSSZGET, &size)
        }
        return UInt32(clamping: size)
    }

    /// Physical sector size of the block device in bytes (ioctl `BLKPBSZGET`).
    package func physicalSectorSize() throws(SystemError) -> UInt32 {
        var size: UInt32 = 0
        _ = try systemCall("find the physical sector size of \(name)") {
            unsafe clinux_ioctl(number, clinux_BLKPBSZGET, &size)
        }
        return size
    }

    /// Whether the kernel refuses writes to the block device (ioctl `BLKROGET`).
    package func isBlockDeviceReadOnly() throws(SystemError) -> Bool {
        var flag: Int32 = 0
        _ = try systemCall("ask whether \(name) is read-only") {
            unsafe clinux_ioctl(number, clinux_BLKROGET, &flag)
        }
        return flag != 0
    }

    /// Makes the kernel refuse or accept writes to the block device (ioctl `BLKROSET`).
    package func setBlockDeviceReadOnly(_ readOnly: Bool) throws(SystemError) {
        var flag: Int32 = readOnly ? 1 : 0
        _ = try systemCall("set \(name) \(readOnly ? "read-only" : "writable")") {
            unsafe clinux_ioctl(number, clinux_BLKROSET, &flag)
        }
    }

    /// Writes back and drops what the kernel has cached of the block device (ioctl `BLKFLSBUF`).
    package func flushBlockDeviceBuffers() throws(SystemError) {
        _ = try systemCall("flush the buffers of \(name)") { clinux_ioctl_value(number, clinux_BLKFLSBUF, 0) }
    }

    /// Tells the block device that a range holds nothing any more (ioctl `BLKDISCARD`); whole sectors.
    package func discard(offset: UInt64, length: UInt64) throws(SystemError) {
        var range: [UInt64] = [offset, length]
        _ = try systemCall("discard \(length) bytes at \(offset) of \(name)") {
            unsafe clinux_ioctl(number, clinux_BLKDISCARD, &range)
        }
    }

    /// Makes the kernel forget the block device's partitions and read its table anew (ioctl `BLKRRPART`).
    ///
    /// The kernel answers EBUSY while a partition is in use. It finds only the kinds of table it was built for.
    package func rereadPartitionTable() throws(SystemError) {
        _ = try systemCall("re-read the partition table of \(name)") {
            clinux_ioctl_value(number, clinux_BLKRRPART, 0)
        }
    }

    /// Tells the kernel of a partition of the block device (ioctl `BLKPG`); offset and length in bytes.
    ///
    /// EBUSY means that it already has one with this number or in this place.
    package func addPartition(_ partition: Int32, offset: UInt64, length: UInt64) throws(SystemError) {
        _ = try systemCall("add partition \(partition) of \(name)") {
            let (start, length) = (Int64(clamping: offset), Int64(clamping: length))
            return clinux_blkpg(number, Int32(BLKPG_ADD_PARTITION), partition, start, length)
        }
    }

    /// Makes the kernel forget a partition of the block device (ioctl `BLKPG`).
    package func removePartition(_ partition: Int32) throws(SystemError) {
        _ = try systemCall("remove partition \(partition) of \(name)") {
            clinux_blkpg(number, Int32(BLKPG_DEL_PARTITION), partition, 0, 0)
        }
    }

    /// Drops the file's clean pages from the page cache, so that the next read comes from the medium.
    ///
    /// C function `posix_fadvise(POSIX_FADV_DONTNEED)`; call after `synchronize`.
    package func dropCache() { _ = posix_fadvise(number, 0, 0, POSIX_FADV_DONTNEED) }
}
