"""Scenario 7: a BIOS disk without boot code is made bootable by grub.s, and its system also started by kexec."""

import restored
from machine import Disk, Machine
from tools import partition, prove

TITLE = "BIOS boot code and core image gone: grub.s; kexec into the restored system"
CORE_SLOT = 1


def run(lab):
    lab.media.need("kernel", "initrd")
    disk = lab.copy_of(lab.base.disk, "pc")
    destroy_boot_code(disk)
    machine = Machine(lab, "pc", [Disk(disk)], kernel=True, network=False)
    machine.prompt()
    restored.show(lab, "grub.s", machine.shell("grub.s"))
    again = machine.shell("grub.s")
    prove("nothing to do" in again, f"a second grub.s finds something to do:\n{again}")
    lab.proved("grub.s ended with status 0; a second one finds nothing to do")
    machine.console.begin("img bootfix kexec")
    restored.prove_running(lab, machine)
    lab.proved("img bootfix kexec: the restored system runs without a restart of the firmware")
    machine.console.type("poweroff\r")
    machine.wait_off()

    restarted = Machine(lab, "pc-disk", [Disk(disk)], network=False)
    restored.prove_running(lab, restarted)
    lab.proved("the disk starts by its repaired boot code")
    restarted.kill()
    restored.prove_table(disk)


def destroy_boot_code(disk):
    """Zeros in place of the first sector's code and of GRUB's core image."""
    start, size = partition(disk, CORE_SLOT)
    with open(disk, "r+b") as file:
        file.write(bytes(restored.BOOT_CODE))
        file.seek(start)
        file.write(bytes(size))
