// What Prometheus reads (text format 0.0.4).
internal import HTTPTypes
internal import Hummingbird

extension Routes {
    func addMetrics() {
        let site = site
        let daemon = site.daemon
        add(.get, "/metrics", for: daemon.configuration.hasOpenMetrics ? .anybody : .administrator) { _, _ in
            let status = try await site.work { try daemon.status() }
            return site.text(Metrics(status).text, type: "text/plain; version=0.0.4; charset=utf-8")
        }
    }
}

/// The figures of a server's state, written as Prometheus wants them.
package struct Metrics {
    package private(set) var text = ""

    package init(_ status: ServerStatus) {
        let counters = status.counters
        counter("requests", "Questions of workstations for work", counters.requests)
        counter("images_sent", "Images that workstations have received", counters.imagesSent)
        counter("images_received", "Images that the catalogue has received", counters.imagesReceived)
        counter("referrals", "Workstations referred to another server", counters.referrals)
        counter("sent_bytes", "Bytes of images sent", counters.bytesSent)
        counter("received_bytes", "Bytes of images received", counters.bytesReceived)
        counter("failures", "Work that has failed", counters.failures)
        counter("sessions", "Sessions that have been hosted", counters.sessions)

        let hosted = status.sessions.filter { $0.state != .ended }
        gauge(
            "hosted_sessions", "Sessions that are hosted now",
            [SessionView.State.registering, .running].map { state in
                ("state=\"\(state.rawValue)\"", Double(hosted.count { $0.state == state }))
            })
        let participants = hosted.flatMap(\.participants)
        gauge(
            "participants", "Participants of the sessions that are hosted now",
            ["joined", "receiving", "silent", "finished", "failed", "lost"].map { state in
                ("state=\"\(state)\"", Double(participants.count { $0.state == state }))
            })
        gauge(
            "session_progress_ratio", "How far each hosted session is, 0 to 1",
            hosted.map { ("session=\"\(Self.escape($0.name))\"", $0.percent / 100) })
        gauge(
            "session_rate_bytes", "Bytes per second that each hosted session may send",
            hosted.map { ("session=\"\(Self.escape($0.name))\"", Double($0.rate)) })
        gauge(
            "transfers", "Images that are on their way over TCP",
            ["send", "receive"].map { direction in
                ("direction=\"\(direction)\"", Double(status.transfers.count { $0.direction == direction }))
            })
        gauge("free_bytes", "Bytes free where the images are", [("", Double(status.freeBytes))])
        gauge("uptime_seconds", "Seconds since the server's start", [("", Double(status.uptime))])
        gauge("info", "The server's version", [("version=\"\(Self.escape(status.version))\"", 1)])
    }

    private mutating func counter(_ name: String, _ help: String, _ value: UInt64) {
        head("\(name)_total", help, "counter")
        text += "imgserv_\(name)_total \(value)\n"
    }

    private mutating func gauge(_ name: String, _ help: String, _ values: [(labels: String, value: Double)]) {
        head(name, help, "gauge")
        for (labels, value) in values {
            let number = value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
            text += "imgserv_\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(number)\n"
        }
    }

    private mutating func head(_ name: String, _ help: String, _ type: String) {
        text += "# HELP imgserv_\(name) \(help).\n# TYPE imgserv_\(name) \(type)\n"
    }

    /// A label's value: backslash, quote and line end are escaped.
    private static func escape(_ text: String) -> String {
        text.map { character in
            switch character {
            case "\\": "\\\\"
            case "\"": "\\\""
            case "\n", "\r\n": "\\n"
            default: String(character)
            }
        }.joined()
    }
}
