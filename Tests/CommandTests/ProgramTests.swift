// img as a program: help, exit statuses, and what dump and info print about disks.
import Linux
import SystemPackage
import Testing
import TestSupport

/// Runs the `img` that was built with these tests.
private func img(_ words: String...) throws -> ExternalCommand.Outcome {
    let own = try FileTree.realPath("/proc/self/exe")
    let path = own.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/img"
    return try runAnyway([path] + words)
}

struct ProgramTests {
    @Test(arguments: [["help"], ["--help"], ["-h"], ["HELP"]]) func helpListsEveryCommand(_ words: [String])
        throws
    {
        let said = try #require(try? words.count == 1 ? img(words[0]) : nil)
        #expect(said.status == 0)
        #expect(said.errors == "")
        for line in [
            "img session NAME [master|client] [clients=N [t=MIN]] [TIME] [comp=...]",
            "img makel FILE [comp=0-9|none|speed|balanced|size] [xN]... [disks=A,B]",
            "img restorel FILE [disks=A,B] [verify] [plan]", "img dump [geometry]", "img info [FILE]",
            "img pdN [disks=A] [plan]", "img paN [disks=A] [plan]", "img                    (alone: the menu",
            "Exit status: 0 done, 1 failed, 2 wrong usage.",
        ] {
            #expect(said.output.contains(line), "\(line)")
        }
        #expect(!said.output.contains("overlay-"), "hidden services are shown")
    }

