// Which boot entries are added and removed, and where new ones go.
import Blocks
import Fixup
import Testing

private let here = EFIPartition.Signature.gpt(GUID([UInt8](repeating: 7, count: 16)))

@Suite struct VariablePlanTests {
    private let wanted = WantedEntry(
        label: "debian", partition: EFIPartition(number: 1, start: 2048, count: 9, signature: here),
        loader: "\\EFI\\debian\\shimx64.efi")

    private func entry(
        _ label: String = "debian", _ signature: EFIPartition.Signature = here,
        _ loader: String = "\\EFI\\debian\\shimx64.efi"
    ) -> LoadOption {
        LoadOption(
            label, EFIPartition(number: 1, start: 2048, count: 9, signature: signature), loader: loader)
    }

    private var network: LoadOption {
        var option = entry("UEFI PXEv4")
        option.nodes = [
            .init(type: 3, subtype: 11, data: [UInt8](repeating: 0, count: 33)),
            .init(type: 0x7f, subtype: 0xff),
        ]
        return option
    }

    private let gone = EFIPartition.Signature.gpt(GUID([UInt8](repeating: 9, count: 16)))
    private let other = EFIPartition.Signature.gpt(GUID([UInt8](repeating: 8, count: 16)))

    private func changes(_ entries: [UInt16: LoadOption], _ order: [UInt16]) -> [VariableChange] {
        var variables = BootVariables()
        variables.entries = entries
        variables.order = order
        return VariablePlan(variables, wanted: [wanted]).changes
    }

    private var cd: LoadOption {
        var option = entry("USB CD")
        option.nodes = [.init(type: 3, subtype: 5, data: [0, 0]), .init(type: 0x7f, subtype: 0xff)]
        return option
    }

    @Test(arguments: [
        ("", "D"), ("N", "ND"), ("CN", "CND"), ("C", "DC"), ("NNX", "NNDX"), ("CNX", "CNDX"),
        ("CXN", "CDXN"), ("XN", "DXN"), ("XNX", "DXNX"), ("LCLX", "LCLDX"),
    ])
    func theNewEntryGoesBeforeTheFirstDisk(_ before: String, _ after: String) {
        var lan = cd
        lan.description = "PCI LAN"
        lan.nodes[0] = .init(type: 3, subtype: 10, data: [UInt8](repeating: 1, count: 17))
        let kinds: [Character: LoadOption] = [
            "N": network, "C": cd, "X": entry("disk", other, "\\x.efi"), "L": lan,
        ]
        var entries: [UInt16: LoadOption] = [:]
        for (index, kind) in before.enumerated() { entries[UInt16(index)] = kinds[kind] }
        let added = UInt16(before.count)
        var rest = (0..<added).makeIterator()
        let order = after.map { $0 == "D" ? added : rest.next() ?? .max }
        #expect(changes(entries, Array(0..<added)) == [.add(added, entry()), .order(order)])
    }

    @Test func anEqualEntryIsLeftAlone() {
        #expect(changes([5: entry(), 1: network], [1, 5]) == [])
        #expect(changes([5: entry("renamed by somebody")], [5]) == [])
        var asleep = entry()
        asleep.attributes = 0
        #expect(changes([5: asleep], [5]) == [.write(5, entry())])
        #expect(changes([5: entry(), 1: network], [1]) == [.order([1, 5])])
    }

    @Test func removesExactCopiesOnly() {
        var argument = entry()
        argument.optionalData = [1]
        // The disk of 0 and 5 may be unplugged.
        let entries: [UInt16: LoadOption] = [
            0: entry("debian", gone), 1: entry(), 2: entry(), 3: entry("debian", other),
            4: entry("ubuntu", gone), 5: entry("debian", gone, "\\EFI\\debian\\grubx64.efi"), 6: network,
            7: argument, 8: entry("renamed"),
        ]
        #expect(
            changes(entries, [6, 0, 2, 1, 3, 4, 5, 7, 8]) == [.remove(1), .order([6, 0, 2, 3, 4, 5, 7, 8])])
    }

    /// fwupd's entry starts the shim with another program as its argument.
    @Test func anEntryWithAnArgumentIsNotTheSystems() {
        var updater = entry("Linux Firmware Updater")
        updater.optionalData = Array("\\fwupdx64.efi".utf16).flatMap { [UInt8($0), 0] }
        #expect(changes([0: updater], [0]) == [.add(1, entry()), .order([1, 0])])
        // AMI's mark is no argument, and Windows's own entry has data.
        var marked = entry()
        marked.optionalData = [0, 0, 0x42, 0x4f]
        #expect(changes([0: marked], [0]) == [])
        let path = "\\EFI\\Microsoft\\Boot\\bootmgfw.efi"
        var windows = entry("Windows Boot Manager", here, path)
        windows.optionalData = Array("WINDOWS".utf8)
        var variables = BootVariables()
        variables.entries = [0: windows]
        variables.order = [0]
        let entry = WantedEntry(
            label: "Windows Boot Manager", partition: wanted.partition, loader: path)
        #expect(VariablePlan(variables, wanted: [entry]).changes == [])
    }

    @Test func numbersInUseAreNotGivenAgain() {
        var variables = BootVariables()
        variables.unreadable = [0]
        variables.order = [1]
        let plan = VariablePlan(variables, wanted: [wanted])
        #expect(plan.changes == [.add(2, entry()), .order([2, 1])])
    }

    @Test func aSecondRunFindsNothing() throws {
        var variables = BootVariables()
        variables.entries = [0: network, 1: entry("debian", gone)]
        variables.order = [0, 1]
        for change in VariablePlan(variables, wanted: [wanted]).changes {
            switch change {
            case .add(let number, let option), .write(let number, let option):
                variables.entries[number] = option
            case .remove(let number): variables.entries[number] = nil
            case .order(let order): variables.order = order
            }
        }
        #expect(VariablePlan(variables, wanted: [wanted]).changes == [])
        #expect(variables.order.first == 0)
    }
}
