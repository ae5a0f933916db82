// Live pages: server-sent events (WHATWG HTML, "Server-sent events") with the parts of a page that have changed.
internal import Blocks
internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import ServiceLifecycle
internal import Synchronization

/// How often live pages are told, and how many there are.
private enum LiveLimit {
    /// A silent line is written that often, in seconds: both ends see that the other is there.
    static let heartbeat = 15
    /// A page on which something moves by itself is made anew that often, in seconds.
    static let tick = 1
    /// The shortest time between two updates of one page, in milliseconds.
    static let pause = 500
    /// A page that takes long to make is made the less often: it takes at most this share of the time.
    static let share = 10
    /// Pages that live at once; each holds a connection.
    static let pages = 128
}

extension Routes {
    /// GET /events?page=ADDRESS: lasts until the browser goes, the login ends or the server stops.
    func addEvents() {
        let (site, count) = (site, OpenPages())
        add(.get, "/events", for: .page) { request, context in
            let query = try FormFields(parsing: request.uri.query ?? "")
            guard let viewer = context.viewer, let address = query["page"], address.hasPrefix("/") else {
                throw ServerError("there is nothing at this address", .notFound)
            }
            let live = LivePage(
                site: site, viewer: viewer, cookie: site.cookie(of: request), address: address)
            // An address that cannot live is refused now, not in the middle of the stream.
            _ = try await live.parts()
            guard count.enter() else { throw ServerError("too many live pages are open", .busy) }
            return Response(
                status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"],
                body: ResponseBody { writer in
                    defer { count.leave() }
                    try await live.tell(&writer)
                    try await writer.finish(nil)
                })
        }
    }
}

/// Counts the pages that live.
private final class OpenPages: Sendable {
    private let count = Atomic(0)

    func enter() -> Bool {
        guard count.add(1, ordering: .relaxed).newValue <= LiveLimit.pages else {
            leave()
            return false
        }
        return true
    }

    func leave() { count.subtract(1, ordering: .relaxed) }
}

/// One open page of one browser.
private struct LivePage: Sendable {
    /// Why the stream wakes.
    private enum Signal: Sendable { case changed, tick, beat }

    let site: Site
    let viewer: Viewer
    let cookie: String?
    let address: String

    /// A part of the page as it is now.
    struct Part: Codable, Sendable {
        let id: String
        let html: String
    }

    /// A page's parts, and whether they move by themselves.
    struct Parts: Sendable {
        var list: [Part] = []
        var areMoving = false
    }

    /// The parts of the page as the daemon stands now.
    func parts() async throws -> Parts {
        try await site.work { [self] in
            let pieces = address.split(separator: "?", maxSplits: 1)
            let page = try site.daemon.livePage(
                at: String(pieces.first ?? "/"), pieces.count > 1 ? String(pieces[1]) : "")
            return Parts(
                list: page.parts(for: viewer).map { Part(id: $0.id, html: $0.html) }, areMoving: page.isMoving
            )
        }
    }

    /// Writes what changes until the reader goes, the login ends or the server stops.
    @concurrent func tell(_ writer: inout any ResponseBodyWriter) async throws {
        let (signals, alarm) = AsyncStream.makeStream(of: Signal.self, bufferingPolicy: .bufferingNewest(4))
        let bell = site.daemon.changes.bell()
        let alarms = [
            Task {
                for await _ in bell { alarm.yield(.changed) }
                alarm.finish()
            },
            Task {
                while (try? await Task.sleep(for: .seconds(LiveLimit.heartbeat))) != nil {
                    alarm.yield(.beat)
                }
            },
            Task {
                while (try? await Task.sleep(for: .seconds(LiveLimit.tick))) != nil { alarm.yield(.tick) }
            },
            Task {
                if (try? await gracefulShutdown()) != nil { alarm.finish() }
            },
        ]
        defer { for alarm in alarms { alarm.cancel() } }
        var told: [String: String] = [:]
        var isMoving = false
        // At first everything: something may have changed since the page was made.
        alarm.yield(.changed)
        for await signal in signals {
            guard isLoggedIn else {
                try await writer.write(ByteBuffer(string: "event: login\ndata: {}\n\n"))
                return
            }
            switch signal {
            case .beat: try await writer.write(ByteBuffer(string: ":\n\n"))
            case .tick where !isMoving: continue
            case .changed, .tick:
                let start = ContinuousClock.now
                isMoving = try await update(&told, &writer)
                let took = (ContinuousClock.now - start) * LiveLimit.share
                try await Task.sleep(for: max(took, .milliseconds(LiveLimit.pause)))
            }
        }
    }

    /// Writes the parts that are others than those told; gives whether they move by themselves.
    @concurrent private func update(
        _ told: inout [String: String], _ writer: inout any ResponseBodyWriter
    ) async throws -> Bool {
        let now: Parts
        do {
            now = try await parts()
        } catch let error as ServerError where error.kind == .notFound {
            // What it shows is gone; the browser asks again and gets the sentence.
            try await writer.write(ByteBuffer(string: "event: gone\ndata: {}\n\n"))
            return false
        }
        for part in now.list where told[part.id] != part.html {
            told[part.id] = part.html
            let data = try JSONEncoder().encode(part)
            var buffer = ByteBuffer(string: "event: part\ndata: ")
            buffer.writeBytes(data)
            buffer.writeString("\n\n")
            try await writer.write(buffer)
        }
        return now.areMoving
    }

    private var isLoggedIn: Bool { cookie.map { site.logins.isOpen($0) } ?? true }
}
