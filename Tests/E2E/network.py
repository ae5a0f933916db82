"""The room: one network namespace with a bridge, on which virtual machines sit with taps and the host itself.

           imgserv, dnsmasq (192.168.77.1)
                   │
             ┌─────┴──────┐
             │ bridge br0 │      one namespace, in the run's own mount namespace: gone when the run ends
             └─┬───┬────┬─┘
              tap  tap  tap      (one per virtual machine)
"""

import itertools
import os
import signal
import subprocess

from tools import Failure, command

HOST_ADDRESS = "192.168.77.1"
NAMESPACE = "e2e"  # known to this run only: /run/netns is the run's own (sandbox.py)


class Network:
    """The bridge and what runs beside it; `run` starts a program inside the namespace."""

    def __init__(self):
        self.numbers = itertools.count(1)
        command("ip", "netns", "add", NAMESPACE)
        self._ip("link", "set", "lo", "up")
        self._ip("link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
        self._ip("address", "add", f"{HOST_ADDRESS}/24", "broadcast", "192.168.77.255", "dev", "br0")
        self._ip("link", "set", "br0", "up")
        self._ip("route", "add", "default", "dev", "br0")

    def _ip(self, *words):
        command("ip", "-n", NAMESPACE, *words)

    def tap(self):
        """The name of a new tap on the bridge."""
        name = f"tap{next(self.numbers)}"
        self._ip("tuntap", "add", name, "mode", "tap")
        self._ip("link", "set", name, "master", "br0", "up")
        return name

    def new_mac(self):
        """The address of a new machine's network card."""
        return f"52:54:00:78:00:{next(self.numbers):02x}"

    def remove(self, tap):
        self._ip("link", "delete", tap)

    def inside(self, *words):
        """The words of a command, so that it runs in the namespace."""
        return ["ip", "netns", "exec", NAMESPACE, *(str(word) for word in words)]

    def start(self, log, *words):
        """Starts a program in the namespace; its output goes to the file `log`."""
        return Program(self.inside(*words), log)


class Program:
    """A program of the host that runs beside the machines."""

    def __init__(self, words, log):
        self.words, self.log = words, log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT)

    @property
    def name(self):
        return os.path.basename(self.words[4] if self.words[0] == "ip" else self.words[0])

    def output(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def end(self, limit):
        """Its exit status; a failure if it is still running after `limit` seconds."""
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"{self.name} is still running after {limit} s (see {self.log})") from late

    def succeed(self, limit):
        """Waits for its end and fails unless it says success."""
        status = self.end(limit)
        if status != 0:
            tail = "\n".join(self.output().strip().splitlines()[-8:])
            raise Failure(f"{self.name} ended with status {status}:\n{tail}")

    def stop(self):
        """Asks it to end, and waits."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
