// Images: the list, and whole files up and down.
internal import Blocks
internal import HTTPTypes
internal import Hummingbird
internal import Linux
internal import Logging
internal import NIOCore

extension Routes {
    func addImages() {
        let site = site
        let daemon = site.daemon
        add(.get, "/api/v1/images", for: .administrator) { _, _ in
            try site.json(try await site.work { try daemon.imageList() })
        }
        add(.get, "/api/v1/images/{name}", for: .administrator) { _, context in
            let name = try context.parameter("name")
            return try site.json(try await site.work { try daemon.image(name) })
        }
        add(.delete, "/api/v1/images/{name}", for: .administrator) { _, context in
            let (name, administrator) = (try context.parameter("name"), context.administrator)
            try await site.work { try daemon.delete(image: name, by: administrator) }
            return site.done
        }
        add(.put, "/api/v1/images/{name}", for: .administrator) { request, context in
            let image = try await site.upload(try context.parameter("name"), request, context)
            return try site.json(image, .created)
        }
        for method in [HTTPRequest.Method.get, .head] {
            add(method, "/api/v1/images/{name}/content", for: .administrator) { request, context in
                try await site.download(try context.parameter("name"), request)
            }
        }
    }
}

// MARK: Upload

extension Site {
    /// Takes the request's body as an image file: it gets its name only when it is whole.
    fileprivate func upload(
        _ name: String, _ request: Request, _ context: ServerContext
    ) async throws -> ImageView {
        guard daemon.configuration.uploads != .no else {
            throw ServerError("this server takes no images (setting uploads)", .forbidden)
        }
        let wantsOverwrite = request.uri.queryParameters.get("overwrite") == "1"
        guard !wantsOverwrite || daemon.configuration.uploads == .overwrite else {
            throw ServerError("this server's images are not overwritten (setting uploads)", .forbidden)
        }
        let length = request.headers[.contentLength].flatMap { UInt64($0) }
        let images = daemon.images
        let upload = try await work {
            try images.beginUpload(name: name, mostBytes: length, overwrite: wantsOverwrite)
        }
        do {
            let image = try await fill(upload, from: request.body, length: length)
            daemon.note(
                "\(context.administrator.name) put image \(name) into the catalogue, "
                    + "\(image.fileBytes.asBytes)",
                level: .info, kind: .image)
            try await work { [daemon] in
                try daemon.store.count { counters in
                    counters.imagesReceived += 1
                    counters.bytesReceived += image.fileBytes
                }
            }
            return image
        } catch {
            try? await work { upload.cancel() }
            // Whoever sends learns of it if it can; the log knows in any case.
            let why = HTTPProblem(error)?.description ?? "the connection was cut"
            daemon.note(
                "the upload of image \(name.onScreen) by \(context.administrator.name) failed: \(why)",
                level: .warning, kind: .image)
            throw error
        }
    }

    private func fill(_ upload: FileUpload, from body: RequestBody, length: UInt64?) async throws -> ImageView
    {
        var piece: [UInt8] = []
        var received: UInt64 = 0
        for try await buffer in body {
            received += UInt64(buffer.readableBytes)
            piece += buffer.readableBytesView
            guard piece.count >= limits.pieceBytes else { continue }
            let full = piece
            piece = []
            try await work { try upload.write(full) }
        }
        if let length, received != length {
            throw ServerError("the upload ended after \(received) of \(length) bytes", .invalid)
        }
        let last = piece
        return try await work {
            if !last.isEmpty { try upload.write(last) }
            return try upload.finish()
        }
    }
}

// MARK: Download

/// An open image file that several pieces are read from.
private final class OpenImage: Sendable {
    let descriptor: Descriptor
    let size: UInt64

    init(_ path: String) throws {
        descriptor = try Descriptor(opening: path, [.readOnly, .noFollow])
        size = try descriptor.size()
    }
}

extension Site {
    /// The image's file, or the one range of it that was asked for (RFC 9110, 14).
    fileprivate func download(_ name: String, _ request: Request) async throws -> Response {
        let images = daemon.images
        let (file, tag) = try await work {
            let view = try images.image(name)
            return (
                try OpenImage(try images.path(of: name)),
                "\"\(view.id)-\(view.modifiedAt)-\(view.fileBytes)\""
            )
        }
        var headers: HTTPFields = [
            .contentType: "application/octet-stream", .acceptRanges: "bytes", .eTag: tag,
            .contentDisposition: "attachment; filename*=UTF-8''\(name.asQueryValue)",
        ]
        var range = 0..<file.size
        var status = HTTPResponse.Status.ok
        let isSame = request.headers[.ifRange].map { $0 == tag } ?? true
        if let wanted = request.headers[.range], isSame, let bytes = ByteRange(wanted) {
            guard let part = bytes.range(of: file.size) else {
                throw HTTPProblem(
                    .rangeNotSatisfiable, "image \(name) has \(file.size) bytes",
                    headers: [.contentRange: "bytes */\(file.size)"])
            }
            range = part
            status = .partialContent
            headers[.contentRange] = "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(file.size)"
        }
        headers[.contentLength] = String(range.count)
        guard request.method != .head else { return Response(status: status, headers: headers) }
        let (first, end) = (range.lowerBound, range.upperBound)
        let body = ResponseBody(contentLength: range.count) { [self] writer in
            var place = first
            while place < end {
                let (from, count) = (place, Int(min(UInt64(limits.pieceBytes), end - place)))
                let piece = try await work { try file.descriptor.read(count, at: from) }
                try await writer.write(ByteBuffer(bytes: piece))
                place += UInt64(count)
            }
            try await writer.finish(nil)
        }
        return Response(status: status, headers: headers, body: body)
    }
}

/// One range of a `Range` header: "bytes=0-99", "bytes=100-", "bytes=-100".
package struct ByteRange: Equatable, Sendable {
    private let first: UInt64?
    private let last: UInt64?

    /// Nil for what is no single range of bytes; such a header does not count.
    package init?(_ header: String) {
        guard header.hasPrefix("bytes=") else { return nil }
        let parts = header.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        first = UInt64(parts[0])
        last = UInt64(parts[1])
        guard (first != nil) == !parts[0].isEmpty, (last != nil) == !parts[1].isEmpty else { return nil }
        guard first != nil || last != nil else { return nil }
        if let first, let last, first > last { return nil }
    }

    /// The bytes of a file of `size` bytes that are meant; nil where there are none.
    package func range(of size: UInt64) -> Range<UInt64>? {
        guard let first else {
            let count = min(last ?? 0, size)
            return count == 0 ? nil : size - count..<size
        }
        guard first < size else { return nil }
        return first..<(last.map { min($0, size - 1) } ?? size - 1) + 1
    }
}
