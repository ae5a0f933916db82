"""One run of one tool on a LAN that is up: its programs, its beginning, and when each machine had everything."""
import os
import subprocess
import time

from ground import BIN, MIB, TOOLS, BenchError, Line, MemoryWatch, Program, now

FILE_BYTES = int(os.environ.get("FILE_MIB", "1024")) * MIB
LIMIT = float(os.environ.get("LIMIT", "300"))  # seconds a transfer may take
START_LIMIT = 60.0  # seconds from the start of the programs to the first data datagram
SETTLE = 1.0  # seconds between the last machine but one and the last one, so that greetings are over
PATIENCE = 5.0  # seconds that machines get after their host has ended
END_LIMIT = 60.0  # seconds that a host may take to end once all machines have everything


class Job:
    """The file that everybody sends, and the image that img makes of it."""

    def __init__(self, workspace, need_image):
        self.folder = workspace.folder
        self.file = self.folder / "source"
        self.image = self.folder / "image"
        with open(self.file, "wb") as out:
            for _ in range(FILE_BYTES // MIB):
                out.write(os.urandom(MIB))
        if need_image:
            done = subprocess.run([BIN / "img", "makel", self.image, f"disks={self.file}", "comp=none"], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                raise BenchError(f"img makel failed: {done.stdout.strip().splitlines()[-1]}")
            if self.image.stat().st_size < FILE_BYTES:
                raise BenchError("the image does not hold every byte of the file")


class Transfer:
    """One run of one tool: the programs, and when each machine had everything."""

    def __init__(self, workspace, job, tool, case, log, keep):
        self.tool, self.case, self.job, self.workspace = tool, case, job, workspace
        self.folders = {}
        self.host, self.machines, self.watch = None, [], None
        self.note = None
        self.complete = False
        self.finished = []
        self._log = log
        try:
            if keep:
                for number in range(1, case.n + 1):
                    self.folders[number] = workspace.folder / f"c{number}"
                    self.folders[number].mkdir()
                    tool.prepare_machine(job, self.folders[number])
            self._run()
        except BaseException:
            self._end()
            self.clean()
            raise

    def _start_machine(self, number):
        folder = self.folders.get(number)
        self.machines.append(Program(self.workspace, f"c{number}", self.tool.machine(self.case, self.job, number, folder),
                                     self._log, folder))

    def _start_host(self):
        self.host = Program(self.workspace, "srv", self.tool.host(self.case, self.job), self._log)

    def _run(self):
        self._log.write(f"== {self.tool.name} {self.case}\n")
        self.watch = Program(self.workspace, "srv", [TOOLS / "watch", "eth0"], self._log)
        if not self.watch.wait_line("^armed", now() + START_LIMIT):
            raise BenchError("the watch on the server's counters did not start")
        before = self.workspace.sent()
        if self.tool.host_first:
            self._start_host()
            time.sleep(SETTLE)
        for number in range(1, self.case.n + 1):
            # The host begins when the last machine has come: what it sent to greet the others is long over then.
            if self.tool.host_first and number == self.case.n > 1:
                time.sleep(SETTLE)
            self._start_machine(number)
        if not self.tool.host_first:
            self._wait_until_ready()
            self._start_host()
        first = self.watch.wait_line("^first", now() + START_LIMIT)
        self.first = float(first.text.split()[1]) if first else None
        if self.first is None:
            self.note = f"no data within {START_LIMIT:.0f} s"
        else:
            with MemoryWatch([self.host, *self.machines]):
                self._wait_for_machines(self.first + LIMIT)
        self.counted = [after - earlier for earlier, after in zip(before, self._end())]

    def _wait_until_ready(self):
        deadline = now() + START_LIMIT
        time.sleep(SETTLE)
        for machine in self.machines:
            if self.tool.ready and not machine.wait_line(self.tool.ready, deadline):
                raise BenchError(f"{machine.name} was not ready within {START_LIMIT:.0f} s")

    def _wait_for_machines(self, deadline):
        for machine in self.machines:
            line = self._wait_for_one(machine, deadline)
            if line is None:
                ended = machine if machine.status is not None else self.host
                over = f"cut after {LIMIT:.0f} s"
                self.note = over if now() >= deadline else f"{ended.name} ended with status {ended.status}"
                return
            self.finished.append(line.time - self.tool.complete_delay)
        self.complete = True

    def _wait_for_one(self, machine, deadline):
        if self.tool.complete is None:
            return Line(machine.ended, "") if machine.wait_end(deadline) and machine.status == 0 else None
        while True:
            # A host that gave up leaves machines waiting that stay for the next transfer.
            line = machine.wait_line(self.tool.complete, min(deadline, now() + PATIENCE))
            if line or now() >= deadline or machine.status is not None:
                return line
            if self.tool.machines_stay and self.host.status is not None and self.host.ended < now() - PATIENCE:
                return None

    def _end(self):
        """Lets every program end, or ends it; returns the server's counters."""
        patient = self.complete
        if patient and self.host:
            self.host.wait_end(now() + END_LIMIT)
        counters = self.workspace.sent()
        programs = [*self.machines, *([self.host] if self.host else []), *([self.watch] if self.watch else [])]
        for program in programs:
            polite = not patient or program is self.watch or (self.tool.machines_stay and program in self.machines)
            program.finish(polite)
        if patient and not self.tool.succeeded(self.host, self.machines):
            self.complete = False
            self.note = f"{self.host.name} ended with status {self.host.status}, its machines with " + \
                ", ".join(str(machine.status) for machine in self.machines)
        return counters

    def differing(self):
        """The machines whose file is not the file that was sent."""
        return [number for number, folder in self.folders.items()
                if subprocess.run(["cmp", "--silent", self.job.file, self.tool.received(self.job, folder)]).returncode]

    def clean(self):
        for folder in self.folders.values():
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
        self.folders = {}
