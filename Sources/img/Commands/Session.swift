// img session NAME: this machine's part in a multicast session, as participant or as master.
internal import ArgumentParser
internal import Blocks
internal import Imaging
internal import Linux

struct SessionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "session",
        abstract:
            "Take part in a multicast session, or be its master: the machine whose disks the others get.",
        usage: """
            img session NAME [master|client] [clients=N [t=MIN]] [TIME] [comp=0-9|none|speed|balanced|size]
                [if=INTERFACE] [disks=A,B|disks=discard|file=PATH] [rate=MBIT] [ttl=N] [key=FINGERPRINT]
                [linger=MIN] [whole] [verify] [plan] [--json]
            """,
        discussion: """
            A participant waits for the session and puts its image on the local disks; what is on them is lost. Nothing
            on a disk is touched before the session has started and its first chunk has been proven. A master's disks
            are captured and sent while they are read; they are only read.

              client       take part
              master       send this machine's disks; if somebody is the master already, it is said who, and the key c
                           takes part there instead
              (neither)    take part when a host appears; the key m makes this machine the master before

            The master starts with the key g, and by itself with one of these; the first that comes true counts:

              clients=N    when N machines have registered (1 to 1000)
              t=MIN        besides: when MIN minutes have passed since the last one registered; time= is the same
              TIME         the last word: after so many minutes (42), or at the next time of day (14:30)

            For the master:

              comp=        compression: none (0), speed (1, the fastest), balanced (3, the default), size (7), 0...9
              disks=A,B    capture these disks instead of all eligible ones
              rate=MBIT    the most the session may take of the network
              linger=MIN   minutes to wait for silent machines once the others are done (2)
              whole        capture a hibernated system as it is, block by block

            For a participant:

              disks=A,B    the image's first disk goes to A, its second to B; 'discard' receives and writes nothing
              file=PATH    keep the session as an image file instead; no disk is touched
              key=         the only host key to believe: the fingerprint that the host shows
              verify       read every chunk back from the disk and compare its hash

            For both:

              if=          the network interface, instead of the one with the route
              ttl=N        routers that multicast may pass (16)
              plan         print what would be captured, or which disk of the image would go where, and leave

            PROXYADDR in the environment (the boot media set it) is the imaging server's address or name: it is asked for
            the session directly too, also through routers that pass no multicast.

            A master's memory: 64 MiB of frames, twice the size of a chunk (4 MiB) and what the compression needs for
            each processor, for journals that are replayed 256 MiB or an eighth of the memory, the smaller of both, and
            50 MiB for the program; chunks on their way over TCP, at most 80, come on top.
            """)

    @Argument(help: "The session's name.") var name: String
    @Flag(name: .customLong("client"), help: "Take part (word: client).") var client = false
    @Flag(name: .customLong("master"), help: "Send this machine's disks (word: master).") var master = false
    @Option(name: .customLong("clients"), help: "Machines at which the session starts (word: clients=).")
    var clients: Int?
    @Option(name: .customLong("wait"), help: "Minutes to wait for the next machine (words: t=, time=).")
    var wait: String?
    @Option(name: .customLong("start"), help: "Minutes, or HH:MM, at which it starts (word: TIME).")
    var start: String?
    @Option(name: .customLong("compression"), help: "Compression (word: comp=).") var compression: String?
    @Option(name: .customLong("interface"), help: "The network interface (word: if=).") var interface: String?
    @Option(name: .customLong("disks"), help: "The disks (word: disks=).") var disks: String?
    @Option(name: .customLong("rate"), help: "Mbit/s (word: rate=).") var rate: Int?
    @Option(name: .customLong("ttl"), help: "Routers multicast may pass (word: ttl=).") var ttl = 16
    @Option(name: .customLong("file"), help: "The image file to record to (word: file=).") var file: String?
    @Option(name: .customLong("key"), help: "Fingerprint of the host's key (word: key=).") var key: String?
    @Option(name: .customLong("linger"), help: "Minutes (word: linger=).") var linger: Double?
    @Option(
        name: .customLong("restored"),
        help: "File that gets the paths of the restored disks, separated by commas, for bootfix disks=.")
    var restored: String?
    @Flag(name: .customLong("whole"), help: "Capture hibernated systems block by block (word: whole).")
    var whole = false
    @Flag(name: .customLong("verify"), help: "Read everything back (word: verify).") var verify = false
    @Flag(name: .customLong("plan"), help: "Print the plan and leave (word: plan).") var planOnly = false
    @Flag(name: .customLong("json"), help: "One JSON object per line instead of text.") var json = false

    func validate() throws {
        guard (1...255).contains(name.utf8.count) else {
            throw ValidationError("a session's name has 1 to 255 bytes")
        }
        guard !client || !master else {
            throw ValidationError("a machine is the master or a client of a session: leave one of both out")
        }
        try validateRoles()
        guard wait == nil || clients != nil else {
            throw ValidationError(
                "t= is the wait for the next of N machines and needs clients=N: "
                    + "img session NAME [master] clients=N [t=MIN]")
        }
        guard clients.map({ (1...1000).contains($0) }) ?? true else {
            throw ValidationError("clients= takes 1 to 1000 machines")
        }
        if let wait, Minutes(wait) == nil {
            throw ValidationError("t= takes minutes, up to 1440, not '\(wait)'")
        }
        if let start, StartTime(start) == nil {
            throw ValidationError("a start is minutes, up to 1440, or a time of day as 14:30, not '\(start)'")
        }
        if let compression, !LocalCapture.isCompression(compression) {
            throw ValidationError("comp= takes 0 to 9, none, speed, balanced or size, not '\(compression)'")
        }
        guard rate.map({ (1...1_000_000).contains($0) }) ?? true else {
            throw ValidationError("rate= takes Mbit/s from 1 up")
        }
        guard (1...255).contains(ttl) else { throw ValidationError("ttl= takes 1 to 255 routers") }
        guard linger.map({ (0...1440).contains($0) }) ?? true else {
            throw ValidationError("linger= takes 0 to 1440 minutes")
        }
        if file != nil, disks != nil || verify || planOnly {
            throw ValidationError("file= records the session and takes no disks=, verify or plan beside it")
        }
        if verify, disks == "discard" {
            throw ValidationError(
                "disks=discard writes nothing that verify could read back: leave one of them out")
        }
    }

    /// Words that only the other role understands would be obeyed by nobody.
    private func validateRoles() throws {
        let ofMaster = [
            clients.map { _ in "clients=" }, wait.map { _ in "t=" }, start.map { _ in "the start time" },
            compression.map { _ in "comp=" }, rate.map { _ in "rate=" }, linger.map { _ in "linger=" },
            whole ? "whole" : nil,
        ].compactMap(\.self)
        if client, let word = ofMaster.first {
            throw ValidationError("\(word) is for the master of a session, not for a client")
        }
        let ofClient = [
            key.map { _ in "key=" }, file.map { _ in "file=" }, verify ? "verify" : nil,
            disks == "discard" ? "disks=discard" : nil,
        ].compactMap(\.self)
        if master, let word = ofClient.first {
            throw ValidationError("\(word) is for the clients of a session, not for its master")
        }
    }

    func run() throws {
        let progress = Progress(session: name)
        let station = StationSession(options, progress: progress)
        try Interruption.cancelling { station.cancel($0) }
        let keyboard = try Keyboard { key in
            switch key {
            case "m", "M": station.becomeMaster()
            case "g", "G": station.startNow()
            case "c", "C": station.takePartInstead()
            default: break
            }
        }
        defer { keyboard?.end() }
        let hasKeys = keyboard != nil
        let hint: @Sendable () -> String = {
            switch station.standing {
            case .searching(canBecomeMaster: true) where hasKeys: "press m to make this machine the master"
            case .master where hasKeys: "press g to start"
            case .asking: "press c to take part and have this machine's disks overwritten"
            case .searching, .receiving, .master: ""
            }
        }
        try showing(progress, command: "session", asJSON: json, hint: hint) {
            let outcome = try station.run()
            // From here on nobody's keys are of use, and the summary is for a terminal as it was.
            keyboard?.end()
            switch outcome {
            case .planned: progress.finish("")
            case .received(let result):
                try name(result.disks)
                finish(result, progress)
            case .hosted(let report):
                let lines = report.lines(progress.complete()).joined(separator: "\n")
                guard report.isDone else {
                    progress.note(lines)
                    throw ImagingError("session \(name.onScreen): \(report.result.onScreen)")
                }
                progress.finish(lines)
            }
        }
    }

    private var options: StationSession.Options {
        var host = MasterSession.Options(name: name)
        host.interface = interface
        host.disks = disks?.asDiskList
        host.compression = compression ?? host.compression
        host.clients = clients
        host.wait = wait.flatMap(Minutes.init)
        host.start = start.flatMap(StartTime.init)
        host.rate = rate
        host.ttl = UInt8(ttl)
        host.linger = linger ?? host.linger
        host.captureHibernated = whole
        host.planOnly = planOnly
        host.creator = "img \(programVersion)"
        var part = SessionRestore.Options(
            name: name, interface: interface, disks: disks?.asDiskList, file: file, key: key, verify: verify,
            planOnly: planOnly)
        part.ttl = UInt8(ttl)
        part.server = environmentVariable("PROXYADDR")
        var station = StationSession.Options(
            role: master ? .master : client ? .participant : nil, participant: part, master: host)
        station.isAttended = Keyboard.isThere && !json
        return station
    }

    /// Leaves the restored disks' paths for whoever makes them bootable: no other disk is that one's business.
    private func name(_ disks: [String]) throws {
        guard let restored else { return }
        let file = try Descriptor(opening: restored, [.writeOnly, .create, .truncate])
        try file.write(Array((disks.joined(separator: ",") + "\n").utf8), at: 0)
        try file.close()
    }

    private func finish(_ result: SessionRestore.Result, _ progress: Progress) {
        let figures = progress.complete()
        if !result.warnings.isEmpty {
            progress.note("session \(name): " + result.warnings.joined(separator: "\n  "), .warning)
        }
        progress.note(result.network)
        progress.finish(result.summary(name, figures))
    }
}
