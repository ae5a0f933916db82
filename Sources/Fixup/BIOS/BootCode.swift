// What the first sector of a disk does when a BIOS starts it, and whether GRUB's next step is where it says.
internal import Blocks
package import Disk

/// The boot code of an MBR, or of a partition's first sector.
package enum BootCode: Equatable, Sendable {
    /// Nothing that could load anything: no code, or no instruction that reads a disk.
    case none
    /// GRUB 2's boot.img with its core image where it says.
    case grub(core: UInt64)
    /// GRUB 2's boot.img, whose core image cannot be started; the text completes "its GRUB …".
    case brokenGrub(String)
    /// Code that starts the active partition: Windows's, syslinux's, libparted's.
    case startsActivePartition
    /// Code of another loader, which is left alone.
    case other

    /// GRUB 2's boot.img: where the core image is loaded to (u16), and its first sector (u64).
    private static let kernelAddress = 0x5a
    private static let kernelSector = 0x5c
    /// Where code ends and, in an MBR, the disk's signature begins.
    static let codeLength = 440

    /// Examines the first sector of `disk`.
    ///
    /// - Parameters:
    ///   - sector: At least 512 bytes from the disk's start.
    ///   - disk: Where the core image is looked for.
    ///   - partitions: What the disk's table names.
    package init(_ sector: [UInt8], on disk: some BlockDevice, _ partitions: [BootPartition]) {
        guard sector.count >= 512, sector[510] == 0x55, sector[511] == 0xaa else {
            self = .none
            return
        }
        let code = Array(sector[..<BootCode.codeLength])
        if code.contains("GRUB "), code.contains("Geom"),
            sector.number(2, at: BootCode.kernelAddress) == 0x8000
        {
            let core = sector.number(8, at: BootCode.kernelSector)
            let problem = CoreImage.problem(at: core, on: disk, partitions)
            self = problem.map { .brokenGrub($0) } ?? .grub(core: core)
        } else if !BootCode.readsDisk(code) {
            self = .none
        } else if BootCode.startsActive(code) {
            self = .startsActivePartition
        } else {
            self = .other
        }
    }

    /// Whether there is an INT 13h: without the BIOS's disk service nothing can be loaded.
    static func readsDisk(_ code: [UInt8]) -> Bool { code.contains([0xcd, 0x13]) }

    /// By the messages that such code shows, or libparted's first bytes (which has none).
    private static func startsActive(_ code: [UInt8]) -> Bool {
        let messages = ["Invalid partition table", "Missing operating system", "Operating system load error"]
        return messages.contains { code.contains($0) }
            || code.starts(with: [0xfa, 0xb8, 0x00, 0x10, 0x8e, 0xd0, 0xbc, 0x00, 0xb0])
    }
}

/// GRUB's core image as it lies on a disk: a first sector (diskboot.img) that lists where the rest is.
enum CoreImage {
    /// More parts than the list of a sector has room for.
    private static let mostParts = 20
    /// No core image has more sectors.
    private static let mostSectors: UInt64 = 1 << 15

    /// Why no core image can be started from `sector`; nil when one can.
    static func problem(at sector: UInt64, on disk: some BlockDevice, _ partitions: [BootPartition])
        -> String?
    {
        let size = disk.size / UInt64(disk.sectorSize)
        guard sector < size else {
            return "loads sector \(sector), but the disk ends at sector \(size - 1)"
        }
        guard sector > 0 else { return "loads sector 0, which is itself" }
        guard let first = try? disk.bytes(512, at: sector * UInt64(disk.sectorSize)) else {
            return "loads sector \(sector), which cannot be read"
        }
        guard first.contains("Geom"), first.contains("Read"), first.contains(" Error") else {
            return "loads sector \(sector), where no core image is"
        }
        var parts: [(start: UInt64, count: UInt64)] = [(sector, 1)]
        var at = 512 - 12
        while parts.count < mostParts {
            let count = first.number(2, at: at + 8)
            if count == 0 { break }
            let start = first.number(8, at: at)
            guard start < size, count <= mostSectors, count <= size - start else {
                return "has a core image whose parts do not lie on the disk"
            }
            parts.append((start, count))
            at -= 12
        }
        guard parts.count > 1 else { return "has a core image without a second part" }
        for part in parts {
            if let reason = trespass(part, disk.sectorSize, partitions) { return reason }
        }
        let rest = parts[1]
        guard let second = try? disk.bytes(512, at: rest.start * UInt64(disk.sectorSize)),
            second.contains(where: { $0 != 0 })
        else { return "has a core image of which only the first sector is there" }
        return nil
    }

    /// Whether a part lies where something else may be written at any time.
    private static func trespass(
        _ part: (start: UInt64, count: UInt64), _ sectorSize: UInt32, _ partitions: [BootPartition]
    ) -> String? {
        let unit = UInt64(sectorSize)
        let range = Extent(offset: part.start * unit, length: part.count * unit)
        for partition in partitions where partition.role != .extended {
            let extent = partition.extent
            guard range.offset < extent.end, extent.offset < range.end else { continue }
            // A core image that is a file (a list of blocks) lies in its partition as a whole.
            let isInside = range.offset >= extent.offset && range.end <= extent.end
            if isInside, partition.isBIOSBoot || partition.mayHoldLinux { continue }
            return "has a core image that reaches into partition \(partition.number)"
        }
        return nil
    }
}

extension Array where Element == UInt8 {
    /// Whether the bytes of `text` occur.
    func contains(_ text: String) -> Bool { contains(Array(text.utf8)) }

    /// Whether `pattern` occurs.
    func contains(_ pattern: [UInt8]) -> Bool {
        guard !pattern.isEmpty, count >= pattern.count else { return false }
        return (0...count - pattern.count).contains { start in
            self[start] == pattern[0] && self[start..<start + pattern.count].elementsEqual(pattern)
        }
    }

    /// A little-endian number of `count` bytes (1 to 8) at `offset`; they must exist.
    func number(_ count: Int, at offset: Int) -> UInt64 {
        (0..<count).reversed().reduce(0) { $0 << 8 | UInt64(self[offset + $1]) }
    }
}
