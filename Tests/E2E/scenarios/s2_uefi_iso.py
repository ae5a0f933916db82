"""Scenario 2: UEFI from the ISO to a restored system that runs; then Secure Boot, from ISO and from PXE."""

import re

import base
import restored
from machine import BOOT_LIMIT, Disk, Firmware, Machine
from tools import prove, together

TITLE = "UEFI from the ISO, boot entry, BOOTX64.EFI fallback, Secure Boot by ISO and PXE"
SECURE_LIMIT = 1.5 * BOOT_LIMIT  # every page of the firmware is checked in software


def run(lab):
    lab.media.need("iso", "pxe")
    disk = image_one(lab)
    boots(lab, disk, "entry", Firmware(f"{lab.directory}/pc1.vars"),
          r'BdsDxe: starting Boot\d+ "(?i:debian)" from HD\(2,GPT', "its boot entry")
    boots(lab, disk, "fallback", Firmware.uefi(f"{lab.directory}/empty.vars"),
          r'BdsDxe: starting Boot\d+ "UEFI Misc Device"', r"\EFI\BOOT\BOOTX64.EFI, with an empty NVRAM")
    together(lambda: secure(lab, "iso", {"cdrom": lab.media.iso, "network": False}),
             lambda: secure(lab, "pxe", {"boot": "n"}))


def image_one(lab):
    """From the ISO to a restored disk with a boot entry; returns the disk."""
    disk = lab.blank_disk("pc1")
    firmware = Firmware.uefi(f"{lab.directory}/pc1.vars")
    machine = Machine(lab, "pc1", [Disk(disk)], firmware, cdrom=lab.media.iso)
    machine.boot_by_hand()
    machine.shell("test -d /sys/firmware/efi/efivars")
    lab.proved("pc1: UEFI from the ISO, the boot menu, 'manual' typed, preboot prompt, efivars there")

    server = lab.host_session("lab1", lab.base.image, "-c", "1", "-t", "5")
    machine.shell("img session lab1", restored.SESSION_LIMIT)
    server.succeed(restored.SESSION_LIMIT)
    lab.proved("pc1: img session lab1 ended with status 0, imgserv mcast too")

    restored.show(lab, "pc1: grub.s", machine.shell("grub.s"))
    entries = machine.shell("efibootmgr -v")
    ours = re.findall(r"(?im)^Boot([0-9A-F]{4})\* debian\s+HD\(2,GPT,.*shimx64\.efi", entries)
    prove(len(ours) == 1, f"not one boot entry 'debian' for shimx64.efi on slot 2:\n{entries}")
    order = re.search(r"(?m)^BootOrder: (.*)$", entries)
    prove(order and ours[0] in order.group(1).split(","), f"the new entry is not in the boot order:\n{entries}")
    lab.proved(f"efibootmgr: one entry Boot{ours[0]} 'debian' on slot 2, shim first, in the order {order.group(1)}")
    again = machine.shell("grub.s && efibootmgr -v")
    prove(len(re.findall(r"(?im)^Boot[0-9A-F]{4}\* debian\s", again)) == 1,
          f"a second grub.s made a second entry:\n{again}")
    lab.proved("a second grub.s makes no second entry")
    machine.power_off()
    return disk


def boots(lab, disk, name, firmware, started, how):
    """The restored disk starts by itself in a machine without a medium, by way of what `started` shows."""
    machine = Machine(lab, name, [Disk(disk)], firmware, network=False)
    machine.expect(started, BOOT_LIMIT)
    restored.prove_running(lab, machine)
    lab.proved(f"started by {how}")
    machine.power_off()


def secure(lab, name, options):
    """With Microsoft's keys enforced the medium starts to the prompt, and the kernel says so."""
    firmware = Firmware.uefi(f"{lab.directory}/{name}-secure.vars", secure=True)
    machine = Machine(lab, f"{name}-secure", [], firmware, **options)
    machine.boot_by_hand(SECURE_LIMIT)
    said = machine.shell("dmesg | grep -ai 'secure boot enabled'")
    state = machine.shell("tail -c 1 /sys/firmware/efi/efivars/SecureBoot-* | od -An -tu1").strip()
    prove(state == "1", f"the firmware's variable SecureBoot is {state}, not 1")
    lab.proved(f"Secure Boot enforced: {name} starts to the prompt; the kernel: '{said.splitlines()[-1].strip()}'")
    machine.kill()
