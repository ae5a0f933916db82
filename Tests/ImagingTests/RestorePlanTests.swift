// Which disk of an image goes to which disk of a machine: the rules of DESIGN §7.1 on machines made of files.
import Blocks
import Disk
import ImageFormat
import Imaging
import Linux
import SystemPackage
import Testing
import TestSupport

/// A machine that exists only as files; disks are sparse files in its /dev.
private struct Machine {
    let root: String

    init(_ root: String) throws {
        self.root = root
        try run(
            "mkdir", "-p", "\(root)/sys/block", "\(root)/sys/dev/block", "\(root)/proc/self", "\(root)/dev")
    }

    enum Kind: String {
        case ata = "pci0000:00/ata1/host0/target0:0:0/0:0:0:0"
        case usb = "pci0000:00/usb2/2-1/2-1:1.0/host4/target4:0:0/4:0:0:0"
        case nvme = "pci0000:00/nvme/nvme0"
    }

    /// Adds a disk of `mebibytes`.
    func add(
        _ name: String, _ kind: Kind, _ mebibytes: Int, rotational: Bool = false, sectorSize: Int = 512,
        readOnly: Bool = false
    ) throws {
        let node = "\(root)/sys/devices/\(kind.rawValue)/\(name)"
        let number = "8:\(name.utf8.reduce(0) { $0 * 7 + Int($1) } % 240)"
        try run("mkdir", "-p", "\(node)/queue", "\(node)/holders", "\(node)/slaves")
        try run("ln", "-s", node, "\(root)/sys/block/\(name)")
        try run("ln", "-s", node, "\(root)/sys/dev/block/\(number)")
        try run("truncate", "-s", "\(mebibytes)M", "\(root)/dev/\(name)")
        let attributes = [
            "size": "\(mebibytes * 2048)", "dev": number, "ro": readOnly ? "1" : "0", "removable": "0",
            "queue/rotational": rotational ? "1" : "0", "queue/logical_block_size": "\(sectorSize)",
            "queue/physical_block_size": "4096",
        ]
        for (key, value) in attributes { try write("\(value)\n", to: "\(node)/\(key)") }
        // The link to the device leads to the bus.
        try run("ln", "-s", "\(root)/sys/devices/\(kind.rawValue)", "\(node)/device")
        try write("model of \(name)\n", to: "\(root)/sys/devices/\(kind.rawValue)/model")
    }

    var disks: [LocalDisk] {
        get throws {
            try DiskInventory(sys: "\(root)/sys", proc: "\(root)/proc", dev: "\(root)/dev").disks()
        }
    }
}

private func withMachine(_ body: (Machine) throws -> Void) throws {
    try withTemporaryDirectory { try body(Machine($0)) }
}

/// An image's manifest with such disks: bus, rotational, size and smallest target in MiB.
private func manifest(_ disks: (bus: String, rotational: Bool, size: UInt64, smallest: UInt64)...) throws
    -> Manifest
{
    let layout = try ChunkLayout(
        chunkSize: ChunkLayout.defaultChunkSize, diskSizes: disks.map { $0.size * MiB })
    return Manifest(
        imageID: GUID(random: Random.bytes(16)), created: "2026-11-21T10:00:00Z", creator: "test",
        firmware: "bios",
        layout: layout, chunkCount: 0, usedBytes: 0,
        disks: disks.map { disk in
            Manifest.DiskEntry(
                size: disk.size * MiB, logicalSectorSize: 512, physicalSectorSize: 512, tableType: "gpt",
                model: "captured", serial: "", bus: disk.bus, rotational: disk.rotational, role: "data",
                smallestTarget: disk.smallest * MiB)
        },
        partitions: [])
}

private func plan(_ manifest: Manifest, _ machine: Machine) throws -> [String] {
    try RestorePlan(manifest: manifest, disks: machine.disks, named: nil).assignments.map {
        "\($0.imageDisk)>\($0.target.name): \($0.rule)"
    }
}

private func refusal(_ manifest: Manifest, _ machine: Machine, named names: [String]? = nil) throws -> String
{
    let disks = try machine.disks
    let named = names.map { names in names.compactMap { name in disks.first { $0.name == name } } }
    let error = try #require(throws: ImagingError.self) {
        try RestorePlan(manifest: manifest, disks: disks, named: named)
    }
    return error.description
}

struct RestorePlanTests {
    @Test func oneDiskGoesToTheOnlyEligibleOneOfWhateverKind() throws {
        try withMachine { machine in
            try machine.add("sda", .ata, 100, rotational: true)
            try machine.add("sdb", .usb, 500)
            #expect(try plan(manifest(("nvme", false, 200, 50)), machine) == ["0>sda: only"])
        }
    }

    @Test func theOnlyEligibleDiskMustFit() throws {
        try withMachine { machine in
            try machine.add("sda", .ata, 100)
            let said = try refusal(manifest(("ata", false, 200, 101)), machine)
            #expect(said.contains("\(machine.root)/dev/sda is too small"))
            #expect(said.contains("needs \(101 * MiB) bytes (106 MB), it has \(100 * MiB) (105 MB)"))
        }
        try withMachine { machine in
            try machine.add("sda", .ata, 100, sectorSize: 4096)
            let said = try refusal(manifest(("ata", false, 100, 50)), machine)
            #expect(said.contains("has sectors of 4096 bytes, disk 1 of the image has sectors of 512"))
        }
    }

