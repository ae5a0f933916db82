"""The base system: one Debian disk that boots by BIOS and by UEFI, made by debootstrap, and its image.

    slot 1  BIOS boot   GRUB's core, written by grub-install as on any Debian machine
    slot 2  ESP         \\EFI\\debian with Debian's signed chain; no \\EFI\\BOOT: img bootfix has to make it
    slot 3  root        ext4; /srv/tree with /srv/tree.sha256, root's password is PASSWORD

The disk is kept in .build/e2e/base as long as this file is the same; its image is captured anew in each run.
"""

import contextlib
import hashlib
import os
import random
import shutil

from tools import (Clock, command, empty_disk, loop_device, mounted, partition, prove, sha256)

MIB = 1 << 20
SIZE = 3072 * MIB
ESP_MIB = 64
ROOT_SLOT, ESP_SLOT = 3, 2
PASSWORD = "multicast"
HOST_NAME = "restored"
MIRROR = os.environ.get("E2E_MIRROR", "http://deb.debian.org/debian")
PACKAGES = ("linux-image-cloud-amd64", "systemd-sysv", "grub-pc-bin", "grub2-common",
            "grub-efi-amd64-signed", "shim-signed", "efibootmgr")
TREE_FILES, TREE_SEED = 60, 5
NEEDLESS_UNITS = ("systemd-logind.service", "systemd-timesyncd.service", "apt-daily.timer",
                  "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service")

GRUB_CONFIG = """\
if [ "$grub_platform" = pc ]; then
    serial --unit=0 --speed=115200
    terminal_input serial console
    terminal_output serial console
fi
set timeout=1
menuentry "The base system" {{
    search --no-floppy --fs-uuid --set=root {uuid}
    linux /vmlinuz root=UUID={uuid} ro console=tty0 console=ttyS0,115200
    initrd /initrd.img
}}
"""
GRUB_STUB = """\
search.fs_uuid {uuid} root
set prefix=($root)'/boot/grub'
configfile $prefix/grub.cfg
"""