    @Test(arguments: [
        ("makel", "img makel FILE [comp=0-9|none|speed|balanced|size] [xN]... [disks=A,B] [whole] [plan]"),
        ("restorel", "img restorel FILE [disks=A,B] [verify] [plan]"),
        ("dump", "img dump [geometry] [--json]"),
        ("info", "img info [FILE] [--json]"),
        ("pd", "img pdN [disks=A] [plan]"),
        ("pa", "img paN [disks=A] [plan]"),
        ("session", "img session NAME [master|client] [clients=N [t=MIN]] [TIME] [comp=0-9|none|"),
    ]) func helpOfACommand(_ command: String, _ usage: String) throws {
        let first = try img("help", command)
        #expect(first.status == 0)
        #expect(first.errors == "")
        #expect(first.output.contains(usage), "\(first.output)")
        let short = [
            "makel": "makel", "restorel": "restorel", "dump": "du", "info": "inf", "session": "ses",
            "pd": "pd1", "pa": "pa1",
        ][command]
        // Both ways of asking, and an abbreviation, give the same text.
        #expect(try img(command, "--help").output == first.output)
        #expect(try img(command, "-h").output == first.output)
        #expect(try img("help", #require(short)).output == first.output)
        #expect(try img("-\(command)", "--help").output == first.output)
        for line in first.output.split(separator: "\n") { #expect(line.utf8.count <= 120, "\(line)") }
    }

    /// A full disk behind `img dump --json > FILE` would leave half a file and "success".
    @Test func outputThatDoesNotArriveIsAFailure() throws {
        let own = try FileTree.realPath("/proc/self/exe")
        let folder = own.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
        let said = try runAnyway(["/bin/sh", "-c", "exec \(folder)/img dump --json >/dev/full"])
        #expect(said.status == 1)
        #expect(said.errors == "img: cannot write to standard output: No space left on device\n")
        // Whoever has seen enough closes the pipe: no failure.
        let enough = try runAnyway([
            "/bin/bash", "-c", "set -o pipefail; \(folder)/img help | head -c 1 >/dev/null",
        ])
        #expect(enough.status == 0)
    }

    @Test func theVersionIsANumber() throws {
        let said = try img("--version")
        #expect(said.status == 0)
        #expect(said.output.split(separator: ".").count == 3)
    }

    @Test(
        arguments: [
            ([], "img alone shows the menu, which needs a terminal"),
            (["pd0"], "slots count from 1"), (["pa"], "'<slot>'"), (["pd99999999999999999999"], "999"),
            (["makel"], "'<file>'"), (["makel", "a", "b"], "'makel' does not take 'b'"),
            (["restorel"], "'<file>'"),
            (
                ["session", "a", "disks=discard", "verify"],
                "disks=discard writes nothing that verify could read"
            ),
            (["session", "a", "m", "c"], "a machine is the master or a client of a session"),
            (["session", "a", "m", "t=5"], "needs clients=N: img session NAME [master] clients=N [t=MIN]"),
            (["session", "a", "time=5"], "needs clients=N"),
            (["session", "a", "c", "clients=3"], "clients= is for the master of a session"),
            (["session", "a", "c", "clients=3", "t=1"], "clients= is for the master of a session"),
            (["session", "a", "client", "14:30"], "the start time is for the master of a session"),
            (["session", "a", "client", "comp=1"], "comp= is for the master of a session"),
            (["session", "a", "client", "rate=5"], "rate= is for the master of a session"),
            (["session", "a", "client", "linger=5"], "linger= is for the master of a session"),
            (["session", "a", "client", "whole"], "whole is for the master of a session"),
            (["session", "a", "master", "verify"], "verify is for the clients of a session"),
            (["session", "a", "master", "key=x"], "key= is for the clients of a session"),
            (["session", "a", "master", "disks=discard"], "disks=discard is for the clients of a session"),
            (["session", "a", "clients=0"], "clients= takes 1 to 1000"),
            (["session", "a", "clients=1001"], "clients= takes 1 to 1000"),
            (["session", "a", "clients=2", "t=0"], "t= takes minutes, up to 1440"),
            (["session", "a", "clients=2", "t=soon"], "t= takes minutes, up to 1440"),
            (["session", "a", "24:00"], "a time of day as 14:30"),
            (["session", "a", "14:60"], "a time of day as 14:30"),
            (["session", "a", "1:2:3"], "a time of day as 14:30"),
            (["session", "a", "0"], "a start is minutes, up to 1440"),
            (["session", "a", "1441"], "a start is minutes, up to 1440"),
            (["session", "a", "5", "6"], "'6' gives a second value"),
            (["session", "a", "comp=10"], "comp= takes 0 to 9"),
            (["session", "a", "m", "linger=-1"], "'linger=-1' gives a value that begins with '-'"),
            (["session", "a", "m", "linger=1.2.3"], "linger= takes 0 to 1440 minutes, not '1.2.3'"),
            (["session", "a", "m", "rate=x"], "rate= takes Mbit/s from 1 up, not 'x'"),
            (["session", "a", "ttl=1000000000000000000000"], "ttl= takes 1 to 255 routers, not"),
            (["session", "a", "ttl=999"], "ttl= takes 1 to 255 routers"),
            (["session", "a", "rate=0"], "rate= takes Mbit/s"), (["session", "a", "ttl=0"], "ttl= takes"),
            (["session"], "'<name>'"), (["frobnicate"], "img has no mode 'frobnicate'"),
            (["makel", "a", "comp=11"], "comp= takes 0 to 9"),
            (["makel", "a", "xx"], "'makel' does not take 'xx'"),
            (["makel", "a", "--frobnicate"], "--frobnicate"), (["makel", "a", "--exclude", "two"], "two"),
            (["makel", "a", "x99999999999999999999"], "99999999999999999999"),
            (["dump", "disks=a"], "'dump' does not take 'disks=a'"),
            (["restorel", "a", "disks="], "lacks a value"),
            (["restorel", "a", "s2"], "does not exist yet"),
            (["restorep", "s", "a", "s2"], "does not exist yet"),
            (["auto", "now"], "'auto' does not take 'now'"), (["makep", "server"], "'<name>'"),
            (["makep", "s", "a", "comp=11"], "comp= takes 0 to 9"),
            (["bootfix", "kexec", "next"], "leave one out"),
            (["help", "frobnicate"], "img has no mode 'frobnicate'"),
            (["info", "a", "b"], "does not take 'b'"),
            (["overlay", "x"], "img has no mode 'overlay'"),
        ] as [([String], String)]) func wrongUsageIsTwo(_ words: [String], _ sentence: String) throws
    {
        let own = try FileTree.realPath("/proc/self/exe")
        let path = own.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/img"
        let said = try runAnyway([path] + words)
        #expect(said.status == 2, "\(said)")
        #expect(said.output == "")
        #expect(said.errors.hasPrefix("img: "), "\(said.errors)")
        #expect(said.errors.contains(sentence), "\(said.errors)")
        #expect(!said.errors.contains("Error: "), "\(said.errors)")
    }

    @Test func failuresAreOne() throws {
        for words in [["info", "/none/at/all"], ["restorel", "/none/at/all", "plan"]] {
            let said = try img(words[0], words[1])
            #expect(said.status == 1)
            #expect(said.output == "")
            #expect(said.errors.hasPrefix("img: ") && said.errors.contains("/none/at/all"))
            #expect(said.errors.split(separator: "\n").count == 1)
        }
        let directory = try img("info", "/tmp")
        #expect(directory.status == 1)
        #expect(
            directory.errors.hasPrefix("img: ") && directory.errors.contains("/tmp"), "\(directory.errors)")
    }

