// Boot entries to the byte, and garbage in their place.
import Blocks
import Fixup
import Testing
import TestSupport

private let guid = GUID("0fc63daf-8483-4772-8e79-3d69d8477de4") ?? GUID([UInt8](repeating: 0, count: 16))

@Suite struct LoadOptionTests {
    private let partition = EFIPartition(number: 1, start: 2048, count: 0x10_0000, signature: .gpt(guid))

    /// An entry named "debian" for \EFI\debian\shimx64.efi.
    private let golden = """
        01000000 6200 640065006200690061006e000000 \
        0401 2a00 01000000 0008000000000000 0000100000000000 af3dc60f838472478e793d69d8477de4 02 02 \
        0404 3400 5c004500460049005c00640065006200690061006e005c007300680069006d007800360034002e006500660069000000 \
        7fff 0400
        """

    private func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex.filter { $0 != " " })
        return stride(from: 0, to: digits.count, by: 2).compactMap {
            UInt8(String(digits[$0..<$0 + 2]), radix: 16)
        }
    }

    @Test func encodesAndDecodes() throws {
        let option = LoadOption("debian", partition, loader: "\\EFI\\debian\\shimx64.efi")
        #expect(option.encoded.hex == bytes(golden).hex)
        let read = try LoadOption(decoding: bytes(golden))
        #expect(read == option)
        #expect(read.partition == partition)
        #expect(read.loader == "\\EFI\\debian\\shimx64.efi")
        #expect(read.isActive && !read.isNetwork)
        #expect(read.starts("\\efi\\DEBIAN\\shimx64.efi", from: partition))
        #expect(!read.starts("\\EFI\\debian\\grubx64.efi", from: partition))
    }

    @Test func keepsWhatItDoesNotKnow() throws {
        var option = LoadOption("x", partition, loader: "\\a.efi")
        option.optionalData = [1, 2, 3]
        option.attributes = 9
        #expect(try LoadOption(decoding: option.encoded) == option)
    }

    @Test func readsAnMBRPartition() throws {
        let mbr = EFIPartition(
            number: 3, start: 63, count: 9, signature: .mbr(0x1234_abcd, number: 3))
        let read = try LoadOption(decoding: LoadOption("x", mbr, loader: "\\a.efi").encoded)
        #expect(read.partition == mbr)
    }

    @Test(arguments: [
        ("030b 2900" + String(repeating: "00", count: 37), true),  // MAC address
        ("0318 0400", true),  // URI
        ("0501 0a00 8000 0000 0000", true),  // BBS: network
        ("0501 0a00 0200 0000 0000", false),  // BBS: hard disk
        ("0312 0a00 0000 0000 0000", false),  // SATA
    ])
    func tellsNetworkEntries(_ node: String, _ isNetwork: Bool) throws {
        let path = bytes(node + "7fff0400")
        let option = [1, 0, 0, 0, UInt8(path.count), 0, 0x50, 0, 0, 0] + path
        #expect(try LoadOption(decoding: option).isNetwork == isNetwork)
    }

    /// ThinkPads' "PCI LAN" is a vendor's node.
    @Test(arguments: [
        ("PCI LAN", true), ("UEFI PXEv4", true), ("Onboard NIC (IPV6)", true), ("Network Boot", true),
        ("NVMe0", false), ("USB CD", false), ("ATLANTIS", false),
    ])
    func tellsNetworkEntriesByTheirName(_ name: String, _ isNetwork: Bool) {
        var option = LoadOption(name, partition, loader: "\\a.efi")
        #expect(!option.isNetwork)
        option.nodes = [.init(type: 3, subtype: 10, data: [UInt8](repeating: 1, count: 17))]
        #expect(option.isNetwork == isNetwork)
    }

    @Test func garbageIsAnErrorOrAnEntry() {
        var random = SeededRandom(seed: 5)
        let whole = bytes(golden)
        for count in 0..<whole.count { _ = try? LoadOption(decoding: Array(whole[..<count])) }
        for _ in 0..<20_000 {
            var damaged = whole
            for _ in 0..<4 {
                damaged[Int(random.next() % UInt64(damaged.count))] = UInt8(truncatingIfNeeded: random.next())
            }
            guard let option = try? LoadOption(decoding: damaged) else { continue }
            _ = (option.partition, option.loader, option.isNetwork)
            // Names that are not UTF-16 are read with replacements: all else is kept to the byte.
            #expect((try? LoadOption(decoding: option.encoded)) == option)
        }
        for count in 0..<200 { _ = try? LoadOption(decoding: random.bytes(count)) }
    }
}

@Suite struct LoaderTableTests {
    private func utf16(_ text: String) -> [UInt8] {
        [0xff, 0xfe] + Array(text.utf16).flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] }
    }

    @Test func readsDebiansTable() {
        let table = LoaderTable(utf16("shimx64.efi,debian,,This is the boot entry for debian\r\n"))
        #expect(table.lines.map(\.loader) == ["shimx64.efi"] && table.lines.map(\.label) == ["debian"])
    }

    @Test func leavesOutWhatMakesNoSense() {
        let text = """
            ..\\..\\evil.efi,escape,,
            shim.efi
            noprogram.txt,label,,
            a/b.efi,label,,
            good.efi,A \u{1b}[31mlabel,,
            long.efi,\(String(repeating: "x", count: 500)),,
            """
        let table = LoaderTable(utf16(text))
        #expect(table.lines.map(\.loader) == ["good.efi", "long.efi"])
        #expect(table.lines[0].label == "A [31mlabel")
        #expect(table.lines[1].label.count == 64)
    }

    @Test func survivesGarbage() {
        var random = SeededRandom(seed: 9)
        for count in 0..<500 { _ = LoaderTable(random.bytes(count)) }
        #expect(LoaderTable([]).lines.isEmpty)
        #expect(LoaderTable([0xff]).lines.isEmpty)
    }
}
