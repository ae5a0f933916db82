"""A virtual machine: QEMU without KVM, its disks, its firmware, its console on the serial port."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import socket
import subprocess
import time

from console import Console
from tools import Failure, prove

PROMPT = r"^img# "
NO_TIMER = r"IO-APIC \+ timer doesn't work"
RESETS = 3
OVMF = "/usr/share/OVMF"
PATIENCE = float(os.environ.get("E2E_PATIENCE", "1"))  # factor on every limit, for very slow machines
START_LIMIT, BOOT_LIMIT, COMMAND_LIMIT = 60 * PATIENCE, 400 * PATIENCE, 240 * PATIENCE


@dataclasses.dataclass
class Disk:
    """A raw file as a virtio disk."""
    path: str
    sector: int = 512


@dataclasses.dataclass
class Firmware:
    """BIOS (neither), or UEFI with its variables in `variables`, which the machine changes."""
    variables: str = ""
    secure: bool = False

    @staticmethod
    def uefi(variables, secure=False):
        """UEFI with new variables: no boot entries; with `secure`, Microsoft's keys enrolled and enforced."""
        shutil.copyfile(f"{OVMF}/OVMF_VARS_4M{'.ms' if secure else ''}.fd", variables)
        return Firmware(variables, secure)

    def options(self):
        if not self.variables:
            return ["-machine", "pc"]
        code = f"{OVMF}/OVMF_CODE_4M{'.secboot' if self.secure else ''}.fd"
        return ["-machine", f"q35,smm={'on' if self.secure else 'off'}",
                *(["-global", "driver=cfi.pflash01,property=secure,value=on",
                   "-global", "ICH9-LPC.disable_s3=1"] if self.secure else []),
                "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}",
                "-drive", f"if=pflash,unit=1,format=raw,file={self.variables}"]


