"""What every measurement stands on: the work folder, the LAN, and programs whose output and CPU time are kept."""
import atexit
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / ".build"
BIN = Path(os.environ.get("IMG_BIN_DIR", BUILD / "release")).resolve()
TOOLS = BUILD / "bench"  # the compiled C helpers
SERVER = "10.78.0.1"
MIB = 1 << 20
END_GRACE = 20.0  # seconds a program gets to end once the transfer is over
KILL_GRACE = 10.0  # seconds the kernel gets to end a killed program
NICE = int(os.environ.get("BENCH_NICE", "0"))  # niceness of everything that is measured

# Debian packages of this benchmark: what it runs beside what `make build` needs.
PACKAGES = {"udp-sender": "udpcast", "udp-receiver": "udpcast", "uftp": "uftp", "uftpd": "uftp", "nft": "nftables",
            "tc": "iproute2", "ip": "iproute2", "ethtool": "ethtool", "jq": "jq", "gcc": "gcc", "cmp": "diffutils"}


class BenchError(Exception):
    """One sentence that says why the benchmark cannot go on."""


def now():
    """Seconds of CLOCK_MONOTONIC, the clock of the C helpers."""
    return time.monotonic()


def address(number):
    """The address of machine ci."""
    return f"10.78.0.{10 + number}"


def prepare(need_img):
    """Installs the peers that are missing, compiles the C helpers, and looks for img and imgserv."""
    if os.geteuid() != 0:
        raise BenchError("the benchmark makes network namespaces: run it as root")
    missing = sorted({package for program, package in PACKAGES.items() if not shutil.which(program)})
    if missing:
        print("installing", *missing, flush=True)
        quiet = {"stdout": subprocess.DEVNULL, "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
            if subprocess.run(["apt-get", *words], **quiet).returncode != 0:
                raise BenchError(f"apt-get could not install {' '.join(missing)}")
    TOOLS.mkdir(parents=True, exist_ok=True)
    for name in ("ceiling", "streams", "watch"):
        subprocess.run(["gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread",
                        "-o", TOOLS / name, HERE / f"{name}.c"], check=True)
    for name in ("img", "imgserv"):
        if need_img and not os.access(BIN / name, os.X_OK):
            raise BenchError(f"{BIN / name} is missing: run make build (or set IMG_BIN_DIR)")


def free_memory():
    """Bytes that can still be put into memory-backed files: what is available, but no more than the tmpfs takes."""
    available = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    tmpfs = os.statvfs("/dev/shm")
    return min(int(available[1]) * 1024, tmpfs.f_bavail * tmpfs.f_frsize)


class Workspace:
    """A folder in memory and this process's LANs; both are gone once this process is, however it ends.

    A guard process (lan guard) waits at the other end of a pipe that only this process holds.
    """

    def __init__(self):
        self.lan_name = f"imgbench-{os.getpid()}"
        self.folder = Path(f"/dev/shm/{self.lan_name}")
        self.environment = os.environ | {"LAN": self.lan_name}
        self.guard = None

    def __enter__(self):
        for stale in Path("/dev/shm").glob("imgbench-*"):
            owner = stale.name.removeprefix("imgbench-")
            if owner.isdigit() and not Path(f"/proc/{owner}").exists():
                shutil.rmtree(stale, ignore_errors=True)
        subprocess.run([HERE / "lan", "sweep"], check=True)
        self.guard = subprocess.Popen([HERE / "lan", "guard", self.folder], stdin=subprocess.PIPE,
                                      start_new_session=True, env=self.environment)
        self.folder.mkdir()
        atexit.register(self.close)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: sys.exit(128 + number))
        return self

    def close(self):
        if self.guard:
            self.guard.stdin.close()
            self.guard.wait()
            self.guard = None

    def __exit__(self, *_):
        self.close()

    def lan(self, *words):
        """Runs the lan script and returns what it prints."""
        done = subprocess.run([HERE / "lan", *map(str, words)], env=self.environment, text=True, capture_output=True)
        if done.returncode != 0:
            raise BenchError(f"lan {' '.join(map(str, words))} failed: {done.stderr.strip()}")
        return done.stdout

    def sent(self):
        """Bytes and packets (trains, where there are any) that srv has put on its link."""
        return tuple(map(int, self.lan("sent").split()))


@dataclass(frozen=True)
class Line:
    time: float
    text: str


class Program:
    """A program in one namespace of the LAN: each line of its output with its time, its CPU time, its peak memory."""

    def __init__(self, workspace, host, words, log, folder=None):
        self.name = Path(str(words[0])).name
        self.lines = []
        self.status = self.usage = self.ended = None
        self.killed = False
        self._changed = threading.Condition()
        self._log = log
        self._child = subprocess.Popen(
            ["ip", "netns", "exec", f"{workspace.lan_name}-{host}", *map(str, words)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder or workspace.folder)
        self.pid = self._child.pid
        os.setpriority(os.PRIO_PROCESS, self.pid, NICE)  # before ip has become the program
        log.write(f"+ {host}: {' '.join(map(str, words))}\n")
        self._reader = threading.Thread(target=self._follow, args=(host,), daemon=True)
        self._reader.start()

    def _follow(self, host):
        rest = b""
        while True:
            data = os.read(self._child.stdout.fileno(), 65536)
            arrived = now()
            # Progress lines end with a carriage return only.
            *whole, rest = re.split(rb"[\r\n]", rest + data)
            if not data and rest:
                whole.append(rest)
            lines = [Line(arrived, text.decode(errors="replace")) for text in whole if text]
            with self._changed:
                self.lines += lines
                for line in lines:
                    self._log.write(f"{line.time:.3f} {host}: {line.text}\n")
                self._changed.notify_all()
            if not data:
                break
        # Without WNOWAIT the id could be reused between the end and a kill.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._changed:
            _, status, usage = os.wait4(self.pid, 0)
            self.ended = now()
            self.usage = usage
            self.status = self._child.returncode = os.waitstatus_to_exitcode(status)
            self._log.write(f"{self.ended:.3f} {host}: ended with status {self.status}\n")
            self._changed.notify_all()

    def wait_line(self, pattern, deadline):
        """The first line that matches, as soon as it is there; None if the program ends or the time is over."""
        seen = 0
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    if re.search(pattern, line.text):
                        return line
                seen = len(self.lines)
                if self.status is not None or now() >= deadline:
                    return None
                self._changed.wait(max(deadline - now(), 0))

    def wait_end(self, deadline):
        """Whether the program has ended by then."""
        with self._changed:
            while self.status is None and now() < deadline:
                self._changed.wait(max(deadline - now(), 0))
            return self.status is not None

    def signal(self, number):
        with self._changed:
            if self.status is None:
                os.kill(self.pid, number)

    def finish(self, polite):
        """Ends the program: at once if it only waits for a signal (polite), else after its time is over."""
        if polite:
            self.signal(signal.SIGTERM)
        if not self.wait_end(now() + END_GRACE):
            self.killed = True
            self.signal(signal.SIGKILL)
            if not self.wait_end(now() + KILL_GRACE):
                raise BenchError(f"{self.name} (process {self.pid}) does not end")

    @property
    def cpu_seconds(self):
        """User and system time of the process. What the kernel does for it in softirqs is not all in it."""
        return self.usage.ru_utime + self.usage.ru_stime if self.usage else None

    @property
    def peak_bytes(self):
        """The largest resident memory so far (VmHWM)."""
        return self.usage.ru_maxrss * 1024 if self.usage else None


def raise_limits():
    """One reader must not lag behind what it times: this process goes before what it measures."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, min(NICE, 0) - 5)
    except PermissionError:
        pass
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
