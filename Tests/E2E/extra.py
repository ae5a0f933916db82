"""A second archive for the kernel: the initrd with more programs, for machines that make or check file systems."""

import os
import shutil

from tools import command

HERE = os.path.dirname(os.path.realpath(__file__))
CLOSURE = f"{HERE}/../../initrd/closure"
PROGRAMS = ("/usr/sbin/sgdisk", "/usr/sbin/mke2fs", "/usr/sbin/e2fsck", "/usr/sbin/mkfs.xfs", "/usr/sbin/xfs_repair",
            "/usr/bin/btrfs", "/usr/bin/mkfs.btrfs", "/usr/sbin/mkfs.fat", "/usr/sbin/fsck.fat",
            "/usr/sbin/mkfs.exfat", "/usr/sbin/fsck.exfat", "/usr/sbin/mkntfs", "/usr/bin/ntfsfix",
            "/etc/mke2fs.conf")


def initrd_with_file_system_tools(lab):
    """The medium's initrd with mkfs and fsck of every file system appended; returns the file."""
    root, made = f"{lab.directory}/extra", f"{lab.directory}/extra.initrd"
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    command(CLOSURE, root, *[program_or_link(path) for path in PROGRAMS])
    command("sh", "-c", 'cp "$1" "$2" && cd "$3" && find . -print0 | sort -z | '
            'cpio --quiet --null --create --format=newc | gzip -1 >> "$2"', "sh", lab.media.initrd, made, root)
    shutil.rmtree(root)
    return made


def program_or_link(path):
    """PATH, or REAL=PATH where the build machine has it under another directory."""
    if os.path.exists(path):
        return path
    found = shutil.which(os.path.basename(path), path="/usr/sbin:/usr/bin:/sbin:/bin")
    return f"{found}={path}" if found else path
