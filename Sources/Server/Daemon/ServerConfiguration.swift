// What an administrator may set: a file of KEY=value lines, every key with a default.
internal import Blocks
internal import Linux
package import Logging

/// The settings of the imaging server.
package struct ServerConfiguration: Equatable, Sendable {
    /// Who may put images into the catalogue over the network.
    package enum Uploads: String, CaseIterable, Sendable {
        /// Nobody; what the server itself orders is taken all the same.
        case no
        /// Anybody, under a name that does not exist yet.
        case new
        /// Anybody, also in place of an image that exists.
        case overwrite
    }

    /// The file that is read where no other is named and it exists.
    package static let usualFile = "/etc/imgserv.conf"

    /// The directory of the images.
    package var images = "/srv/imgserv/images"
    /// The directory of key and store.
    package var state = HostKey.defaultDirectory
    /// The socket for administrators of this machine.
    package var socket = "/run/imgserv/imgserv.sock"
    /// Where API and console listen, "address:port"; nil: nowhere but on the socket.
    package var http: (address: String, port: Int)? = ("0.0.0.0", 8998)
    /// PEM files; both or none.
    package var certificate: String?
    package var certificateKey: String?
    /// The interface, or an own address, that sessions are hosted on; nil: that of the default route.
    package var interface: String?
    package var address: String?
    /// Mbit/s that all sessions together may take of an interface; nil: what the link carries.
    package var rate: Int?
    package var uploads = Uploads.new
    /// The TFTP root that gets a boot file for each workstation; nil: none is written.
    package var tftp: String?
    package var log = Logger.Level.info
    /// Whether `/metrics` needs no token.
    package var hasOpenMetrics = false

    package init() {}

    /// Reads the settings of `text`; `path` names the file in errors.
    ///
    /// - Throws: `ServerError` with the line for what is no setting, or no value of one.
    package init(parsing text: String, path: String) throws {
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = String(line).trimmingSpaces
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            let place = "\(path), line \(index + 1)"
            guard let equals = line.firstIndex(of: "=") else {
                throw ServerError("\(place): '\(line.onScreen)' is not KEY=value", .invalid)
            }
            let key = String(line[..<equals]).trimmingSpaces
            let value = String(line[line.index(after: equals)...]).trimmingSpaces
            guard !value.isEmpty else {
                throw ServerError("\(place): \(key.onScreen) lacks a value", .invalid)
            }
            try set(key, value, place)
        }
        guard (certificate == nil) == (certificateKey == nil) else {
            throw ServerError(
                "\(path): tls-certificate and tls-key are given together or not at all", .invalid)
        }
        guard interface == nil || address == nil else {
            throw ServerError("\(path): give interface or address, not both", .invalid)
        }
    }

    /// Reads the file at `path`; without one the usual file, and where that does not exist, the defaults.
    package static func load(from path: String?) throws -> ServerConfiguration {
        if path == nil, !FileTree.exists(usualFile) { return ServerConfiguration() }
        let path = path ?? usualFile
        return try ServerConfiguration(parsing: FileTree.text(of: path), path: path)
    }

    private mutating func set(_ key: String, _ value: String, _ place: String) throws {
        func refuse(_ what: String) -> ServerError {
            ServerError("\(place): \(key) takes \(what), not '\(value.onScreen)'", .invalid)
        }
        func absolute() throws -> String {
            guard value.hasPrefix("/") else { throw refuse("an absolute path") }
            return value
        }
        switch key {
        case "images": images = try absolute()
        case "state": state = try absolute()
        case "socket": socket = try absolute()
        case "http":
            if value == "none" {
                http = nil
                return
            }
            guard let colon = value.lastIndex(of: ":"),
                let port = Int(value[value.index(after: colon)...]), (0...65535).contains(port)
            else { throw refuse("ADDRESS:PORT or none") }
            let host = value[..<colon].filter { $0 != "[" && $0 != "]" }
            guard IPAddress(host) != nil else { throw refuse("ADDRESS:PORT or none") }
            http = (host, port)
        case "tls-certificate": certificate = try absolute()
        case "tls-key": certificateKey = try absolute()
        case "interface": interface = value
        case "address":
            guard IPAddress(value) != nil else { throw refuse("an IP address of this machine") }
            address = value
        case "rate":
            guard let number = Int(value), (1...1_000_000).contains(number) else {
                throw refuse("Mbit/s from 1 up")
            }
            rate = number
        case "uploads":
            guard let uploads = Uploads(rawValue: value) else { throw refuse("no, new or overwrite") }
            self.uploads = uploads
        case "tftp": tftp = try absolute()
        case "log":
            guard let level = Logger.Level(rawValue: value) else {
                throw refuse("trace, debug, info, notice, warning, error or critical")
            }
            log = level
        case "metrics":
            guard ["open", "token"].contains(value) else { throw refuse("open or token") }
            hasOpenMetrics = value == "open"
        default: throw ServerError("\(place): there is no setting '\(key.onScreen)'", .invalid)
        }
    }

    package static func == (left: ServerConfiguration, right: ServerConfiguration) -> Bool {
        left.images == right.images && left.state == right.state && left.socket == right.socket
            && left.http?.address == right.http?.address && left.http?.port == right.http?.port
            && left.certificate == right.certificate && left.certificateKey == right.certificateKey
            && left.interface == right.interface && left.address == right.address
            && left.rate == right.rate && left.uploads == right.uploads && left.tftp == right.tftp
            && left.log == right.log && left.hasOpenMetrics == right.hasOpenMetrics
    }
}
