"""Scenario 5: a disk with every kind of file system, three cut off while mounted, captured by used blocks.

    slot 1 ext4, 2 XFS, 3 btrfs   mounted and freshly fsynced when the power goes
    slot 4 FAT, 5 exFAT, 6 NTFS   unmounted
    slots 7 and 8                 physical volumes of one group: 'linear' on the first, 'striped' over both

The disk is made in a machine, because the build machine's kernel has no driver for half of it.
"""

import json

import extra
import restored
from machine import Disk, Machine
from tools import command, empty_disk, mounted, prove, sha256

TITLE = "a disk with ext4, XFS, btrfs, FAT, exFAT, NTFS and LVM, cut off while mounted"
MIB = 1 << 20
SIZE = 3072 * MIB
FILES_MIB = 24          # what each file system keeps
# name, device, mkfs, how to check it
FILE_SYSTEMS = (
    ("ext4", "/dev/vda1", "mke2fs -q -t ext4", "e2fsck -fn"),
    ("xfs", "/dev/vda2", "mkfs.xfs -q", "xfs_repair -n"),
    ("btrfs", "/dev/vda3", "mkfs.btrfs -q", "btrfs check"),
    ("vfat", "/dev/vda4", "mkfs.fat -F 32", "fsck.fat -n"),
    ("exfat", "/dev/vda5", "mkfs.exfat", "fsck.exfat -n"),
    ("ntfs", "/dev/vda6", "mkntfs -q -f", "ntfsfix -n"),
    ("linear", "/dev/mapper/vg-linear", "mke2fs -q -t ext4", "e2fsck -fn"),
    ("striped", "/dev/mapper/vg-striped", "mkfs.xfs -q", "xfs_repair -n"),
)
PARTITIONS = (400, 400, 400, 100, 100, 100, 360, 360)  # MiB
CUT_OFF = ("ext4", "xfs", "btrfs")
USED_SLACK_MIB = 8      # per slot: the first and last MiB are always used; rounding to whole 4 KiB


def run(lab):
    lab.media.need("kernel", "initrd")
    initrd = extra.initrd_with_file_system_tools(lab)
    source = empty_disk(f"{lab.directory}/source.disk", SIZE)
    hashes, used = make_source(lab, source, initrd)
    lab.proved("the disk is made; power cut while ext4, XFS and btrfs are mounted and freshly fsynced")
    before = sha256(source)

    store, target = f"{lab.directory}/store.disk", empty_disk(f"{lab.directory}/target.disk", SIZE)
    empty_disk(store, 2 * SIZE)
    command("mke2fs", "-q", "-t", "ext4", store)
    info = capture_and_restore(lab, source, store, target)
    prove(sha256(source) == before, "the capture has changed the source disk")
    lab.proved("the source disk is bit for bit as before (SHA-256)")
    prove_used(lab, info, used)
    prove_files(lab, target, initrd, hashes)


def make_source(lab, source, initrd):
    """Makes the disk and cuts the power; returns lists of hashes and the MiB that are not free, by file system."""
    machine = Machine(lab, "maker", [Disk(source)], kernel=True, initrd=initrd, network=False)
    machine.prompt()
    machine.shell("sgdisk --clear /dev/vda " + " ".join(
        f"--new={slot}:0:+{size}M" for slot, size in enumerate(PARTITIONS, 1))
        + " --typecode=7:8e00 --typecode=8:8e00")
    machine.shell("lvm pvcreate -q -y /dev/vda7 /dev/vda8 && lvm vgcreate -q vg /dev/vda7 /dev/vda8")
    machine.shell("lvm lvcreate -q -y -Wn -Zn -n striped -i 2 -I 64k -L 320m vg")
    machine.shell("lvm lvcreate -q -y -Wn -Zn -n linear -L 120m vg /dev/vda7")
    hashes, used = {}, {}
    for name, device, make, _ in FILE_SYSTEMS:
        machine.shell(f"{make} {device} >/dev/null && mkdir -p /m/{name} && {mount(name, device)}")
        fill(machine, name)
    # The last three seconds before a power cut: what is fsynced must be there, what is deleted must be free.
    for name, device, _, _ in FILE_SYSTEMS:
        machine.shell(f"cd /m/{name} && dd if=/dev/urandom of=fresh bs=1M count=2 conv=fsync 2>/dev/null; cd /")
        hashes[name] = machine.shell(f"cd /m/{name} && find . -type f | sort | xargs sha256sum; cd /") + "\n"
        block, free = machine.shell(f"stat -f -c '%S %f' /m/{name}").split()
        used[name] = (int(machine.shell(f"blockdev --getsize64 {device}")) - int(block) * int(free)) / MIB
        prove(hashes[name].count("\n") == 9, f"not 9 files were made in {name}:\n{hashes[name]}")
    machine.shell(" && ".join(f"umount /m/{name}" for name, _, _, _ in FILE_SYSTEMS if name not in CUT_OFF))
    machine.kill()
    return hashes, used


