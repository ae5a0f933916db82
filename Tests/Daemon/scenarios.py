"""What the imaging server and its workstations must do together, each scenario on a network of its own."""

import os
import signal
import time

from lab import BIN, make_disk, proves, shell, wait_for


def scenario(stations):
    def mark(function):
        function.is_scenario = True
        function.stations = stations
        return function

    return mark


def orders(lab, number):
    return lab.api("GET", f"/api/v1/workstations/{lab.mac(number)}")["orders"]


@scenario(4)
def rule(lab):
    """Four machines ask, a rule takes them into one session, everybody is told once."""
    lab.image("base.img", "rule", 48)
    lab.serve()
    made = lab.api("POST", "/api/v1/automatic", {
        "name": "lab1", "image": "base.img", "clients": 4, "minutes": 2,
        "rule": [{"junction": "AND", "attribute": "memory", "comparison": ">", "value": "100"},
                 {"junction": "AND", "attribute": "address", "comparison": "=", "value": "10.88.0.0/24"}]})
    assert made["enabled"] and made["number"] > 0, made
    for number in range(1, 5):
        lab.disk(number, 80)
    stations = [lab.auto(number) for number in range(1, 5)]
    for number, station in enumerate(stations, 1):
        assert station.wait(120) == 0, station.text()
        assert "rule 'RAM > 100 AND IP = 10.88.0.0/24' matched" in station.text(), station.text()
        assert proves(f"{lab.folder}/m{number}.disk", "rule", 48)
        last = orders(lab, number)[0]
        assert last["isDone"] is True and last["work"] == "take part in session lab1", last
    session = wait_for("the session's end", lambda: (lambda one: one if one["state"] == "ended" else None)(lab.session("lab1")))
    assert session["isComplete"] and len(session["participants"]) == 4, session
    wait_for("the automatic session is disabled",
             lambda: not lab.api("GET", "/api/v1/automatic")[0]["enabled"])
    # The second time there is nothing to do, also when the session is enabled for another run by mistake of nobody.
    again = lab.auto(1, log="again")
    assert again.wait(30) == 3, again.text()
    counters = lab.api("GET", "/api/v1/status")["counters"]
    assert counters["requests"] == 5 and counters["imagesSent"] == 4 and counters["sessions"] == 1, counters


@scenario(2)
def boot(lab):
    """What machines start from the network follows what they were told and what they have reported."""
    lab.image("base.img", "boot", 16)
    lab.serve()
    wait_for("nobody has work", lambda: lab.starts("default") == "local")
    lab.api("PUT", "/api/v1/policy", {"action": "restore", "image": "base.img", "always": False})
    wait_for("who is not known may get work", lambda: lab.starts("default") == "auto")
    lab.disk(1, 32)
    station = lab.auto(1)
    assert station.wait(60) == 0, station.text()
    wait_for("the policy has been done here", lambda: lab.starts(1) == "local")
    assert lab.starts("default") == "auto"
    # A rule that does not hold: the machine is asked in, is told that there is nothing, and starts its disk from then on.
    lab.api("PUT", "/api/v1/policy", {"action": "nothing", "always": False})
    lab.api("POST", "/api/v1/automatic", {
        "name": "large", "image": "base.img",
        "rule": [{"junction": "AND", "attribute": "memory", "comparison": ">", "value": "900000000"}]})
    wait_for("a rule may claim it", lambda: lab.starts("default") == "auto")
    assert lab.starts(2) is None
    lab.disk(2, 32)
    station = lab.auto(2)
    assert station.wait(60) == 3, station.text()
    wait_for("there is nothing for it", lambda: lab.starts(2) == "local")


