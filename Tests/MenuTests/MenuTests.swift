// The menu as a person at an 80 × 25 console uses it: the real program in tmux, its screens kept as text.
import Blocks
import Linux
import Testing
import TestSupport

@Suite(.serialized) struct MenuTests {
    /// A disk with an MBR in `directory`: two primary partitions, and two logical ones.
    private func makeDisk(_ name: String, in directory: String) throws {
        try run("truncate", "-s", "64M", "\(directory)/\(name)")
        try run(
            "sfdisk", "--quiet", "\(directory)/\(name)",
            input: """
                label: dos
                label-id: 0x1234abcd
                start=2048, size=8192, type=83, bootable
                start=10240, size=8192, type=7
                start=18432, size=73728, type=f
                start=20480, size=16384, type=83
                start=38912, size=16384, type=82
                """)
    }

    @Test(arguments: ["linux", "vt100", "xterm", "vt220"]) func theMainMenuOnEveryTerminal(_ term: String)
        throws
    {
        try withTemporaryDirectory { directory in
            try withMenu(directory, term: term) { menu in
                try expectGolden("main", menu.expect("Exit to prompt"))
                try menu.press("Down", "Down")
                try menu.press("Enter")
                try menu.expect("System information", "Processor", "Memory", "Firmware", "Network")
                try menu.press("Enter")
                try menu.expect("Main menu")
                try menu.press("Escape")
                try menu.expectEnd(status: 0)
            }
        }
    }

    @Test func helpAndTheWayOut() throws {
        try withTemporaryDirectory { directory in
            try withMenu(directory) { menu in
                try menu.press("Down", "Down", "Down", "Enter")
                try expectGolden("help", menu.expect("Keys"))
                try menu.press("Enter")
                try menu.expect("Main menu")
                // The list still stands on Help: the next line is the way out.
                try menu.press("Down", "Enter")
                try menu.expectEnd(status: 0)
            }
        }
    }

    @Test func makesAnImage() throws {
        try withTemporaryDirectory { directory in
            try makeDisk("source", in: directory)
            try withMenu(directory) { menu in
                try menu.press("Enter")
                try expectGolden("imaging", menu.expect("Make image"))
                try menu.press("Enter")
                try expectGolden("make", menu.expect("Leave out slots"))
                try menu.type("room.img")
                try menu.press("Enter")
                try menu.type("source")
                // Over the slots to None; the arrow goes to Speed, the blank chooses it.
                try menu.press("Tab", "Tab", "Down", "Space")
                try expectGolden("make-filled", menu.expect("(*) Speed"))
                try menu.press("Tab", "Tab", "Tab", "Tab", "Enter")
                let plan = try menu.expect("Make image: plan", "Start")
                try expectGolden("make-plan", plan)
                try menu.press("Enter")
                try menu.expect("Image made", "room.img: ")
                let info = try run(builtProgram("img"), "info", "\(directory)/room.img")
                #expect(info.contains("table dos"), "\(info)")
                try menu.press("Enter")
                try menu.expect("Make image -> local file")
                // The same name again is refused, and what was typed is still there.
                try menu.press("Enter")
                try menu.expect("Leave out slots")
                try menu.type("room.img")
                try menu.press("Enter")
                try menu.type("source")
                try menu.press("Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Enter")
                try expectGolden("make-refused", menu.expect("Error", "exists already"))
                try menu.press("Enter")
                try menu.expect("Leave out slots", "room.img", "source")
            }
        }
    }

    @Test func restoresAnImageOnlyAfterYes() throws {
        try withTemporaryDirectory { directory in
            try makeDisk("source", in: directory)
            try makeDisk("target", in: directory)
            try run(
                builtProgram("img"), "makel", "\(directory)/room.img", "disks=\(directory)/source",
                "comp=speed")
            try run("sfdisk", "--quiet", "--delete", "\(directory)/target", "2")
            let before = try run("sha256sum", "\(directory)/target")
            try withMenu(directory) { menu in
                try menu.press("Enter")
                try menu.expect("Restore image")
                try menu.press("Down", "Enter")
                try expectGolden("restore", menu.expect("Read everything back"))
                try menu.type("room.img")
                try menu.press("Enter")
                try menu.type("target")
                try menu.press("Tab", "Space", "Tab", "Enter")
                try expectGolden("restore-plan", menu.expect("Restore image: plan", "Yes, overwrite"))
                // Enter means No here.
                try menu.press("Enter")
                try menu.expect("Restore image <- local file")
                #expect(try run("sha256sum", "\(directory)/target") == before)

                try menu.press("Enter")
                try menu.expect("Read everything back")
                try menu.type("room.img")
                try menu.press("Enter")
                try menu.type("target")
                try menu.press("Tab", "Space", "Tab", "Enter")
                try menu.expect("Yes, overwrite")
                try menu.press("Tab", "Enter")
                try menu.expect("Image restored", "every chunk restored", "read back")
                #expect(try partitions("\(directory)/target") == partitions("\(directory)/source"))
                try menu.press("Enter")
                try menu.expect("Imaging")
            }
        }
    }

