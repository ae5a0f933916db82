// Which boot entries are written and removed, and in which order they are tried: pure.
internal import Blocks

/// One change of the firmware's variables.
package enum VariableChange: Equatable, Sendable {
    case write(UInt16, LoadOption)
    case remove(UInt16)
    case order([UInt16])
}

/// An entry that must exist.
package struct WantedEntry: Equatable, Sendable {
    package let label: String
    package let partition: EFIPartition
    /// The loader's path with backslashes.
    package let loader: String

    package init(label: String, partition: EFIPartition, loader: String) {
        self.label = label
        self.partition = partition
        self.loader = loader
    }
}

/// The changes that make the wanted entries exist, and their reasons.
package struct VariablePlan: Equatable, Sendable {
    package private(set) var changes: [VariableChange] = []
    /// One sentence without a subject per change: "adds the boot entry …".
    package private(set) var sentences: [String] = []
    package private(set) var right: [String] = []
    /// Entries that are wanted and for which there is no number left.
    package private(set) var problems: [String] = []

    private var entries: [UInt16: LoadOption]
    private let unreadable: Set<UInt16>
    private var order: [UInt16]

    /// - Parameters:
    ///   - variables: What the firmware has.
    ///   - wanted: The entries that must exist, the one to start first at the front.
    ///   - present: All partitions of this machine; an entry of another one leads nowhere.
    package init(
        _ variables: BootVariables, wanted: [WantedEntry], present: Set<EFIPartition.Signature>
    ) {
        entries = variables.entries
        unreadable = variables.unreadable
        order = variables.order
        for entry in wanted { removeDuplicates(of: entry, present) }
        var added: [UInt16] = []
        for entry in wanted {
            if let number = existing(entry) {
                makeReachable(number, entry, &added)
            } else if let number = free {
                let option = LoadOption(entry.label, entry.partition, loader: entry.loader)
                entries[number] = option
                changes.append(.write(number, option))
                sentences.append(
                    "adds the boot entry \(name(number)) '\(entry.label.onScreen)' for \(entry.loader.onScreen)"
                )
                added.append(number)
            } else {
                problems.append(
                    "the firmware has no number left for the boot entry '\(entry.label.onScreen)'")
            }
        }
        insert(added)
        if order != variables.order { changes.append(.order(order)) }
    }

    private func name(_ number: UInt16) -> String { VariableStore.entryName(number) }

    /// The lowest number that no entry has.
    private var free: UInt16? {
        (0...UInt16.max).first { entries[$0] == nil && !unreadable.contains($0) && !order.contains($0) }
    }

    /// Entries for the wanted one, those in the boot order first.
    private func matches(_ entry: WantedEntry) -> [UInt16] {
        let numbers = entries.filter { $0.value.starts(entry.loader, from: entry.partition) }.map(\.key)
        return numbers.sorted { left, right in
            let (one, other) = (order.firstIndex(of: left) ?? .max, order.firstIndex(of: right) ?? .max)
            return one == other ? left < right : one < other
        }
    }

    private func existing(_ entry: WantedEntry) -> UInt16? { matches(entry).first }

    /// Removes entries that this program, or an earlier life of the image, made for the same system.
    ///
    /// Only those of the same name and loader: on a partition that no disk of this machine has, or exact copies.
    private mutating func removeDuplicates(of entry: WantedEntry, _ present: Set<EFIPartition.Signature>) {
        let copies = matches(entry).filter { entries[$0]?.description == entry.label }.dropFirst()
        let lost = entries.filter { _, option in
            guard option.description == entry.label, option.isLoader(entry.loader), !option.isNetwork,
                let partition = option.partition
            else { return false }
            return partition.signature != entry.partition.signature && !present.contains(partition.signature)
        }.map(\.key).sorted()
        for number in copies { remove(number, entry, "a second copy of another entry") }
        for number in lost { remove(number, entry, "its partition is not on this machine") }
    }

    private mutating func remove(_ number: UInt16, _ entry: WantedEntry, _ reason: String) {
        guard entries.removeValue(forKey: number) != nil else { return }
        order.removeAll { $0 == number }
        changes.append(.remove(number))
        sentences.append("removes the boot entry \(name(number)) '\(entry.label.onScreen)': \(reason)")
    }

    /// An entry that exists is left where it is, but it must be active and in the order.
    private mutating func makeReachable(_ number: UInt16, _ entry: WantedEntry, _ added: inout [UInt16]) {
        guard var option = entries[number] else { return }
        let title = "the boot entry \(name(number)) '\(option.description.onScreen)'"
        if !option.isActive {
            option.attributes |= LoadOption.activeBit
            entries[number] = option
            changes.append(.write(number, option))
            sentences.append("makes \(title) active")
        }
        if !order.contains(number) {
            added.append(number)
            sentences.append("puts \(title) into the boot order")
        } else {
            right.append("\(title) starts \(entry.loader.onScreen)")
        }
    }

    /// New entries go in front of everything but leading network entries; the others keep their order.
    private mutating func insert(_ added: [UInt16]) {
        let place = order.prefix { entries[$0]?.isNetwork == true }.count
        order.insert(contentsOf: added, at: place)
    }
}
