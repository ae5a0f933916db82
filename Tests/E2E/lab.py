"""What a scenario works with: its folder, the network, the media, the base system, and its machines."""

import glob
import os
import shutil

from network import HOST_ADDRESS
from tools import Clock, Failure, copy_disk, empty_disk

RATE = 200  # Mbit/s; an emulated processor takes less than a real one of the slowest kind


class Media:
    """What `make initrd iso pxe` made."""

    def __init__(self, directory):
        self.kernel, self.initrd = f"{directory}/vmlinuz", f"{directory}/initrd"
        self.iso, self.pxe = f"{directory}/img.iso", f"{directory}/pxe"

    def need(self, *names):
        for name in names:
            if not os.path.exists(getattr(self, name)):
                raise Failure(f"{getattr(self, name)} is missing: run make initrd iso pxe")


class Programs:
    """img and imgserv of this checkout, for the host's side."""

    def __init__(self, directory):
        self.img, self.imgserv = f"{directory}/img", f"{directory}/imgserv"
        for program in (self.img, self.imgserv):
            if not os.access(program, os.X_OK):
                raise Failure(f"{program} is missing: run make build")


class Lab:
    """One scenario's share of the run; `close` ends whatever of it still runs."""

    def __init__(self, name, network, media, base, programs, say, boot_server=None):
        self.name, self.network, self.media, self.base, self.programs = name, network, media, base, programs
        self.say, self.boot_server = say, boot_server
        self.directory = os.path.abspath(name)
        self.machines, self.servers = [], []
        self.boot_root = ""
        self.clock = Clock()
        os.makedirs(name, exist_ok=True)
        for old in glob.glob(f"{name}/*"):
            if os.path.isfile(old):
                os.unlink(old)

    def proved(self, sentence):
        """Says what has just been proven."""
        self.say(f"   [{self.clock.seconds:4.0f} s] {sentence}")

    def sockets(self, name):
        """The start of a machine's socket names: relative to the run's folder, because such names are short."""
        return f"{self.name}/{name}"

    def blank_disk(self, name, size=0):
        """A disk of zeros; the base disk's size unless told otherwise."""
        return empty_disk(f"{self.directory}/{name}.disk", size or os.path.getsize(self.base.disk))

    def copy_of(self, disk, name):
        return copy_disk(disk, f"{self.directory}/{name}.disk")

    def serve(self, log, *words):
        """Starts a program on the host's side of the network."""
        program = self.network.start(f"{self.directory}/{log}.log", *words)
        self.servers.append(program)
        return program

    def own_boot_root(self, settings):
        """A TFTP root of this scenario's own with these lines in settings.txt, served until it ends; its path."""
        self.boot_root = f"{self.directory}/tftp"
        shutil.rmtree(self.boot_root, ignore_errors=True)
        shutil.copytree(self.media.pxe, self.boot_root)
        with open(f"{self.boot_root}/settings.txt", "a") as file:
            file.write(settings)
        self.boot_server.serve(self.boot_root)
        return self.boot_root

    def host_session(self, session, image, *words, rate=RATE):
        """Hosts a session with imgserv, as an administrator would who knows that the machines are slow."""
        return self.serve("imgserv", self.programs.imgserv, "mcast", session, "-p", image, "-i", HOST_ADDRESS,
                          "--state", f"{self.directory}/state", f"rate={rate}", *words)

    def close(self):
        for machine in list(self.machines):
            machine.kill()
        for server in self.servers:
            server.stop()
        if self.boot_root:
            self.boot_server.serve(self.media.pxe)
            self.boot_root = ""

    def pictures(self):
        """Keeps the screens of machines that still run."""
        for machine in self.machines:
            try:
                machine.picture("failure")
            except (OSError, Failure, ValueError):
                pass

    def discard_disks(self):
        for disk in glob.glob(f"{self.directory}/*.disk") + glob.glob(f"{self.directory}/*.vars"):
            os.unlink(disk)


