// One partition deleted or made the active one: judged by sfdisk and sgdisk, and nothing else may change.
import Blocks
import Disk
import Linux
import Testing
import TestSupport

@Suite(.serialized) struct PartitionEditorTests {
    private func disk(_ path: String) throws -> LocalDisk { try DiskInventory().describe(path: path) }

    private func partition(_ number: Int, of disk: LocalDisk) throws -> LocalPartition {
        try #require(disk.partitions.first { $0.number == number })
    }

    @discardableResult
    private func apply(_ edit: PartitionEdit, _ number: Int, of path: String) throws -> LocalDisk {
        let disk = try disk(path)
        let partition = try partition(number, of: disk)
        try PartitionEditor.check(edit, partition, of: disk, named: true)
        return try PartitionEditor.apply(edit, to: partition, of: disk, named: true)
    }

    /// The partitions as sfdisk sees them: "start=2048, size=8192, type=c, bootable".
    private func lines(_ path: String) throws -> [String] {
        try run("sfdisk", "--dump", path).split(separator: "\n").filter { $0.contains("start=") }.map {
            line in
            let fields = line.split(separator: ":", maxSplits: 1).last ?? ""
            return String(fields.filter { $0 != " " })
        }
    }

    private func fill(_ path: String, _ size: UInt64) throws {
        var random = SeededRandom(seed: 7)
        try write(random.bytes(Int(size)), at: 0, of: path)
    }

    @Test func deletesAPrimaryPartitionAndNothingElse() throws {
        try withSparseFile(64 * MiB) { path in
            try fill(path, 64 * MiB)
            try run(["sfdisk", "--quiet", path], input: chainScript)
            let before = try lines(path)
            let reader = try open(path).reader
            let content = try reader.everything()
            let after = try apply(.delete, 2, of: path)
            #expect(after.partitions.map(\.number) == [1, 3, 5, 6, 7])
            #expect(try lines(path) == [before[0]] + before[2...])
            #expect(try run("sfdisk", "--dump", path).contains("label-id: 0x1234abcd"))
            let now = try open(path).reader.everything()
            // Boot code, and all that is no table.
            #expect(now[..<440].elementsEqual(content[..<440]))
            let tables = try TableRegions(of: open(path).reader, table: .dos).regions.map(\.extent)
            for sector in stride(from: 0, to: now.count, by: 512) where now[sector] != content[sector] {
                #expect(tables.contains { $0.offset == UInt64(sector) }, "sector \(sector / 512) changed")
            }
        }
    }

    /// libparted writes code and a new signature into a sector that begins with a zero, or has no signature.
    @Test(arguments: [PartitionEdit.delete, .activate, .activateWithStartCode], [0, 0xeb] as [UInt8])
    func keepsBootCodeAndSignature(_ edit: PartitionEdit, _ first: UInt8) throws {
        var random = SeededRandom(seed: 11)
        let code = [first] + random.bytes(439)
        for signature: [UInt8] in [[0xcd, 0xab, 0x34, 0x12, 0x5a, 0x5a], [0, 0, 0, 0, 0, 0]] {
            try withScriptedFile(64 * MiB, chainScript) { path in
                try write(code + signature, at: 0, of: path)
                let before = try open(path).reader.bytes(512, at: 0)
                try apply(edit, 2, of: path)
                let after = try open(path).reader.bytes(512, at: 0)
                #expect(after[440..<446] == before[440..<446])
                #expect(after[510...] == before[510...])
                #expect(after[446..<510] != before[446..<510])
                if edit == .activateWithStartCode {
                    #expect(after[..<4] == [0xfa, 0xb8, 0x00, 0x10])
                } else {
                    #expect(after[..<440] == before[..<440])
                }
            }
        }
    }

    @Test(arguments: [(5, [5, 6]), (6, [5, 6]), (7, [5, 6])])
    func deletesALogicalPartition(_ number: Int, _ left: [Int]) throws {
        try withScriptedFile(64 * MiB, chainScript) { path in
            var expected = try lines(path)
            expected.remove(at: number - 2)
            let after = try apply(.delete, number, of: path)
            #expect(after.partitions.filter { $0.role == .logical }.map(\.number) == left)
            #expect(try lines(path) == expected)
            #expect(try run("sfdisk", "--verify", path).contains("No errors detected"))
        }
    }

    @Test func deletesEveryLogicalPartition() throws {
        try withScriptedFile(64 * MiB, chainScript) { path in
            let before = try lines(path)
            for _ in 0..<3 { try apply(.delete, 5, of: path) }
            #expect(try lines(path) == Array(before[..<3]))
            #expect(try disk(path).tableProblem == nil)
        }
    }

