// What a machine says of itself, from a tree that stands for sysfs and procfs, and from tables that are not sound.
import Blocks
import Imaging
import SessionProtocol
import Testing
import TestSupport

@Suite struct HardwareTests {
    /// A memory device of the SMBIOS table (type 17) of 34 bytes, with two strings behind it.
    private func memory(_ size: UInt16, extended: UInt32 = 0) -> [UInt8] {
        var device = [UInt8](repeating: 0, count: 34)
        (device[0], device[1]) = (17, 34)
        (device[0x0c], device[0x0d]) = (UInt8(size & 0xff), UInt8(size >> 8))
        for index in 0..<4 { device[0x1c + index] = UInt8(truncatingIfNeeded: extended >> (8 * index)) }
        return device + Array("DIMM 1\0Bank\0\0".utf8)
    }

    private let firmware: [UInt8] = [0, 6, 0, 0, 1, 2] + Array("Maker\0\0".utf8)
    private let end: [UInt8] = [127, 4, 0, 0, 0, 0]

    @Test func theFirmwareCountsItsSlots() {
        #expect(FirmwareMemory.installed(firmware + memory(4096) + memory(0) + memory(4096) + end) == 8 << 30)
        #expect(FirmwareMemory.installed(firmware + memory(0x7fff, extended: 65536) + end) == 64 << 30)
        #expect(FirmwareMemory.installed(firmware + memory(0x8000 | 512) + end) == 512 << 10)
        #expect(FirmwareMemory.installed(firmware + memory(0xffff) + end) == nil)
        #expect(FirmwareMemory.installed(firmware + end + memory(4096)) == nil)
        #expect(FirmwareMemory.installed([]) == nil)
    }

    @Test func aDamagedTableEndsNothing() {
        let table = firmware + memory(4096) + memory(0x7fff, extended: 4096) + end
        for count in 0..<table.count { _ = FirmwareMemory.installed(Array(table[..<count])) }
        var random = SeededRandom(seed: 3)
        for _ in 0..<5000 {
            var copy = table
            copy[Int(random.next() % UInt64(copy.count))] = UInt8(truncatingIfNeeded: random.next())
            _ = FirmwareMemory.installed(copy)
        }
    }

    @Test func aMachineFromATree() throws {
        try withTemporaryDirectory { root in
            func file(_ path: String, _ text: String) throws {
                try run(
                    "sh", "-ec", "mkdir -p \"$(dirname \"$1\")\"; printf '%s' \"$2\" >\"$1\"", "sh",
                    "\(root)/\(path)", text)
            }
            for (name, text) in [
                ("bios_vendor", "American  Megatrends\n"), ("sys_vendor", "Maker\n"),
                ("product_name", "Box 3\n"),
                ("product_serial", "S\u{1b}1\n"), ("chassis_asset_tag", "A7\n"),
            ] { try file("sys/class/dmi/id/\(name)", text) }
            try file("proc/cpuinfo", "processor\t: 0\nmodel name\t: CPU  9\nmodel name\t: other\n")
            try file("proc/meminfo", "MemTotal:       16000000 kB\n")
            try run(
                "mkdir", "-p", "\(root)/sys/firmware/efi", "\(root)/drivers/e1000e",
                "\(root)/sys/class/net/eth1")
            let card = "sys/devices/0000:00:1f.6"
            try file("\(card)/vendor", "0x8086\n")
            try file("\(card)/device", "0x15b8\n")
            try run("mkdir", "-p", "\(root)/sys/class/net/eth0")
            try run("ln", "-s", "\(root)/drivers/e1000e", "\(root)/\(card)/driver")
            try run("ln", "-s", "\(root)/\(card)", "\(root)/sys/class/net/eth0/device")
            for (place, kind, device) in [
                ("0000:01:00.0", "0x030000", "0x1c82"), ("0000:00:1f.6", "0x020000", "0x15b8"),
                ("0000:00:02.0", "0x038000", "0x0042"),
            ] {
                try file("sys/bus/pci/devices/\(place)/class", "\(kind)\n")
                try file("sys/bus/pci/devices/\(place)/vendor", "0x10de\n")
                try file("sys/bus/pci/devices/\(place)/device", "\(device)\n")
            }
            let (asking, other) = ([UInt8](1...6), [UInt8](2...7))
            let disk = Workstation.Disk(size: 500 << 30, model: "Disk")
            let pc = Hardware(root: root).workstation(
                links: [Hardware.Link(name: "eth0", mac: asking), Hardware.Link(name: "eth1", mac: other)],
                disks: [disk])
            #expect(pc.mac == asking && pc.otherMACs == [other])
            #expect(pc.networkCards == ["8086:15b8 e1000e", ""])
            #expect(pc.biosVendor == "American Megatrends" && pc.product == "Maker Box 3")
            #expect(pc.serial == "S?1" && pc.assetTag == "A7")
            #expect(pc.cpu == "CPU 9" && pc.memory == 16_000_000 * 1024)
            #expect(pc.video == ["10de:0042", "10de:1c82"])
            #expect(pc.firmware == .uefi && pc.disks == [disk])
            // What is fitted counts more than what the kernel left over.
            try run("mkdir", "-p", "\(root)/sys/firmware/dmi/tables")
            let table = (firmware + memory(16384) + end).hex
            try run(
                "python3", "-c",
                "import sys; open(sys.argv[1],'wb').write(bytes.fromhex(sys.argv[2]))",
                "\(root)/sys/firmware/dmi/tables/DMI", table)
            #expect(Hardware(root: root).workstation(links: [], disks: []).memory == 16 << 30)
            let empty = Hardware(root: "\(root)/nowhere").workstation(links: [], disks: [])
            #expect(empty.mac == [0, 0, 0, 0, 0, 0] && empty.memory == 0 && empty.firmware == .bios)
        }
    }

    @Test(
        arguments: [
            ("10.0.0.1", "10.0.0.1", 998), ("server.lan:1998", "server.lan", 1998),
            ("fe80::1", "fe80::1", 998),
            ("[2001:db8::1]:7", "2001:db8::1", 7), ("[::1]", "::1", 998),
        ] as [(String, String, UInt16)])
    func places(_ text: String, _ host: String, _ port: UInt16) throws {
        let parts = try WorkServer.parts(text)
        #expect(parts.host == host && parts.port == port)
    }

    @Test(arguments: ["", ":998", "a:", "a:0", "a:70000", "a:b", "[::1]x"])
    func noPlaces(_ text: String) { #expect(throws: ImagingError.self) { try WorkServer.parts(text) } }
}
