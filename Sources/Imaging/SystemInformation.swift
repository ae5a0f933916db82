// What this machine is made of, as far as it matters for imaging.
internal import Blocks
internal import Linux

/// This machine's hardware as the kernel reports it, ready to be shown.
package struct SystemInformation: Sendable {
    /// Vendor and model of the machine; empty where the firmware does not say.
    package let machine: String
    /// The processors' name; empty where the kernel does not say.
    package let processor: String
    package let processorCount: Int
    /// Bytes of memory; nil where the kernel does not say.
    package let memory: UInt64?
    /// "uefi" or "bios": what started this machine.
    package let firmware: String
    package let interfaces: [Interface]
    package let disks: DiskListing

    /// A network interface, the loopback left out.
    package struct Interface: Sendable {
        package let name: String
        /// "52:54:00:12:34:56"; empty without one.
        package let mac: String
        /// Name of the kernel's driver; empty for interfaces without hardware.
        package let driver: String
        package let isUp: Bool
        /// Mbit/s; nil where the driver does not know.
        package let speed: Int?
        /// Addresses with the length of their prefix: "10.0.0.7/24".
        package let addresses: [String]
    }

    /// Asks the kernel; changes nothing.
    package init() throws {
        machine =
            ["sys_vendor", "product_name"].map { SystemInformation.line("/sys/class/dmi/id/\($0)") }
            .filter { !$0.isEmpty }.joined(separator: " ").onScreen
        processor = SystemInformation.value("model name", in: "/proc/cpuinfo").onScreen
        processorCount = Linux.processorCount()
        let words = SystemInformation.value("MemTotal", in: "/proc/meminfo").split(separator: " ")
        memory = words.first.flatMap { UInt64($0) }.map { $0 * KiB }
        firmware = FileTree.exists("/sys/firmware/efi") ? "uefi" : "bios"
        interfaces = try NetworkInterface.all().filter { !$0.isLoopback }.map { interface in
            let driver = try? FileTree.realPath("/sys/class/net/\(interface.name)/device/driver")
            return Interface(
                name: interface.name, mac: interface.mac.map { [$0].hex }.joined(separator: ":"),
                driver: driver?.split(separator: "/").last.map(String.init) ?? "", isUp: interface.isUp,
                speed: interface.linkSpeed,
                addresses: interface.addresses.map { "\($0.address)/\($0.prefixLength)" })
        }
        disks = try DiskListing()
    }

    package var lines: [String] {
        let name = processor.isEmpty ? "unknown" : processor
        var lines = [
            machine.isEmpty ? nil : "Machine    \(machine)",
            "Processor  \(name), \(processorCount.counted("core"))",
            memory.map { "Memory     \($0.asBytes)" },
            "Firmware   \(firmware == "uefi" ? "UEFI" : "BIOS")", "", "Network",
        ].compactMap { $0 }
        for interface in interfaces {
            let speed = interface.speed.map { "\($0) Mbit/s" }
            let parts = [
                interface.mac, interface.driver, interface.isUp ? speed ?? "up" : "down",
                interface.addresses.joined(separator: " "),
            ]
            lines.append("  \(interface.name): \(parts.filter { !$0.isEmpty }.joined(separator: ", "))")
        }
        if interfaces.isEmpty { lines.append("  no interface") }
        return lines + ["", "Drives"] + disks.lines(geometry: false).map { "  \($0)" }
    }

    /// The first line of a small file; empty where it cannot be read.
    private static func line(_ path: String) -> String {
        let text = (try? FileTree.text(of: path)) ?? ""
        return text.prefix { $0 != "\n" }.split(separator: " ").joined(separator: " ")
    }

    /// What stands behind "key:" in the first such line of a file of /proc.
    private static func value(_ key: String, in path: String) -> String {
        let text = (try? FileTree.text(of: path)) ?? ""
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2,
                parts[0].split(whereSeparator: \.isWhitespace).joined(separator: " ") == key
            else { continue }
            return parts[1].split(separator: " ").joined(separator: " ")
        }
        return ""
    }
}
