// img bootfix: plan, apply, and prove by looking again.
internal import Blocks
internal import Disk
internal import Linux

/// One run of boot repair on this machine.
///
/// It gives its process a mount namespace of its own, so there is one per process, made before other threads are.
package final class BootFix {
    private let survey: Survey
    /// What is to be done.
    package let plan: BootPlan

    /// Looks at firmware and disks, which changes nothing.
    ///
    /// `words` are those of disks=, nil for all disks that a restore would take; after `planOnly` nothing may be
    /// applied.
    package init(disks words: [String]?, planOnly: Bool) throws {
        survey = try Survey(words, isReadOnly: planOnly)
        plan = BootPlan(try survey.facts())
    }

    /// Carries the plan out, looks at everything again and reports each step that is done.
    ///
    /// A step that fails does not keep the others from being tried. What the firmware does not take is a warning.
    ///
    /// - Throws: One sentence for what could not be done, or is not as it should be afterwards.
    package func apply(report: (String) -> Void, warn: (String) -> Void) throws {
        var failures = plan.problems
        for step in plan.steps {
            do {
                try perform(step.action)
                report(step.done)
            } catch {
                if step.isOptional {
                    warn(
                        "the firmware does not take the boot entries, so the machine depends on "
                            + "\\EFI\\BOOT\\\(fallbackLoader): \(error)")
                } else {
                    failures.append("\(error)")
                }
            }
        }
        if failures == plan.problems, !plan.steps.isEmpty {
            let after = BootPlan(try survey.facts())
            for step in after.steps where !step.isOptional {
                failures.append("after the repair there is still to do: \(step.sentence)")
            }
        }
        guard failures.isEmpty else { throw FixupError(failures.joined(separator: "; ")) }
    }

    private func perform(_ action: BootAction) throws {
        switch action {
        case .correctHiddenSectors(let disk, let partition, let value):
            try HiddenSectors.write(value, partition: partition, of: try choice(disk))
        case .activate(let disk, let partition): try edit(.activate, partition, of: disk)
        case .installStartCode(let disk, let partition):
            try edit(.activateWithStartCode, partition, of: disk)
            guard try survey.bootCode(of: try choice(disk).disk) == .startsActivePartition else {
                throw FixupError("the MBR of \(disk) has no code that starts the active partition after all")
            }
        case .installGrub(let disk, let system, let withOwn):
            let isLogical = [system.root, system.boot].contains { volume in
                volume.map { $0.partition == nil } ?? false
            }
            let install = { [survey] in
                let installation = GrubInstallation(survey.area, disk: disk, system: system)
                try withOwn ? installation.runOwn() : installation.runMediums()
            }
            if isLogical {
                try survey.withLogicalVolumes(on: survey.physicalVolumes) { _ in try install() }
            } else {
                try install()
            }
            let whole = try Descriptor(opening: disk, .readOnly)
            try whole.flushBlockDeviceBuffers()
        case .copyLoader(let disk, let partition, let files):
            let entry = try self.partition(partition, of: try choice(disk))
            let volume = VolumeReference(
                device: entry.path, fileSystem: "vfat", disk: disk, partition: partition)
            try survey.area.with(volume, .change) { try LoaderCopy.make(files, in: try ConfinedTree($0)) }
        case .changeVariables(let changes): try survey.variables().make(changes)
        }
    }

    private func edit(_ edit: PartitionEdit, _ number: Int, of disk: String) throws {
        let choice = try choice(disk)
        let entry = try partition(number, of: choice)
        _ = try PartitionEditor.apply(edit, to: entry, of: choice.disk, named: choice.isNamed)
        try survey.disks.refresh()
    }

    private func choice(_ disk: String) throws -> ChosenDisks.Choice {
        guard let choice = survey.disks.choices.first(where: { $0.disk.path == disk }) else {
            throw FixupError("\(disk) is not there any more")
        }
        return choice
    }

    private func partition(_ number: Int, of choice: ChosenDisks.Choice) throws -> LocalPartition {
        guard let partition = choice.disk.partitions.first(where: { $0.number == number }) else {
            throw FixupError("\(choice.disk.path) has no partition \(number) any more")
        }
        return partition
    }
}

extension VariableStore {
    /// Makes the changes one after the other.
    package func make(_ changes: [VariableChange]) throws {
        for change in changes {
            switch change {
            case .add(let number, let option): try add(option, as: number)
            case .write(let number, let option): try write(option, as: number)
            case .remove(let number): try remove(number)
            case .order(let order): try write(order: order)
            }
        }
    }
}
