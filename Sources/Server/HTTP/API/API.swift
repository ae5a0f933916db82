// The programs' interface: JSON under /api/v1, metrics, boot files. What each answers is in openapi.json.
internal import Blocks
internal import HTTPTypes
internal import Hummingbird

extension Routes {
    /// Adds everything for programs.
    func addAPI() {
        addServer()
        addSessions()
        addAutomaticSessions()
        addWorkstations()
        addImages()
        addAccess()
        addMetrics()
        addBootFiles()
    }

    /// The server itself: its state, its log, its counters, this interface's description.
    private func addServer() {
        let site = site
        let daemon = site.daemon
        add(.get, "/api/v1/status", for: .administrator) { _, _ in
            try site.json(try await site.work { try daemon.status() })
        }
        add(.get, "/api/v1/counters", for: .administrator) { _, _ in
            try site.json(try await site.work { try daemon.store.counters() })
        }
        add(.get, "/api/v1/log", for: .administrator) { request, _ in
            let query = request.uri.queryParameters
            let before = try query.get("before").map { try site.number($0, "before") }
            let limit = try query.get("limit").map { try site.number($0, "limit") } ?? 100
            let mac = query.get("mac")
            return try site.json(
                try await site.work {
                    try daemon.events(before: before, limit: Int(clamping: limit), mac: mac)
                })
        }
        add(.get, "/api/v1/openapi.json", for: .anybody) { _, _ in
            Response(
                status: .ok, headers: [.contentType: "application/json"],
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: PackageResources.openapi_json)))
        }
    }

    private func addBootFiles() {
        let site = site
        let daemon = site.daemon
        add(.get, "/boot/grub/{mac}.cfg", for: .anybody) { _, context in
            let mac = try context.parameter("mac")
            return site.text(try await site.work { try daemon.bootFile(.grub, mac: mac) })
        }
        add(.get, "/boot/pxelinux/{mac}", for: .anybody) { _, context in
            // PXELINUX asks for "01-" (Ethernet) and the address.
            let name = try context.parameter("mac")
            let mac = name.count == 20 && name.hasPrefix("01-") ? String(name.dropFirst(3)) : name
            return site.text(try await site.work { try daemon.bootFile(.pxelinux, mac: mac) })
        }
    }
}

extension Site {
    /// A whole number out of an address.
    ///
    /// - Throws: `ServerError` naming what it was for.
    func number(_ text: String, _ what: String) throws -> Int64 {
        guard let number = Int64(text) else {
            throw ServerError("'\(text.onScreen)' is no number (\(what))", .invalid)
        }
        return number
    }
}
