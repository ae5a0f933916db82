"""What the console's test stands on: a private network, a daemon, an image, machines; nothing of it is left behind."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from browser import Failure

SERVER = "10.79.0.1"
PORT = 8998
RATE = 12  # Mbit/s: a session then lasts long enough to be watched
DISK_MIB = 64
CONTENT_MIB = 36
GRACE = 10  # seconds a program gets to end


class Ground:
    """
              imgserv serve (srv, 10.79.0.1), chromium beside it
                        | veth
                 +------+-------+
                 | bridge (sw)  |      each is a network namespace; names carry this process's id
                 +-+-----+----+-+
                   m1    m2   m3       img auto, img session
    """

    def __init__(self, binaries, output):
        self.binaries = binaries
        self.output = output
        self.name = f"con{os.getpid()}"
        self.work = tempfile.mkdtemp(prefix=f"img-{self.name}.", dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.programs = []
        self.logs = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in self.programs:
            if program.poll() is None:
                program.terminate()
        deadline = time.monotonic() + GRACE
        for program in self.programs:
            try:
                program.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
        for log in self.logs:
            log.close()
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
        for line in listed.splitlines():
            namespace = line.split()[0]
            if not namespace.startswith(f"{self.name}-"):
                continue
            left = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
            for pid in left.stdout.split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            subprocess.run(["ip", "netns", "delete", namespace], check=False)
        shutil.rmtree(self.work, ignore_errors=True)

    def run(self, *words, **options):
        """Runs a tool; its output is shown only if it fails."""
        done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
        if done.returncode != 0:
            raise Failure(f"{' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def inside(self, host):
        return ["ip", "netns", "exec", f"{self.name}-{host}"]

    def program(self, name):
        return os.path.join(self.binaries, name)

    def start(self, log, *words):
        """Starts a program that this run ends at the latest; what it says is kept beside the pictures."""
        file = open(os.path.join(self.output, f"{log}.log"), "wb")
        self.logs.append(file)
        program = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        self.programs.append(program)
        return program

    def said(self, log):
        with open(os.path.join(self.output, f"{log}.log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    # The network.

    def make_network(self, machines):
        switch = f"{self.name}-sw"
        self.run("ip", "netns", "add", switch)
        self.run("ip", "-n", switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0",
                 "stp_state", "0", "forward_delay", "0")
        self.run("ip", "-n", switch, "link", "set", "br0", "up")
        self.add_host("srv", SERVER, 1)
        for machine in range(1, machines + 1):
            self.add_host(f"m{machine}", f"10.79.0.{10 + machine}", 16 + machine)

    def add_host(self, host, address, number):
        switch, own = f"{self.name}-sw", f"{self.name}-{host}"
        self.run("ip", "netns", "add", own)
        self.run("ip", "-n", switch, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", own)
        self.run("ip", "-n", own, "link", "set", "eth0", "address", f"52:54:00:12:34:{number:02x}")
        self.run("ip", "-n", own, "link", "set", "lo", "up")
        self.run("ip", "-n", own, "address", "add", f"{address}/24", "broadcast", "10.79.0.255", "dev", "eth0")
        self.run("ip", "-n", own, "link", "set", "eth0", "up")
        self.run("ip", "-n", own, "route", "add", "default", "dev", "eth0")
        self.run("ip", "-n", switch, "link", "set", host, "master", "br0", "up")

    # The server.

    def path(self, *parts):
        return os.path.join(self.work, *parts)

    def start_server(self):
        """Starts the daemon and returns once it answers; its key's fingerprint is in `key`."""
        for directory in ("images", "state"):
            os.makedirs(self.path(directory), exist_ok=True)
        with open(self.path("imgserv.conf"), "w", encoding="utf-8") as file:
            file.write(f"images={self.path('images')}\nstate={self.path('state')}\n"
                       f"socket={self.path('imgserv.sock')}\nhttp={SERVER}:{PORT}\n"
                       f"address={SERVER}\nrate={RATE}\nuploads=overwrite\n")
        server = self.start("imgserv", *self.inside("srv"), self.program("imgserv"), "serve",
                            "--config", self.path("imgserv.conf"))
        deadline = time.monotonic() + 20
        while not os.path.exists(self.path("imgserv.sock")):
            if server.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"imgserv serve does not start: {self.said('imgserv')}")
            time.sleep(0.05)
        self.key = self.run(self.program("imgserv"), "key", "--state", self.path("state")).strip()
        return server

    def add_administrator(self, name, password):
        self.run(self.program("imgserv"), "user", "add", name, "--socket", self.path("imgserv.sock"),
                 input=password + "\n")

    # Images and machines.

    def make_image(self, path):
        """An image of a disk with one ext4 partition full of what does not compress."""
        disk, tree = self.path("source.disk"), self.path("tree")
        os.makedirs(tree)
        with open(os.path.join(tree, "noise"), "wb") as file:
            for _ in range(CONTENT_MIB):
                file.write(os.urandom(1 << 20))
        with open(disk, "wb") as file:
            file.truncate(DISK_MIB << 20)
        self.run("sgdisk", "-n", "1:2048:0", "-t", "1:8300", "-c", "1:system", disk)
        self.run("mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-d", tree, "-E", "offset=1048576", disk,
                 f"{(DISK_MIB - 2) << 10}k")
        made = self.path("made.img")
        self.run(*self.inside("m1"), self.program("img"), "makel", made, f"disks={disk}", "comp=none")
        os.rename(made, path)
        for gone in (disk, os.path.join(tree, "noise")):
            os.remove(gone)

    def machine_disk(self, machine):
        path = self.path(f"m{machine}.disk")
        with open(path, "wb") as file:
            file.truncate(DISK_MIB << 20)
        return path

    def auto(self, machine):
        """A workstation that asks for work and does it."""
        return self.start(f"auto-{machine}", *self.inside(f"m{machine}"), self.program("img"), "auto",
                          f"server={SERVER}", f"key={self.key}", f"disks={self.machine_disk(machine)}",
                          "--no-bootfix")

    def session(self, machine, name):
        """A machine that takes part in a session and keeps nothing."""
        return self.start(f"session-{machine}", *self.inside(f"m{machine}"), self.program("img"), "session",
                          name, "disks=discard")
