// A disk in memory, and a generator whose sequences can be repeated.
import Disk

/// The in-memory twin of a disk.
struct MemoryDisk: BlockDevice {
    let name = "memory"
    var content: [UInt8]
    let sectorSize: UInt32
    /// Sectors that cannot be read.
    var damaged: Set<UInt64> = []

    var size: UInt64 { UInt64(content.count) }

    init(_ content: [UInt8], sectorSize: UInt32 = 512) {
        self.content = content
        self.sectorSize = sectorSize
    }

    init(size: UInt64, sectorSize: UInt32 = 512) {
        self.init([UInt8](repeating: 0, count: Int(size)), sectorSize: sectorSize)
    }

    func bytes(_ count: Int, at offset: UInt64) throws -> [UInt8] {
        guard offset <= size, UInt64(count) <= size - offset else {
            throw DiskError(.misuse, "memory: \(count) bytes at \(offset) are outside")
        }
        let touched = offset / UInt64(sectorSize)..<(offset + UInt64(count) + 511) / UInt64(sectorSize)
        guard damaged.isDisjoint(with: touched) else { throw DiskError(.verification, "memory: unreadable") }
        return Array(content[Int(offset)..<Int(offset) + count])
    }

    mutating func put(_ regions: [TableRegion]) {
        for region in regions {
            content.replaceSubrange(
                Int(region.offset)..<Int(region.offset) + region.bytes.count, with: region.bytes)
        }
    }
}

/// SplitMix64: the same seed gives the same test on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}
