// imgserv as people run it: words, exit statuses, and sessions hosted by a real process.
import Blocks
import Linux
import Server
import SessionProtocol
import SessionTransport
import TestSupport
import Testing
import imgserv

@Suite struct ServerGrammarTests {
    @Test(arguments: [
        (["mcast", "lab1", "-p", "F"], ["mcast", "lab1", "-p", "F"]),
        (["-mcast", "lab1", "-p", "F"], ["mcast", "lab1", "-p", "F"]),
        (["MC", "lab1", "-p", "F"], ["mcast", "lab1", "-p", "F"]),
        (
            ["mcast", "lab1", "-p", "a=b", "rate=100", "IF=eth0", "li=3", "ttl=4", "-c", "3", "--json"],
            [
                "mcast", "lab1", "-p", "a=b", "--rate", "100", "--interface", "eth0", "--linger", "3",
                "--ttl", "4",
                "-c", "3", "--json",
            ]
        ),
        (["mcast", "a=b", "-p", "F"], ["mcast", "a=b", "-p", "F"]),
        (["k"], ["key"]),
        (["se", "--config", "a=b"], ["serve", "--config", "a=b"]),
        (["-status"], ["status"]),
        (["stat", "lab1", "-i", "list", "--json"], ["status", "lab1", "-i", "list", "--json"]),
        (["-LIST", "-i", "10.0.0.1"], ["list", "-i", "10.0.0.1"]),
        (["-stop", "user", "add"], ["stop", "user", "add"]),
        (["-mcast", "user", "-p", "add", "-i", "srv"], ["mcast", "user", "-p", "add", "-i", "srv"]),
        (["u", "a", "list"], ["user", "add", "list"]),
        (["token", "rem", "--state", "x", "ci"], ["token", "remove", "--state", "x", "ci"]),
        (["user", "--help"], ["user", "--help"]),
        (["help", "user", "l"], ["help", "user", "list"]),
        (["help", "mc"], ["help", "mcast"]),
        (["--help"], ["--help"]),
        ([], ["--help"]),
    ])
    func wordsBecomeOptions(_ words: [String], _ expected: [String]) throws {
        #expect(try ServerGrammar.translate(words) == expected)
    }

