"""Scenario 1: two bare BIOS machines start by PXE, take part in a session, and run the restored system."""

import base
import restored
from machine import BOOT_LIMIT, Disk, Machine
from tools import together

TITLE = "BIOS, PXE, imgserv mcast to two machines, grub.s, boot from disk"


def run(lab):
    lab.media.need("pxe")
    names = ("pc1", "pc2")
    disks = [lab.blank_disk(name) for name in names]
    machines = [Machine(lab, name, [Disk(disk)], boot="n") for name, disk in zip(names, disks)]
    together(*[machine.boot_by_hand for machine in machines])
    lab.proved("both machines: PXE by the network card's ROM, the boot menu on the serial console, "
               "'manual' typed, preboot prompt")

    server = lab.host_session("lab1", lab.base.image, "-c", "2", "-t", "5")
    together(*[lambda machine=machine: machine.shell("img session lab1", restored.SESSION_LIMIT)
               for machine in machines])
    server.succeed(restored.SESSION_LIMIT)
    lab.proved("img session lab1 ended with status 0 on both machines, imgserv mcast too")

    for machine, answer in zip(machines, together(*[lambda machine=machine: machine.shell("grub.s")
                                                    for machine in machines])):
        restored.show(lab, f"{machine.name}: grub.s", answer)
    # pc1 starts from its disk, as after a change of the boot order; pc2 asks the network first, as before, and the
    # boot menu has to go on with the disk when nobody presses a key and no server says otherwise.
    machines[0].power_off()
    machines[0] = Machine(lab, "pc1-disk", [Disk(disks[0])], network=False)
    machines[1].console.type("reboot\r")
    machines[1].expect(r"Continue from local disk", BOOT_LIMIT)
    together(*[lambda machine=machine: restored.prove_running(lab, machine) for machine in machines])
    lab.proved("pc1 by its disk's own boot code; pc2 by PXE and the menu's default, Continue from local disk")
    for machine in machines:
        machine.kill()
    for name, disk in zip(names, disks):
        restored.prove_table(disk)
    lab.proved("both disks: sgdisk finds no problem with the partition tables")
