// img with --json as a script sees it, and a reader of its output that goes away or is a terminal.
import Blocks
import ImageFormat
import Imaging
import Linux
import SystemPackage
import Testing
import TestSupport

/// What jq makes of JSON lines: every line has to be an object of its own.
private func jq(_ filter: String, _ lines: String) throws -> String {
    try run("jq", "--raw-output", "--compact-output", filter, input: lines)
}

/// What jq makes of all lines as one array.
private func jqOfAll(_ filter: String, _ lines: String) throws -> String {
    try run("jq", "--slurp", "--raw-output", "--compact-output", filter, input: lines)
}

extension OnRealTargets {
    @Test func aCaptureInJSONLines() throws {
        try withPlainDisk { disk in
            try withTemporaryDirectory { directory in
                let image = "\(directory)/a.img"
                let said = try img("makel", image, "disks=\(disk)", "comp=speed", "--json")
                #expect(said.status == 0, "\(said)")
                #expect(said.errors == "")
                let lines = said.output.split(separator: "\n")
                // Each line is an object by itself, and there is nothing between them.
                #expect(try jq("type", said.output) == String(repeating: "object\n", count: lines.count))
                #expect(
                    try jqOfAll(
                        "[.[].event] | (first, last, (map(select(. == \"start\")) | length))", said.output)
                        == "start\nresult\n1\n")
                #expect(
                    try jqOfAll("first | .command, (.version | length > 0), has(\"session\")", said.output)
                        == "makel\ntrue\nfalse\n")
                let content = try ImageFileReader(path: image).closing.contentBytes
                let result = """
                    last | .ok, .state, .bytes, .total_bytes, .disks[0].bytes, .disks[0].name, .chunks == .total_chunks,
                    has("error"), has("loss_percent"), has("eta_s"), has("machines"), .frame_bytes == .wire_bytes,
                    ((.bytes / 1e9 * 60 / .transfer_s / .disk_GB_per_min - 1) | fabs < 0.2),
                    ((.disk_MBps * 60 / 1000 / .disk_GB_per_min - 1) | fabs < 0.01), .elapsed_s >= .transfer_s
                    """
                #expect(
                    try jqOfAll(result, said.output) == """
                        true
                        done
                        \(content)
                        \(content)
                        \(content)
                        \(disk)
                        true
                        false
                        false
                        false
                        false
                        true
                        true
                        true
                        true

                        """)
                let text = try jqOfAll("last.text", said.output)
                #expect(text.hasPrefix("\(image): ") && text.contains(" s, file "), "\(text)")
                #expect(text.hasSuffix(" GB/min\n") && text.contains(" MB/s, disk "), "\(text)")
                // The plan is there as sentences, and the states in their order.
                #expect(try jq("select(.event == \"notice\").text", said.output).contains("disk 1: \(disk)"))
                #expect(
                    try jqOfAll(
                        "[.[] | select(.event == \"progress\").state] | unique - [\"planning\"] | @csv",
                        said.output)
                        == "\"capturing\",\"finishing\"\n")
            }
        }
    }

    @Test func aRestoreInJSONLines() throws {
        try withPlainImage { disk, image in
            try withSparseFile(24 * MiB) { target in
                let said = try img("restorel", image, "disks=\(target)", "verify", "--json")
                #expect(said.status == 0, "\(said)")
                #expect(said.errors == "")
                #expect(try tableDump(target) == tableDump(disk))
                let content = try ImageFileReader(path: image).closing.contentBytes
                #expect(
                    try jqOfAll("last | .event, .ok, .bytes, (.verify_s > 0), .disks[0].name", said.output)
                        == "result\ntrue\n\(content)\ntrue\n\(target)\n")
                #expect(
                    try jqOfAll("[.[] | select(.event == \"progress\").state] | @csv", said.output)
                        .contains("\"restoring\",\"verifying\""))
            }
        }
    }

    @Test func aPlanInJSONLinesTouchesNothing() throws {
        try withPlainImage { _, image in
            try withSparseFile(24 * MiB) { target in
                let before = try sha256(target)
                let said = try img("restorel", image, "disks=\(target)", "plan", "--json")
                #expect(said.status == 0, "\(said)")
                #expect(try jqOfAll("[.[].event] | @csv", said.output) == "\"start\",\"notice\",\"result\"\n")
                #expect(try jqOfAll("last | .ok, has(\"text\")", said.output) == "true\nfalse\n")
                #expect(try sha256(target) == before)
            }
        }
    }

    @Test func aFailureIsTheLastLineAndTheExitStatus() throws {
        try withPlainImage { _, image in
            try withSparseFile(4 * MiB) { small in
                let said = try img("restorel", image, "disks=\(small)", "--json")
                #expect(said.status == 1)
                #expect(said.errors.hasPrefix("img: \(small) is too small: "), "\(said.errors)")
                #expect(try jqOfAll("first.event, last.event", said.output) == "start\nresult\n")
                #expect(try jqOfAll("last | .ok, .state", said.output) == "false\nfailed\n")
                #expect("img: " + (try jqOfAll("last.error", said.output)) == said.errors)
            }
            let missing = try img("restorel", "\(image).none", "--json")
            #expect(missing.status == 1)
            #expect(try jqOfAll("length, last.ok", missing.output) == "2\nfalse\n")
            #expect("img: " + (try jqOfAll("last.error", missing.output)) == missing.errors)
        }
    }

    /// In the middle of it: the image is damaged behind its first chunks.
    @Test func aFailureOnTheWayIsToldTwiceTheSame() throws {
        try withPlainImage { _, image in
            let reader = try ImageFileReader(path: image)
            let entry = try #require(
                reader.entries.last { $0.header.kind == .chunk && $0.header.payloadLength > 0 })
            let file = try Descriptor(opening: image, .readWrite)
            let place = entry.offset + UInt64(entry.headerLength + entry.header.payloadLength / 2)
            try file.write(try file.read(1, at: place).map { ~$0 }, at: place)
            try file.close()
            try withSparseFile(24 * MiB) { target in
                let said = try img("restorel", image, "disks=\(target)", "--json")
                #expect(said.status == 1, "\(said)")
                #expect(try jqOfAll("last | .ok, .event", said.output) == "false\nresult\n")
                #expect("img: " + (try jqOfAll("last.error", said.output)) == said.errors)
                #expect(said.errors.contains(image))
            }
        }
    }

    @Test func wrongUsageStaysPlainText() throws {
        let said = try img("makel", "/tmp/a", "comp=11", "--json")
        #expect(said.status == 2)
        #expect(said.output == "")
        #expect(said.errors.hasPrefix("img: comp= takes 0 to 9"))
    }

    /// A reader that goes away is no reason to leave a disk half restored.
    @Test(arguments: [["--json"], []]) func aReaderThatGoesAwayHaltsNothing(_ words: [String]) throws {
        try withPlainImage { disk, image in
            try withSparseFile(24 * MiB) { target in
                let command = ([try imgPath(), "restorel", image, "disks=\(target)", "verify"] + words)
                    .map { "'\($0)'" }.joined(separator: " ")
                for reader in ["true", "head -1"] {
                    try run("truncate", "-s", "0", target)
                    try run("truncate", "-s", "\(24 * MiB)", target)
                    let said = try runAnyway([
                        "bash", "-c", "{ \(command); } | \(reader); exit ${PIPESTATUS[0]}",
                    ])
                    #expect(said.status == 0, "\(reader): \(said)")
                    #expect(try tableDump(target) == tableDump(disk))
                    #expect(try sha256(target, MiB..<7 * MiB) == sha256(disk, MiB..<7 * MiB))
                }
            }
        }
    }

    /// On a terminal of 40 columns no line wraps, and the summary is the last thing on it.
    @Test func aNarrowTerminal() throws {
        try withPlainImage { _, image in
            try withSparseFile(24 * MiB) { target in
                let command =
                    "stty cols 40 rows 10; '\(try imgPath())' restorel '\(image)' 'disks=\(target)' verify"
                let said = try runAnyway(["script", "-qefc", command, "/dev/null"])
                #expect(said.status == 0, "\(said)")
                // Character by character: "\r\n" is one of Swift's.
                let pieces = said.output.unicodeScalars.split { ["\n", "\r", "\u{1B}"].contains($0) }
                    .map { String($0) }.map { $0.hasPrefix("[J") ? String($0.dropFirst(2)) : $0 }
                let live = pieces.filter { $0.contains("GB/min") && !$0.contains("every chunk") }
                #expect(!live.isEmpty, "\(said.output)")
                for line in live { #expect(line.count <= 39, "\(line)") }
                let last = try #require(pieces.last)
                #expect(last.contains("every chunk restored, its hash proven, read back and compared: "))
                #expect(last.contains(" s, read back in ") && last.hasSuffix(" GB/min"), "\(last)")
            }
        }
    }
}