class Base:
    """The base disk and its image; both are only read by scenarios."""

    def __init__(self, directory, programs):
        self.directory = directory
        self.disk = f"{directory}/base.disk"
        self.image = f"{directory}/base.img"
        self.tree_list = f"{directory}/root.sha256"
        self.programs = programs

    def build(self, say):
        """Makes the disk unless it is there already, and captures it."""
        os.makedirs(self.directory, exist_ok=True)
        clock = Clock()
        stamp = f"{self.directory}/stamp"
        with open(__file__, "rb") as source:
            wanted = hashlib.sha256(source.read()).hexdigest()
        if not os.path.exists(stamp) or open(stamp).read() != wanted:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(stamp)
            self._make_disk()
            with open(stamp, "w") as file:
                file.write(wanted)
            say(f"base disk made by debootstrap and grub-install in {clock.seconds:.0f} s")
        else:
            say("base disk taken from an earlier run (rm -r .build/e2e/base makes it anew)")
        self._capture(say)

    def _make_disk(self):
        """In a tmpfs first, because dpkg writes every file through to the disk."""
        tree = f"{self.directory}/tree"
        with mounted_tmpfs(tree):
            self._bootstrap(tree)
            empty_disk(self.disk, SIZE)
            command("sgdisk", "--clear", "--new=1:2048:+1M", "--typecode=1:ef02",
                    f"--new=2:0:+{ESP_MIB}M", "--typecode=2:ef00", "--new=3:0:0", "--typecode=3:8300", self.disk)
            with loop_device(self.disk) as loop:
                command("partx", "--update", loop)
                command("mkfs.ext4", "-q", "-L", "root", f"{loop}p{ROOT_SLOT}")
                uuid = command("blkid", "-s", "UUID", "-o", "value", f"{loop}p{ROOT_SLOT}").strip()
                self._configure(tree, uuid)
                with mounted(f"{loop}p{ROOT_SLOT}", f"{self.directory}/root") as root:
                    command("cp", "-a", f"{tree}/.", root)
                    command("grub-install", "--target=i386-pc", "--modules=part_gpt ext2",
                            f"--boot-directory={root}/boot", loop)
                    self._list_files(root)
                command("partx", "--delete", loop)
            self._make_esp(tree, uuid)

    def _bootstrap(self, tree):
        cache = os.path.abspath(f"{self.directory}/../debs")
        os.makedirs(cache, exist_ok=True)
        command("debootstrap", "--variant=minbase", f"--cache-dir={cache}",
                f"--include={','.join(PACKAGES)}", "bookworm", tree, MIRROR,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        for needless in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man",
                         "usr/share/locale", "var/log"):
            shutil.rmtree(f"{tree}/{needless}")
            os.makedirs(f"{tree}/{needless}")

    def _configure(self, tree, uuid):
        command("chroot", tree, "chpasswd", stdin=f"root:{PASSWORD}\n")
        for unit in NEEDLESS_UNITS:
            os.symlink("/dev/null", f"{tree}/etc/systemd/system/{unit}")
        os.makedirs(f"{tree}/boot/grub", exist_ok=True)
        for path, text in (("etc/hostname", f"{HOST_NAME}\n"),
                           ("etc/fstab", f"UUID={uuid} / ext4 defaults 0 1\n"),
                           ("boot/grub/grub.cfg", GRUB_CONFIG.format(uuid=uuid))):
            with open(f"{tree}/{path}", "w") as file:
                file.write(text)
        make_tree(f"{tree}/srv/tree", TREE_FILES, TREE_SEED)
        listing = command("sh", "-c", "cd $1/srv && find tree -type f -print0 | sort -z | xargs -0 sha256sum",
                          "sh", tree)
        with open(f"{tree}/srv/tree.sha256", "w") as file:
            file.write(listing)

    def _list_files(self, root):
        """The hashes of every file of the root file system, for disks that were restored but never booted."""
        listing = command("sh", "-c", "cd $1 && find . -xdev -type f -print0 | sort -z | xargs -0 sha256sum",
                          "sh", root)
        with open(self.tree_list, "w") as file:
            file.write(listing)

    def _make_esp(self, tree, uuid):
        esp = f"{self.directory}/esp"
        start, size = partition(self.disk, ESP_SLOT)
        empty_disk(esp, size)
        command("mkfs.fat", "-F", "32", "-n", "ESP", esp)
        stub = f"{self.directory}/grub.stub"
        with open(stub, "w") as file:
            file.write(GRUB_STUB.format(uuid=uuid))
        command("mmd", "-i", esp, "::/EFI", "::/EFI/debian")
        for source, name in ((f"{tree}/usr/lib/shim/shimx64.efi.signed", "shimx64.efi"),
                             (f"{tree}/usr/lib/shim/mmx64.efi.signed", "mmx64.efi"),
                             (f"{tree}/usr/lib/shim/fbx64.efi.signed", "fbx64.efi"),
                             (f"{tree}/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "grubx64.efi"),
                             (f"{tree}/usr/lib/shim/BOOTX64.CSV", "BOOTX64.CSV"), (stub, "grub.cfg")):
            command("mcopy", "-i", esp, source, f"::/EFI/debian/{name}")
        command("dd", f"if={esp}", f"of={self.disk}", "bs=1M", f"seek={start // MIB}", "conv=notrunc,sparse")
        os.unlink(esp)

    def _capture(self, say):
        clock = Clock()
        for file in (self.image, f"{self.image}.log"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file)
        before = sha256(self.disk)
        with loop_device(self.disk, read_only=True) as loop:
            command(self.programs.img, "makel", self.image, f"disks={loop}")
        prove(sha256(self.disk) == before, "img makel has changed the base disk")
        say(f"base image captured by img makel in {clock.seconds:.0f} s: "
            f"{os.path.getsize(self.image) / MIB:.0f} MiB")


@contextlib.contextmanager
def mounted_tmpfs(at):
    os.makedirs(at, exist_ok=True)
    command("mount", "-t", "tmpfs", "-o", "size=2g,mode=755", "none", at)
    try:
        yield
    finally:
        command("umount", at)


def make_tree(at, files, seed):
    """A tree of files of many sizes, half of them text that compresses, always the same for a seed."""
    source = random.Random(seed)
    for number in range(files):
        directory = f"{at}/d{number % 7}/e{number % 3}"
        os.makedirs(directory, exist_ok=True)
        size = int(2 ** source.uniform(4, 21))
        content = source.randbytes(size) if number % 2 else (f"file {number} " * (size // 7 + 1)).encode()[:size]
        with open(f"{directory}/f{number:03}", "wb") as file:
            file.write(content)