    @Test(arguments: [512, 4096]) func deletesOnAGPT(_ sectorSize: Int) throws {
        try withLoopDevice(64 * MiB, sectorSize: sectorSize) { loop in
            try run(
                ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", loop.path],
                input: "label: gpt\nsize=10M, name=\"a\"\nsize=20M, type=U, name=\"b\"\nsize=5M, name=\"c\"")
            try loop.addPartitions()
            let before = try lines(loop.path)
            let after = try apply(.delete, 2, of: loop.path)
            #expect(after.partitions.map(\.number) == [1, 3])
            #expect(after.partitions.map(\.name) == ["a", "c"])
            #expect(try lines(loop.path) == [before[0], before[2]])
            #expect(try run("sgdisk", "--verify", loop.path).contains("No problems found"))
            // The kernel knows the partitions that are left, and only those.
            #expect(FileTree.exists(loop.partition(1)))
            #expect(!FileTree.exists(loop.partition(2)))
            #expect(FileTree.exists(loop.partition(3)))
        }
    }

    @Test func movesTheActiveMark() throws {
        try withScriptedFile(64 * MiB, chainScript) { path in
            let before = try lines(path)
            #expect(before[0].hasSuffix(",bootable"))
            let after = try apply(.activate, 2, of: path)
            #expect(after.partitions.filter(\.isActive).map(\.number) == [2])
            var expected = before
            expected[0] = String(before[0].dropLast(",bootable".count))
            expected[1] += ",bootable"
            #expect(try lines(path) == expected)
            // Once more is no error.
            try apply(.activate, 2, of: path)
            #expect(try lines(path) == expected)
        }
    }

    @Test func refusesWhatHasNoActivePartition() throws {
        try withScriptedFile(64 * MiB, gptScript) { path in
            expectRefusal(
                "\(path) has a GPT, and UEFI has no active partition: it starts what its boot entries name"
            ) { try apply(.activate, 1, of: path) }
        }
        try withScriptedFile(64 * MiB, chainScript) { path in
            expectRefusal(
                "partition 6 of \(path) is a logical one: a BIOS starts only primary partitions"
            ) { try apply(.activate, 6, of: path) }
        }
    }

    @Test func refusesATableThatIsNotWhole() throws {
        try withScriptedFile(64 * MiB, gptScript) { path in
            try write([UInt8](repeating: 0xff, count: 512), at: 64 * MiB - 512, of: path)
            let before = try run("sha256sum", path)
            let error = #expect(throws: DiskError.self) { try apply(.delete, 1, of: path) }
            #expect(error?.description.hasPrefix("the partition table of \(path) is not changed: ") == true)
            #expect(try run("sha256sum", path) == before)
        }
        try withScriptedFile(64 * MiB, chainScript) { path in
            // The second link of the chain: the first logical partition stays readable.
            let link = try TableRegions(of: open(path).reader, table: .dos).regions[2]
            try write([UInt8](repeating: 0, count: 512), at: link.offset, of: path)
            let before = try run("sha256sum", path)
            let error = #expect(throws: DiskError.self) { try apply(.delete, 1, of: path) }
            #expect(error?.description.hasPrefix("\(path) has a damaged partition table: ") == true)
            #expect(try run("sha256sum", path) == before)
        }
    }

    @Test func refusesAHybridMBR() throws {
        try withScriptedFile(64 * MiB, gptScript) { path in
            try run("sgdisk", "--hybrid=1", path)
            let before = try run("sha256sum", path)
            expectRefusal("\(path) has an MBR with partitions beside its GPT: that would be lost") {
                try apply(.delete, 2, of: path)
            }
            #expect(try run("sha256sum", path) == before)
        }
    }

    @Test func refusesAnotherTableThanPlanned() throws {
        try withScriptedFile(64 * MiB, chainScript) { path in
            let planned = try disk(path)
            try apply(.delete, 5, of: path)
            let before = try run("sha256sum", path)
            // What was number 6 is number 5 now: the plan's number would hit another partition.
            expectRefusal("\(path) has other partitions than when the plan was made") {
                try PartitionEditor.apply(.delete, to: partition(6, of: planned), of: planned, named: true)
            }
            #expect(try run("sha256sum", path) == before)
        }
    }

    @Test func refusesADiskInUse() throws {
        try withLoopDevice(64 * MiB) { loop in
            try run(
                ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", loop.path], input: chainScript)
            try loop.addPartitions()
            try run("mkfs.ext4", "-q", loop.partition(2))
            try withTemporaryDirectory { place in
                try run("mount", loop.partition(2), place)
                defer { _ = try? run("umount", place) }
                for edit in [PartitionEdit.delete, .activate] {
                    expectRefusal(
                        "\(loop.path) is mounted (\(loop.partition(2).dropFirst(5)) at \(place))"
                    ) { try apply(edit, 1, of: loop.path) }
                }
            }
            let disk = try disk(loop.path)
            expectRefusal("\(loop.path) is a loop device") {
                try PartitionEditor.check(.delete, partition(1, of: disk), of: disk, named: false)
            }
            let other = try Descriptor(opening: loop.path, [.readOnly, .exclusive])
            expectRefusal("\(loop.path) is in use by another program or a mounted file system") {
                try apply(.delete, 1, of: loop.path)
            }
            try other.close()
            #expect(try lines(loop.path).count == 6)
        }
        try withLoopDevice(64 * MiB, readOnly: true) { loop in
            try run("sfdisk", "--quiet", loop.file, input: chainScript)
            expectRefusal("\(loop.path) is read-only") { try apply(.delete, 1, of: loop.path) }
        }
    }
}
