// The ordered raw writer: data first, then a flush, and only then the partition tables.
internal import Blocks
package import Linux
internal import Synchronization
internal import SystemPackage

/// A disk open for writing an image; nobody else may use the disk meanwhile.
///
/// Threads may share it; they write one after the other. Nothing is ever written outside the disk.
package final class DiskWriter: BlockDevice, Sendable {
    package let name: String
    package let size: UInt64
    package let sectorSize: UInt32
    /// Whether transfers go past the page cache.
    package let isDirect: Bool
    /// The disk as it was found when it was opened.
    package let disk: LocalDisk
    private let state: Mutex<State>

    private struct State: ~Copyable {
        var descriptor: Descriptor
        var isClosed = false
        var progress = Progress()
    }

    private struct Progress {
        /// Whether something was written since the last flush.
        var unflushed = false
        /// Whether tables are on the disk: from then on no data is accepted.
        var hasTables = false
    }

    /// Opens `disk` for exclusive writing after it was examined anew.
    ///
    /// Refuses a disk that has become mounted, held, read-only or another one since it was planned with.
    package init(_ disk: LocalDisk, named: Bool, inventory: DiskInventory = DiskInventory()) throws {
        self.disk = try inventory.confirm(disk, named: named)
        name = disk.path
        size = disk.size
        sectorSize = disk.sectorSize
        let isDirect = try acceptsDirect(disk.path, sectorSize: disk.sectorSize)
        self.isDirect = isDirect
        let descriptor = try openExclusively(disk, isDirect ? .direct : [])
        state = Mutex(State(descriptor: descriptor))
    }

    /// Writes the first `count` bytes of `buffer` at `offset`, both multiples of the sector size.
    package func write(_ count: Int, at offset: UInt64, from buffer: AlignedBuffer) throws {
        try checkRoom(name, count, buffer)
        try unsafe write(UnsafeRawBufferPointer(rebasing: buffer.bytes[0..<count]), at: offset)
    }

    /// Writes all of `bytes` at `offset`; memory, offset and count are multiples of the sector size.
    package func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws {
        try checkRange(name, size, sectorSize, bytes.count, at: offset)
        try withDescriptor { descriptor, state in
            guard !state.hasTables else {
                throw DiskError(.misuse, "\(name): data was to be written after the partition tables")
            }
            state.unflushed = true
            try unsafe descriptor.write(bytes, at: offset)
        }
    }

    /// Reads back `count` bytes at `offset`, both multiples of the sector size, into the start of `buffer`.
    ///
    /// Past the page cache where `isDirect`; otherwise the pages are flushed and dropped before.
    package func read(_ count: Int, at offset: UInt64, into buffer: AlignedBuffer) throws {
        try checkRoom(name, count, buffer)
        try unsafe read(into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[0..<count]), at: offset)
    }

    /// Fills `bytes` with what the disk now holds at `offset`, as the other form does.
    package func read(into bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
        try checkRange(name, size, sectorSize, bytes.count, at: offset)
        try withDescriptor { descriptor, state in
            if !isDirect {
                try descriptor.synchronize()
                descriptor.dropCache()
            }
            try unsafe descriptor.readFully(bytes, at: offset)
        }
    }

    package func bytes(_ count: Int, at offset: UInt64) throws -> [UInt8] {
        try withDescriptor { descriptor, _ in
            try readUnaligned(descriptor, size, sectorSize, count, at: offset)
        }
    }

    /// Waits until everything written is on the medium.
    package func flush() throws { try withDescriptor { try flush($0, &$1) } }

    /// Writes partition tables, the master boot record last, flushes and reads them back.
    ///
    /// Refused while data is not flushed. From then on no data is accepted.
    package func writeTables(_ regions: [TableRegion]) throws {
        let order: [TableRole] = [.gptBackupEntries, .gptBackupHeader, .gptEntries, .gptHeader, .ebr]
        try withDescriptor { descriptor, state in
            guard !state.unflushed else {
                throw DiskError(
                    .misuse, "\(name): partition tables were to be written before the data is flushed")
            }
            let buffers = try regions.map { region in
                let buffer = AlignedBuffer(capacity: max(region.bytes.count, 1))
                try checkRange(name, size, sectorSize, region.bytes.count, at: region.offset)
                unsafe buffer.bytes.copyBytes(from: region.bytes)
                return (region, buffer)
            }
            state.hasTables = true
            state.unflushed = true
            for role in order {
                for (region, buffer) in buffers where region.role == role {
                    try unsafe descriptor.write(UnsafeRawBufferPointer(buffer.bytes), at: region.offset)
                }
            }
            // A disk without sector 0 is not bootable: it comes when all else is on the medium.
            try flush(descriptor, &state)
            for (region, buffer) in buffers where region.role == .mbr {
                state.unflushed = true
                try unsafe descriptor.write(UnsafeRawBufferPointer(buffer.bytes), at: region.offset)
            }
            try flush(descriptor, &state)
            for region in regions {
                let found = try readUnaligned(
                    descriptor, size, sectorSize, region.bytes.count, at: region.offset)
                guard found == region.bytes else {
                    throw DiskError(
                        .verification,
                        "\(name): the partition table at \(region.offset) does not read back as written")
                }
            }
        }
    }

    /// Makes the kernel know the partitions that are on the disk now; without effect on a regular file.
    package func reread() throws {
        guard disk.kind == .blockDevice else { return }
        try withDescriptor { descriptor, _ in
            try PartitionNodes.refresh(descriptor, disk: disk)
        }
    }

    /// Flushes, closes and reports late errors; without effect the second time.
    package func close() throws {
        try state.withLock { (state: inout State) throws in
            guard !state.isClosed else { return }
            state.isClosed = true
            var descriptor = Descriptor(owning: -1, name: name)
            swap(&descriptor, &state.descriptor)
            if state.progress.unflushed { try descriptor.synchronize() }
            try descriptor.close()
        }
    }

    private func flush(_ descriptor: borrowing Descriptor, _ state: inout Progress) throws {
        try descriptor.synchronize()
        if disk.kind == .blockDevice { try descriptor.flushBlockDeviceBuffers() }
        if !isDirect { descriptor.dropCache() }
        state.unflushed = false
    }

    private func withDescriptor<R>(_ body: (borrowing Descriptor, inout Progress) throws -> R) throws -> R {
        try state.withLock { (state: inout State) throws -> R in
            guard !state.isClosed else { throw DiskError(.misuse, "\(name) is already closed") }
            return try body(state.descriptor, &state.progress)
        }
    }
}
