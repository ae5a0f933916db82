// Hostile bytes: whatever stands in a table, decoding ends with a value or an error, never a trap or a long wait.
import Blocks
import Disk
import Testing
import TestSupport

struct MutationTests {
    /// Damages a few random bytes, mostly where tables are; sometimes renews a GPT's checksums so that more is read.
    private func mutate(
        _ content: inout [UInt8], within ranges: [Range<Int>], _ generator: inout SeededGenerator
    ) {
        for _ in 0..<Int.random(in: 1...6, using: &generator) {
            let range = ranges[Int.random(in: 0..<ranges.count, using: &generator)]
            let place = Int.random(in: range, using: &generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: content[place] = 0xff
            case 1: content[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 2: content[place] = UInt8.random(in: 0...255, using: &generator)
            default:
                for index in place..<min(place + 8, range.upperBound) {
                    content[index] = UInt8.random(in: 0...255, using: &generator)
                }
            }
        }
    }

    /// Renews the checksum of a header at `offset` so that damage behind it is looked at.
    private func renew(_ content: inout [UInt8], header offset: Int, entries: Range<Int>) {
        func store(_ value: UInt32, at place: Int) {
            for index in 0..<4 {
                content[place + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index))
            }
        }
        store(crc32(content[entries]), at: offset + 88)
        store(0, at: offset + 16)
        store(crc32(content[offset..<offset + 92]), at: offset + 16)
    }

    private func crc32(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        var value: UInt32 = 0xffff_ffff
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 0 ? value >> 1 : value >> 1 ^ 0xedb8_8320 }
        }
        return ~value
    }

    /// Reads, relocates and puts down whatever comes out; all must stay inside the disk.
    private func exercise(_ disk: MemoryDisk, _ table: TableType) throws {
        let found = try TableRegions(of: disk, table: table)
        for extent in found.extents.extents { #expect(extent.end <= disk.size) }
        let smallest = try? TableRelocation.smallestDisk(found.regions, sectorSize: disk.sectorSize)
        let sizes: [UInt64] = [
            0, disk.size / 2, disk.size, disk.size * 2, (smallest ?? nil) ?? 0, 1 << 62, UInt64.max - 511,
        ]
        for size in sizes {
            guard
                let moved = try? TableRelocation.regions(
                    found.regions, sectorSize: disk.sectorSize, forDiskOf: size)
            else { continue }
            for region in moved { #expect(region.extent.end <= size) }
        }
    }

    @Test func damagedGPTs() throws {
        let sample = try withScriptedFile(4 * MiB, gptScript(1)) { try open($0).reader.everything() }
        let end = sample.count
        var read = 0
        for seed in 0..<1500 {
            var generator = SeededGenerator(UInt64(seed))
            var content = sample
            mutate(
                &content,
                within: [0..<512, 512..<1024, 1024..<2048, end - 512..<end, end - 16896..<end - 512],
                &generator)
            if seed % 3 > 0 { renew(&content, header: 512, entries: 1024..<1024 + 16384) }
            if seed % 3 > 1 { renew(&content, header: end - 512, entries: end - 16896..<end - 512) }
            let disk = MemoryDisk(content)
            try exercise(disk, .gpt)
            if case .sound = try TableRegions(of: disk, table: .gpt).soundness { read += 1 }
        }
        // The mutations must not all be caught by the first checksum.
        #expect(read > 50)
    }

    @Test func damagedChains() throws {
        let sample = try withScriptedFile(64 * MiB, chainScript) { try open($0).reader.everything() }
        // The chain squeezed into a small disk: every link is random anyway.
        let records = [0, 18432, 36864, 55296].map { Array(sample[$0 * 512..<$0 * 512 + 512]) }
        for seed in 0..<1500 {
            var generator = SeededGenerator(UInt64(seed))
            var disk = MemoryDisk(size: 64 * 512)
            for (index, record) in records.enumerated() {
                var record = record
                // Links between the records of the small disk.
                let link = 446 + (index == 0 ? 2 : 1) * 16
                record.replaceSubrange(
                    link + 8..<link + 12, with: [UInt8(index == 0 ? 8 : index * 8), 0, 0, 0])
                mutate(&record, within: [446..<512], &generator)
                if seed % 2 == 0 { record.replaceSubrange(510..<512, with: [0x55, 0xaa]) }
                disk.content.replaceSubrange(index * 4096..<index * 4096 + 512, with: record)
            }
            try exercise(disk, .dos)
        }
    }

    @Test func randomSectors() throws {
        for seed in 0..<300 {
            var generator = SeededGenerator(UInt64(seed) + 10_000)
            var disk = MemoryDisk((0..<65536).map { _ in UInt8.random(in: 0...255, using: &generator) })
            disk.content.replaceSubrange(510..<512, with: [0x55, 0xaa])
            try exercise(disk, .dos)
            try exercise(disk, .gpt)
        }
    }

    /// The way over libblkid, with files: sector 0 full of random entries.
    @Test func randomFirstSectorsOfFiles() throws {
        try withSparseFile(4 * MiB) { path in
            for seed in 0..<200 {
                var generator = SeededGenerator(UInt64(seed))
                var sector = [UInt8](repeating: 0, count: 1024)
                for index in 446..<(seed % 2 == 0 ? 510 : 1024) {
                    sector[index] = UInt8.random(in: 0...255, using: &generator)
                }
                for index in 0..<4 where seed % 4 < 2 { sector[446 + 16 * index] = 0 }
                sector.replaceSubrange(510..<512, with: [0x55, 0xaa])
                try write(sector, at: 0, of: path)
                let disk = try DiskInventory().describe(path: path)
                for partition in disk.partitions where disk.tableProblem == nil {
                    #expect(partition.extent.end <= disk.size)
                }
            }
        }
    }
}
