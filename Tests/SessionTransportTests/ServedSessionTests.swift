// imgserv mcast, status, list and stop with a running daemon, as people type them.
import Linux
import Server
import SessionProtocol
import SessionTransport
import Testing
import TestSupport

@Suite(.timeLimit(.minutes(5))) struct ServedSessionTests {
    /// A daemon on the host of a LAN, ended with the test.
    private func serve(_ lan: NamespaceLAN, _ directory: String) throws -> RunningProgram {
        let configuration = """
            images=\(directory)/images
            state=\(directory)/state
            socket=\(directory)/s
            http=\(lan.hostAddress):8998
            interface=eth0
            """
        try run("mkdir", "-p", "\(directory)/images")
        try run("tee", "\(directory)/conf", input: configuration)
        let daemon = try RunningProgram(
            lan.command(on: lan.host) + [
                try builtProgram("imgserv"), "serve", "--config", "\(directory)/conf",
            ])
        let deadline = MonotonicClock.now() + 20_000_000_000
        while try !LocalSocket.answers("\(directory)/s"), MonotonicClock.now() < deadline {
            MonotonicClock.sleep(nanoseconds: 50_000_000)
        }
        return daemon
    }

    @Test func theDaemonHostsWhatMcastAsksForAndStopEndsIt() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = try StoredImage(chunks: 12)
        try withTemporaryDirectory { directory in
            let daemon = try serve(lan, directory)
            try run("cp", image.path, "\(directory)/images/small.img")
            let here =
                lan.command(on: lan.host) + [
                    "env", "IMGSERV_SOCKET=\(directory)/s", try builtProgram("imgserv"),
                ]
            let there = lan.command(on: lan.stations[0]) + ["env", try builtProgram("imgserv")]
            func said(_ words: String...) throws -> String { try run(here + words) }

            let hosted = try said("mcast", "lab1", "-p", "small.img", "-c", "2", "-t", "9")
            #expect(hosted.contains("lab1: registering, 0/2 registered/still needed"), "\(hosted)")
            #expect(hosted.contains("follow it by 'imgserv status lab1'"), "\(hosted)")
            // A file outside the catalogue, for root.
            _ = try said("-mcast", "lab2", "-p", image.path, "--json")
            let listed = try said("list")
            for text in ["lab1: registering", "lab2: registering", "small.img"] {
                #expect(listed.contains(text))
            }
            #expect(try said("status").contains("lab2: registering, 0/1 registered/still needed"))
            let twice = try runAnyway(here + ["mcast", "lab1", "-p", "small.img"])
            #expect(twice.status == 1 && twice.errors.contains("lab1"), "\(twice.errors)")
            let missing = try runAnyway(here + ["mcast", "lab3", "-p", "nothing.img"])
            #expect(missing.errors == "imgserv: there is no image nothing.img\n")

            // From another machine: only with a token.
            let server = ["-i", lan.hostAddress]
            let stranger = try runAnyway(there + ["status"] + server)
            #expect(
                stranger.status == 1 && stranger.errors.contains("wants an administrator's token"),
                "\(stranger)")
            let token = try said("token", "add", "test")
            try run("tee", "\(directory)/token", input: token)
            let known = server + ["--token-file", "\(directory)/token"]
            #expect(try run(there + ["status", "lab1"] + known).hasPrefix("lab1: registering, 0/2"))
            let path = try runAnyway(there + ["mcast", "lab4", "-p", image.path] + known)
            #expect(path.status == 2 && path.errors.contains("not a path"), "\(path.errors)")
            let remote = try run(there + ["mcast", "lab4", "-p", "small.img", "--json"] + known)
            #expect(remote.contains("\"name\" : \"lab4\""), "\(remote)")

            // A session that is followed says how it ended.
            let followed = try RunningProgram(
                here + ["mcast", "lab5", "-p", "small.img", "-c", "9", "--follow"])
            let deadline = MonotonicClock.now() + 20_000_000_000
            while try !said("status").contains("lab5"), MonotonicClock.now() < deadline {
                MonotonicClock.sleep(nanoseconds: 50_000_000)
            }
            for name in ["lab1", "lab2", "lab4", "lab5"] {
                #expect(try said("-stop", name) == "session \(name) is being ended\n")
            }
            let (status, output) = try followed.wait()
            #expect(status == .exited(1))
            #expect(output.contains("stopped by root, on the server itself"), "\(output)")
            #expect(try runAnyway(here + ["stop", "lab1"]).errors == "imgserv: no session lab1 is hosted\n")
            try daemon.signal("TERM")
            let end = try daemon.wait()
            #expect(end.status.isSuccess, "\(end.output)")
            #expect(!FileTree.exists("\(directory)/s"))
        }
    }

    @Test func aFollowedSessionThatIsCompleteIsASuccess() throws {
        let lan = try NamespaceLAN(stations: 1)
        let image = try StoredImage(chunks: 12)
        try withTemporaryDirectory { directory in
            let daemon = try serve(lan, directory)
            let followed = try RunningProgram(
                lan.command(on: lan.host) + [
                    "env", "IMGSERV_SOCKET=\(directory)/s", try builtProgram("imgserv"), "mcast", "lab1",
                    "-p",
                    image.path, "--wait",
                ])
            let visit = try lan.thread(on: lan.stations[0]) {
                Visitor(ParticipantSettings(name: "lab1"), image).run()
            }.join()
            #expect(visit.failure == nil, "\(visit.events)")
            let (status, output) = try followed.wait()
            #expect(status.isSuccess, "\(output)")
            #expect(output.contains("lab1: ended"), "\(output)")
            try daemon.signal("TERM")
            _ = try daemon.wait()
        }
    }

    /// Without a daemon administrators are kept all the same.
    @Test func usersAndTokensAreKeptWithoutADaemon() throws {
        try withTemporaryDirectory { directory in
            let program = try builtProgram("imgserv")
            let words = ["--state", "\(directory)/state", "--socket", "\(directory)/s"]
            #expect(
                try run([program, "user", "add", "anna"] + words, input: "correct horse\n")
                    == "administrator anna may log in\n")
            let short = try runAnyway([program, "user", "add", "otto"] + words, input: "short\n")
            #expect(short.status == 1 && short.errors.contains("8 to 1024 bytes"), "\(short.errors)")
            #expect(try runAnyway([program, "user", "add", "otto"] + words, input: "").status == 1)
            #expect(try run([program, "u", "l"] + words) == "anna\n")
            let token = try run([program, "token", "add", "ci"] + words)
            #expect(token.hasPrefix("imgserv_") && token.utf8.count == 8 + 64 + 1)
            #expect(try run([program, "token", "list"] + words).hasPrefix("ci  2"))
            #expect(
                try runAnyway([program, "token", "add", "ci"] + words).errors
                    == "imgserv: there is a token ci already\n")
            _ = try run([program, "token", "remove", "ci"] + words)
            _ = try run([program, "user", "remove", "anna"] + words)
            #expect(try run([program, "user", "list"] + words) == "")
            // What root makes there belongs to the directory's owner.
            try run("chown", "-R", "nobody:nogroup", "\(directory)/state")
            try run("chmod", "755", directory)
            _ = try run([program, "token", "add", "ci"] + words)
            #expect(try run("sh", "-c", "find '\(directory)/state' -user root") == "")
        }
    }
}
