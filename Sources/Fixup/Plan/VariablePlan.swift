// Which boot entries are written and removed, and in which order they are tried: pure.
internal import Blocks

/// One change of the firmware's variables.
package enum VariableChange: Equatable, Sendable {
    /// An entry under a number that none has.
    case add(UInt16, LoadOption)
    /// Another value of an entry that exists.
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

    /// Whether it is the Windows Boot Manager, whose entries carry data of its own.
    var isWindows: Bool { loader.lowercased().hasSuffix("\\bootmgfw.efi") }
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
    package init(_ variables: BootVariables, wanted: [WantedEntry]) {
        entries = variables.entries
        unreadable = variables.unreadable
        order = variables.order
        for entry in wanted { removeDuplicates(of: entry) }
        var added: [UInt16] = []
        for entry in wanted {
            if let number = existing(entry) {
                makeReachable(number, entry, &added)
            } else if let number = free {
                let option = LoadOption(entry.label, entry.partition, loader: entry.loader)
                entries[number] = option
                changes.append(.add(number, option))
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
    ///
    /// With an argument a loader may start something else; only Windows has data in its own entry.
    private func matches(_ entry: WantedEntry) -> [UInt16] {
        let numbers = entries.filter { _, option in
            option.starts(entry.loader, from: entry.partition) && (entry.isWindows || option.hasNoArgument)
        }.map(\.key)
        return numbers.sorted { left, right in
            let (one, other) = (order.firstIndex(of: left) ?? .max, order.firstIndex(of: right) ?? .max)
            return one == other ? left < right : one < other
        }
    }

    private func existing(_ entry: WantedEntry) -> UInt16? { matches(entry).first }

    /// Removes exact copies: same name, partition and loader, and nothing handed to it.
    ///
    /// An entry of a partition that is not seen now stays: its disk may be unplugged, or have no driver here.
    private mutating func removeDuplicates(of entry: WantedEntry) {
        let copies = matches(entry).filter { number in
            entries[number]?.description == entry.label && entries[number]?.optionalData.isEmpty == true
        }
        for number in copies.dropFirst() { remove(number, entry, "a second copy of another entry") }
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

    /// New entries go before the first one that names a partition, and so behind what comes before the disks.
    ///
    /// Without such an entry they go behind the last network entry. All others keep their order.
    private mutating func insert(_ added: [UInt16]) {
        let disk = order.firstIndex { entries[$0]?.partition != nil }
        let network = order.lastIndex { entries[$0]?.isNetwork == true }
        let place = disk ?? network.map { $0 + 1 } ?? 0
        order.insert(contentsOf: added, at: place)
    }
}
