"""Scenario 7: a disk without boot code and core image is repaired, starts, and a kernel starts by kexec."""

import restored
from machine import Disk, Machine
from tools import partition, prove, sha256

TITLE = "boot code and core image missing: img bootfix, boot from disk, kexec"
CORE_SLOT = 1


def run(lab):
    lab.media.need("kernel", "initrd")
    disk = lab.copy_of(lab.base.disk, "pc1")
    start, size = partition(disk, CORE_SLOT)
    with open(disk, "r+b") as file:
        file.write(bytes(restored.BOOT_CODE))
        file.seek(start)
        file.write(bytes(size))
    damaged = sha256(disk)

    machine = Machine(lab, "pc1", [Disk(disk)], kernel=True, network=False)
    machine.prompt()
    planned = machine.shell("img bootfix plan; sync")
    restored.show(lab, "pc1: img bootfix plan", planned)
    prove("boot code: none" in planned, "the plan does not see that the boot code is missing")
    prove("installs GRUB for Debian GNU/Linux 12 (bookworm) with its own /usr/sbin/grub-install, "
          "because the MBR has no boot code" in planned, "the plan does not put GRUB back")
    prove(sha256(disk) == damaged, "img bootfix plan has changed the disk")
    lab.proved("img bootfix plan names what is missing and changes nothing (SHA-256)")

    said = machine.shell("grub.s")
    prove(said.rstrip().endswith("press Ctrl+Alt+Del"), f"grub.s does not end with what to do next:\n{said}")
    prove("GRUB for Debian GNU/Linux 12 (bookworm) is installed" in said, f"grub.s does not say so:\n{said}")
    again = machine.shell("grub.s")
    prove("there is nothing to do" in again, f"a second grub.s still finds something to do:\n{again}")
    lab.proved("grub.s puts GRUB back by the system's own grub-install; a second run finds nothing to do")

    machine.console.type("img bootfix kexec\r")
    restored.prove_running(lab, machine)
    lab.proved("img bootfix kexec starts the restored system without the firmware")
    machine.power_off()

    machine = Machine(lab, "pc1-disk", [Disk(disk)], network=False)
    restored.prove_running(lab, machine)
    lab.proved("the repaired disk starts by its own boot code")
    machine.kill()
    restored.prove_table(disk)