def mount(name, device):
    kind = {"linear": "ext4", "striped": "xfs"}.get(name, name)
    return f"ntfs-3g {device} /m/{name}" if kind == "ntfs" else f"mount -t {kind} {device} /m/{name}"


def fill(machine, name):
    """Eight files that stay, and as much that is deleted again: free blocks that hold something."""
    machine.shell(f"cd /m/{name} && mkdir a && for n in 1 2 3 4 5 6 7 8; do "
                  f"dd if=/dev/urandom of=a/keep$n bs=1M count={FILES_MIB // 8} conv=fsync; "
                  f"dd if=/dev/urandom of=a/drop$n bs=1M count={FILES_MIB // 8} conv=fsync; done 2>/dev/null; "
                  "rm a/drop*; sync; cd /")


def capture_and_restore(lab, source, store, target):
    """In the preboot environment: an image on the second disk, restored to the third; returns what img info says."""
    machine = Machine(lab, "capture", [Disk(source), Disk(store), Disk(target)], kernel=True, network=False)
    machine.prompt()
    machine.shell("mkdir /store && mount -t ext4 /dev/vdb /store")
    restored.show(lab, "img makel", machine.shell("img makel /store/image disks=/dev/vda 2>&1 | grep -v ETA; "
                                                  "(exit ${PIPESTATUS[0]})", restored.SESSION_LIMIT))
    left = machine.shell("lvm lvs --noheadings -o lv_active 2>/dev/null; dmsetup ls; "
                         "cat /sys/block/loop*/loop/backing_file 2>/dev/null; pidof img lvm ntfs-3g; true")
    prove(left in ("", "No devices found"), f"left behind by the capture: {left}")
    machine.shell("img restorel /store/image disks=/dev/vdc verify", restored.SESSION_LIMIT)
    machine.shell("umount /store")
    machine.power_off()
    lab.proved("img makel and img restorel ended with status 0")
    with mounted(store, f"{lab.directory}/mount", "loop", "ro", "noload") as at:
        return json.loads(command(lab.programs.img, "info", f"{at}/image", "--json"))


def prove_used(lab, info, used):
    """Only used blocks are in the image, and not many more than the file systems say."""
    slots = {part["slot"]: part for part in info["manifest"]["partitions"]}
    whole = [f"slot {slot} ({part.get('reason')})" for slot, part in slots.items() if part["content"] != "used"]
    prove(not whole, f"captured whole instead of its used blocks: {', '.join(whole)}")
    wanted = {slot: used[name] for slot, name in enumerate(("ext4", "xfs", "btrfs", "vfat", "exfat", "ntfs"), 1)}
    figures = {slot: slots[slot]["usedBytes"] / MIB for slot in slots}
    for slot, least in wanted.items():
        prove(figures[slot] <= least * 1.05 + USED_SLACK_MIB,
              f"slot {slot}: {figures[slot]:.0f} MiB captured, {least:.0f} MiB used")
    volumes = used["linear"] + used["striped"]
    prove(figures[7] + figures[8] <= volumes * 1.05 + 2 * USED_SLACK_MIB,
          f"LVM: {figures[7] + figures[8]:.0f} MiB captured, {volumes:.0f} MiB used")
    lab.proved("MiB captured / not free by statfs / size: " + ", ".join(
        f"{name} {figures[slot]:.0f} / {wanted[slot]:.0f} / {PARTITIONS[slot - 1]}"
        for slot, name in enumerate(("ext4", "XFS", "btrfs", "FAT", "exFAT", "NTFS"), 1))
        + f", LVM {figures[7] + figures[8]:.0f} / {volumes:.0f} / {sum(PARTITIONS[6:])}")


def prove_files(lab, target, initrd, hashes):
    """The restored disk alone in a machine: every file system sound, every file by hash."""
    machine = Machine(lab, "checker", [Disk(target)], kernel=True, initrd=initrd, network=False)
    machine.prompt()
    machine.shell("lvm vgchange -q -ay")
    for name, device, _, check in FILE_SYSTEMS:
        answer = machine.shell(f"{check} {device} 2>&1")
        machine.shell(f"mkdir -p /m/{name} && {mount(name, device)}")
        seen = machine.shell(f"cd /m/{name} && find . -type f | sort | xargs sha256sum; cd /") + "\n"
        prove(seen == hashes[name], f"{name}: files differ.\nwritten:\n{hashes[name]}restored:\n{seen}{answer}")
    count = sum(listing.count("\n") for listing in hashes.values())
    lab.proved(f"{len(FILE_SYSTEMS)} file systems sound by their own fsck, all {count} files by hash, "
               "the last ones written with fsync just before the cut")
    machine.power_off()