    @Test(arguments: [
        (["user", "paint", "x"], "'user' takes add, list, remove, not 'paint'"),
        (["s"], "the mode 's' may be serve or status or stop"),
        (["unicast"], "imgserv has no mode 'unicast'; 'imgserv help' lists them"),
        (
            ["mcast", "lab1", "speed=9"],
            "'mcast' does not take 'speed=9'; 'imgserv help mcast' lists its words"
        ),
        (["mcast", "lab1", "rate="], "'rate=' lacks a value"),
    ])
    func wrongWordsAreRefused(_ words: [String], _ sentence: String) {
        #expect(throws: ServerUsageError.self) { try ServerGrammar.translate(words) }
        do { _ = try ServerGrammar.translate(words) } catch { #expect(error.description == sentence) }
    }
}

@Suite(.timeLimit(.minutes(10))) struct ProgramTests {
    @Test(arguments: [
        (["stop"], 2, "Missing expected argument '<name>'"),
        (
            ["status", "--socket", "/nowhere/s"], 1,
            "imgserv: no imaging server runs here (nothing answers at /nowhere/s)"
        ),
        (["list", "-i", "127.0.0.9:1"], 1, "imgserv: no imaging server answers at http://127.0.0.9:1"),
        (["stop", "x", "-i", "a b"], 1, "imgserv: 'a b' names no server"),
        (["user", "add", "a b"], 1, "imgserv: a name has 1 to 64 letters, digits or any of . _ @ -"),
        (["mcast", "lab1"], 2, "Missing expected argument '-p <path>'"),
        (
            ["mcast", "lab1", "-p", "F", "-f", "2"], 2,
            "-f takes 1, the whole image; other file sets belong to a part"
        ),
        (["mcast", "lab1", "-p", "F", "-c", "0"], 2, "-c takes 1 to 1000 machines"),
        (["mcast", "lab1", "-p", "F", "-t", "0"], 2, "-t takes the minutes to wait"),
        (["mcast", "lab1", "-p", "F", "rate=fast"], 2, "'fast'"),
        (
            ["mcast", "lab1", "-p", "F", "-i", "127.0.0.9:1"], 1,
            "imgserv: no imaging server answers at http://127.0.0.9:1"
        ),
        (["mcast", "lab1", "-p", "a/F", "-i", "127.0.0.9:1"], 2, "-p takes the name of an image"),
        (
            ["mcast", "lab1", "-p", "F", "if=nope0"], 1,
            "imgserv: this machine has no interface nope0; it has "
        ),
        (["help"], 0, "imgserv mcast NAME -p PATH"),
    ])
    func exitStatusAndSentence(_ words: [String], _ status: Int, _ sentence: String) throws {
        let outcome = try runAnyway([try builtProgram("imgserv")] + words)
        #expect(Int(outcome.status) == status)
        let text = status == 0 ? outcome.output : outcome.errors
        #expect(text.contains(sentence), "\(text)")
    }

    @Test func keyIsMadeOnceAndKeptPrivate() throws {
        let directory = try run("mktemp", "-d", "/tmp/img-key.XXXXXX").filter { $0 != "\n" }
        defer { _ = try? run("rm", "-rf", directory) }
        let state = "\(directory)/deep/state"
        let imgserv = try builtProgram("imgserv")
        let first = try run(imgserv, "key", "--state", state)
        #expect(Fingerprint(first.filter { $0 != "\n" }) != nil)
        #expect(try run("env", "IMGSERV_STATE=\(state)", imgserv, "key") == first)
        #expect(try run("stat", "-c", "%a", "\(state)/host.key") == "600\n")
        #expect(try run("ls", state) == "host.key\n")
        try run("chmod", "644", "\(state)/host.key")
        let open = try runAnyway([imgserv, "key", "--state", state])
        #expect(open.status == 1)
        #expect(open.errors.contains("\(state)/host.key, which others may read or change"), "\(open.errors)")
        try run("sh", "-c", "chmod 600 \(state)/host.key && echo nonsense > \(state)/host.key")
        let damaged = try runAnyway([imgserv, "key", "--state", state])
        #expect(damaged.status == 1)
        #expect(damaged.errors.contains("\(state)/host.key is not a host key"), "\(damaged.errors)")
    }

    @Test func hostedFileReachesTwoParticipants() throws {
        let lan = try NamespaceLAN(stations: 2)
        let image = try StoredImage(chunks: 12)
        let host = try RunningProgram(
            lan.command(on: lan.host) + [
                try builtProgram("imgserv"), "mcast", "lab1", "-p", image.path, "-c", "2", "-i", "10.77.0.1",
                "--state", image.stateDirectory,
            ])
        let visits = lan.stations.map { station in
            lan.thread(on: station) { Visitor(ParticipantSettings(name: "lab1"), image).run() }
        }
        for visit in try visits.map({ try $0.join() }) {
            #expect(visit.failure == nil, "\(visit.events)")
            #expect(visit.frames == 12)
            #expect(visit.wrongFrames == 0)
        }
        let (status, output) = try host.wait()
        #expect(status.isSuccess, "\(output)")
        let key = try HostKey.load(from: image.stateDirectory).publicKey.fingerprint.description
        for text in [
            "session lab1: \(image.path), 12 chunks, on eth0, 10.77.0.1:998, data to 239.19",
            "host key \(key)",
            "joined; registered/still needed 1/1", "joined; registered/still needed 2/0",
            "the session has started",
            "(10.77.0.12) is done",
            "(10.77.0.11): done", "12 of 12 chunks",
        ] {
            #expect(output.contains(text), "\(text) is not in: \(output)")
        }
    }

    @Test func interruptedHostTellsParticipantsAndFails() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = try StoredImage(chunks: 12)
        let host = try RunningProgram(
            lan.command(on: lan.host) + [
                try builtProgram("imgserv"), "mcast", "lab1", "-p", image.path, "rate=50", "--state",
                image.stateDirectory,
            ])
        let visit = try lan.thread(on: lan.stations[0]) {
            Visitor(ParticipantSettings(name: "lab1"), image) { count in
                if count == 2 { try? host.signal("INT") }
            }.run()
        }.join()
        #expect(visit.failure?.contains("the host was stopped by hand") == true, "\(visit.failure ?? "none")")
        let (status, output) = try host.wait()
        #expect(status == .exited(1))
        #expect(output.contains("ending the session: telling the participants"), "\(output)")
        #expect(output.contains("imgserv: session lab1: "), "\(output)")
    }

    @Test func hostThatDiedForGoodIsReported() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = try StoredImage(chunks: 12)
        let host = try RunningProgram(
            lan.command(on: lan.host) + [
                try builtProgram("imgserv"), "mcast", "lab1", "-p", image.path, "rate=50", "--state",
                image.stateDirectory,
            ])
        var settings = ParticipantSettings(name: "lab1")
        settings.reconnectPatience = 2 * second
        let visit = try lan.thread(on: lan.stations[0]) { [settings] in
            Visitor(settings, image) { count in
                if count == 2 { try? host.signal("KILL") }
            }.run()
        }.join()
        #expect(visit.failure?.contains("lab1") == true, "\(visit.failure ?? "none")")
        #expect(visit.events.contains { $0.hasPrefix("lost ") })
        #expect(visit.frames < 12)
        #expect(try host.wait().status == .signalled(9))
    }

    @Test func hostThatDiedAndReturnedIsFoundAgain() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = try StoredImage(chunks: 16)
        let words =
            lan.command(on: lan.host) + [
                try builtProgram("imgserv"), "mcast", "lab1", "-p", image.path, "--state",
                image.stateDirectory,
            ]
        let first = try RunningProgram(words + ["rate=50"])
        let visitor = Visitor(ParticipantSettings(name: "lab1"), image) { count in
            if count == 4 { try? first.signal("KILL") }
        }
        let thread = lan.thread(on: lan.stations[0]) { visitor.run() }
        #expect(try first.wait().status == .signalled(9))
        let second = try RunningProgram(words + ["--json"])
        let visit = try thread.join()
        #expect(visit.failure == nil, "\(visit.events)")
        #expect(visit.frames == 16)
        #expect(visit.wrongFrames == 0)
        #expect(visit.events.contains("rejoined"))
        let (status, output) = try second.wait()
        #expect(status.isSuccess, "\(output)")
        #expect(output.contains("\"done\" : true"), "\(output)")
    }
}
