// img bootfix: what grub.s calls after a restore.
internal import ArgumentParser
internal import Fixup
internal import Linux

struct BootFixCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bootfix",
        abstract: "Make restored disks bootable on this machine.",
        usage: "img bootfix [kexec|next] [disks=A,B] [plan]",
        discussion: """
            Finds the installed systems on this machine's disks, prints what is to be done and why, does it, and looks
            again. Started by BIOS: boot code, the active partition, and what Windows's boot sector says about its
            place. Started by UEFI: \\EFI\\BOOT\\BOOTX64.EFI and one boot entry per system. Safe to repeat.

              disks=A,B    these disks; else all that a restore would take
              plan         print the plan, and stop
              kexec        start the restored Linux now, without the firmware
              next         have the firmware start the local system the next time, once (UEFI)
            """)

    @Option(name: .customLong("disks"), help: "The disks (word: disks=A,B).") var disks: String?
    @Flag(name: .customLong("plan"), help: "Print the plan and stop (word: plan).") var planOnly = false
    @Flag(name: .customLong("kexec"), help: "Start the restored Linux now (word: kexec).") var kexec = false

    @Flag(name: .customLong("next"), help: "Start the local system the next time (word: next).")
    var next = false

    func validate() throws {
        guard !kexec || !next else {
            throw ValidationError("kexec starts it now, next the next time: leave one out")
        }
    }

    func run() throws {
        if next {
            let start = try NextStart(disks: disks?.asDiskList)
            if !planOnly { try start.apply() }
            Console.print(start.line)
            return
        }
        if kexec {
            let jump = try KernelJump(disks: disks?.asDiskList)
            for line in jump.lines { Console.print(line) }
            if !planOnly { try jump.start() }
            return
        }
        let fix = try BootFix(disks: disks?.asDiskList, planOnly: planOnly)
        for line in fix.plan.lines { Console.print(line) }
        if planOnly { return }
        // A signal waits until the step that writes is whole.
        try Interruption.cancelling { _ in }
        try fix.apply(
            report: { Console.print("done: \($0)") }, warn: { Console.error("img: warning: \($0)") })
        if fix.plan.steps.isEmpty { Console.print("there is nothing to do") }
        Console.print("press Ctrl+Alt+Del")
    }
}
