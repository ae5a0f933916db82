// img bootfix next: has the firmware start the local disk the next time, and only then, whatever its boot order says.
internal import Blocks
internal import Disk
internal import Linux

/// The boot entry that starts a system of this machine's disks.
package final class NextStart {
    private let survey: Survey
    private let number: UInt16
    private let title: String

    /// Finds the entry, which changes nothing.
    ///
    /// - Throws: One sentence where the firmware has none, or no boot entries at all.
    package init(disks words: [String]?) throws {
        survey = try Survey(words, isReadOnly: true)
        let facts = try survey.facts()
        guard case .uefi(let variables) = facts.firmware else {
            throw FixupError("only a firmware with boot entries (UEFI) can be told what to start next")
        }
        let partitions = facts.disks.flatMap(\.partitions)
        let number = variables.firstLocal(partitions.compactMap(\.signature)) { [survey] entry in
            // An entry without its loader is passed over by the firmware: the start would come back here for ever.
            guard let loader = entry.loader,
                let partition = partitions.first(where: { $0.signature == entry.partition?.signature }),
                partition.content == "vfat"
            else { return true }
            let volume = VolumeReference(device: partition.path, fileSystem: "vfat")
            // What cannot be looked at may well start.
            return (try? survey.area.with(volume, .look) { EFIVolume.holds(loader, try ConfinedTree($0)) })
                ?? true
        }
        guard let number else {
            let names = facts.disks.map(\.path).joined(separator: ", ")
            throw FixupError("the firmware has no boot entry on \(names) whose loader is there")
        }
        self.number = number
        title = variables.entries[number]?.description.onScreen ?? ""
    }

    /// What will be started, in one line.
    package var line: String { "the next start is \(VariableStore.entryName(number)) '\(title)', once" }

    /// Writes the variable BootNext, and reads it back.
    package func apply() throws { try survey.variables().write(next: number) }
}

extension BootVariables {
    /// The first active entry in the boot order that names one of these partitions and for which `isThere` says that its
    /// loader is; nil where there is none.
    package func firstLocal(
        _ partitions: [EFIPartition.Signature], where isThere: (LoadOption) -> Bool = { _ in true }
    ) -> UInt16? {
        order.first { number in
            guard let entry = entries[number], entry.isActive, !entry.isNetwork else { return false }
            return entry.partition.map { partitions.contains($0.signature) } ?? false && isThere(entry)
        }
    }
}
