// What would be done and why, what is right already, and what cannot be done.

/// One change.
package enum BootAction: Equatable, Sendable {
    /// The boot sector's "hidden sectors" of a partition of a disk.
    case correctHiddenSectors(disk: String, partition: Int, to: UInt32)
    /// libparted's code, which starts the active partition, and the mark of this partition.
    case installStartCode(disk: String, partition: Int)
    /// GRUB into the disk's MBR, by the system's own installer or the medium's.
    case installGrub(disk: String, system: LinuxSystem, withOwn: Bool)
    case activate(disk: String, partition: Int)
    /// Files of an EFI system partition, in this order: from, to.
    case copyLoader(disk: String, partition: Int, files: [Copy])
    case changeVariables([VariableChange])

    package struct Copy: Equatable, Sendable {
        package let from: String
        package let to: String

        package init(from: String, to: String) {
            self.from = from
            self.to = to
        }
    }
}

/// A plan in sentences, with the changes behind them.
package struct BootPlan: Equatable, Sendable {
    package struct Step: Equatable, Sendable {
        package let action: BootAction
        /// What is done and why, beginning with the disk: "/dev/sda: installs …, because …".
        package let sentence: String
        /// The same in the past: "/dev/sda: GRUB is installed".
        package let done: String

        /// A step that fails is a warning: the machine starts without it.
        package var isOptional: Bool {
            if case .changeVariables = action { true } else { false }
        }
    }

    /// What was found, per disk.
    package var findings: [String] = []
    package var right: [String] = []
    package var steps: [Step] = []
    /// What should be done and cannot.
    package var problems: [String] = []
    package var warnings: [String] = []

    package init() {}

    /// The plan in lines for the person at the machine.
    package var lines: [String] {
        func section(_ title: String, _ sentences: [String]) -> [String] {
            sentences.isEmpty ? [] : [title] + sentences.map { "  \($0)" }
        }
        let numbered = steps.enumerated().map { "\($0 + 1). \($1.sentence)" }
        return findings + section("is right already:", right) + section("to do:", numbered)
            + section("cannot be done:", problems) + section("warning:", warnings)
    }
}