    @Test func kindDecidesBetweenSeveralDisks() throws {
        try withMachine { machine in
            try machine.add("sda", .ata, 300, rotational: true)
            try machine.add("nvme0n1", .nvme, 200)
            let both = try manifest(("nvme", false, 100, 90), ("ata", true, 250, 240))
            #expect(try plan(both, machine) == ["0>nvme0n1: sameKind", "1>sda: sameKind"])
            // The names' order says nothing.
            let other = try manifest(("ata", true, 250, 240), ("nvme", false, 100, 90))
            #expect(try plan(other, machine) == ["0>sda: sameKind", "1>nvme0n1: sameKind"])
            // One image disk, two eligible ones: its kind again.
            #expect(try plan(manifest(("ata", true, 250, 240)), machine) == ["0>sda: sameKind"])
            // Of the right kind, but too small: not certain, and not another one either.
            #expect(try refusal(manifest(("ata", true, 400, 301)), machine).contains("it is not certain"))
            #expect(try refusal(manifest(("ata", false, 100, 50)), machine).contains("it is not certain"))
            #expect(try refusal(manifest(("scsi", true, 100, 50)), machine).contains("it is not certain"))
        }
    }

    @Test func sizeDecidesBetweenDisksOfAKindOnlyWhenOneIsLeft() throws {
        try withMachine { machine in
            try machine.add("sda", .ata, 300)
            try machine.add("sdb", .ata, 100)
            #expect(try plan(manifest(("ata", false, 250, 240)), machine) == ["0>sda: sameKind"])
            let said = try refusal(manifest(("ata", false, 90, 80)), machine)
            #expect(
                said.hasPrefix("it is not certain which disk of this machine gets which disk of the image"))
            // Two of the image for the only one that is large enough.
            #expect(
                try refusal(manifest(("ata", false, 250, 240), ("ata", false, 250, 240)), machine).contains(
                    "not certain"))
        }
    }

    @Test func theRefusalListsBothSidesAndTheWordsToType() throws {
        try withMachine { machine in
            try machine.add("sda", .ata, 300)
            try machine.add("sdb", .ata, 310)
            try machine.add("sdc", .usb, 400)
            let said = try refusal(manifest(("ata", false, 250, 240), ("ata", true, 100, 90)), machine)
            let lines = said.split(separator: "\n").map(String.init)
            #expect(lines.first?.hasSuffix("nothing was touched") == true)
            #expect(lines.contains("  disk 1: captured, 262 MB, ata, solid-state, needs 252 MB"))
            #expect(lines.contains("  disk 2: captured, 105 MB, ata, rotating, needs 94.4 MB"))
            #expect(
                lines.contains {
                    $0.hasPrefix("  \(machine.root)/dev/sda: ")
                        && $0.hasSuffix("315 MB, ata, solid-state: eligible")
                })
            #expect(
                lines.contains {
                    $0.hasPrefix("  \(machine.root)/dev/sdc: ") && $0.hasSuffix("usb, solid-state: is on USB")
                })
            #expect(lines.last == "say which: disks=\(machine.root)/dev/sda,\(machine.root)/dev/sdb")
        }
    }

    @Test func noEligibleDiskIsARefusalThatListsWhy() throws {
        try withMachine { machine in
            try machine.add("sda", .ata, 300, readOnly: true)
            try machine.add("sdb", .usb, 310)
            let said = try refusal(manifest(("ata", false, 250, 240)), machine)
            #expect(said.contains("dev/sda: model of sda") && said.contains("is read-only"))
            #expect(said.contains("is on USB"))
        }
        try withMachine { machine in
            let said = try refusal(manifest(("ata", false, 250, 240)), machine)
            #expect(said.contains("nothing was touched"))
        }
    }

    @Test func namedDisksAreCheckedLikeOthers() throws {
        try withMachine { machine in
            try machine.add("sda", .ata, 300, readOnly: true)
            try machine.add("sdb", .usb, 310)
            try machine.add("sdc", .ata, 80)
            let one = try manifest(("ata", false, 250, 100))
            #expect(try refusal(one, machine, named: ["sda"]).contains("dev/sda is read-only"))
            #expect(try refusal(one, machine, named: ["sdc"]).contains("dev/sdc is too small"))
            #expect(
                try refusal(one, machine, named: ["sdb", "sdc"]).contains(
                    "the image has 1 disk, disks= names 2"))
            #expect(try refusal(one, machine, named: []).contains("disks= names 0"))
            let two = try manifest(("ata", false, 250, 100), ("ata", false, 250, 100))
            #expect(
                try refusal(two, machine, named: ["sdb", "sdb"]).contains(
                    "is named for two disks of the image"))
            // A disk on USB is taken when it is named.
            let disks = try machine.disks
            let plan = try RestorePlan(manifest: one, disks: disks, named: disks.filter { $0.name == "sdb" })
            #expect(plan.assignments.map(\.rule) == [.named])
            #expect(plan.description(of: one)[0].hasSuffix(": named by disks="))
        }
    }
}
