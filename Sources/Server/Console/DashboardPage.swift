// The dashboard: what is going on, and what has been done so far.
internal import Blocks

extension Page {
    /// The server at a glance; `now` is in seconds since 1970 (UTC).
    package static func dashboard(_ status: ServerStatus, images: [ImageView], now: Int64) -> Page {
        let open = status.sessions.filter { $0.state != .ended }
        let machines = open.map(\.registered).reduce(0, +)
        let counters = status.counters
        let fileBytes = images.map(\.fileBytes).reduce(0, &+)
        let fields: Fields = [
            "figures": [
                figure("Running sessions", "\(open.count)", Words.count(machines, "machine")),
                figure("Images", "\(images.count)", fileBytes.asBytes),
                figure("Free space", status.freeBytes.asBytes, status.images),
                figure(
                    "Failures", Words.grouped(counters.failures),
                    "of \(Words.count(counters.imagesSent &+ counters.failures, "image")) sent",
                    isBad: counters.failures > 0),
            ],
            "running": open.map(SessionFields.card),
            "isTransferring": !status.transfers.isEmpty,
            "transfers": status.transfers.map { one -> Fields in
                [
                    "image": one.image, "workstation": one.workstation,
                    "direction": one.direction == "send" ? "restore" : "capture",
                    "percent": Words.progress(one.percent), "percentText": Words.percent(one.percent),
                    "bytes": one.bytes.asBytes,
                ]
            },
            "counters": [
                counter("Requests for work", Words.grouped(counters.requests)),
                counter("Sessions", Words.grouped(counters.sessions)),
                counter("Images sent", Words.grouped(counters.imagesSent)),
                counter("Images received", Words.grouped(counters.imagesReceived)),
                counter("Bytes sent", counters.bytesSent.asBytes),
                counter("Bytes received", counters.bytesReceived.asBytes),
                counter("Referrals", Words.grouped(counters.referrals)),
                counter("Failures", Words.grouped(counters.failures), isBad: counters.failures > 0),
            ],
            "key": status.key, "images": status.images, "version": status.version,
            "since": Words.time(now - Int64(clamping: status.uptime)),
        ]
        var page = Page("dashboard", "Dashboard", .dashboard, fields)
        page.live = ["figures", "running", "transfers", "counters"]
        page.isMoving = !open.isEmpty || !status.transfers.isEmpty
        page.address = "/"
        return page
    }

    private static func figure(_ label: String, _ value: String, _ note: String, isBad: Bool = false)
        -> Fields
    {
        ["label": label, "value": value, "note": note, "isBad": isBad]
    }

    private static func counter(_ label: String, _ value: String, isBad: Bool = false) -> Fields {
        ["label": label, "value": value, "isBad": isBad]
    }
}
