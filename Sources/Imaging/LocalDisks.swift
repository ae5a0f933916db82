// This machine's disks, and those that disks= names.
internal import Disk

/// The disks a command may work with.
struct LocalDisks {
    /// Every whole disk of this machine.
    let all: [LocalDisk]
    /// The disks of disks=, in the order of the words; empty without.
    let named: [LocalDisk]

    /// Looks at the disks; a word of disks= that is no disk is an error.
    init(_ context: DiskInventory.Context, words: [String]?) throws {
        let inventory = DiskInventory()
        all = try inventory.disks(context)
        named = DiskInventory.assignSlots(
            try (words ?? []).map { word in
                guard !word.isEmpty else { throw ImagingError("disks= lacks the name of a disk") }
                return try inventory.describe(path: word, context)
            })
    }

    /// The named disks, or all; a device that was named keeps the slots that it has among all.
    ///
    /// A regular file is in no list: its slots count from 1.
    var asListed: [LocalDisk] {
        guard !named.isEmpty else { return all }
        return named.map { disk in
            guard let number = disk.deviceNumber else { return disk }
            return all.first { $0.deviceNumber == number } ?? disk
        }
    }

    /// The disks to capture: those of disks= if there are any, else all that are eligible.
    func sources() throws -> [LocalDisk] {
        guard named.isEmpty else { return named }
        let eligible = all.filter { $0.refusals(for: .capture, named: false).isEmpty }
        guard !eligible.isEmpty else { throw ImagingError(noneEligible(for: .capture)) }
        return eligible
    }

    /// The sentence for a machine without a disk that may be taken by itself.
    func noneEligible(for purpose: LocalDisk.Purpose) -> String {
        guard !all.isEmpty else { return "this machine has no disks" }
        let reasons = all.map { disk in
            "\(disk.path) \(disk.refusals(for: purpose, named: false).map(\.description).joined(separator: ", "))"
        }
        return
            "no disk of this machine is eligible: \(reasons.joined(separator: "; ")) (disks= names one all the same)"
    }
}
