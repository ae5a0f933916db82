// Whole sessions through the menu, on a private network: as the master, and as a client.
import Blocks
import Linux
import Testing
import TestSupport

@Suite(.serialized) struct SessionMenuTests {
    /// Content of the disks: random, so that it takes its time on a slow wire.
    private static let mebibytes = 48

    private func makeDisk(_ name: String, in directory: String, isFull: Bool) throws {
        try run("truncate", "-s", "64M", "\(directory)/\(name)")
        if isFull {
            try run(
                "dd", "if=/dev/urandom", "of=\(directory)/\(name)", "bs=1M", "seek=1",
                "count=\(SessionMenuTests.mebibytes)", "conv=notrunc", "status=none")
        }
        try run(
            "sfdisk", "--quiet", "\(directory)/\(name)",
            input:
                "label: dos\nlabel-id: 0x1234abcd\nstart=2048, size=\(SessionMenuTests.mebibytes * 2048), type=83\n"
        )
    }

    /// The words that run `img` on a machine of the network under a name of its own.
    private func machine(_ namespace: String, _ name: String) throws -> [String] {
        [
            "unshare", "--uts", "sh", "-c", "hostname \(name); exec ip netns exec \(namespace) \"$@\"", "sh",
            try builtProgram("img"),
        ]
    }

    private func content(_ path: String) throws -> String {
        let all = "dd if='\(path)' bs=1M skip=1 count=\(SessionMenuTests.mebibytes) status=none | sha256sum"
        return try run("sh", "-c", all)
    }

    /// From the main menu to the page after the session's name.
    private func openSession(_ menu: Terminal, _ name: String, asMaster: Bool) throws {
        try menu.press("Enter")
        try menu.expect("Multicast session")
        try menu.press("Down", "Down", "Enter")
        try menu.expect("Session name")
        try menu.type(name)
        try menu.press("Tab")
        if asMaster { try menu.press("Down", "Space") }
        try menu.press("Tab")
        if !asMaster { try menu.press("Tab") }
        try menu.press("Enter")
        try menu.expect("Session \(name): \(asMaster ? "master" : "client")")
    }

    @Test func theWizardAsksAndSaysWhatIsMissing() throws {
        try withTemporaryDirectory { directory in
            try withMenu(directory) { menu in
                try menu.press("Enter")
                try menu.expect("Multicast session")
                try menu.press("Down", "Down", "Enter")
                try expectGolden("session", menu.expect("Session name"))
                try menu.press("Tab", "Tab", "Tab", "Enter")
                try expectGolden("session-nameless", menu.expect("a session needs a name"))
                try menu.press("Enter")
                try menu.expect("Session name")
                try menu.type("lab1")
                try menu.press("Tab", "Down", "Space", "Tab", "Enter")
                try expectGolden("session-master", menu.expect("Automated session"))
                // Over the levels to the box, then to Next: automated, but without a number.
                try menu.press("Tab", "Tab", "Tab", "Tab", "Space", "Tab", "Tab", "Tab", "Tab", "Enter")
                try expectGolden("session-clients", menu.expect("1 to 1000 clients"))
                try menu.press("Enter")
                try menu.expect("Automated session")
                try menu.press("Escape")
                try menu.expect("Session name", "lab1")
                try menu.press("Tab", "Space", "Tab", "Tab", "Enter")
                try expectGolden("session-client", menu.expect("Host key"))
                try menu.press("Escape")
                try menu.expect("Session name")
                try menu.press("Escape")
                try menu.expect("Restore image <- local file")
            }
        }
    }

