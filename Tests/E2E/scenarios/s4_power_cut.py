"""Scenario 4: one of two machines loses power in the middle of a session, starts again and completes."""

import restored
from machine import Disk, Machine
from tools import prove, together

TITLE = "power cut in the middle of a session"
RATE = 40  # Mbit/s: slow enough that the session is surely under way when the power goes
CUT_AT = r"restoring ([3-6]\d) %"


def run(lab):
    lab.media.need("kernel", "initrd")
    # Both disks hold an older installation that starts: what is missing later has been taken away.
    disks = {name: lab.copy_of(lab.base.disk, name) for name in ("pc1", "pc2")}
    machines = {name: Machine(lab, name, [Disk(disk)], kernel=True) for name, disk in disks.items()}
    together(*[machine.prompt for machine in machines.values()])
    server = lab.host_session("lab4", lab.base.image, "-c", "2", "-t", "5", "linger=15", rate=RATE)
    for machine in machines.values():
        machine.console.begin("img session lab4")
    percent = machines["pc1"].expect(CUT_AT, restored.SESSION_LIMIT).group(1)
    machines["pc1"].kill()
    lab.proved(f"pc1 lost its power at {percent} %")
    restored.prove_nothing_bootable(disks["pc1"], "pc1")
    lab.proved("pc1's disk: no partition table by sfdisk, no GPT header at either end, no boot signature")

    again = Machine(lab, "pc1-again", [Disk(disks["pc1"])], kernel=True, same_as=machines["pc1"])
    status, output = together(again.prompt, lambda: machines["pc2"].console.finish(restored.SESSION_LIMIT))[1]
    prove(status == 0, f"pc2's img session ended with status {status}:\n{output[-1500:]}")
    prove(server.process.poll() is None, "imgserv ended while pc1 was missing")
    lab.proved("pc2 completed (status 0); pc1 is at the prompt again; imgserv still waits for it")
    again.shell("img session lab4", restored.SESSION_LIMIT)
    server.succeed(restored.SESSION_LIMIT)
    lab.proved("pc1 completed (status 0) in the same session; imgserv ended with status 0")
    together(again.power_off, machines["pc2"].power_off)
    for name, disk in disks.items():
        restored.prove_disk(lab, name, disk)
