// The seam between what reads disks and what a disk is: a device, a file, or memory in a test.
internal import Linux
internal import SystemPackage

/// Something with sectors that can be read.
package protocol BlockDevice {
    /// The path, for messages.
    var name: String { get }
    /// Size in bytes, a multiple of `sectorSize`.
    var size: UInt64 { get }
    /// Logical sector size in bytes.
    var sectorSize: UInt32 { get }

    /// Reads `count` bytes from `offset`, which need not be sector-aligned; a range beyond the end throws.
    func bytes(_ count: Int, at offset: UInt64) throws -> [UInt8]
}

extension BlockDevice {
    /// Reads logical sectors; nil where they do not all lie on the device.
    ///
    /// - Throws: `SystemError` that names the sector where the medium does not give it.
    func sectors(_ count: UInt64, at number: UInt64) throws -> [UInt8]? {
        let total = size / UInt64(sectorSize)
        guard number < total, count <= total - number, count <= 1 << 20 else { return nil }
        do {
            return try bytes(Int(count) * Int(sectorSize), at: number * UInt64(sectorSize))
        } catch let error as SystemError where error.isMediumError {
            let which = count == 1 ? "sector \(number)" : "\(count) sectors from \(number)"
            throw SystemError("read \(which) of \(name)", error.errno)
        }
    }
}