    @Test func theMenuAsMasterOfTwoMachines() throws {
        let lan = try NamespaceLAN(stations: 2)
        try lan.limitHost("tbf rate 100mbit burst 32kb limit 8mb")
        try withTemporaryDirectory { directory in
            try makeDisk("source", in: directory, isFull: true)
            for name in ["target1", "target2"] { try makeDisk(name, in: directory, isFull: false) }
            try withMenu(directory, prefix: "ip netns exec \(lan.host) ") { menu in
                try openSession(menu, "lab1", asMaster: true)
                try menu.press("Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Tab")
                try menu.type("source")
                try menu.press("Enter", "Enter")
                try menu.expect("Start session", "registered")
                let clients = try (1...2).map { number in
                    let client = try RunningProgram(
                        machine(lan.stations[number - 1], "pc\(number)")
                            + ["session", "lab1", "client", "disks=\(directory)/target\(number)"])
                    try menu.expect("fits: target\(number)")
                    return client
                }
                try menu.expect("2 registered", "fits: target2")
                try expectGoldenSoon("session-registered", menu) { $0.withoutAddresses }
                try menu.press("Enter")
                try menu.expect("sending", "ETA")
                try expectGoldenSoon("session-sending", menu) { $0.withoutFigures }
                let done = try menu.expect("Session lab1 is done")
                #expect(done.contains("pc1") && done.contains("pc2"))
                for client in clients { #expect(try client.wait().status.isSuccess) }
                for number in 1...2 {
                    #expect(try content("\(directory)/target\(number)") == content("\(directory)/source"))
                }
                try menu.press("Enter")
                try menu.expect("Multicast session", "Restore image <- local file")
                try menu.press("Escape")
                try menu.expect("Main menu")
                try menu.press("Escape")
                try menu.expectEnd(status: 0)
            }
        }
    }

    @Test func theMenuAsClient() throws {
        let lan = try NamespaceLAN(stations: 1)
        try lan.limitHost("tbf rate 100mbit burst 32kb limit 8mb")
        try withTemporaryDirectory { directory in
            try makeDisk("source", in: directory, isFull: true)
            try makeDisk("target", in: directory, isFull: false)
            let before = try run("sha256sum", "\(directory)/target")
            let master = try RunningProgram(
                machine(lan.host, "pc0")
                    + ["session", "lab2", "master", "clients=1", "disks=\(directory)/source"])
            try withMenu(directory, prefix: "ip netns exec \(lan.stations[0]) ") { menu in
                try openSession(menu, "lab2", asMaster: false)
                try menu.type("target")
                try menu.press("Tab", "Tab", "Tab", "Tab", "Enter")
                try expectGolden("session-disks", menu.expect("Yes, overwrite"))
                // Enter means No: nothing happens, the page is there again.
                try menu.press("Enter")
                try menu.expect("Host key", "target")
                #expect(try run("sha256sum", "\(directory)/target") == before)
                try menu.press("Tab", "Tab", "Tab", "Tab", "Enter")
                try menu.expect("Yes, overwrite")
                try menu.press("Tab", "Enter")
                try menu.expect("restoring", "ETA")
                try expectGoldenSoon("session-restoring", menu) { $0.withoutFigures }
                try menu.expect("Session lab2 is done", "restored to target, its hash proven")
            }
            #expect(try master.wait().status.isSuccess)
            #expect(try content("\(directory)/target") == content("\(directory)/source"))
        }
    }

    @Test func aSecondMasterIsAskedWhetherItTakesPart() throws {
        let lan = try NamespaceLAN(stations: 1)
        try withTemporaryDirectory { directory in
            try makeDisk("source", in: directory, isFull: true)
            try makeDisk("other", in: directory, isFull: true)
            let before = try run("sha256sum", "\(directory)/other")
            let first = try Terminal(
                "ip netns exec \(lan.host) \(builtProgram("img")) session lab3 master disks=source",
                in: directory)
            defer { first.end() }
            try first.expect("host key", "press g to start")
            try withMenu(directory, prefix: "ip netns exec \(lan.stations[0]) ") { menu in
                try openSession(menu, "lab3", asMaster: true)
                try menu.press("Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Tab")
                try menu.type("other")
                try menu.press("Enter", "Enter")
                let asked = try menu.expect("has a master already", "Yes, as a client")
                try expectGolden("session-taken", asked.withoutKeys)
                try menu.press("Enter")
                try menu.expect("Session name", "lab3")
            }
            #expect(try run("sha256sum", "\(directory)/other") == before)
        }
    }

    /// Ended by the person before anybody came: the client is told, and the disk is as before.
    @Test func aSessionIsEndedOnlyAfterYes() throws {
        let lan = try NamespaceLAN(stations: 1)
        try withTemporaryDirectory { directory in
            try makeDisk("source", in: directory, isFull: true)
            try makeDisk("target", in: directory, isFull: false)
            let before = try run("sha256sum", "\(directory)/source", "\(directory)/target")
            try withMenu(directory, prefix: "ip netns exec \(lan.host) ") { menu in
                try openSession(menu, "lab4", asMaster: true)
                try menu.press("Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Tab")
                try menu.type("source")
                try menu.press("Enter", "Enter")
                try menu.expect("Start session", "registered")
                let client = try RunningProgram(
                    machine(lan.stations[0], "pc1")
                        + ["session", "lab4", "client", "disks=\(directory)/target"])
                try menu.expect("pc1", "fits")
                try menu.press("Escape")
                try expectGolden("session-end", menu.expect("End the session now?"))
                try menu.press("Tab", "Enter")
                try menu.expect("Session lab4", "cancelled")
                let (status, output) = try client.wait()
                #expect(!status.isSuccess && output.contains("the master was stopped"), "\(output)")
            }
            #expect(try run("sha256sum", "\(directory)/source", "\(directory)/target") == before)
        }
    }
}

extension String {
    /// MAC addresses hidden, with as many characters.
    fileprivate var withoutAddresses: String {
        replacing(/([0-9a-f]{2}:){5}[0-9a-f]{2}/, with: "##:##:##:##:##:##")
    }

    /// Fingerprints hidden, with as many characters.
    fileprivate var withoutKeys: String {
        replacing(/[a-z0-9]{4}(-[a-z0-9]{4}){3}/, with: "####-####-####-####")
    }

    /// Every number hidden, columns made narrow, and the last sentence, of which several are on their way at the
    /// start, only named: what is left are the words that stay.
    fileprivate var withoutFigures: String {
        withoutKeys.withoutAddresses.replacing(#/[0-9]+([.:][0-9]+)*/#, with: "#").replacing(
            #/ +/#, with: " "
        )
        .replacing(#/# [kMG]?B/#, with: "# B")
        .replacing(
            #/│ (pc# \(.*\) fits: .*|the session has started|deleting the partitions .*) │/#,
            with: "│ (the last sentence) │")
    }
}
