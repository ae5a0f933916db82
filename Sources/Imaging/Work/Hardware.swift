// What this machine is made of, as the imaging server decides by: read from sysfs and procfs.
internal import Blocks
internal import Disk
package import Linux
package import SessionProtocol
internal import SessionTransport

/// A look at the hardware below a root directory, which is "/" but in tests.
package struct Hardware: Sendable {
    /// An interface with an Ethernet address.
    package struct Link: Sendable {
        package let name: String
        /// 6 bytes.
        package let mac: [UInt8]

        package init(name: String, mac: [UInt8]) {
            self.name = name
            self.mac = mac
        }
    }

    private let root: String

    /// No text of the firmware is longer, in bytes.
    private static let longestText = 200

    package init(root: String = "") { self.root = root }

    /// This machine, as it asks from its address `local`; with `disks` (the words of disks=) only these are reported.
    ///
    /// - Throws: Where no interface has an Ethernet address, or `disks` names something that is no disk.
    package static func ofThisMachine(asking local: IPAddress, disks words: [String]?) throws -> Workstation {
        let all = try NetworkInterface.all().filter { !$0.isLoopback && $0.mac.count == 6 }
        // Nobody asks by the loopback but on the server itself: there the first interface is as good.
        let asking = all.first { one in one.addresses.contains { $0.address == local } } ?? all.first
        guard let asking else {
            throw ImagingError("this machine has no network interface with a MAC address")
        }
        let links = [asking] + all.filter { $0.index != asking.index }
        let found = try LocalDisks(DiskInventory.Context(), words: words)
        let taken =
            words == nil
            ? found.all.filter { $0.refusals(for: .restore, named: false).isEmpty } : found.named
        var workstation = Hardware().workstation(
            links: links.map { Link(name: $0.name, mac: $0.mac) },
            disks: taken.map { disk in
                Workstation.Disk(size: disk.size, model: disk.model.isEmpty ? disk.name : disk.model.onScreen)
            })
        workstation.name = MachineIdentity.hostName.onScreen
        let addresses = links.flatMap { $0.addresses.map(\.address) }
        workstation.addresses = ([local].filter { addresses.contains($0) } + addresses.filter { $0 != local })
            .prefix(Specification.maximumInterfaces).map { Address($0) }
        return workstation
    }

    /// The machine with these interfaces, the asking one first, and these disks; name and addresses are left empty.
    package func workstation(links: [Link], disks: [Workstation.Disk]) -> Workstation {
        let links = links.prefix(Specification.maximumInterfaces)
        var workstation = Workstation(mac: links.first?.mac ?? [UInt8](repeating: 0, count: 6))
        workstation.otherMACs = links.dropFirst().map(\.mac)
        workstation.networkCards = links.map { card($0.name) }
        workstation.disks = Array(disks.prefix(Specification.maximumDisks))
        workstation.cpu = value("model name", in: "proc/cpuinfo")
        workstation.memory = memory
        workstation.biosVendor = line("sys/class/dmi/id/bios_vendor")
        workstation.product = ["sys_vendor", "product_name"].map { line("sys/class/dmi/id/\($0)") }
            .filter { !$0.isEmpty }.joined(separator: " ")
        workstation.serial = line("sys/class/dmi/id/product_serial")
        workstation.assetTag = line("sys/class/dmi/id/chassis_asset_tag")
        workstation.video = video
        workstation.firmware = FileTree.exists("\(root)/sys/firmware/efi") ? .uefi : .bios
        return workstation
    }

    /// Bytes of RAM: what the firmware says is fitted, else what the kernel has of it.
    private var memory: UInt64 {
        let kernel =
            value("MemTotal", in: "proc/meminfo").split(separator: " ").first.flatMap { UInt64($0) } ?? 0
        let table = (try? FileTree.bytes(of: "\(root)/sys/firmware/dmi/tables/DMI")) ?? []
        return FirmwareMemory.installed(table) ?? kernel * KiB
    }

    /// "8086:15b8 e1000e"; the driver alone, or nothing, for interfaces without PCI numbers.
    private func card(_ name: String) -> String {
        let device = "\(root)/sys/class/net/\(name)/device"
        // virtio's and USB's links hang below the device that has the numbers.
        let place = ["", "/..", "/../.."].first { FileTree.exists("\(device)\($0)/vendor") }
        let driver = (try? FileTree.realPath("\(device)/driver"))?.split(separator: "/").last.map(String.init)
        return [place.flatMap { numbers(device + $0) }, driver].compactMap { $0 }.joined(separator: " ")
            .onScreen
    }

    /// The numbers of every display controller: "10de:1c82".
    private var video: [String] {
        let devices = "\(root)/sys/bus/pci/devices"
        let names = (try? FileTree.entries(of: devices, limit: 10_000)) ?? []
        return names.sorted().filter { hexadecimal("\(devices)/\($0)/class").hasPrefix("03") }
            .compactMap { numbers("\(devices)/\($0)") }.prefix(Specification.maximumInterfaces)
            .map(\.onScreen)
    }

    /// "VENDOR:DEVICE" of a PCI device; nil where it has none.
    private func numbers(_ device: String) -> String? {
        let parts = ["vendor", "device"].map { hexadecimal("\(device)/\($0)") }
        return parts.contains("") ? nil : parts.joined(separator: ":")
    }

    /// A number of sysfs without its 0x; empty where there is none.
    private func hexadecimal(_ path: String) -> String {
        let text = Hardware.tidied((try? FileTree.text(of: path)) ?? "")
        return text.hasPrefix("0x") ? String(text.dropFirst(2)) : ""
    }

    private func line(_ path: String) -> String {
        Hardware.tidied((try? FileTree.text(of: "\(root)/\(path)")) ?? "")
    }

    /// The first line with single blanks, fit for a screen.
    private static func tidied(_ text: String) -> String {
        let line = text.prefix { $0 != "\n" }.split(separator: " ").joined(separator: " ").onScreen
        var short = line[...]
        while short.utf8.count > longestText { short = short.dropLast() }
        return String(short)
    }

    /// What stands behind "key:" in the first such line of a file.
    private func value(_ key: String, in path: String) -> String {
        let text = (try? FileTree.text(of: "\(root)/\(path)")) ?? ""
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2,
                parts[0].split(whereSeparator: \.isWhitespace).joined(separator: " ") == key
            else { continue }
            return Hardware.tidied(String(parts[1]))
        }
        return ""
    }
}
