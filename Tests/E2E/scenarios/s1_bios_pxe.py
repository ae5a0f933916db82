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
    # pc1 starts from its disk after the restart, as when somebody changes the boot order back; pc2 keeps asking
    # the network first, and the boot menu has to go on with the disk.
    machines = [Machine(lab, name, [Disk(disk)], boot=boot)
                for name, disk, boot in zip(names, disks, ("once=n,order=c", "order=n"))]

    together(*[lambda machine=machine: boot_by_hand(machine) for machine in machines])
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
    for machine in machines:
        machine.console.type("reboot\r")
    together(*[lambda machine=machine: restored.prove_running(lab, machine) for machine in machines])
    for machine in machines:
        machine.kill()
    for name, disk in zip(names, disks):
        restored.prove_table(disk)
    lab.proved("both disks: sgdisk finds no problem with the partition tables")


def boot_by_hand(machine):
    """From the network's boot menu to the prompt, by typing what a person types."""
    machine.expect(r"Maintenance", BOOT_LIMIT)
    machine.picture("menu")
    machine.console.type("c")
    machine.expect(r"grub> ")
    machine.console.type("manual\r")
    machine.prompt()
