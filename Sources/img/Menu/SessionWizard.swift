// The wizard of a multicast session: name, role, what each role needs, and then the session itself.
internal import Blocks
internal import Imaging
internal import Linux

extension Menu {
    func session() throws {
        var fields: [Page.Field] = [
            .entry("Session name", ""), .heading("This machine is"),
            .choice(
                [
                    "a client: it gets the session's image, its disks are overwritten",
                    "the master: its disks are sent to all clients, they are only read",
                ], selected: 0),
        ]
        while true {
            let page = Page(
                title: "Multicast session",
                text: ["Every machine of a session types the same name."], fields: fields,
                buttons: ["Next", "Back"])
            let answer = try screen.ask(page)
            guard answer.button == 0 else { return }
            fields = answer.fields
            let name = fields[0].text
            do {
                guard !name.isEmpty else { throw ImagingError("a session needs a name") }
                if try fields[2].index == 1 ? master(name) : client(name, key: nil) { return }
            } catch { try screen.tell(error) }
        }
    }

    // MARK: The master

    /// False for Back.
    private func master(_ name: String) throws -> Bool {
        var fields: [Page.Field] = [
            .heading("Compression"), .choice(Menu.levels.map(\.advice), selected: Menu.usualLevel),
            .box("Automated session: starts by itself", false),
            .entry("  when so many clients are there", ""),
            .entry("  or so many minutes after the last", ""),
            .entry("Disks, if not all", ""),
        ]
        while true {
            let page = Page(title: "Session \(name): master", fields: fields, buttons: ["Next", "Back"])
            let answer = try screen.ask(page)
            guard answer.button == 0 else { return false }
            fields = answer.fields
            do {
                var options = MasterSession.Options(name: name)
                options.compression = Menu.levels[fields[1].index].word
                options.disks = fields[5].text.asTypedDisks
                options.creator = "img \(programVersion)"
                if fields[2].isOn {
                    guard let clients = Int(fields[3].text), (1...1000).contains(clients) else {
                        throw ImagingError(
                            "an automated session starts with 1 to 1000 clients, not '\(fields[3].text)'")
                    }
                    options.clients = clients
                    if !fields[4].text.isEmpty {
                        guard let minutes = Minutes(fields[4].text) else {
                            throw ImagingError(
                                "the wait is a number of minutes up to 1440, not '\(fields[4].text)'")
                        }
                        options.wait = minutes
                    }
                }
                return try host(options)
            } catch { try screen.tell(error) }
        }
    }

    private func host(_ options: MasterSession.Options) throws -> Bool {
        let name = options.name
        let progress = Progress(session: name)
        let notices = Notices(progress)
        let master = try MasterSession(options, progress: progress)
        let cancellation = Cancellation(
            question: ["End the session now? The clients are left without a complete image."],
            cancel: { master.cancel($0) })
        let outcome: MasterSession.Outcome
        do {
            outcome = try screen.run(
                { MasterStage(progress.report()).frame(name) }, cancellation,
                pressed: { _ in master.startNow() },
                showing: {
                    notices.update()
                    let report = progress.report()
                    return MasterStage(report).content(report, notices)
                }
            ) { try master.run() }
        } catch { throw notices.failure(error) }
        switch outcome {
        case .planned: break
        case .hosted(let report):
            let lines = report.lines(progress.complete())
            try screen.show(
                report.isDone ? "Session \(name) is done" : "Session \(name): \(report.result)", lines)
        case .taken(let other) where other.hasStarted:
            throw ImagingError(
                "session \(name) already runs, hosted by \(other.who): as a client this machine takes part in it"
            )
        case .taken(let other):
            let question = [
                "Session \(name) has a master already: \(other.who).", "",
                "Take part in it as a client instead? This machine's disks are overwritten then.",
            ]
            guard try screen.confirm("Session \(name)", question, "Yes, as a client") else { return false }
            return try client(name, key: other.key)
        }
        return true
    }

    // MARK: A client

    /// Takes part, believing only a host with `key` unless it is nil; false for Back.
    private func client(_ name: String, key: String?) throws -> Bool {
        var fields: [Page.Field] = [
            .entry("Disks", ""), .box("Read everything back and compare", false),
            .entry("Or record to file", ""), .entry("Host key", key ?? ""),
        ]
        while true {
            let page = Page(
                title: "Session \(name): client",
                text: [
                    "Without the names of disks, the plan says which of this machine's disks are taken. The host key "
                        + "is the one that the master shows; an empty line believes any."
                ], fields: fields, buttons: ["Next", "Back"])
            let answer = try screen.ask(page)
            guard answer.button == 0 else { return false }
            fields = answer.fields
            do {
                let words = fields[0].text.asTypedDisks
                let (file, key) = (fields[2].text, fields[3].text)
                var options = SessionRestore.Options(
                    name: name, disks: words, file: file.isEmpty ? nil : file, key: key.isEmpty ? nil : key,
                    verify: fields[1].isOn)
                options.server = environmentVariable("PROXYADDR")
                if !file.isEmpty, words != nil || options.verify {
                    throw ImagingError("a session is recorded to \(file) or put on disks, not both")
                }
                if !file.isEmpty || words == ["discard"] { return try takePart(options) }
                let progress = Progress()
                let targets = try screen.wait("Looking at the disks", progress, cancel: { _ in }) {
                    try DiskListing(disks: words).targets(named: words != nil)
                }
                let question =
                    ["Once session \(name) has started, everything on these disks is lost:", ""] + targets
                    + ["", "Which of them the image needs is decided when the session is found. Take part?"]
                guard try screen.confirm("Session \(name): disks", question, "Yes, overwrite") else {
                    continue
                }
                return try takePart(options)
            } catch { try screen.tell(error) }
        }
    }

    private func takePart(_ options: SessionRestore.Options) throws -> Bool {
        let name = options.name
        let progress = Progress(session: name)
        let notices = Notices(progress)
        // The same as the command's: it begins anew where two masters have settled who hosts the session.
        let session = StationSession(
            StationSession.Options(
                role: .participant, participant: options, master: MasterSession.Options(name: name)),
            progress: progress)
        let outcome: StationSession.Outcome
        do {
            outcome = try screen.run(
                { ClientStage(progress.report()).frame(name) },
                Cancellation(
                    question: ["Leave the session now? A disk that was begun is left without partitions."],
                    cancel: { session.cancel($0) }),
                showing: {
                    notices.update()
                    let report = progress.report()
                    return ClientStage(report).content(report, notices)
                }
            ) { try session.run() }
        } catch { throw notices.failure(error) }
        guard case .received(let result) = outcome else { return true }
        let lines = [result.summary(name, progress.complete())] + result.warnings + [result.network]
        try screen.show("Session \(name) is done", lines)
        return true
    }
}
