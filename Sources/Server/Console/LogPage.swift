// The server's log, page by page.
internal import Blocks

extension Page {
    /// Entries on one page.
    static let logEntries = 100

    /// The log, of one workstation where `mac` is not ""; it lives where `isNewest`.
    package static func log(_ events: [EventView], mac: String, isNewest: Bool) -> Page {
        let tones = ["warning": "warn", "error": "bad"]
        let query = mac.isEmpty ? "" : "mac=\(mac.asQueryValue)"
        var fields: Fields = [
            "hasEvents": !events.isEmpty,
            "events": events.map { event -> Fields in
                var fields: Fields = [
                    "id": event.id, "at": Words.time(event.at, isAgo: false), "level": event.level,
                    "tone": tones[event.level] ?? "", "kind": event.kind, "text": event.text,
                ]
                fields["link"] = event.mac.map { "/workstations/\($0)" }
                return fields
            },
        ]
        fields["filter"] = mac.nonEmpty
        if events.count >= logEntries, let last = events.last {
            fields["older"] = "/log?before=\(last.id)" + (query.isEmpty ? "" : "&\(query)")
        }
        var page = Page("log", "Log", .log, fields)
        page.live = isNewest ? ["events"] : []
        page.address = query.isEmpty ? "/log" : "/log?\(query)"
        return page
    }
}
