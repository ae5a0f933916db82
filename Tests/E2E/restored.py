"""Proof of a restored base system, by tools that are not ours: sgdisk, e2fsck, sha256sum, cmp."""

import re

import base
from machine import PATIENCE
from tools import command, loop_device, mounted_partition, partition, prove, sha256

SESSION_LIMIT = 900 * PATIENCE
BOOT_CODE = 440  # bytes of the first sector before the disk's signature


def prove_disk(lab, name, disk):
    """Every file of the base system is on the disk by hash; table, boot code and file systems are sound."""
    prove_table(disk)
    with loop_device(disk, read_only=True) as loop:
        command("partx", "--update", loop)
        command("e2fsck", "-fn", f"{loop}p{base.ROOT_SLOT}")
        command("partx", "--delete", loop)
    with mounted_partition(disk, base.ROOT_SLOT, f"{lab.directory}/mount", "ro", "noload") as root:
        count = check_hashes(root, lab.base.tree_list)
    prove(sha256(disk, 0, BOOT_CODE) == sha256(lab.base.disk, 0, BOOT_CODE), f"{name}: other boot code")
    for slot in (1, base.ESP_SLOT):
        prove(sha256(disk, *partition(disk, slot)) == sha256(lab.base.disk, *partition(lab.base.disk, slot)),
              f"{name}: slot {slot} is not byte for byte the base disk's")
    lab.proved(f"{name}: all {count} files of the base system by hash, GPT sound, e2fsck clean, "
               "boot code, BIOS boot partition and ESP byte for byte")


def prove_table(disk):
    """sgdisk finds no problem with both GPTs; it also says so after it has mended one in memory, with a warning."""
    verified = command("sgdisk", "--verify", disk, check=False)
    prove("No problems found" in verified and not re.search(r"(?i)warning|invalid|corrupt|regenerating", verified),
          f"sgdisk --verify {disk}: {verified.strip()}")


def check_hashes(root, listing):
    """Checks every file under root against a list of hashes; returns how many there are."""
    with open(listing) as file:
        lines = file.read()
    answer = command("sh", "-c", 'cd "$1" && sha256sum --check --quiet --strict -', "sh", root, stdin=lines,
                     check=False)
    prove(not answer.strip(), f"files differ from {listing}:\n{answer[-1500:]}")
    return lines.count("\n")


def prove_nothing_bootable(disk, name):
    """An interrupted disk has no partition table and no boot code."""
    with open(disk, "rb") as file:
        first = file.read(1 << 20)
        file.seek(-34 * 512, 2)
        last = file.read()
    prove(first[510:512] != b"\x55\xaa", f"{name}: sector 0 has a boot signature")
    for where, block in (("start", first), ("end", last)):
        prove(b"EFI PART" not in block, f"{name}: there is a GPT header at the disk's {where}")
    listed = command("sfdisk", "--dump", disk, check=False)
    prove("unit: sectors" not in listed, f"{name}: sfdisk still finds a partition table:\n{listed}")


def prove_running(lab, machine):
    """The restored system reaches its login prompt, lets root in, and has all its files."""
    machine.log_in(base.HOST_NAME, base.PASSWORD)
    machine.shell("cd /srv && sha256sum --check --quiet --strict tree.sha256")
    count = int(machine.shell("wc -l < /srv/tree.sha256"))
    prove(count == base.TREE_FILES, f"{machine.name}: {count} hashes in /srv/tree.sha256, not {base.TREE_FILES}")
    failed = machine.shell("systemctl --failed --no-legend --plain; true")
    prove(not failed, f"{machine.name}: units failed in the restored system: {failed}")
    lab.proved(f"{machine.name}: the restored system boots to its login prompt; logged in; "
               f"{count} files by hash, no failed unit")


def show(lab, title, text):
    """Prints the end of what a program said, for whoever reads the run's log."""
    lab.say(f"   {title}:")
    for line in text.splitlines():
        if line.strip():
            lab.say(f"      | {line.rstrip()[:150]}")
