// Keeps the kernel's idea of a disk's partitions in step with the table on the disk.
internal import Blocks
internal import Linux
internal import SystemPackage

enum PartitionNodes {
    /// How long a busy table is tried again: programs that look at new devices hold them for a moment.
    private static let patience: UInt64 = 3_000_000_000

    /// Re-reads the table of an open block device and makes sure that the kernel knows its partitions.
    ///
    /// A kernel that was built without the table's kind finds none: what is missing is then told to it one by one.
    static func refresh(_ descriptor: borrowing Descriptor, disk: LocalDisk) throws {
        guard try reread(descriptor) else { return }
        // libblkid's own buffers are not aligned for a descriptor that goes past the page cache.
        let buffered = try Descriptor(opening: disk.path, .readOnly)
        let table = try Probe(
            buffered.number, name: disk.path, range: Extent(offset: 0, length: disk.size),
            sectorSize: disk.sectorSize
        ).table()
        let known = Set(knownNumbers(of: disk.name))
        for partition in table.partitions where !known.contains(partition.number) {
            guard let number = Int32(exactly: partition.number) else { continue }
            guard partition.extent.end <= disk.size else { continue }
            // The kernel, too, shows of an extended partition only the room for a boot loader.
            let room = min(partition.extent.length, max(1024, UInt64(disk.sectorSize)))
            let length = partition.role == .extended ? room : partition.extent.length
            do throws(SystemError) {
                try descriptor.addPartition(number, offset: partition.extent.offset, length: length)
            } catch {
                // EBUSY: it overlaps another one, which the kernel does not accept from any table.
                guard error.errno == .resourceBusy else { throw error }
            }
        }
    }

    /// Makes the kernel forget all partitions of the disk, and read the table anew.
    ///
    /// False for a device that cannot have partitions, such as a loop device attached without them.
    @discardableResult
    static func reread(_ descriptor: borrowing Descriptor) throws -> Bool {
        let deadline = MonotonicClock.now() + patience
        while true {
            do throws(SystemError) {
                try descriptor.rereadPartitionTable()
                return true
            } catch {
                if error.errno == .invalidArgument { return false }
                guard error.errno == .resourceBusy, MonotonicClock.now() < deadline else { throw error }
                MonotonicClock.sleep(nanoseconds: 50_000_000)
            }
        }
    }

    /// The numbers of the partitions that the kernel has of the disk called `name`.
    static func knownNumbers(of name: String) -> [Int] {
        let names = (try? FileTree.entries(of: "/sys/class/block/\(name)")) ?? []
        return names.compactMap { entry in
            guard entry.hasPrefix(name),
                let text = try? FileTree.text(of: "/sys/class/block/\(name)/\(entry)/partition")
            else { return nil }
            return Int(text.prefix { $0.isNumber })
        }
    }
}