    private func partitions(_ path: String) throws -> [String] {
        try run("sfdisk", "--dump", path).split(separator: "\n").filter { $0.contains("start=") }.map {
            String($0.split(separator: ":").last ?? "")
        }
    }

    @Test func showsPartitions() throws {
        try withTemporaryDirectory { directory in
            try makeDisk("disk", in: directory)
            try withMenu(directory) { menu in
                try menu.press("Down", "Enter")
                try expectGolden("partitions", menu.expect("Delete a partition"))
                try menu.press("Enter")
                try expectGolden("partitions-disk", menu.expect("View partitions"))
                try menu.type("disk")
                try menu.press("Enter", "Enter")
                try expectGolden("partitions-view", menu.expect("table dos"))
                try menu.press("Enter")
                try menu.expect("Activate a partition")
            }
        }
    }

    @Test func deletesAPartitionOnlyAfterYes() throws {
        try withTemporaryDirectory { directory in
            try makeDisk("disk", in: directory)
            let before = try partitions("\(directory)/disk")
            try withMenu(directory) { menu in
                for isYes in [false, true] {
                    try menu.press("Down", "Enter")
                    try menu.expect("Delete a partition", "View")
                    try menu.press("Down", "Enter")
                    try menu.expect("Disk", "Next")
                    try menu.type("disk")
                    try menu.press("Enter", "Enter")
                    let list = try menu.expect("Delete a partition", "partition 5")
                    if !isYes { try expectGolden("delete", list) }
                    try menu.press("Down", "Down", "Enter")
                    let plan = try menu.expect("Delete a partition: plan", "Yes, delete")
                    if !isYes { try expectGolden("delete-plan", plan) }
                    if isYes { try menu.press("Tab") }
                    try menu.press("Enter")
                    if isYes {
                        try expectGolden("delete-done", menu.expect("Done", "is deleted"))
                        try menu.press("Enter")
                    }
                    try menu.expect("Activate a partition", "View")
                    #expect(try partitions("\(directory)/disk").count == before.count - (isYes ? 1 : 0))
                    try menu.press("Escape")
                    try menu.expect("Main menu")
                    try menu.press("Up")
                }
            }
            #expect(try partitions("\(directory)/disk") == Array(before[..<3]) + [before[4]])
        }
    }

    @Test func activatesAndNamesTheDiskThatCannot() throws {
        try withTemporaryDirectory { directory in
            try makeDisk("disk", in: directory)
            try run("truncate", "-s", "64M", "\(directory)/other")
            try run("sfdisk", "--quiet", "\(directory)/other", input: "label: gpt\nsize=10M\n")
            try withMenu(directory) { menu in
                try menu.press("Down", "Enter")
                try menu.expect("Activate a partition")
                try menu.press("Down", "Down", "Enter")
                try menu.expect("Disk", "Next")
                try menu.type("other")
                try menu.press("Enter", "Enter")
                try menu.expect("partition 1")
                try menu.press("Enter")
                try expectGolden("activate-refused", menu.expect("Error", "UEFI"))
                try menu.press("Enter")
                try menu.expect("Activate a partition", "View")
                try menu.press("Enter")
                try menu.expect("Disk", "Next")
                try menu.type("disk")
                try menu.press("Enter", "Enter")
                try menu.expect("partition 2")
                try menu.press("Down", "Enter")
                try expectGolden("activate-plan", menu.expect("Activate a partition: plan"))
                try menu.press("Tab", "Enter")
                try menu.expect("is the active partition of disk")
            }
            let lines = try partitions("\(directory)/disk")
            #expect(!lines[0].contains("bootable") && lines[1].contains("bootable"))
        }
    }

