// img pdN and img paN as a person types them.
import Blocks
import Linux
import Testing
import TestSupport

private func img(_ words: String...) throws -> ExternalCommand.Outcome {
    try runAnyway([builtProgram("img")] + words)
}

@Suite(.serialized) struct PartitionCommandTests {
    private static let script = """
        label: dos
        start=2048, size=8192, type=83, bootable
        start=10240, size=8192, type=7
        start=18432, size=73728, type=f
        start=20480, size=16384, type=83
        start=38912, size=16384, type=82
        """

    private func withDisk(_ body: (_ path: String) throws -> Void) throws {
        try withSparseFile(64 * MiB) { path in
            try run("sfdisk", "--quiet", path, input: PartitionCommandTests.script)
            try body(path)
        }
    }

    private func starts(_ path: String) throws -> [String] {
        try run("sfdisk", "--dump", path).split(separator: "\n").filter { $0.contains("start=") }.map {
            line in
            let fields = line.split(separator: ",").map { $0.filter { $0 != " " } }
            let start = fields[0].split(separator: "=").last.map(String.init) ?? ""
            return fields.contains("bootable") ? start + "*" : start
        }
    }

    @Test func thePlanChangesNothing() throws {
        try withDisk { path in
            let before = try run("sha256sum", path)
            let said = try img("pd3", "disks=\(path)", "plan")
            #expect(said.status == 0 && said.errors == "", "\(said)")
            #expect(
                said.output == """
                    deletes slot 3 (\(path), partition 5): Linux, 8.39 MB, of \(path) (file, 67.1 MB)
                      \(path), partition 6 becomes \(path), partition 5

                    """)
            #expect(
                try img("pa2", "disks=\(path)", "plan").output == """
                    makes slot 2 (\(path), partition 2): NTFS/exFAT/HPFS, 4.19 MB, the active partition of \(path) \
                    (file, 67.1 MB)
                      \(path), partition 1 is active no longer

                    """)
            #expect(try run("sha256sum", path) == before)
        }
    }

    @Test func deletesAndActivates() throws {
        try withDisk { path in
            let activated = try img("pa2", "disks=\(path)")
            #expect(activated.status == 0 && activated.errors == "", "\(activated)")
            #expect(
                activated.output.hasSuffix(
                    "slot 2 (\(path), partition 2) is the active partition of \(path)\n"))
            #expect(try starts(path) == ["2048", "10240*", "18432", "20480", "38912"])

            let deleted = try img("-PD3", "d=\(path)")
            #expect(deleted.status == 0 && deleted.errors == "", "\(deleted)")
            #expect(
                deleted.output.hasSuffix(
                    "slot 3 (\(path), partition 5) is deleted; the slots behind it count one less now\n"))
            #expect(try starts(path) == ["2048", "10240*", "18432", "38912"])
        }
    }

    @Test func refusalsAreOne() throws {
        try withDisk { path in
            let before = try run("sha256sum", path)
            for (words, sentence) in [
                (
                    ["pd5", "disks=\(path)"],
                    "there is no slot 5 on \(path): it has slots 1 to 4 ('img dump' lists them)"
                ),
                (["pa3", "disks=\(path)"], "partition 5 of \(path) is a logical one"),
                (["pd1", "disks=\(path),\(path)"], "a slot is on one disk: disks= names 2"),
                (["pd1", "disks=/none/at/all"], "/none/at/all"),
                (["pd99999"], "there is no slot 99999"),
            ] {
                let said = try runAnyway([builtProgram("img")] + words)
                #expect(said.status == 1, "\(said)")
                #expect(said.output == "")
                #expect(said.errors.hasPrefix("img: ") && said.errors.contains(sentence), "\(said.errors)")
                #expect(said.errors.split(separator: "\n").count == 1)
            }
            #expect(try run("sha256sum", path) == before)
        }
    }

    /// With a device in disks=, a slot is still the one that 'img dump' shows: the numbers of two lists never mix.
    @Test func aDevicesSlotsAreThoseOfDump() throws {
        try withDisk { path in
            try withLoopDevice(path) { loop in
                let before = try run("sha256sum", path)
                let dump = try img("dump", "--json")
                let script = """
                    import json, sys
                    disk = [d for d in json.load(sys.stdin)["disks"] if d["path"] == "\(loop.path)"][0]
                    print(max(p["slot"] for p in disk["partitions"]))
                    """
                let last = try #require(
                    Int(run("python3", "-c", script, input: dump.output).prefix { $0.isNumber }))
                // Behind the last slot of this device there may be others of other devices, but never one of this.
                let said = try img("pd\(last + 40)", "disks=\(loop.path)", "plan")
                #expect(said.status == 1)
                #expect(
                    said.errors.contains("there is no slot \(last + 40) on \(loop.path)"), "\(said.errors)")
                let plan = try img("pd\(last)", "plan")
                #expect(plan.status == 1)
                #expect(plan.errors.contains("is a loop device") || plan.errors.contains("no slot"))
                #expect(try run("sha256sum", path) == before)
            }
        }
    }
}
