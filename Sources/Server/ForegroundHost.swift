// Hosts one session in the foreground: imgserv mcast.
internal import Blocks
internal import ImageFormat
internal import Linux
package import SessionProtocol
internal import SessionTransport

/// What `imgserv mcast` was asked to do.
package struct ForegroundHostOptions: Sendable {
    /// The session's name.
    package var name: String
    /// The image file.
    package var path: String
    /// One of this machine's own addresses, to host on.
    package var address: String?
    /// The interface to host on.
    package var interface: String?
    /// Registrations at which the session starts.
    package var participants = 1
    /// Minutes after the last registration at which it starts with whoever is there.
    package var minutes = 5.0
    /// Mbit/s the session may take; nil follows the link.
    package var rate: Int?
    package var ttl: UInt8 = 16
    /// Minutes the session waits for silent participants once the others have finished.
    package var linger = 2.0
    package var stateDirectory = HostKey.defaultDirectory
    /// Whether standard output is for a program: then only notes are shown, on standard error.
    package var isQuiet = false

    package init(name: String, path: String) {
        self.name = name
        self.path = path
    }
}

/// One session hosted by this process until it has ended.
package final class ForegroundHost: Sendable {
    private let options: ForegroundHostOptions
    private let frames: ImageFileFrames
    private let runner: HostRunner
    private let display: SessionDisplay
    private let notes: HostNotes

    /// Opens the image, loads the key and binds the sockets: whatever is wrong is said before anybody joins.
    package init(_ options: ForegroundHostOptions) throws {
        self.options = options
        let address = try options.address.map { text in
            guard let address = IPAddress(text) else { throw ServerError("'\(text)' is no IP address") }
            return address
        }
        let interface = try HostInterface.choose(named: options.interface, address: address)
        frames = try ImageFileFrames(path: options.path)
        var settings = HostSettings(
            name: options.name, image: frames.image.imageID, manifest: frames.image.manifestJSON,
            existing: frames.image.existing, maximumFrameBytes: frames.maximumFrameBytes,
            hostKey: try HostKey.loadAsOwner(from: options.stateDirectory), interface: interface)
        settings.participants = options.participants
        settings.registrationTimeout = nanoseconds(minutes: options.minutes)
        settings.rate = options.rate
        settings.ttl = options.ttl
        settings.linger = nanoseconds(minutes: options.linger)
        let style: SessionDisplay.Style = options.isQuiet ? .quiet : Console.isTerminal ? .live : .lines
        let display = SessionDisplay(name: options.name, style: style)
        self.display = display
        let notes = HostNotes()
        self.notes = notes
        let people = HostRoll()
        let runner = try HostRunner(settings, frames: frames) { event in
            if let line = people.sentence(event) { notes.add(line) }
        }
        people.attend(runner)
        self.runner = runner
        display.note(
            "session \(options.name.onScreen): \(options.path.onScreen), \(frames.image.existing.count) chunks, on "
                + "\(interface.interface.name), \(runner.endpoint), data to \(runner.dataEndpoint)")
        display.note("host key \(runner.fingerprint)")
    }

    /// Hosts the session; call it once.
    ///
    /// Ctrl-C ends it, and every participant is told.
    package func run() throws -> HostReport {
        TerminationSignals.ignoreBrokenPipes()
        try TerminationSignals.watch { [runner, notes] _ in
            notes.add("ending the session: telling the participants")
            runner.stop(reason: "the host was stopped by hand")
        }
        let began = MonotonicClock.now()
        let screen = Thread("display") { [self] in draw() }
        let result = Result { try runner.run() }
        notes.finish()
        try screen.join()
        return HostReport(
            try result.get(), name: options.name, path: options.path, fingerprint: runner.fingerprint,
            chunks: frames.image.existing.count, nanoseconds: MonotonicClock.now() - began)
    }

    /// Shows notes and progress until the session is over.
    private func draw() {
        var next = MonotonicClock.now()
        while true {
            let (lines, isLast) = notes.wait(until: next)
            for line in lines { display.note(line) }
            if isLast {
                display.finish()
                return
            }
            if MonotonicClock.now() >= next {
                let (session, participants) = runner.snapshot
                display.show(session, participants)
                next = MonotonicClock.now() + display.interval
            }
        }
    }
}

/// Nanoseconds of a number of minutes from 0 to a year.
private func nanoseconds(minutes: Double) -> UInt64 { UInt64(min(max(minutes, 0), 525_600) * 60e9) }
