// img auto: what the imaging server has for this machine, asked for, done and reported.
internal import Blocks
internal import Disk
internal import Linux
internal import SessionProtocol
internal import Synchronization

/// One unattended run: asks until there is an order, obeys it, and tells the server how it went.
package final class AutomaticWork: Sendable {
    package struct Options: Sendable {
        package var server: WorkServer
        /// Whether orders are obeyed although no key is pinned.
        package var isInsecure = false
        /// The words of disks=: these are reported, captured and overwritten instead of all eligible ones.
        package var disks: [String]?
        /// How long the server may have this machine wait for work, in nanoseconds.
        package var waitPatience = 1800 * second
        /// Program and version, for manifests.
        package var creator = "img"

        package init(server: WorkServer) { self.server = server }
    }

    /// What the one at the machine provides.
    package struct Surroundings: Sendable {
        /// Waits so many nanoseconds for a key; true when there was one.
        ///
        /// nil where no key is asked for.
        package let pause: (@Sendable (UInt64) throws -> Bool)?
        /// Makes the restored disks bootable, and tells what it does.
        package let makeBootable: @Sendable ([String]) throws -> Void

        package init(
            pause: (@Sendable (UInt64) throws -> Bool)? = nil,
            makeBootable: @escaping @Sendable ([String]) throws -> Void
        ) {
            self.pause = pause
            self.makeBootable = makeBootable
        }
    }

    /// How it ended, with a sentence each.
    package enum End: Sendable {
        /// The work is done: the machine restarts.
        case done(String)
        /// There is none: the machine goes on to its local disk.
        case nothing(String)
        /// The person at the machine gets a prompt.
        case shell(String)
    }

    private let options: Options
    private let surroundings: Surroundings
    private let progress: Progress
    private let stop = WorkStop()
    /// What has been told last: who waits hears it every few seconds.
    private let lastTold = Mutex("")

    /// Time after which a server that did not answer is asked again, in nanoseconds.
    private static let retryAfter = 10 * second
    /// How long an outcome is reported before it is given up, in nanoseconds.
    private static let reportPatience = 120 * second
    /// Servers that may send this machine on in a row.
    private static let mostReferrals = 3

    package init(_ options: Options, _ surroundings: Surroundings, progress: Progress) {
        self.options = options
        self.surroundings = surroundings
        self.progress = progress
    }

    /// Ends everything; `run` throws `reason`.
    package func cancel(_ reason: String) { stop.stop(reason) }

    /// Runs to the end; the server has been told how it went, or it has been said here that it could not be.
    ///
    /// - Throws: Why the work failed, in one sentence.
    package func run() throws -> End {
        if options.isInsecure {
            progress.note(
                "img.insecure: the orders of any server are obeyed, whatever its key; anybody on this network can have "
                    + "this machine's disks overwritten", .warning)
        }
        // A wrong disks= stays wrong however often the server is asked.
        if options.disks != nil { _ = try LocalDisks(DiskInventory.Context(), words: options.disks) }
        var complaint = ""
        var waitsSince: UInt64?
        while true {
            progress.enter(.asking)
            let orders: [WorkOrder]
            do { orders = try ask() } catch {
                try stop.check()
                let server =
                    options.server.name.map { "the imaging server \($0.onScreen)" } ?? "the imaging server"
                let sentence = "\(server) gives no order: \(error)"
                if sentence != complaint {
                    progress.note("\(sentence); it is asked again every 10 s\(keyHint)", .warning)
                }
                complaint = sentence
                if try pause(AutomaticWork.retryAfter) {
                    return .shell("a key was pressed: here is a prompt")
                }
                continue
            }
            complaint = ""
            guard let order = orders.last else { continue }
            switch order.message.verb {
            case .wait:
                let seconds = max(1, UInt64(order.message.seconds))
                let since = waitsSince ?? MonotonicClock.now()
                waitsSince = since
                // A room whose master is switched off must start all the same.
                if MonotonicClock.now() - since >= options.waitPatience {
                    let minutes = options.waitPatience / (60 * second)
                    return nothing(orders, order, "no work has come in \(minutes) min of waiting")
                }
                if try pause(seconds * second) { return .shell("a key was pressed: here is a prompt") }
            case .nothing:
                return nothing(orders, order, "there is nothing to do")
            case .shell:
                report(Done(text: "the person at the machine has a shell"), orders[...])
                return .shell(told(order, "a shell is asked for"))
            case .refer: continue
            case .takePart, .master, .restore, .capture: return try obey(orders)
            }
        }
    }

    private var keyHint: String { surroundings.pause == nil ? "" : "; a key gives a prompt" }

    /// There is no work; those who have sent this machine on hear it too.
    private func nothing(_ orders: [WorkOrder], _ order: WorkOrder, _ what: String) -> End {
        if orders.count > 1 {
            report(Done(text: "\(order.giver) has nothing to do here"), orders.dropLast())
        }
        return .nothing(told(order, what))
    }

    private func told(_ order: WorkOrder, _ what: String) -> String {
        let reason = order.message.reason.onScreen
        return reason.isEmpty ? what : "\(what): \(reason)"
    }

    /// Waits with a visible countdown; true when a key was pressed.
    private func pause(_ nanoseconds: UInt64) throws -> Bool {
        progress.enter(.asking)
        progress.askAgain(at: MonotonicClock.now() + nanoseconds)
        defer { progress.askAgain(at: nil) }
        guard let wait = surroundings.pause else {
            try stop.sleep(nanoseconds)
            return false
        }
        let isPressed = try wait(nanoseconds)
        try stop.check()
        return isPressed
    }

    // MARK: Orders

    /// The order of the last server that is asked, behind those of the servers that referred to it.
    private func ask() throws -> [WorkOrder] {
        var orders: [WorkOrder] = []
        var server = options.server
        while true {
            let order = try WorkQuestion(server, disks: options.disks, stop: stop).ask()
            orders.append(order)
            let reason = order.message.reason.onScreen
            let sentence =
                "told by \(order.giver): \(order.message.verb.title)\(reason.isEmpty ? "" : ": \(reason)")"
            let isNew = lastTold.withLock { last in
                defer { last = sentence }
                return last != sentence
            }
            if isNew { progress.note(sentence) }
            guard order.message.verb == .refer else { return orders }
            guard orders.count <= AutomaticWork.mostReferrals else {
                throw ImagingError(
                    "\(order.giver) refers on to \(order.message.server.onScreen), the fourth server in a row"
                )
            }
            // Whoever refers must not be able to hand a pinned machine to somebody else.
            server = WorkServer(
                name: order.message.server, pinned: options.isInsecure ? nil : order.server.pinned)
        }
    }

    /// What came of an order.
    private struct Done: Sendable {
        var text: String
        var isDone = true
        var image: GUID?
        var bytes: UInt64 = 0
        var milliseconds: UInt64 = 0
        /// The disks that have another content now.
        var disks: [String] = []
    }

    private func obey(_ orders: [WorkOrder]) throws -> End {
        guard let order = orders.last else { preconditionFailure("an order without an order") }
        let begun = MonotonicClock.now()
        func elapsed() -> UInt64 { (MonotonicClock.now() - begun) / millisecond }
        do {
            try permit(order)
            var done = try perform(order)
            if !done.disks.isEmpty {
                progress.enter(.finishing)
                try surroundings.makeBootable(done.disks)
            }
            done.milliseconds = elapsed()
            report(done, orders[...])
            return .done(done.text)
        } catch {
            var failed = Done(text: "\(error)")
            failed.isDone = false
            failed.milliseconds = elapsed()
            report(failed, orders[...])
            throw error
        }
    }

    /// Throws why the order may not be obeyed.
    private func permit(_ order: WorkOrder) throws {
        guard options.server.pinned != nil || options.isInsecure else {
            throw ImagingError(
                "\(order.giver) orders: \(order.message.verb.title); that is not done for a server whose key is not pinned: "
                    + "put SERVERKEY= with the fingerprint that 'imgserv key' shows into settings.txt, or build it in with "
                    + "'make iso pxe SERVERKEY=...'")
        }
        switch order.message.verb {
        case .takePart where order.message.hostKey == nil:
            throw ImagingError("the order to take part in a session does not name its host's key")
        case .takePart where order.message.image == nil:
            throw ImagingError("the order to take part in a session does not say which image it has")
        case .takePart where order.message.session.isEmpty, .master where order.message.session.isEmpty:
            throw ImagingError("the order names no session")
        case .restore where order.message.image == nil:
            throw ImagingError(
                "the order to restore does not say which image \(order.message.imageName.onScreen) is")
        default: break
        }
    }

    private func perform(_ order: WorkOrder) throws -> Done {
        switch order.message.verb {
        case .takePart: return try takePart(order)
        case .master: return try host(order)
        case .restore: return try restore(order)
        case .capture: return try capture(order)
        case .nothing, .shell, .refer, .wait: preconditionFailure("\(order.message.verb) is no work")
        }
    }

    private func takePart(_ order: WorkOrder) throws -> Done {
        progress.join(session: order.message.session)
        var part = SessionRestore.Options(name: order.message.session, disks: options.disks)
        part.server = order.server.name.flatMap { try? WorkServer.parts($0).host }
        part.hostKey = order.message.hostKey
        part.image = order.message.image
        part.patience = AutomaticWork.sessionPatience
        let restore = try SessionRestore(part, progress: progress)
        let result = try stop.whileStoppable(by: { restore.cancel($0) }) { try restore.run() }
        guard let result else { preconditionFailure("nobody asked for a plan") }
        progress.note(result.network)
        return done(
            "session \(order.message.session.onScreen): restored to \(result.disks.joined(separator: ", "))",
            image: result.image, bytes: result.contentBytes, warnings: result.warnings, disks: result.disks)
    }

    /// How long the host of a session that was ordered is searched for, in nanoseconds.
    private static let sessionPatience = 300 * second

    private func restore(_ order: WorkOrder) throws -> Done {
        var words = ServerRestore.Options(
            server: order.server, image: order.message.imageName, disks: options.disks)
        words.identifier = order.message.image
        let restore = try ServerRestore(words, stop: stop, progress: progress)
        for line in restore.description { progress.note(line) }
        let result = try stop.whileStoppable(by: { restore.cancel($0) }) { try restore.run() }
        return done(
            "image \(order.message.imageName.onScreen) restored to \(result.disks.joined(separator: ", "))",
            image: result.image, bytes: result.contentBytes, warnings: result.warnings, disks: result.disks)
    }

    private func capture(_ order: WorkOrder) throws -> Done {
        let cancellation = LocalCapture.Cancellation()
        let name = order.message.imageName
        let words = LocalCapture.Options(
            to: .server(order.server, name: name, order: order.message.order), compression: "balanced",
            excludedSlots: [], disks: options.disks, captureHibernated: false, creator: options.creator)
        let result = try stop.whileStoppable(by: { cancellation.cancel($0) }) {
            let capture = try LocalCapture(words, cancellation: cancellation, progress: progress)
            for line in capture.description { progress.note(line) }
            return try capture.run(progress)
        }
        return done(
            "captured to image \(name.onScreen)", image: result.image, bytes: result.contentBytes,
            warnings: result.warnings)
    }

    private func host(_ order: WorkOrder) throws -> Done {
        let message = order.message
        progress.join(session: message.session)
        guard message.clients > 0 || message.minutes > 0 else {
            throw ImagingError(
                "the order to be master says neither at how many machines nor after how long to start")
        }
        var master = MasterSession.Options(name: message.session)
        master.disks = options.disks
        master.clients = message.clients > 0 ? Int(message.clients) : nil
        master.wait = message.minutes > 0 ? Minutes("\(message.minutes)") : nil
        master.creator = options.creator
        let end = WorkStop()
        defer { end.stop("the session has ended") }
        let notes = RoleNotes()
        master.whenHosting = { [progress] key, image in
            notes.image.withLock { $0 = image }
            AutomaticWork.declare(
                RoleMessage(order: message.order, hostKey: key, image: image), to: order.server, until: end,
                progress)
        }
        let session = try MasterSession(master, progress: progress)
        switch try stop.whileStoppable(by: { session.cancel($0) }, { try session.run() }) {
        case .planned: preconditionFailure("nobody asked for a plan")
        case .taken(let other):
            throw ImagingError("session \(message.session.onScreen) has a master already: \(other.who)")
        case .hosted(let report):
            for line in report.lines(progress.report()) { progress.note(line) }
            guard report.isDone else {
                throw ImagingError("session \(message.session.onScreen): \(report.result.onScreen)")
            }
            return done(
                "session \(message.session.onScreen): sent to all who took part",
                image: notes.image.withLock { $0 }, bytes: report.imageBytes)
        }
    }

    private func done(
        _ what: String, image: GUID?, bytes: UInt64, warnings: [String] = [], disks: [String] = []
    ) -> Done {
        if !warnings.isEmpty { progress.note(warnings.joined(separator: "\n  "), .warning) }
        let figures = progress.report()
        var done = Done(
            text: ([what, "\(bytes.asBytes) in \(figures.timeText)"] + warnings.prefix(1)).joined(
                separator: ", "))
        done.image = image
        done.bytes = bytes
        done.disks = disks
        return done
    }

    // MARK: Reports

    /// Tells the server which key the session has until it has noted that.
    private static func declare(
        _ role: RoleMessage, to server: WorkServer, until end: WorkStop, _ progress: Progress
    ) {
        _ = Thread("role") {
            var last = ""
            while end.reason == nil {
                do {
                    try WorkQuestion(server, disks: nil, stop: end).tell(role)
                    return progress.note("the imaging server knows this machine as the session's master")
                } catch {
                    if last != "\(error)" {
                        progress.note(
                            "the imaging server cannot be told that this machine is the master: \(error)",
                            .warning)
                    }
                    last = "\(error)"
                    try? end.sleep(WorkQuestion.repeatAfter)
                }
            }
        }
    }

    /// Reports to every server that gave one of the orders; what cannot be reported is said here.
    private func report(_ done: Done, _ orders: ArraySlice<WorkOrder>) {
        for order in orders.reversed() {
            var outcome = OutcomeMessage(
                order: order.message.order, mac: order.mac, isDone: done.isDone, text: done.text)
            outcome.image = done.image
            outcome.bytes = done.bytes
            outcome.milliseconds = done.milliseconds
            do {
                // Also when everything is to end: the server should know that it has.
                let last = WorkStop()
                if stop.reason != nil {
                    try WorkQuestion(order.server, disks: nil, stop: last, patience: 2 * second).tell(outcome)
                } else {
                    let question = WorkQuestion(order.server, disks: nil, stop: last)
                    try stop.whileStoppable(by: { last.stop($0) }) {
                        try question.insist(outcome, patience: AutomaticWork.reportPatience) { error in
                            progress.note(
                                "the outcome cannot be reported yet: \(error); tried for two minutes",
                                .warning)
                        }
                    }
                }
            } catch {
                progress.note("the outcome could not be reported to \(order.giver): \(error)", .warning)
            }
        }
    }
}

/// What the master's session said of itself.
private final class RoleNotes: Sendable {
    let image = Mutex<GUID?>(nil)
}

extension WorkVerb {
    /// What is ordered, for the screen.
    var title: String {
        switch self {
        case .nothing: "nothing to do"
        case .takePart: "take part in a session"
        case .master: "be the master of a session"
        case .restore: "restore an image"
        case .capture: "capture this machine's disks"
        case .shell: "a shell"
        case .refer: "another server has the work"
        case .wait: "wait"
        }
    }
}