class Machine:
    """One machine, switched on when it is made; its logs go to the scenario's folder.

    `same_as` is a machine that was switched off or killed: this one is the same hardware, by its network
    card's address and its disks' serial numbers.
    """

    def __init__(self, lab, name, disks=(), firmware=Firmware(), kernel=False, append="", initrd="",
                 cdrom="", boot="c", memory=1024, network=True, console=True, same_as=None):
        self.lab, self.name, self.directory = lab, name, lab.directory
        self.log = f"{lab.directory}/{name}.console"
        self.console, self.tap = None, None
        self.mac = same_as.mac if same_as else lab.network.new_mac()
        self.hardware = same_as.hardware if same_as else name
        sockets = lab.sockets(name)
        words = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max,la57=off", "-smp", "1", "-m", str(memory),
                 "-nodefaults", "-vga", "std", "-display", "none", *firmware.options(),
                 "-boot", boot, "-device", "virtio-rng-pci",
                 "-chardev", f"socket,id=serial,path={sockets}.serial,server=on,wait=off",
                 "-serial", "chardev:serial",
                 "-qmp", f"unix:{sockets}.qmp,server=on,wait=off"]
        # UEFI does not look at -boot; with an order of its own it drops the boot entries of devices that are not in it.
        ordered = bool(firmware.variables) and boot == "n"
        for number, disk in enumerate(disks):
            words += ["-drive", f"if=none,id=disk{number},file={disk.path},format=raw,cache=unsafe,"
                      "discard=unmap,detect-zeroes=unmap",
                      "-device", f"virtio-blk-pci,drive=disk{number},serial={self.hardware}-{number},"
                      f"logical_block_size={disk.sector},physical_block_size={max(disk.sector, 512)}"
                      + (f",bootindex={number + 1}" if ordered else "")]
        if cdrom:
            words += ["-drive", f"if=none,id=cd,media=cdrom,readonly=on,format=raw,file={cdrom}",
                      "-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=cd,bootindex=0"]
        if network:
            self.tap = lab.network.tap()
            # A BIOS has no PXE but the card's ROM; UEFI has its own, as on a PC, and the ROM (iPXE) would replace it.
            rom = ",romfile=" if firmware.variables else ""
            if ordered:
                rom += ",bootindex=0"
            words += ["-netdev", f"tap,id=net,ifname={self.tap},script=no,downscript=no",
                      "-device", f"virtio-net-pci,netdev=net,mac={self.mac}{rom}"]
        if kernel:
            words += ["-kernel", lab.media.kernel, "-initrd", initrd or lab.media.initrd,
                      "-append", f"console=tty0 console=ttyS0,115200 img.mode=manual no_timer_check {append}".strip()]
        self.serial_socket, self.qmp_socket = f"{sockets}.serial", f"{sockets}.qmp"
        self._start(words)
        if console:
            self.console = Console(self.name, self.connect(), self.log, self.alive)

    def _start(self, words):
        with open(f"{self.directory}/{self.name}.qemu", "ab") as errors:
            errors.write((" ".join(words) + "\n").encode())
            errors.flush()
            self.process = subprocess.Popen(self.lab.network.inside(*words), stdin=subprocess.DEVNULL,
                                            stdout=errors, stderr=errors)
        self.lab.machines.append(self)

    def connect(self):
        """A connection to the serial port, for one user at a time."""
        deadline = time.monotonic() + START_LIMIT
        while True:
            serial = socket.socket(socket.AF_UNIX)
            try:
                serial.connect(self.serial_socket)
                return serial
            except OSError as error:
                serial.close()
                if not self.alive() or time.monotonic() > deadline:
                    raise Failure(f"{self.name}: QEMU did not start (see {self.directory}/{self.name}.qemu)") \
                        from error
                time.sleep(0.05)  # QEMU has not made its socket yet

    def alive(self):
        return self.process.poll() is None

    # -- Reading and typing -------------------------------------------------------------------------------

    def expect(self, pattern, limit=COMMAND_LIMIT, **options):
        return self.console.expect(pattern, limit, **options)

    def prompt(self, limit=BOOT_LIMIT):
        """Waits for the preboot environment's prompt; kernel messages no longer disturb from here on."""
        self.expect(PROMPT, limit)
        self.shell("dmesg -n 1")

    def shell(self, words, limit=COMMAND_LIMIT, check=True):
        """Types a command, waits for its end and returns its output; a failing command fails the scenario."""
        self.console.begin(words)
        status, output = self.console.finish(limit)
        if check and status != 0:
            raise Failure(f"{self.name}: {words} ended with status {status}:\n{output[-2000:]}")
        return output if check else (status, output)

    def at_grub_prompt(self, limit=BOOT_LIMIT):
        """From the boot menu to GRUB's own prompt, by typing what a person types."""
        self.expect(r"Maintenance", limit)
        for _ in range(2):  # at its second figure the countdown shows below a menu that is drawn everywhere
            self.expect(r"automatically in \d+s")
        self.console.type("\x1b[A")  # any key ends the countdown, however long the picture takes
        self.picture("menu")
        self.console.type("c")
        self.expect(r"grub> ")

    def boot_by_hand(self, limit=BOOT_LIMIT):
        """From the boot menu to the preboot prompt, by typing what a person types.

        A processor emulated on a busy machine can miss the timer's ticks for so long that the kernel gives up
        on its timer before anything of img has run: that is QEMU's doing, and the machine is reset.
        """
        for _ in range(RESETS):
            self.at_grub_prompt(limit)
            self.console.type("manual\r")
            if self.expect(rf"{PROMPT}|{NO_TIMER}", limit, fatal=False).group() == "img# ":
                self.shell("dmesg -n 1")
                self.picture("prompt")
                return
            self.monitor("system_reset")
        raise Failure(f"{self.name}: the kernel found no timer {RESETS} times (see {self.log})")

    def work_unattended(self, pattern, limit):
        """Waits for what a machine prints that nobody types at; without a timer it is reset (see boot_by_hand)."""
        for _ in range(RESETS):
            found = self.expect(rf"{pattern}|{NO_TIMER}", limit, fatal=False)
            if not re.match(NO_TIMER, found.group()):
                return found
            self.monitor("system_reset")
        raise Failure(f"{self.name}: the kernel found no timer {RESETS} times (see {self.log})")

    def log_in(self, host_name, password, limit=BOOT_LIMIT):
        """Logs in on the restored system's serial console."""
        self.expect(rf"^{host_name} login: ", limit)
        self.console.type("root\r")
        self.expect(r"Password: ")
        self.console.type(f"{password}\r")
        self.expect(rf"root@{host_name}:.*# ")
        self.console.type("dmesg -n 1\r")  # before anything whose output matters
        self.expect(rf"root@{host_name}:.*# ")

    # -- Power --------------------------------------------------------------------------------------------

    def kill(self):
        """A power cut: the process is killed, the disks keep what reached them."""
        self.process.kill()
        self._gone()

    def power_off(self, limit=COMMAND_LIMIT):
        """Types poweroff and waits until the machine is off."""
        self.console.type("poweroff\r")
        self.wait_off(limit)

    def wait_off(self, limit=COMMAND_LIMIT):
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"{self.name}: it is not off after {limit:.0f} s (see {self.log})") from late
        self._gone()

    def _gone(self):
        self.process.wait()
        if self.console:
            self.console.close()
        if self.tap:
            with contextlib.suppress(Failure):
                self.lab.network.remove(self.tap)
            self.tap = None
        if self in self.lab.machines:
            self.lab.machines.remove(self)

    # -- QEMU's monitor -----------------------------------------------------------------------------------

    def monitor(self, execute, **arguments):
        """One command to QEMU's monitor."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(30)
            monitor.connect(self.qmp_socket)
            with monitor.makefile("rw") as lines:
                for request in ({"execute": "qmp_capabilities"}, {"execute": execute, "arguments": arguments}):
                    lines.write(json.dumps(request) + "\n")
                    lines.flush()
                    answer = {}
                    while "return" not in answer and "error" not in answer:
                        answer = json.loads(lines.readline())
                    prove("return" in answer, f"{self.name}: QEMU refuses {execute}: {answer.get('error')}")
                return answer["return"]

    def picture(self, name):
        """Keeps the screen (the VGA one, not the serial console) as a PNG beside the logs."""
        self.monitor("screendump", filename=f"{self.directory}/{self.name}-{name}.png", format="png")
