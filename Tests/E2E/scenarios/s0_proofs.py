"""Scenario 0: the proofs themselves: a faultless copy of the base disk passes, damaged ones do not."""

import os

import base
import restored
from tools import Failure, copy_disk, mounted_partition, prove

from scenarios import s6_other_disks

TITLE = "the proofs notice damage"


def run(lab):
    restored.prove_disk(lab, "faultless copy", lab.copy_of(lab.base.disk, "damaged"))
    proofs = 0
    for what, damage, proof in (
            ("one byte of a file", one_byte, lambda disk: restored.prove_disk(lab, "damaged", disk)),
            ("one byte of the boot code", overwrite(100, b"\1"),
             lambda disk: restored.prove_disk(lab, "damaged", disk)),
            ("no backup GPT header", overwrite(-512, bytes(512)), restored.prove_table),
            ("a partition table where none may be", overwrite(0, bytes(512)),
             lambda disk: restored.prove_nothing_bootable(disk, "damaged")),
            ("a boot signature where none may be", overwrite(0, b"\0"),
             lambda disk: restored.prove_nothing_bootable(disk, "damaged")),
            ("a backup GPT before the disk's end", longer, s6_other_disks.backup_at_end)):
        disk = copy_disk(lab.base.disk, f"{lab.directory}/damaged.disk")
        damage(lab, disk)
        prove(noticed(proof, disk), f"a disk with this passes: {what}")
        proofs += 1
    lab.proved(f"{proofs} of {proofs} damages noticed")


def noticed(proof, disk):
    try:
        proof(disk)
    except Failure:
        return True
    return False


def one_byte(lab, disk):
    with mounted_partition(disk, base.ROOT_SLOT, f"{lab.directory}/mount") as root:
        with open(f"{root}/srv/tree/d0/e0/f000", "r+b") as file:
            first = file.read(1)[0]
            file.seek(0)
            file.write(bytes([first ^ 1]))


def overwrite(offset, content):
    """Writes content at an offset, from the disk's end if it is negative."""
    def damage(_lab, disk):
        with open(disk, "r+b") as file:
            file.seek(offset, os.SEEK_SET if offset >= 0 else os.SEEK_END)
            file.write(content)
    return damage


def longer(_lab, disk):
    os.truncate(disk, 2 * os.path.getsize(disk))
