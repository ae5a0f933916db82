"""Scenario 6: targets that differ from the source disk: twice as large, too small, 4096-byte sectors."""

import os
import random
import re

import restored
from machine import Disk, Machine
from tools import Failure, prove, sha256, together

TITLE = "larger disk, too small a disk, 4096-byte sectors"
OLD_CONTENT_MIB = 8


def run(lab):
    lab.media.need("kernel", "initrd")
    size = os.path.getsize(lab.base.disk)
    large = lab.blank_disk("large", 2 * size)
    small = lab.blank_disk("small", size * 2 // 3)
    sectors = lab.blank_disk("sectors", 2 * size)
    for disk in (small, sectors):
        write_old_content(disk)
    before = {disk: sha256(disk) for disk in (small, sectors)}
    machines = [Machine(lab, "large", [Disk(large)], kernel=True, memory=768),
                Machine(lab, "small", [Disk(small)], kernel=True, memory=768),
                Machine(lab, "sectors", [Disk(sectors, sector=4096)], kernel=True, memory=768)]
    together(*[machine.prompt for machine in machines])
    lab.host_session("lab6", lab.base.image, "-c", "1", "-t", "5")
    for machine, disk, reason in ((machines[1], small, r"(?i)too small|at least|fits"),
                                  (machines[2], sectors, r"(?i)4096|sector")):
        refused(lab, machine, disk, reason)
    machines[0].shell("img session lab6", restored.SESSION_LIMIT)
    lab.servers[-1].succeed(restored.SESSION_LIMIT)
    together(*[machine.power_off for machine in machines])
    for machine, disk in ((machines[1], small), (machines[2], sectors)):
        prove(sha256(disk) == before[disk], f"{machine.name}: the refused disk was changed")
    lab.proved("both refused disks are bit for bit as before (SHA-256)")
    restored.prove_disk(lab, "large", large)
    backup_at_end(large)
    lab.proved("large: the backup GPT's header is in the disk's last sector and says so; sgdisk finds no problem")


def write_old_content(disk):
    """Something to lose: also at the disk's end, where a backup table would go."""
    content = random.Random(6).randbytes(OLD_CONTENT_MIB << 20)
    with open(disk, "r+b") as file:
        file.write(content)
        file.seek(-len(content), 2)
        file.write(content)


def refused(lab, machine, disk, reason):
    """img session ends with status 1 and a sentence that gives the reason."""
    status, output = machine.shell("img session lab6", restored.SESSION_LIMIT, check=False)
    if status != 1:
        raise Failure(f"{machine.name}: img session ended with status {status}, not 1:\n{output[-1500:]}")
    sentences = [line for line in output.splitlines() if line.startswith("img: ")]
    restored.show(lab, f"{machine.name}: refused", "\n".join(sentences))
    prove(any(re.search(reason, line) for line in sentences),
          f"{machine.name}: no reason given ({reason}):\n{output[-1500:]}")


def backup_at_end(disk):
    """The header in the last sector is a GPT's and names its own place."""
    sectors = os.path.getsize(disk) // 512
    with open(disk, "rb") as file:
        file.seek((sectors - 1) * 512)
        header = file.read(512)
    place = int.from_bytes(header[24:32], "little")
    prove(header[:8] == b"EFI PART" and place == sectors - 1,
          f"the last sector {sectors - 1} holds no backup header, or one for sector {place}")
