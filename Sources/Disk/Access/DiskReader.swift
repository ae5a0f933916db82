// Reads a disk as the source of an image or to verify what was written.
package import Linux
internal import SystemPackage

/// A disk open for reading, usable by several threads at once.
package final class DiskReader: BlockDevice, Sendable {
    package let name: String
    package let size: UInt64
    package let sectorSize: UInt32
    /// Whether reads go past the page cache; then buffers, offsets and counts are multiples of the sector size.
    package let isDirect: Bool
    /// The open descriptor's number, for libblkid if not `isDirect`; it stays owned by the reader.
    var number: Int32 { descriptor.number }
    private let descriptor: Descriptor
    private let guardian: ReadOnlySource?

    /// Opens `disk`.
    ///
    /// `direct` reads past the page cache where the file system allows it. `protect` keeps a block device
    /// read-only for everybody until `close`.
    package convenience init(_ disk: LocalDisk, direct: Bool = true, protect: Bool = false) throws {
        try self.init(
            path: disk.path, size: disk.size, sectorSize: disk.sectorSize, direct: direct, protect: protect)
    }

    init(path: String, size: UInt64, sectorSize: UInt32, direct: Bool, protect: Bool) throws {
        name = path
        self.size = size
        self.sectorSize = sectorSize
        let isDirect = try direct && acceptsDirect(path, sectorSize: sectorSize)
        descriptor = try Descriptor(opening: path, isDirect ? [.readOnly, .direct] : .readOnly)
        self.isDirect = isDirect
        guardian = protect ? try ReadOnlySource(path: path) : nil
    }

    /// Fills `bytes` from `offset`; memory, offset and count are multiples of the sector size.
    ///
    /// Throws `SystemError` with `isMediumError` for unreadable sectors: the caller may try them one by one.
    package func read(into bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
        try checkRange(name, size, sectorSize, bytes.count, at: offset)
        try unsafe descriptor.readFully(bytes, at: offset)
    }

    /// Reads `count` bytes at `offset`, both multiples of the sector size, into the start of `buffer`.
    package func read(_ count: Int, at offset: UInt64, into buffer: AlignedBuffer) throws {
        try checkRoom(name, count, buffer)
        try unsafe read(into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[0..<count]), at: offset)
    }

    package func bytes(_ count: Int, at offset: UInt64) throws -> [UInt8] {
        try readUnaligned(descriptor, size, sectorSize, count, at: offset)
    }

    /// Gives the block device's read-only flag back as it was; the descriptor is closed with the object.
    package func close() throws {
        try guardian?.release()
    }
}

/// Whether `path` can be opened and read past the page cache in units of `sectorSize`.
///
/// File systems answer EINVAL to O_DIRECT, or to units smaller than those of the disk below them.
func acceptsDirect(_ path: String, sectorSize: UInt32) throws(SystemError)
    -> Bool
{
    do throws(SystemError) {
        let descriptor = try Descriptor(opening: path, [.readOnly, .direct])
        let buffer = AlignedBuffer(capacity: Int(sectorSize) * 2)
        for start in [0, Int(sectorSize)] {
            let part = unsafe UnsafeMutableRawBufferPointer(
                rebasing: buffer.bytes[start..<start + Int(sectorSize)])
            _ = try unsafe descriptor.read(part, at: UInt64(start))
        }
        return true
    } catch {
        // An unreadable first sector says nothing about O_DIRECT.
        if error.isMediumError { return true }
        guard error.errno == .invalidArgument || error.errno == .notSupported else { throw error }
        return false
    }
}

/// Checks that a transfer stays inside the buffer.
func checkRoom(_ name: String, _ count: Int, _ buffer: AlignedBuffer) throws(DiskError) {
    guard count > 0, count <= buffer.capacity else {
        throw DiskError(.misuse, "\(name): a transfer of \(count) bytes with a buffer of \(buffer.capacity)")
    }
}

/// Checks that a transfer stays inside the disk and consists of whole sectors.
func checkRange(
    _ name: String, _ size: UInt64, _ sectorSize: UInt32, _ count: Int, at offset: UInt64
) throws(DiskError) {
    let unit = UInt64(sectorSize)
    guard count > 0 else { throw DiskError(.misuse, "\(name): a transfer of \(count) bytes") }
    guard offset % unit == 0, UInt64(count) % unit == 0 else {
        throw DiskError(
            .misuse, "\(name): \(count) bytes at \(offset) are not whole sectors of \(sectorSize)")
    }
    guard offset <= size, UInt64(count) <= size - offset else {
        throw DiskError(.misuse, "\(name): \(count) bytes at \(offset) are not inside its \(size) bytes")
    }
}

/// Reads any range through a buffer of whole sectors.
func readUnaligned(
    _ descriptor: borrowing Descriptor, _ size: UInt64, _ sectorSize: UInt32, _ count: Int, at offset: UInt64
) throws -> [UInt8] {
    guard count >= 0, count <= 1 << 30, offset <= size, UInt64(count) <= size - offset else {
        throw DiskError(
            .misuse, "\(descriptor.name): \(count) bytes at \(offset) are not inside its \(size) bytes")
    }
    guard count > 0 else { return [] }
    let unit = UInt64(sectorSize)
    let from = offset / unit * unit
    let to = (offset + UInt64(count) + unit - 1) / unit * unit
    let buffer = AlignedBuffer(capacity: Int(to - from))
    try unsafe descriptor.readFully(buffer.bytes, at: from)
    let start = Int(offset - from)
    return unsafe [UInt8](buffer.bytes[start..<start + count])
}
