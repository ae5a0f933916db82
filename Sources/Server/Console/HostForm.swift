// The form by which an image is hosted at once.
internal import Blocks

/// What stands in the form, as it was typed.
package struct HostForm: Equatable, Sendable {
    package var name = ""
    package var image = ""
    package var clients = "1"
    package var minutes = "5"
    package var rate = ""
    package var ttl = ""
    package var linger = ""
    package var interface = ""

    package init(image: String = "") { self.image = image }

    package init(_ posted: FormFields) {
        func text(_ name: String) -> String { (posted[name] ?? "").trimmingSpaces }
        name = text("name")
        image = posted["image"] ?? ""
        clients = text("clients")
        minutes = text("minutes")
        rate = text("rate")
        ttl = text("ttl")
        linger = text("linger")
        interface = text("interface")
    }

    /// What the daemon is asked for; an empty field leaves the usual.
    ///
    /// - Throws: `ServerError` where a field is no number.
    package func request() throws -> HostRequest {
        func number<T: LosslessStringConvertible>(_ text: String, _ what: String) throws -> T? {
            guard !text.isEmpty else { return nil }
            guard let number = T(text) else {
                throw ServerError("\(what) is a number, not '\(text.onScreen)'", .invalid)
            }
            return number
        }
        var request = HostRequest(name: name)
        request.image = image.nonEmpty
        request.clients = try number(clients, "machines to join")
        request.minutes = try number(minutes, "minutes since the last join")
        request.rate = try number(rate, "the highest rate")
        request.ttl = try number(ttl, "the number of hops")
        request.linger = try number(linger, "minutes to wait for the silent")
        request.interface = interface.nonEmpty
        return request
    }

    package func page(images: [ImageView], directory: String, error: String? = nil) -> Page {
        var fields: Fields = [
            "hasImages": images.contains { $0.problem == nil }, "directory": directory, "name": name,
            "imageOptions": Page.options(images, chosen: image), "clients": clients, "minutes": minutes,
            "rate": rate, "ttl": ttl, "linger": linger, "interface": interface,
            "hasOptions": !(rate + ttl + linger + interface).isEmpty,
        ]
        fields["error"] = error.map(Words.sentence)
        return Page("host", "Host an image", .sessions, fields)
    }
}