@scenario(2)
def refer(lab):
    """A machine whose work another server has is sent there once, and then starts its disk."""
    lab.serve()
    other = f"{lab.folder}/other"
    os.makedirs(f"{other}/state", mode=0o700)
    os.makedirs(f"{other}/images")
    # A machine that pins the first server's key obeys no other.
    shell("cp", "-p", f"{lab.folder}/state/host.key", f"{other}/state/host.key")
    with open(f"{other}/imgserv.conf", "w") as file:
        file.write(f"images={other}/images\nstate={other}/state\nsocket={other}/socket\nhttp=none\naddress=10.88.0.3\n")
    lab.start("m2", "other", f"{BIN}/imgserv", "serve", "--config", f"{other}/imgserv.conf")
    wait_for("the other server", lambda: os.path.exists(f"{other}/socket"))
    wait_for("nobody has work", lambda: lab.starts("default") == "local")
    lab.api("PUT", "/api/v1/referrals", [{"workstations": lab.mac(1), "server": "10.88.0.3"}])
    wait_for("who is not known may be sent there", lambda: lab.starts("default") == "auto")
    lab.disk(1, 32)
    station = lab.auto(1)
    assert station.wait(60) == 3, station.text()
    wait_for("it has been there", lambda: lab.starts(1) == "local")
    assert orders(lab, 1)[0]["isDone"] is True, orders(lab, 1)


