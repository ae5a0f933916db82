"""Scenario 3: a master machine images two others; there is no server."""

import re

import restored
from machine import Disk, Machine
from tools import prove, sha256, together

TITLE = "master machine to two machines, no server"


def run(lab):
    lab.media.need("kernel", "initrd")
    source = lab.copy_of(lab.base.disk, "master")
    before = sha256(source)
    names = ("pc1", "pc2")
    targets = [lab.blank_disk(name) for name in names]
    master = Machine(lab, "master", [Disk(source)], kernel=True)
    machines = [Machine(lab, name, [Disk(disk)], kernel=True) for name, disk in zip(names, targets)]
    together(*[machine.prompt for machine in (master, *machines)])
    lab.proved("three machines are at the preboot prompt")

    told = together(lambda: master.shell("img session room5 master clients=2", restored.SESSION_LIMIT),
                    *[lambda machine=machine: machine.shell("img session room5 client", restored.SESSION_LIMIT)
                      for machine in machines])[0]
    captured = re.findall(r"slot (\d+): .* captured \((\w+)\)", told)
    prove(("3", "used") in captured, f"the master captured the root file system not by used blocks: {captured}")
    lab.proved("img session room5 ended with status 0 on the master and both machines")

    together(*[machine.power_off for machine in (master, *machines)])
    prove(sha256(source) == before, "the master's disk is not as before")
    lab.proved("the master's disk is bit for bit as before (SHA-256)")
    for name, disk in zip(names, targets):
        restored.prove_disk(lab, name, disk)
