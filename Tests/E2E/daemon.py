"""`imgserv serve` in the room: its configuration, and its HTTP API over the local socket as root has it."""

import contextlib
import os
import shutil
import time

import imgserv_api
from machine import PATIENCE
from network import HOST_ADDRESS
from tools import Failure, command, prove

START_LIMIT, EVENT_LIMIT = 60 * PATIENCE, 120 * PATIENCE
HTTP_PORT = 8998


class Daemon:
    """The imaging server with the scenario's images; `start` lets it write its boot files into a TFTP root."""

    def __init__(self, lab):
        self.lab = lab
        self.directory = f"{lab.directory}/imgserv"
        self.socket, self.program = f"{self.directory}/socket", None
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(f"{self.directory}/images")

    def add_image(self, name, path):
        """Puts an image into the catalogue."""
        os.link(path, f"{self.directory}/images/{name}")

    def start(self, rate, tftp):
        """Starts it; returns when it answers."""
        with open(f"{self.directory}/imgserv.conf", "w") as file:
            file.write(f"images={self.directory}/images\nstate={self.directory}/state\nsocket={self.socket}\n"
                       f"address={HOST_ADDRESS}\nhttp={HOST_ADDRESS}:{HTTP_PORT}\nrate={rate}\ntftp={tftp}\n"
                       "log=debug\n")
        self.program = self.lab.serve("imgserv-serve", self.lab.programs.imgserv, "serve", "--config",
                                      f"{self.directory}/imgserv.conf")
        self.wait_for("imgserv answers", self._answers, START_LIMIT)

    def _answers(self):
        prove(self.program.process.poll() is None, f"imgserv has ended: {self.program.output()[-1500:]}")
        with contextlib.suppress(OSError):
            return self.api("GET", "/api/v1/status")

    def key(self):
        """The fingerprint of its key, which it makes without running, as an administrator does before `make pxe`."""
        said = command(self.lab.programs.imgserv, "key", "--state", f"{self.directory}/state")
        return said.split()[-1]

    def api(self, method, path, body=None):
        """The answer to a request by root; a failure unless it is a success."""
        status, answer = imgserv_api.ask(self.socket, method, path, body)
        prove(status < 300, f"{method} {path}: {status} {answer}")
        return answer

    def orders(self, machine):
        """What the server has told a machine, the newest first."""
        return self.api("GET", f"/api/v1/workstations/{machine.mac}")["orders"]

    def wait_for(self, what, condition, limit=EVENT_LIMIT):
        """Waits until the condition gives something true, and returns that."""
        deadline = time.monotonic() + limit
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                raise Failure(f"{what}: not within {limit:.0f} s (see {self.program.log})")
            time.sleep(0.2)