@scenario(1)
def transfer(lab):
    """makep and restorep: a round trip over TCP, with the server killed in the middle of each."""
    lab.serve()
    make_disk(f"{lab.folder}/source.disk", 400, "transfer", 320)
    # The link is slowed down so that there is a middle.
    lab.inside("srv", "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "400mbit", "burst", "64k", "latency", "50ms")
    lab.inside("m1", "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "400mbit", "burst", "64k", "latency", "50ms")
    key = lab.key()
    up = lab.start("m1", "makep", f"{BIN}/img", "makep", "10.88.0.1", "made.img", f"disks={lab.folder}/source.disk",
                   "comp=none")
    kill_in_the_middle(lab, "receive", key)
    assert up.wait(120) == 0, up.text()
    view = lab.api("GET", "/api/v1/images/made.img")
    assert view["usedBytes"] >= 320 << 20 and not view.get("problem"), view
    # A second image of the name is refused before anything is read.
    second = lab.start("m1", "second", f"{BIN}/img", "makep", "10.88.0.1", "made.img",
                       f"disks={lab.folder}/source.disk")
    assert second.wait(60) == 1 and "made.img" in second.text(), second.text()
    target = lab.disk(1, 420)
    down = lab.start("m1", "restorep", f"{BIN}/img", "restorep", "10.88.0.1", "made.img", f"disks={target}",
                     f"key={key}", "verify")
    kill_in_the_middle(lab, "send", key)
    assert down.wait(120) == 0, down.text()
    assert proves(target, "transfer", 320)
    wrong = lab.start("m1", "wrong", f"{BIN}/img", "restorep", "10.88.0.1", "made.img", f"disks={target}",
                      "key=aaaa-bbbb-cccc-dddd")
    assert wrong.wait(60) == 1, wrong.text()


def kill_in_the_middle(lab, direction, key):
    def is_in_the_middle():
        running = [one for one in lab.api("GET", "/api/v1/status")["transfers"] if one["direction"] == direction]
        return running and 15 < running[0]["percent"] < 80

    wait_for(f"a transfer ({direction}) is in its middle", is_in_the_middle)
    lab.daemon.kill(signal.SIGKILL)
    lab.daemon.wait()
    time.sleep(1)
    lab.serve()
    assert lab.key() == key


@scenario(3)
def killed(lab):
    """The daemon is killed in the middle of a session and started again: everybody goes on and ends well."""
    lab.image("base.img", "killed", 160)
    lab.serve()
    key = lab.key()
    lab.api("POST", "/api/v1/sessions", {"name": "room", "image": "base.img", "clients": 3, "rate": 250})
    stations = []
    for number in range(1, 4):
        disk = lab.disk(number, 200)
        stations.append(lab.start(f"m{number}", f"m{number}", f"{BIN}/img", "session", "room", f"disks={disk}",
                                  f"key={key}", "client"))
    wait_for("the session is in its middle", lambda: 20 < lab.session("room")["percent"] < 70, 60)
    lab.daemon.kill(signal.SIGKILL)
    lab.daemon.wait()
    time.sleep(2)
    lab.serve()
    for number, station in enumerate(stations, 1):
        assert station.wait(120) == 0, station.text()
        assert "lost the host" in station.text() and "back in the session" in station.text(), station.text()
        assert proves(f"{lab.folder}/m{number}.disk", "killed", 160)
    session = wait_for("the session's end", lambda: (lambda one: one if one["state"] == "ended" else None)(lab.session("room")))
    assert session["isComplete"], session
    # Nothing is hosted after another start.
    lab.daemon.kill(signal.SIGTERM)
    assert lab.daemon.wait(30) == 0, lab.daemon.text()
    lab.serve()
    assert lab.session("room") is None


@scenario(3)
def master(lab):
    """A workstation is the master of an automatic session: the others wait for its role and get its disks."""
    lab.serve()
    make_disk(f"{lab.folder}/m1.disk", 64, "master", 40)
    lab.api("POST", "/api/v1/automatic", {
        "name": "from m1", "master": lab.mac(1), "clients": 2, "minutes": 2, "members": [lab.mac(2), lab.mac(3)]})
    others = []
    for number in (2, 3):
        lab.disk(number, 80)
        others.append(lab.auto(number))
    wait_for("a participant waits for the master", lambda: "has not begun yet" in others[0].text())
    first = lab.auto(1)
    for number, station in enumerate(others, 2):
        assert station.wait(120) == 0, station.text()
        assert proves(f"{lab.folder}/m{number}.disk", "master", 40)
    assert first.wait(120) == 0, first.text()
    wait_for("the automatic session is disabled", lambda: not lab.api("GET", "/api/v1/automatic")[0]["enabled"])
    assert proves(f"{lab.folder}/m1.disk", "master", 40)
    assert orders(lab, 1)[0]["work"] == "be the master of session from m1"


@scenario(2)
def keys(lab):
    """Without the right key pinned nothing is touched; --insecure says so on the screen."""
    lab.image("base.img", "keys", 24)
    lab.serve()
    lab.api("PUT", "/api/v1/policy", {"action": "restore", "image": "base.img", "always": False})
    disk = lab.disk(1, 64)
    none = lab.auto(1, key="", log="none")
    assert none.wait(60) != 0 and "SERVERKEY" in none.text(), none.text()
    assert not os.path.getsize(disk) == 0 and not any(open(disk, "rb").read(4096)), "the disk was touched"
    wrong = lab.auto(1, key="aaaa-bbbb-cccc-dddd", log="wrong")
    wait_for("a wrong key is refused", lambda: "key" in wrong.text(), 30)
    time.sleep(3)
    wrong.end()
    assert not any(open(disk, "rb").read(4096)), "the disk was touched"
    insecure = lab.auto(1, "--insecure", key="", log="insecure", server=None)
    assert insecure.wait(90) == 0, insecure.text()
    assert "insecure" in insecure.text()
    assert proves(disk, "keys", 24)
    again = lab.auto(1, log="again")
    assert again.wait(30) == 3, again.text()
    # By force it is sent once more, and only once.
    lab.api("POST", f"/api/v1/workstations/{lab.mac(1)}/force", {"forced": True})
    forced = lab.auto(1, log="forced")
    assert forced.wait(90) == 0, forced.text()
    last = lab.auto(1, log="last")
    assert last.wait(30) == 3, last.text()


@scenario(2)
def stopped(lab):
    """A session is stopped: its participants say by whom."""
    lab.image("base.img", "stopped", 24)
    lab.serve()
    lab.api("POST", "/api/v1/sessions", {"name": "lab", "image": "base.img", "clients": 5})
    disk = lab.disk(1, 64)
    station = lab.start("m1", "m1", f"{BIN}/img", "session", "lab", f"disks={disk}", f"key={lab.key()}", "client")
    wait_for("one has registered", lambda: lab.session("lab")["standing"] == "1/4")
    lab.api("DELETE", "/api/v1/sessions/lab")
    assert station.wait(30) == 1 and "stopped by root" in station.text(), station.text()
    assert not any(open(disk, "rb").read(4096)), "the disk was touched"
    # The same at the daemon's own end.
    lab.api("POST", "/api/v1/sessions", {"name": "lab", "image": "base.img", "clients": 5})
    station = lab.start("m1", "m1b", f"{BIN}/img", "session", "lab", f"disks={disk}", f"key={lab.key()}", "client")
    wait_for("one has registered", lambda: lab.session("lab")["standing"] == "1/4")
    lab.daemon.kill(signal.SIGTERM)
    assert station.wait(30) == 1 and "the imaging server is being stopped" in station.text(), station.text()
    assert lab.daemon.wait(30) == 0, lab.daemon.text()
