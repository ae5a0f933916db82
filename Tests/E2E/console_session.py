"""`Tests/E2E/run console`: one machine in the preboot environment whose serial console is this terminal."""

import os
import select
import sys
import termios
import tty

from bootserver import BootServer
from machine import Disk, Machine
from network import Network
from tools import empty_disk

LEAVE = b"\x1d"  # Ctrl-]
DISK_SIZE = 3 << 30


def talk(make_lab):
    """Connects the terminal with the machine until Ctrl-] is pressed or the machine is off."""
    network = Network()
    lab = make_lab("console", network)
    BootServer(network, lab.media, f"{lab.directory}/dnsmasq.log")
    machine = Machine(lab, "pc", [Disk(empty_disk(f"{lab.directory}/pc.disk", DISK_SIZE))], kernel=True,
                      console=False)
    print("A machine with an empty disk of 3 GiB. Ctrl-] ends it.\r", flush=True)
    serial, saved = machine.connect(), None
    if sys.stdin.isatty():
        saved = termios.tcgetattr(sys.stdin)
        tty.setraw(sys.stdin)
    try:
        while True:
            ready, _, _ = select.select([serial, sys.stdin], [], [])
            if serial in ready:
                block = serial.recv(65536)
                if not block:
                    return 0
                os.write(1, block)
            if sys.stdin in ready:
                typed = os.read(0, 4096)
                if not typed or LEAVE in typed:
                    return 0
                serial.sendall(typed)
    finally:
        if saved:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)
        machine.process.kill()
        machine.process.wait()
        lab.discard_disks()
