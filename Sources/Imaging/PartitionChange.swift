// img pdN and img paN: which partition a slot is, what the change would do, and doing it.
internal import Blocks
internal import Disk

/// One partition of this machine to be deleted or made the active one; it exists only if that is possible.
package struct PartitionChange: Sendable {
    package enum Action: Sendable {
        case delete
        case activate
    }

    private let action: Action
    private let disk: LocalDisk
    private let partition: LocalPartition
    private let isNamed: Bool

    private var edit: PartitionEdit { action == .delete ? .delete : .activate }

    /// Finds the partition and checks that the change could be made; touches nothing.
    ///
    /// - Parameters:
    ///   - action: What is to be done.
    ///   - slot: The slot as `img dump` counts; in a regular file its partitions count from 1.
    ///   - words: The word of disks=, one disk; nil without.
    /// - Throws: One sentence for a slot that does not exist and for a disk that is refused as a restore's target.
    package init(_ action: Action, slot: Int, disks words: [String]?) throws {
        self.action = action
        isNamed = words != nil
        if let words, words.count != 1 {
            throw ImagingError("a slot is on one disk: disks= names \(words.count)")
        }
        let disks = try LocalDisks(DiskInventory.Context(), words: words)
        let candidates = disks.asListed
        guard let disk = candidates.first(where: { $0.slots.contains { $0.slot == slot } }),
            let partition = disk.slots.first(where: { $0.slot == slot })
        else { throw ImagingError(PartitionChange.missing(slot, candidates, isNamed: words != nil)) }
        self.disk = disk
        self.partition = partition
        try PartitionEditor.check(edit, partition, of: disk, named: isNamed)
    }

    private static func missing(_ slot: Int, _ disks: [LocalDisk], isNamed: Bool) -> String {
        let slots = disks.flatMap { $0.slots.map(\.slot) }
        let place = isNamed ? disks.first?.path ?? "that disk" : "this machine"
        guard let first = slots.first, let last = slots.last else {
            return "there is no slot \(slot): \(place) has no partitions"
        }
        let range = first == last ? "slot \(first) only" : "slots \(first) to \(last)"
        return "there is no slot \(slot) on \(place): it has \(range) ('img dump' lists them)"
    }

    /// "slot 3 (/dev/sda3)", or "slot 3 (disk.img, partition 3)".
    private var name: String { "slot \(partition.slot) (\(PartitionChange.name(partition, of: disk)))" }

    private static func name(_ partition: LocalPartition, of disk: LocalDisk, number: Int? = nil) -> String {
        let number = number ?? partition.number
        guard !partition.path.isEmpty else { return "\(disk.path), partition \(number)" }
        return String(partition.path.dropLast("\(partition.number)".count)) + "\(number)"
    }

    /// The plan in lines for the person at the machine.
    package var description: [String] {
        let model = disk.model.isEmpty ? disk.bus.title : disk.model.onScreen
        var content = partition.type.title
        if let found = partition.content {
            content = found.label.isEmpty ? found.type : "\(found.type) '\(found.label.onScreen)'"
        }
        let what = "\(name): \(content), \(partition.extent.length.asBytes)"
        let whole = "\(disk.path) (\(model), \(disk.size.asBytes))"
        switch action {
        case .delete:
            return ["deletes \(what), of \(whole)"] + renumbered
        case .activate:
            let others = disk.partitions.filter { $0.isActive && $0.number != partition.number }
            if partition.isActive, others.isEmpty {
                return ["\(what), is the active partition of \(whole) already"]
            }
            return ["makes \(what), the active partition of \(whole)"]
                + others.map { "  \(PartitionChange.name($0, of: disk)) is active no longer" }
        }
    }

    /// Logical partitions have no numbers of their own: those behind a deleted one move up.
    private var renumbered: [String] {
        guard partition.role == .logical else { return [] }
        return disk.partitions.filter { $0.role == .logical && $0.number > partition.number }.map { other in
            "  \(PartitionChange.name(other, of: disk)) becomes "
                + PartitionChange.name(other, of: disk, number: other.number - 1)
        }
    }

    /// Makes the change and proves it by reading the table back; returns what was done in one sentence.
    ///
    /// - Throws: Where the disk has changed or come into use since, and where the table does not read back as it
    ///   should be.
    package func apply() throws -> String {
        _ = try PartitionEditor.apply(edit, to: partition, of: disk, named: isNamed)
        return switch action {
        case .delete: "\(name) is deleted; the slots behind it count one less now"
        case .activate: "\(name) is the active partition of \(disk.path)"
        }
    }
}