    /// A pipe that nobody writes to must not be waited for.
    @Test func whatIsNoRegularFileIsNoImage() throws {
        try withTemporaryDirectory { directory in
            try run("mkfifo", "\(directory)/pipe")
            for path in ["\(directory)/pipe", directory, "/dev/zero"] {
                for words in [["info", path], ["restorel", path]] {
                    let said = try img(words[0], words[1], words[0] == "info" ? "--json" : "plan")
                    #expect(said.status == 1)
                    #expect(said.errors == "img: \(path) is not a regular file, so it is no image\n")
                }
            }
        }
    }

    /// A reader that has gone away, as in `img dump | head -1`, is no reason to die by a signal.
    @Test func aClosedPipeIsNoCrash() throws {
        let own = try FileTree.realPath("/proc/self/exe")
        let path = own.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/img"
        let said = try runAnyway(["bash", "-c", "'\(path)' help | true; exit ${PIPESTATUS[0]}"])
        #expect(said.status == 0 || said.status == 141, "\(said)")
    }
}

@Suite(.serialized) struct ListingTests {
    private func withLabelledDisk(_ body: (LoopDisk) throws -> Void) throws {
        try withLoopDevice(64 << 20) { loop in
            try run(
                "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", loop.path,
                input: """
                    label: dos
                    start=2048, size=32768, type=83, bootable
                    start=34816, size=65536, type=5
                    start=36864, size=32768, type=82
                    """)
            try loop.addPartitions()
            try run("mkfs.ext4", "-q", "-F", "-L", "root disk", loop.partition(1))
            try run("mkswap", "-L", "sleepy", loop.partition(5))
            try body(loop)
        }
    }

