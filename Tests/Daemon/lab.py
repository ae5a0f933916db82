"""A network of namespaces with an imaging server and workstations, each with files that stand for its disks."""

import contextlib
import os
import signal
import subprocess
import time

import imgserv_api

BIN = os.path.abspath(os.environ.get("IMG_BIN_DIR", ".build/release"))
MIB = 1 << 20


def shell(*words, **options):
    """Runs a command that must succeed and gives its standard output."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: exit status {done.returncode}: {done.stderr.strip()[-800:]}")
    return done.stdout


def wait_for(what, condition, seconds=30):
    """Waits until `condition` gives something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.1)


def make_disk(path, size, seed, used):
    """A disk with one GPT partition of `used` MiB of bytes that only `seed` decides and no file system knows."""
    with open(path, "wb") as disk:
        disk.truncate(size * MIB)
    shell("sgdisk", "-n", f"1:2048:+{used}M", "-c", "1:content", path)
    with open(path, "r+b") as disk:
        disk.seek(MIB)
        disk.write(content(seed, used))


def content(seed, used):
    import hashlib

    return hashlib.shake_256(seed.encode()).digest(used * MIB)


def proves(path, seed, used):
    """Whether a disk holds what `make_disk` made of `seed`, its table included."""
    with open(path, "rb") as disk:
        disk.seek(MIB)
        if disk.read(used * MIB) != content(seed, used):
            return False
    return "content" in shell("sgdisk", "-p", path) and "No problems found" in shell("sgdisk", "-v", path)


class Running:
    """A program that runs, with what it prints in a file."""

    def __init__(self, words, log, environment=None):
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})}, start_new_session=True)

    def wait(self, seconds=60):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.log}: still running after {seconds} s: {self.text()[-1500:]}") from None

    def text(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def kill(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            os.kill(self.process.pid, number)

    def end(self):
        self.kill()
        self.process.wait()


class Lab:
    """The network; use it in a `with` statement: nothing of it is left behind."""

    def __init__(self, folder, stations=4):
        self.folder = folder
        self.prefix = f"imgd{os.getpid() % 100000}"
        self.stations = stations
        self.programs = []
        self.daemon = None
        for part in ("images", "tftp"):
            os.makedirs(f"{folder}/{part}", exist_ok=True)
        with open(f"{folder}/imgserv.conf", "w") as file:
            file.write(
                f"images={folder}/images\nstate={folder}/state\nsocket={folder}/run/imgserv.sock\n"
                f"tftp={folder}/tftp\nhttp=10.88.0.1:8998\naddress=10.88.0.1\nlog=debug\n")

    def __enter__(self):
        self.clean()
        try:
            shell("ip", "netns", "add", f"{self.prefix}-sw")
            self.inside("sw", "ip", "link", "add", "sw", "type", "bridge", "mcast_snooping", "0")
            self.inside("sw", "ip", "link", "set", "sw", "up")
            for index, name in enumerate(self.names()):
                space = f"{self.prefix}-{name}"
                shell("ip", "netns", "add", space)
                shell("ip", "link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", name, "netns",
                      f"{self.prefix}-sw")
                self.inside("sw", "ip", "link", "set", name, "master", "sw", "up")
                self.inside(name, "ip", "link", "set", "lo", "up")
                self.inside(name, "ip", "link", "set", "eth0", "address", f"02:88:00:00:00:{index + 1:02x}", "up")
                self.inside(name, "ip", "address", "add", f"10.88.0.{index + 1}/24", "dev", "eth0")
                self.inside(name, "ip", "route", "add", "default", "dev", "eth0")
        except BaseException:
            self.clean()
            raise
        return self

    def __exit__(self, *_):
        for program in self.programs:
            program.end()
        self.clean()

    def names(self):
        return ["srv"] + [f"m{number}" for number in range(1, self.stations + 1)]

    def mac(self, number):
        return f"02:88:00:00:00:{number + 1:02x}"

    def clean(self):
        for name in self.names() + ["sw"]:
            with contextlib.suppress(AssertionError):
                shell("ip", "netns", "del", f"{self.prefix}-{name}")

    def inside(self, name, *words):
        return shell("ip", "netns", "exec", f"{self.prefix}-{name}", *words)

    def start(self, name, log, *words, environment=None):
        program = Running(["ip", "netns", "exec", f"{self.prefix}-{name}", *words], f"{self.folder}/{log}.log",
                          environment)
        self.programs.append(program)
        return program

    # The server

    def serve(self):
        self.daemon = self.start("srv", "imgserv", f"{BIN}/imgserv", "serve", "--config", f"{self.folder}/imgserv.conf")

        def answers():
            assert self.daemon.process.poll() is None, f"imgserv ended: {self.daemon.text()[-1500:]}"
            with contextlib.suppress(OSError):
                return self.api("GET", "/api/v1/status")

        return wait_for("the daemon answers", answers)

    def api(self, method, path, body=None):
        """A request by root over the local socket; anything but success is an error."""
        status, answer = self.ask(method, path, body)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer

    def ask(self, method, path, body=None):
        return imgserv_api.ask(f"{self.folder}/run/imgserv.sock", method, path, body)

    def key(self):
        return self.api("GET", "/api/v1/status")["key"]

    def session(self, name):
        found = [one for one in self.api("GET", "/api/v1/sessions") if one["name"] == name]
        return found[0] if found else None

    def starts(self, name):
        """What the boot file of a machine (its number, or "default") starts: auto or local; None without a file."""
        name = name if name == "default" else self.mac(name).replace(":", "-")
        with contextlib.suppress(FileNotFoundError), open(f"{self.folder}/tftp/grub/mac/{name}.cfg") as file:
            return next(line.split("=")[1].strip() for line in file if line.startswith("set default="))

    # The workstations

    def image(self, name, seed, used):
        """An image of a disk made of `seed`, in the server's catalogue."""
        source = f"{self.folder}/{name}.source"
        make_disk(source, used + 16, seed, used)
        shell(f"{BIN}/img", "makel", f"{self.folder}/images/{name}", f"disks={source}", "comp=none")
        os.unlink(source)

    def disk(self, number, size):
        path = f"{self.folder}/m{number}.disk"
        with open(path, "wb") as disk:
            disk.truncate(size * MIB)
        return path

    def auto(self, number, *words, key=None, log=None, server="10.88.0.1"):
        """`img auto` of a workstation, as the boot medium starts it."""
        environment = {"SERVERKEY": key if key is not None else self.key()}
        if server:
            environment["PROXYADDR"] = server
        return self.start(f"m{number}", log or f"m{number}", f"{BIN}/img", "auto", f"disks={self.folder}/m{number}.disk",
                          "--no-bootfix", *words, environment=environment)
