// Who this machine is, for the host's list of participants.
internal import Glibc

/// Names by which people recognise a machine.
package enum MachineIdentity {
    /// The kernel's host name (C function `gethostname`).
    package static var hostName: String {
        var text = [CChar](repeating: 0, count: 256)
        let count = text.count - 1
        guard unsafe gethostname(&text, count) == 0 else { return "" }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The calling process's number (C function `getpid`).
    package static var processID: Int { Int(getpid()) }

    /// The serial number that the firmware gives (DMI), or nil where there is none or it may not be read.
    package static var serialNumber: String? {
        guard let file = try? Descriptor(opening: "/sys/class/dmi/id/product_serial", .readOnly) else {
            return nil
        }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count =
            unsafe bytes.withUnsafeMutableBytes { buffer in unsafe try? file.read(buffer, at: 0) } ?? 0
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        let line = text.prefix { $0 != "\n" }.trimmingSpaces
        return line.isEmpty ? nil : line
    }
}

extension Substring {
    fileprivate var trimmingSpaces: String {
        let start = drop { $0 == " " }
        guard let end = start.lastIndex(where: { $0 != " " }) else { return "" }
        return String(start[...end])
    }
}
