// img auto: asks the imaging server what this machine is to do, does it, and tells how it went.
internal import ArgumentParser
internal import Blocks
internal import Fixup
internal import Imaging
internal import Linux

struct Auto: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "auto",
        abstract: "Ask the imaging server what is to be done, and do it: for rooms without anybody.",
        usage:
            "img auto [server=ADDRESS] [key=FINGERPRINT] [disks=A,B] [wait=MIN] [--insecure] [--no-bootfix] [--json]",
        discussion: """
            The server says what this machine is to do and why: take part in a session, be its master, restore or capture
            an image, give a shell, or nothing. Restored disks are made bootable, and the server is told how it went. A
            server that does not answer is asked again and again; a key ends that.

            Orders are obeyed only if the server's key is pinned.

              server=      address or name; without it PROXYADDR, else whoever answers on this network
              key=         the server's key; without it SERVERKEY: the fingerprint that 'imgserv key' shows
              disks=A,B    report, capture and overwrite these disks instead of all eligible ones
              wait=MIN     how long the server may have this machine wait for work (30): then there is none
              --insecure   obey whatever server answers: for test rooms only (boot media: img.insecure=1)

            Nothing is restarted but by the boot media, ten seconds after they have done unattended work.

            Exit status: 0 the work is done: restart; 1 failed; 3 nothing to do: go on to the local disk; 4 a prompt.
            """)

    @Option(name: .customLong("server"), help: "The server's address or name (word: server=).")
    var server: String?
    @Option(name: .customLong("key"), help: "Fingerprint of the server's key (word: key=).") var key: String?
    @Option(name: .customLong("disks"), help: "The disks to work with (word: disks=A,B).") var disks: String?
    @Option(
        name: .customLong("wait"), help: "Minutes that the server may have this machine wait (word: wait=).")
    var wait = 30
    @Flag(name: .customLong("insecure"), help: "Obey whatever server answers, whatever its key.")
    var insecure = false
    @Flag(name: .customLong("no-bootfix"), help: "Leave restored disks' boot loaders as they are.")
    var noBootfix = false
    @Option(
        name: .customLong("questions"),
        help:
            "Directory in which keys are asked for by the files 'question' and 'answer', instead of a terminal."
    )
    var questions: String?
    @Flag(name: .customLong("json"), help: "One JSON object per line instead of text.") var json = false

    /// How a run ended, for whoever started it.
    private enum Status {
        static let nothing: Int32 = 3
        static let prompt: Int32 = 4
    }

    /// Seconds in which a key keeps the machine from restarting.
    private static let restartDelay = 10

    func validate() throws {
        guard (0...1440).contains(wait) else {
            throw ValidationError("wait= takes 0 to 1440 minutes, not \(wait)")
        }
    }

    func run() throws {
        let progress = Progress(isWithServer: true)
        let keys = AnyKey(directory: questions)
        let name = server ?? environmentVariable("PROXYADDR").flatMap { $0.isEmpty ? nil : $0 }
        let pin =
            try key.map { try WorkServer.fingerprint($0, from: "key=") }
            ?? WorkServer.fingerprint(environmentVariable("SERVERKEY"), from: "SERVERKEY=")
        if let name { _ = try WorkServer.parts(name) }
        var options = AutomaticWork.Options(server: WorkServer(name: name, pinned: pin))
        options.isInsecure = insecure
        options.waitPatience = UInt64(wait) * 60_000_000_000
        options.disks = disks?.asDiskList
        options.creator = "img \(programVersion)"
        let leavesBoot = noBootfix
        let pause: @Sendable (UInt64) throws -> Bool = {
            try keys.wait("Press a key for a prompt.", nanoseconds: $0)
        }
        let surroundings = AutomaticWork.Surroundings(
            pause: keys.isThere ? pause : nil,
            makeBootable: { if !leavesBoot { try Auto.makeBootable($0, progress) } })
        let work = AutomaticWork(options, surroundings, progress: progress)
        try Interruption.cancelling {
            work.cancel($0)
            keys.cancel()
        }
        let status: Int32 = try showing(progress, command: "auto", asJSON: json, hint: { keys.hint }) {
            switch try work.run() {
            case .done(let text):
                progress.finish(text)
                return 0
            case .nothing(let text):
                progress.finish(text)
                return Status.nothing
            case .shell(let text):
                progress.finish(text)
                return Status.prompt
            }
        }
        guard status == 0 else { throw ExitCode(status) }
        // Only the boot media restart the machine; whoever has typed this has the prompt already.
        guard questions != nil, !json else { return }
        if try isStopped(keys) { throw ExitCode(Status.prompt) }
    }

    /// Waits before the restart; true when somebody wants a prompt instead.
    private func isStopped(_ keys: AnyKey) throws -> Bool {
        if environmentVariable("MANUALREBOOT") == "1" {
            Console.print("Press a key to restart.")
            _ = try keys.wait("Press a key to restart.", nanoseconds: nil)
            return false
        }
        for left in (1...Auto.restartDelay).reversed() {
            // One line that counts, also where the consoles are fed through a pipe.
            Console.write("\rRestarting in \(left) s; press a key for a prompt. ")
            if try keys.wait("Press a key for a prompt.", nanoseconds: 1_000_000_000) {
                Console.print("")
                return true
            }
        }
        Console.print("")
        return false
    }

    /// Boot repair of exactly these disks, told as sentences of the job.
    static func makeBootable(_ disks: [String], _ progress: Progress) throws {
        // Its mounts are seen by the thread alone that makes them.
        let thread = Thread("bootfix") {
            let fix = try BootFix(disks: disks, planOnly: false)
            for line in fix.plan.lines { progress.note(line) }
            try fix.apply(report: { progress.note("done: \($0)") }, warn: { progress.note($0, .warning) })
        }
        do { try thread.join() } catch {
            throw ImagingError("the disks are restored, but not made bootable: \(error)")
        }
    }
}
