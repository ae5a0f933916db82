// Imaging with the server: images there instead of in a local file, and the question what is to be done here.
internal import Blocks
internal import Imaging
internal import Linux

extension Menu {
    /// The fields by which a server is named, with what the boot media say of it.
    private static var serverFields: [Page.Field] {
        [
            .entry("Server", environmentVariable("PROXYADDR") ?? ""),
            .entry("Server's key", environmentVariable("SERVERKEY") ?? ""),
        ]
    }

    /// The server of the first two fields.
    private func server(_ fields: [Page.Field]) throws -> WorkServer {
        guard !fields[0].text.isEmpty else {
            throw ImagingError("the imaging server needs an address or a name")
        }
        return try WorkServer(named: fields[0].text, key: fields[1].text)
    }

    /// Asks again until `body` has done its part or the person goes back.
    private func ask(
        _ title: String, _ text: [String], _ fields: [Page.Field], _ body: ([Page.Field]) throws -> Void
    ) throws {
        var fields = fields
        while true {
            let answer = try screen.ask(
                Page(title: title, text: text, fields: fields, buttons: ["Next", "Back"]))
            guard answer.button == 0 else { return }
            fields = answer.fields
            do { return try body(fields) } catch { try screen.tell(error) }
        }
    }

    func makeImageOnServer() throws {
        let fields =
            Menu.serverFields + [
                .entry("Image's name", ""), .entry("Disks", ""), .entry("Leave out slots", ""),
                .heading("Compression"), .choice(Menu.levels.map(\.advice), selected: Menu.usualLevel),
                .box("Hibernated systems too, block by block", false),
            ]
        try ask(
            "Make image -> server",
            ["All of this machine's disks are captured unless you name some. They are only read."], fields
        ) { fields in
            let (server, name) = (try server(fields), fields[2].text)
            guard !name.isEmpty else { throw ImagingError("an image on the server needs a name") }
            let title = "\(name.onScreen) on \(server.title)"
            try capture(
                "Make image -> server", Progress(isWithServer: true), title,
                LocalCapture.Options(
                    to: .server(server, name: name, order: 0),
                    compression: Menu.levels[fields[6].index].word,
                    excludedSlots: try Menu.slots(fields[4].text), disks: fields[3].text.asTypedDisks,
                    captureHibernated: fields[7].isOn, creator: "img \(programVersion)"))
        }
    }

    func restoreImageFromServer() throws {
        let fields =
            Menu.serverFields + [
                .entry("Image's name", ""), .entry("Disks", ""),
                .box("Read everything back and compare", false),
            ]
        try ask(
            "Restore image <- server",
            ["Without the names of disks, the plan says which of this machine's disks are taken."], fields
        ) { fields in
            let (server, name) = (try server(fields), fields[2].text)
            guard !name.isEmpty else { throw ImagingError("there is no image to restore: its name is empty") }
            var options = ServerRestore.Options(
                server: server, image: name, disks: fields[3].text.asTypedDisks)
            options.verify = fields[4].isOn
            let words = options
            let progress = Progress(isWithServer: true)
            let stop = WorkStop()
            let restore = try screen.wait("Asking the server", progress, cancel: { stop.stop($0) }) {
                try ServerRestore(words, stop: stop, progress: progress)
            }
            let plan = restore.description + ["", "Everything on these disks will be lost. Go on?"]
            guard try screen.confirm("Restore image <- server: plan", plan, "Yes, overwrite") else {
                return restore.leave()
            }
            let result = try run(
                "Restore image <- server", progress,
                Cancellation(
                    question: [
                        "End it now? The disks are left without partitions; the same restore begins anew."
                    ],
                    cancel: { restore.cancel($0) })
            ) { try restore.run() }
            let title = "\(name.onScreen) of \(server.title)"
            try screen.show(
                "Image restored",
                [result.summary(title, verified: words.verify, progress.complete())] + result.warnings)
        }
    }

    func queryForWork() throws {
        let text = [
            "The imaging server says what this machine is to do: take part in a session, be its master, restore or "
                + "capture an image, or nothing. It is obeyed only if it has the key that 'imgserv key' shows there. "
                + "Without an address whoever answers on this network is asked."
        ]
        try ask("Query for work", text, Menu.serverFields) { fields in
            let pin = try WorkServer.fingerprint(fields[1].text, from: "the server's key")
            let name = fields[0].text.isEmpty ? nil : fields[0].text
            if let name { _ = try WorkServer.parts(name) }
            var warning = ["The server may have these disks overwritten:"]
            do { warning += try DiskListing(disks: nil).targets(named: false) } catch {
                warning = ["\(error)", "", "Nothing can be restored here by itself."]
            }
            guard try screen.confirm("Query for work", warning + ["", "Go on?"], "Yes, ask") else { return }
            let progress = Progress(isWithServer: true)
            var options = AutomaticWork.Options(server: WorkServer(name: name, pinned: pin))
            options.creator = "img \(programVersion)"
            let work = AutomaticWork(
                options, AutomaticWork.Surroundings(makeBootable: { try Auto.makeBootable($0, progress) }),
                progress: progress)
            let end = try run(
                "Query for work", progress,
                Cancellation(
                    question: ["End it now? Disks that are being restored are left without partitions."],
                    cancel: { work.cancel($0) })
            ) { try work.run() }
            switch end {
            case .done(let text): try screen.show("Work done", [text, "", "Restart with Ctrl+Alt+Del."])
            case .nothing(let text), .shell(let text): try screen.show("Query for work", [text])
            }
        }
    }
}