    /// A capture that would take very long: asked whether to end it, then ended, and nothing is left.
    @Test func aRunningCaptureIsEndedOnlyAfterYes() throws {
        try withTemporaryDirectory { directory in
            try run("truncate", "-s", "400G", "\(directory)/huge")
            try withMenu(directory) { menu in
                try startHugeCapture(menu)
                try menu.press("Escape")
                try expectGolden("make-end", menu.expect("End it now?"))
                try menu.press("Enter")
                try menu.expect("capturing", "file", "disk")
                try menu.press("Enter")
                try menu.expect("End it now?")
                try menu.press("Tab", "Enter")
                try menu.expect("Cancelled")
                try menu.press("Enter")
                try menu.expect("Leave out slots")
                #expect(!FileTree.exists("\(directory)/room.img"))
            }
        }
    }

    private func startHugeCapture(_ menu: Terminal) throws {
        try menu.press("Enter")
        try menu.expect("Make image")
        try menu.press("Enter")
        try menu.expect("Leave out slots")
        try menu.type("room.img")
        try menu.press("Enter")
        try menu.type("huge")
        try menu.press("Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Enter")
        try menu.expect("Make image: plan", "Start")
        try menu.press("Enter")
        try menu.expect("capturing", "file", "disk")
    }

    @Test(arguments: ["TERM", "INT", "HUP", "QUIT", "SEGV"]) func aSignalRestoresTheTerminal(_ signal: String)
        throws
    {
        try withTemporaryDirectory { directory in
            try withMenu(directory) { menu in
                try run("kill", "-\(signal)", "\(menu.process())")
                switch signal {
                case "QUIT": try menu.expectEnd(status: 131)
                case "SEGV": try menu.expectEnd(status: 139)
                default:
                    try menu.expectEnd(status: 1)
                    try menu.expect("img: interrupted by SIG\(signal)")
                }
            }
        }
    }

    @Test func aSignalEndsWhatIsRunning() throws {
        try withTemporaryDirectory { directory in
            try run("truncate", "-s", "400G", "\(directory)/huge")
            try withMenu(directory) { menu in
                try startHugeCapture(menu)
                try run("kill", "-TERM", "\(menu.process())")
                try menu.expectEnd(status: 1)
                try menu.expect("img: interrupted by SIGTERM")
                #expect(!FileTree.exists("\(directory)/room.img"))
            }
        }
    }

    /// The end of the disk cannot be zeroed: the dialog says what that leaves behind, not only what failed.
    @Test func aFailedRestoreSaysWhatIsLeft() throws {
        try withTemporaryDirectory { directory in
            try makeDisk("source", in: directory)
            try makeDisk("target", in: directory)
            try run(
                builtProgram("img"), "makel", "\(directory)/room.img", "disks=\(directory)/source",
                "comp=speed")
            try withMenu(directory, prefix: "trap '' XFSZ; ulimit -f 4096; ") { menu in
                try menu.press("Enter")
                try menu.expect("Restore image")
                try menu.press("Down", "Enter")
                try menu.expect("Read everything back")
                try menu.type("room.img")
                try menu.press("Enter")
                try menu.type("target")
                try menu.press("Tab", "Tab", "Enter")
                try menu.expect("Restore image: plan", "Yes, overwrite")
                try menu.press("Tab", "Enter")
                try menu.expect("Error", "partitions may be gone")
            }
        }
    }

    /// Long labels leave an entry no room there; a negative width is more than newt survives.
    @Test func aNarrowTerminalShowsEveryPage() throws {
        try withTemporaryDirectory { directory in
            try withMenu(directory, columns: 40) { menu in
                try menu.press("Enter")
                try menu.expect("Multicast session")
                try menu.press("Down", "Down", "Enter")
                try menu.expect("Session name")
                try menu.type("lab1")
                try menu.press("Tab", "Down", "Space", "Tab", "Enter")
                try menu.expect("Compression", "Automated")
                try menu.press("Escape")
                try menu.expect("Session name")
            }
        }
    }

    @Test func anotherSizeIsDrawnAnew() throws {
        try withTemporaryDirectory { directory in
            try withMenu(directory) { menu in
                try menu.resize(columns: 100, rows: 40)
                try expectGoldenSoon("main-large", menu) { $0 }
                try menu.press("Down", "Down", "Down", "Enter")
                try menu.expect("Help", "Keys")
                // A text that has no room any more scrolls.
                try menu.resize(columns: 60, rows: 16)
                try expectGoldenSoon("help-small", menu) { $0 }
                try menu.press("Enter")
                try menu.expect("Main menu")
                try menu.press("Escape")
                try menu.expectEnd(status: 0)
            }
        }
    }
}
