// Imaging without a session: disks into an image file, and an image file onto disks.
internal import Blocks
internal import Imaging

extension Menu {
    func imaging() throws {
        try choose(
            "Imaging",
            [
                ("Make image -> local file", makeImage),
                ("Restore image <- local file", restoreImage),
                ("Multicast session", session),
                ("Make image -> server", makeImageOnServer),
                ("Restore image <- server", restoreImageFromServer),
                ("Query for work", queryForWork),
            ])
    }

    /// The levels of comp= as a person chooses between them.
    static let levels: [(word: String, advice: String)] = [
        ("none", "None      as it is: for a fast network and slow processors"),
        ("speed", "Speed     a good part of the gain, at the speed of most disks"),
        ("balanced", "Balanced  smaller, and still fast: right for most rooms"),
        ("size", "Size      the smallest, and slow: for images that are kept"),
    ]
    static let usualLevel = levels.firstIndex { $0.word == "balanced" } ?? 0

    private func makeImage() throws {
        var fields: [Page.Field] = [
            .entry("Image file", ""), .entry("Disks", ""), .entry("Leave out slots", ""),
            .heading("Compression"), .choice(Menu.levels.map(\.advice), selected: Menu.usualLevel),
            .box("Hibernated systems too, block by block", false),
        ]
        while true {
            let page = Page(
                title: "Make image",
                text: ["All of this machine's disks are captured unless you name some. They are only read."],
                fields: fields, buttons: ["Next", "Back"])
            let answer = try screen.ask(page)
            guard answer.button == 0 else { return }
            fields = answer.fields
            do {
                try makeImage(
                    path: fields[0].text, disks: fields[1].text, slots: fields[2].text,
                    compression: Menu.levels[fields[4].index].word, hibernated: fields[5].isOn)
                return
            } catch { try screen.tell(error) }
        }
    }

    private func makeImage(
        path: String, disks: String, slots: String, compression: String, hibernated: Bool
    ) throws {
        guard !path.isEmpty else { throw ImagingError("an image needs a file to be written to") }
        try capture(
            "Make image", Progress(), path,
            LocalCapture.Options(
                to: .file(path), compression: compression, excludedSlots: try Menu.slots(slots),
                disks: disks.asTypedDisks, captureHibernated: hibernated,
                creator: "img \(programVersion)"))
    }

    /// The numbers of a line in which slots are typed.
    static func slots(_ text: String) throws -> Set<Int> {
        let words = text.split { $0 == "," || $0 == " " }
        let slots = words.compactMap { Int($0) }
        guard slots.count == words.count else {
            throw ImagingError("slots are numbers as the plan shows them, not '\(text)'")
        }
        return Set(slots)
    }

    /// Plans a capture, shows the plan, and does it; `image` is how the summary calls the image.
    func capture(
        _ title: String, _ progress: Progress, _ image: String, _ options: LocalCapture.Options
    ) throws {
        let cancellation = LocalCapture.Cancellation()
        let capture = try screen.wait("Looking at the disks", progress, cancel: { cancellation.cancel($0) }) {
            try LocalCapture(options, cancellation: cancellation, progress: progress)
        }
        let plan = Page(title: "\(title): plan", text: capture.description, buttons: ["Start", "Back"])
        guard try screen.ask(plan).button == 0 else { return }
        let result = try run(
            title, progress,
            Cancellation(
                question: ["End it now? No image is left, and the disks stay as they are."],
                cancel: { cancellation.cancel($0) })
        ) { try capture.run(progress) }
        try screen.show("Image made", [result.summary(image, progress.complete())] + result.warnings)
    }

    private func restoreImage() throws {
        var fields: [Page.Field] = [
            .entry("Image file", ""), .entry("Disks", ""), .box("Read everything back and compare", false),
        ]
        while true {
            let page = Page(
                title: "Restore image",
                text: ["Without the names of disks, the plan says which of this machine's disks are taken."],
                fields: fields, buttons: ["Next", "Back"])
            let answer = try screen.ask(page)
            guard answer.button == 0 else { return }
            fields = answer.fields
            do {
                try restoreImage(path: fields[0].text, disks: fields[1].text, verify: fields[2].isOn)
                return
            } catch { try screen.tell(error) }
        }
    }

    private func restoreImage(path: String, disks: String, verify: Bool) throws {
        guard !path.isEmpty else {
            throw ImagingError("there is no image file to restore: its name is empty")
        }
        let progress = Progress()
        let restore = try screen.wait("Reading the image", progress, cancel: { _ in }) {
            try LocalRestore(path: path, disks: disks.asTypedDisks, verify: verify)
        }
        let plan = restore.description + ["", "Everything on these disks will be lost. Go on?"]
        guard try screen.confirm("Restore image: plan", plan, "Yes, overwrite") else { return }
        try run(
            "Restore image", progress,
            Cancellation(
                question: [
                    "End it now? The disks are left without partitions; the same restore begins anew."
                ],
                cancel: { restore.cancel($0) })
        ) { try restore.run(progress) }
        try screen.show("Image restored", [restore.summary(progress.complete())] + restore.warnings)
    }

    /// Runs a job between disks and an image file, here or on the server, and shows its figures.
    func run<Value: Sendable>(
        _ title: String, _ progress: Progress, _ cancellation: Cancellation,
        _ body: @escaping @Sendable () throws -> Value
    ) throws -> Value {
        let notices = Notices(progress)
        do {
            return try screen.run(
                { LiveFrame(title: title, lineCount: 5, tableHeight: 4) }, cancellation,
                showing: {
                    notices.update()
                    return LiveContent(progress.report(), notices)
                }, body)
        } catch { throw notices.failure(error) }
    }
}

extension LiveContent {
    /// The figures of a job, the last sentence, and its disks.
    init(_ report: ProgressReport, _ notices: Notices) {
        lines = [
            ([report.state.rawValue] + [report.percentText].compactMap { $0 }).joined(separator: " "),
            [report.asksAgainText, report.bytesText, report.etaText].compactMap { $0 }.joined(
                separator: ", "),
            report.ratesText, notices.lines.last ?? "",
        ]
        fraction = report.percent.map { $0 / 100 }
        let rows = report.disks.map { disk in
            [disk.name, disk.percent?.asPercent ?? "", disk.rate.asDiskRate, disk.error ?? ""]
        }
        table = ([["disk", "done", "rate", ""]] + rows).aligned
    }
}
