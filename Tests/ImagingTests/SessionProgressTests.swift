// A live session in JSON lines on every machine that takes part, on a LAN that is slow enough to watch.
import Blocks
import Linux
import TestSupport
import Testing

/// What jq makes of a program's JSON lines, taken as one array; what it said on standard error is left out.
private func jq(_ filter: String, _ output: String) throws -> String {
    let lines = output.split(separator: "\n").filter { $0.hasPrefix("{") }.joined(separator: "\n")
    return try run("jq", "--slurp", "--raw-output", "--compact-output", filter, input: lines)
}

@Suite(.timeLimit(.minutes(10))) struct SessionProgressTests {
    @Test func everyRoleTellsItsFigures() throws {
        let lan = try NamespaceLAN(stations: 2)
        try withPlainDisk { disk in
            try withTemporaryDirectory { directory in
                let session = [try imgPath(), "session", "lab1", "--json"]
                try run("truncate", "-s", "\(24 * MiB)", "\(directory)/disk")
                // 12 Mbit/s: some seconds.
                let master = try RunningProgram(
                    lan.command(on: lan.host) + session + ["master", "clients=2", "rate=12", "disks=\(disk)"])
                let first = try RunningProgram(
                    lan.command(on: lan.stations[0]) + session + ["disks=\(directory)/disk", "verify"])
                let second = try RunningProgram(
                    lan.command(on: lan.stations[1]) + session + ["file=\(directory)/image"])

                let (status, restored) = try first.wait()
                #expect(status == .exited(0), "\(restored)")
                #expect(try tableDump("\(directory)/disk") == tableDump(disk))
                #expect(
                    try jq("first | .event, .command, .session", restored) == "start\nsession\nlab1\n")
                let states = "[.[] | select(.event == \"progress\").state] | unique | @csv"
                #expect(
                    try jq(states, restored)
                        == "\"finishing\",\"restoring\",\"searching\",\"verifying\",\"waiting\"\n")
                // The wire is what the rate allows, 1.5 MB/s, and waiting is no part of the average.
                let result = """
                    last | .event, .ok, .state, .bytes == .total_bytes, .disks[0].name, .disks[0].bytes == .bytes,
                    (.wire_MBps > 0.7 and .wire_MBps < 1.7), .wire_bytes > .frame_bytes, .loss_percent, .buffers > 0,
                    .elapsed_s > .transfer_s, .verify_s > 0
                    """
                #expect(
                    try jq(result, restored) == """
                        result
                        true
                        done
                        true
                        \(directory)/disk
                        true
                        true
                        true
                        0
                        true
                        true
                        true

                        """, "\(restored)")
                let text = try jq("last.text", restored)
                #expect(text.contains(" s, wire ") && text.contains(" MB/s, disk "), "\(text)")
                #expect(text.contains(" GB/min\nnext: "), "\(text)")

                let recorded = try second.wait()
                #expect(recorded.status == .exited(0), "\(recorded.output)")
                #expect(
                    try jq("last | .ok, .bytes == .total_bytes, has(\"disks\")", recorded.output)
                        == "true\ntrue\nfalse\n")
                #expect(try jq(states, recorded.output).contains("\"recording\""))

                let host = try master.wait()
                #expect(host.status == .exited(0), "\(host.output)")
                #expect(
                    try jq(
                        "last | .ok, any(.machines[]; .disk_MBps > 0), .bytes == .total_bytes, (.machines | length)",
                        host.output)
                        == "true\ntrue\ntrue\n2\n")
                #expect(
                    try jq("[last.machines[] | .state, .percent, .loss_percent] | @csv", host.output)
                        == "\"finished\",100,0,\"finished\",100,0\n")
                #expect(
                    try jq(
                        "last | (.wire_MBps > 0.7 and .wire_MBps < 1.7), .disk_GB_per_min > 0", host.output)
                        == "true\ntrue\n", "\(host.output)")
                let seen = """
                    [.[] | select(.event == "progress")] |
                    any(.[]; .state == "waiting" and .joined < 2 and .still_needed == 2 - .joined),
                    any(.[]; .state == "sending" and .bytes > 0 and .bytes < .total_bytes and .wire_MBps > 0.7),
                    any(.[]; .state == "sending" and any(.machines[]; .percent > 0)),
                    ([.[] | select(.state == "sending").bytes] | . == sort)
                    """
                #expect(try jq(seen, host.output) == "true\ntrue\ntrue\ntrue\n", "\(host.output)")
            }
        }
    }

    @Test func whoDoesNotFitAndWhoIsStoppedSaySoInTheLastLine() throws {
        let lan = try NamespaceLAN(stations: 2)
        try withPlainDisk { disk in
            try withSparseFile(4 * MiB) { small in
                let session = [try imgPath(), "session", "lab1", "--json"]
                let master = try RunningProgram(
                    lan.command(on: lan.host) + session + ["master", "clients=3", "disks=\(disk)"])
                let screen = "\(small).screen"
                let waiting = try RunningProgram(
                    ["sh", "-c", "exec \"$@\" >\(screen) 2>&1", "sh"] + lan.command(on: lan.stations[1])
                        + session + ["disks=discard"])
                let machine = try RunningProgram(
                    lan.command(on: lan.stations[0]) + session + ["disks=\(small)"])
                let refused = try machine.wait()
                #expect(refused.status == .exited(1), "\(refused.output)")
                #expect(try jq("last | .event, .ok", refused.output) == "result\nfalse\n")
                let tooSmall = try jq("last.error", refused.output)
                #expect(tooSmall.hasPrefix("\(small) is too small: "), "\(refused.output)")
                try waitUntil("the other machine has joined", seconds: 60) {
                    try run("cat", screen).contains("joined the session")
                }
                try master.signal("INT")
                let stopped = try master.wait()
                #expect(stopped.status == .exited(1), "\(stopped.output)")
                #expect(try jq("last | .event, .ok, .state", stopped.output) == "result\nfalse\nfailed\n")
                let reason = try jq("last.error", stopped.output)
                #expect(
                    reason == "session lab1: the master was stopped: interrupted by SIGINT\n",
                    "\(stopped.output)")
                #expect(stopped.output.contains("img: \(reason)"))
                // The other's reason is there as well: as an event, and in the machine's own figures.
                let told = "[.[] | select(.event == \"error\").text] | first"
                #expect(try jq(told, stopped.output).hasSuffix("cannot take part: \(tooSmall)"))
                #expect(try jq("last.machines[].problem // empty", stopped.output).contains(tooSmall))
                #expect(try waiting.wait().status == .exited(1))
                #expect(
                    try jq("last | .ok, (.error | contains(\"stopped\"))", try run("cat", screen))
                        == "false\ntrue\n")
            }
        }
    }
}
