"""Scenario 8: a room without anybody: two machines start from the network first and for ever, and nobody types."""

import restored
from daemon import Daemon
from lab import RATE
from machine import BOOT_LIMIT, Disk, Firmware, Machine
from network import HOST_ADDRESS
from tools import prove, together

TITLE = "BIOS and UEFI (Secure Boot), network first for ever: unattended from power-on to login, twice"
SESSION, IMAGE = "room8", "base.img"
SECURE_LIMIT = 1.5 * BOOT_LIMIT  # every page of the firmware is checked in software
MENU_LOCAL = r"Continue from local disk"


def run(lab):
    lab.media.need("pxe")
    daemon = Daemon(lab)
    daemon.add_image(IMAGE, lab.base.image)
    root = lab.own_boot_root(f"SERVERKEY={daemon.key()}\nPROXYADDR={HOST_ADDRESS}\n")
    daemon.start(RATE, root)
    made = daemon.api("POST", "/api/v1/automatic", {
        "name": SESSION, "image": IMAGE, "clients": 2, "minutes": 60,
        "rule": [{"junction": "AND", "attribute": "memory", "comparison": ">", "value": "100"}]})
    daemon.wait_for("the boot file for machines that nobody knows says imaging",
                    lambda: boot_file(root, "default") == "auto")
    lab.proved(f"imgserv serve hosts nothing yet; session {SESSION} (number {made['number']}) takes machines by the "
               f"rule '{made['ruleText']}'")

    machines = [Machine(lab, "bios", [Disk(lab.blank_disk("bios"))], boot="n"),
                Machine(lab, "uefi", [Disk(lab.blank_disk("uefi"))],
                        Firmware.uefi(f"{lab.directory}/uefi.vars", secure=True), boot="n")]
    together(*[lambda machine=machine: imaged(lab, machine) for machine in machines])
    session = next(one for one in daemon.api("GET", "/api/v1/sessions") if one["name"] == SESSION)
    prove(session["state"] == "ended" and session["isComplete"] and len(session["participants"]) == 2,
          f"session {SESSION} did not end complete, with two participants: {session}")
    orders = [one_order(daemon, machine) for machine in machines]
    asked = daemon.api("GET", "/api/v1/status")["counters"]["requests"]
    enabled = daemon.api("GET", "/api/v1/automatic")[0]["enabled"]
    prove(not enabled, f"the automatic session {SESSION} is still enabled after its run")
    for machine in machines:
        said = boot_file(root, machine.mac.replace(":", "-"))
        prove(said == "local", f"{machine.name}: its boot file says {said}, not local")
    lab.proved(f"the server: session {SESSION} ended complete, one order for each machine, both done; "
               "their boot files say local disk")

    # Nothing is changed at the machines: their power goes off and on, and the network is asked first again.
    together(*[machine.power_off for machine in machines])
    machines = [Machine(lab, "bios-again", [Disk(f"{lab.directory}/bios.disk")], boot="n", same_as=machines[0]),
                Machine(lab, "uefi-again", [Disk(f"{lab.directory}/uefi.disk")],
                        Firmware(f"{lab.directory}/uefi.vars", secure=True), boot="n", same_as=machines[1])]
    together(*[lambda machine=machine: from_disk(lab, machine) for machine in machines])
    prove([one_order(daemon, machine) for machine in machines] == orders, "a machine has got another order")
    now = daemon.api("GET", "/api/v1/status")["counters"]["requests"]
    prove(now == asked, f"the server was asked for work {now - asked} times although there was none")
    lab.proved("the second time: the network first again, straight to the disk: nobody asked for work, no new order")
    together(*[machine.power_off for machine in machines])
    for name in ("bios", "uefi"):
        restored.prove_table(f"{lab.directory}/{name}.disk")
    lab.proved("both disks: sgdisk finds no problem with the partition tables")


def limit(machine):
    return SECURE_LIMIT if machine.name.startswith("uefi") else BOOT_LIMIT


def imaged(lab, machine):
    """From power-on through the session and the restart to the restored system; nobody types before its login."""
    machine.work_unattended(r"Starting: img auto", limit(machine))
    machine.expect(r"rule 'RAM > 100' matched", limit(machine))
    lab.proved(f"{machine.name}: PXE and the boot menu started img auto, which was told session {SESSION} by its rule")
    done = machine.expect(r"Restarting in \d+ s|^img# ", restored.SESSION_LIMIT).group()
    prove(done != "img# ", f"{machine.name}: img auto has failed; it is at the prompt (see {machine.log})")
    machine.expect(r"^Restarting\.")
    lab.proved(f"{machine.name}: restored, made bootable, reported, restarts by itself")
    machine.expect(MENU_LOCAL, limit(machine))
    restored.prove_running(lab, machine)
    if machine.name.startswith("uefi"):
        state = machine.shell("tail -c 1 /sys/firmware/efi/efivars/SecureBoot-* | od -An -tu1").strip()
        prove(state == "1", f"{machine.name}: the firmware's variable SecureBoot is {state}, not 1")
        restored.show(lab, f"{machine.name}: efibootmgr", machine.shell("efibootmgr"))


def from_disk(lab, machine):
    """From power-on by way of the network's boot menu to the restored system, without the preboot environment."""
    machine.expect(MENU_LOCAL, limit(machine))
    restored.prove_running(lab, machine)
    prove(not machine.console.seen(r"Loading the kernel \.\.\.|img auto"),
          f"{machine.name}: the preboot environment was started again")


def one_order(daemon, machine):
    """The only order that the server has given to the machine; it must be done."""
    orders = daemon.orders(machine)
    prove(len(orders) == 1 and orders[0]["isDone"] is True and orders[0]["work"] == f"take part in session {SESSION}",
          f"{machine.name}: not one order that is done: {orders}")
    return orders[0]


def boot_file(root, name):
    """What GRUB's file of this name says is to start: auto or local; "" without the file."""
    try:
        with open(f"{root}/grub/mac/{name}.cfg") as file:
            return next((line.strip().removeprefix("set default=") for line in file if "default=" in line), "")
    except FileNotFoundError:
        return ""