    @Test func dumpShowsWhatARestoreSees() throws {
        try withLabelledDisk { loop in
            let said = try img("dump")
            #expect(said.status == 0)
            let lines = said.output.split(separator: "\n").map(String.init)
            let first = try #require(lines.firstIndex { $0.hasPrefix("\(loop.path): ") })
            #expect(lines[first].contains("loop"))
            #expect(lines[first].contains("67.1 MB, sectors 512/"))
            #expect(lines[first].hasSuffix("table dos"))
            #expect(lines[first + 1] == "  not taken by itself: is a loop device")
            #expect(lines[first + 2].split(separator: " ").prefix(4) == ["slot", "type", "size", "active"])
            func words(_ line: Int) -> [Substring] { lines[first + line].split(separator: " ") }
            #expect(words(3).contains("yes") && words(3).suffix(3) == ["ext4", "root", "disk"])
            #expect(words(4).first == "-", "an extended container has no slot")
            #expect(words(5).suffix(2) == ["swap", "sleepy"] && !words(5).contains("yes"))
            // Slots count on: the logical partition follows the primary one.
            #expect(try #require(Int(words(5)[0])) == #require(Int(words(3)[0])) + 1)

            let geometry = try img("dump", "geometry").output.split(separator: "\n").map(String.init)
            let own = try #require(geometry.firstIndex { $0.hasPrefix("\(loop.path): ") })
            #expect(geometry[own].hasSuffix("131072 sectors"))
            #expect(geometry[own + 3].split(separator: " ").suffix(2) == ["2048", "32768"])
            #expect(geometry[own + 5].split(separator: " ").suffix(2) == ["36864", "32768"])
            // Without a file, info is the same list.
            #expect(try img("info").output.contains(lines[first]))
        }
    }

    @Test func dumpAsJSONIsReadByOthers() throws {
        try withLabelledDisk { loop in
            let script = """
                import json, sys
                disk = [d for d in json.load(sys.stdin)["disks"] if d["path"] == "\(loop.path)"][0]
                print(disk["size"], disk["table"], disk["bus"], disk["notEligible"], disk["logicalSectorSize"])
                slots = [p["slot"] for p in disk["partitions"]]
                for p in disk["partitions"]:
                    print(p["number"], p["active"], p["fileSystem"], p["label"], p["offset"], p["size"], p["slot"] > 0)
                print(slots[2] - slots[0])
                """
            for words in [["dump"], ["info"], ["dump", "geometry"]] {
                let said =
                    words.count == 1 ? try img(words[0], "--json") : try img(words[0], words[1], "--json")
                #expect(said.status == 0)
                #expect(
                    try run("python3", "-c", script, input: said.output) == """
                        67108864 dos loop ['is a loop device'] 512
                        1 True ext4 root disk 1048576 16777216 True
                        2 False   17825792 33554432 False
                        5 False swap sleepy 18874368 16777216 True
                        1

                        """)
            }
        }
    }

    @Test func infoShowsAnImagesTotals() throws {
        try withLabelledDisk { loop in
            try withTemporaryDirectory { directory in
                let image = "\(directory)/a.img"
                let made = try img("makel", image, "disks=\(loop.path)", "comp=speed")
                try #require(made.status == 0, "\(made)")
                let said = try img("info", image)
                #expect(said.status == 0)
                let lines = said.output.split(separator: "\n").map(String.init)
                #expect(lines[0].hasPrefix("\(image): image "))
                #expect(lines.contains { $0.contains("67.1 MB, sectors 512/") && $0.contains("table dos") })
                #expect(
                    lines.contains { $0.contains("smallest disk that fits: 51380224 bytes (51.4 MB)") },
                    "\(lines)")
                let swap = try #require(lines.last)
                #expect(swap.contains("header") && swap.hasSuffix("sleepy"))
                let script = """
                    import json, os, sys
                    i = json.load(sys.stdin)
                    m = i["manifest"]
                    print(i["fileBytes"] == os.stat(i["path"]).st_size, i["contentBytes"] == m["usedBytes"])
                    print(i["frames"] == m["chunkCount"], i["unreadablePlaces"], 0 < i["payloadBytes"] < i["contentBytes"])
                    inside = sum(p["usedBytes"] for p in m["partitions"])
                    # Besides the partitions: the first MiB, and the one before the logical partition.
                    print(m["usedBytes"] - inside, [p["content"] for p in m["partitions"]])
                    """
                let json = try img("info", image, "--json")
                #expect(
                    try run("python3", "-c", script, input: json.output) == """
                        True True
                        True 0 True
                        \(2 * 1_048_576) ['used', 'header']

                        """)
            }
        }
    }
}
