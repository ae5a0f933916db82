// img pdN and img paN: delete a partition, or make it the active one.
internal import ArgumentParser
internal import Imaging
internal import Linux

struct DeletePartition: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pd",
        abstract: "Delete a partition; what is in it is lost.",
        usage: "img pdN [disks=A] [plan]",
        discussion: """
            Deletes the partition in slot N, counted as 'img dump' does, after the plan is printed. Disks in use are
            refused; those that a restore does not take by itself must be named. Extended containers have no slot.

              disks=A    the disk; a file that stands for a disk counts its slots from 1
              plan       print the plan, and stop
            """)

    @OptionGroup var options: PartitionOptions

    func validate() throws { try options.check() }

    func run() throws { try options.run(.delete) }
}

struct ActivatePartition: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pa",
        abstract: "Make a partition the active one, which a BIOS starts.",
        usage: "img paN [disks=A] [plan]",
        discussion: """
            Marks the partition in slot N, counted as 'img dump' does, in the MBR, and no other. A GPT has no such
            mark: UEFI starts what its boot entries name. Disks are refused as for a restore.

              disks=A    the disk; a file that stands for a disk counts its slots from 1
              plan       print the plan, and stop
            """)

    @OptionGroup var options: PartitionOptions

    func validate() throws { try options.check() }

    func run() throws { try options.run(.activate) }
}

struct PartitionOptions: ParsableArguments {
    @Argument(help: "The slot of the partition (word: pdN, paN).") var slot: Int
    @Option(name: .customLong("disks"), help: "The disk (word: disks=A).") var disks: String?
    @Flag(name: .customLong("plan"), help: "Print the plan and stop (word: plan).") var planOnly = false

    func check() throws {
        guard slot > 0 else { throw ValidationError("slots count from 1, there is no slot \(slot)") }
    }

    func run(_ action: PartitionChange.Action) throws {
        let change = try PartitionChange(action, slot: slot, disks: disks?.asDiskList)
        for line in change.description { Console.print(line) }
        if planOnly { return }
        // A signal waits until the table is whole again.
        try Interruption.cancelling { _ in }
        Console.print(try change.apply())
    }
}
