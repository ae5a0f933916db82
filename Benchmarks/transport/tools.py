"""The tools that are measured: how each is started, when it is through, and what its datagrams carry."""
import json
import math
import os
from dataclasses import dataclass

from ground import BIN, SERVER, TOOLS, address

ETHERNET_IPV4_UDP = 14 + 20 + 8
ETHERNET_IPV4_TCP = 14 + 20 + 32  # with the timestamp option, which Linux uses
LONGEST_TRAIN = 45  # datagrams of 1440 bytes that one GSO send takes
MULTICAST = "239.192.78.2"
LANS = {"max": None, "1gbit": 1000, "200mbit": 200}  # Mbit/s that leave the server


@dataclass(frozen=True)
class Case:
    """One cell of the table."""

    n: int
    loss: float  # percent
    lan: str  # max, 1gbit or 200mbit
    sink: str | None = None  # disk: the timed run writes too; None: the cheapest the tool has

    def __str__(self):
        return f"N={self.n} loss={self.loss:g} lan={self.lan}" + (f" sink={self.sink}" if self.sink else "")

    @property
    def mbit(self):
        """Mbit/s of the server's link, Ethernet headers included; None without a limit."""
        return LANS[self.lan]


class Tool:
    """What all tools have in common. A folder per machine, when there is one, is where the machine keeps the file."""

    name = ""
    host_first = True  # the host waits for the machines; else the machines wait for the host
    machines_stay = False  # a machine's program waits for the next transfer: it is ended with SIGTERM
    complete = None  # the line with which a machine says that it has everything; None: it ends then
    complete_delay = 0.0  # seconds that this line, by the tool's own rules, comes after the event
    data_bytes = 0  # bytes of the file in a full datagram
    header_bytes = 0  # the tool's own header before them
    frame_bytes = ETHERNET_IPV4_UDP
    ready = None  # the line with which a machine says that it listens, where the host does not wait for it
    verifiable = True
    sink_in_memory = False  # whether the timed run needs a file per machine too

    def host(self, case, job):
        raise NotImplementedError

    def machine(self, case, job, number, folder):
        raise NotImplementedError

    def prepare_machine(self, job, folder):
        """Makes what has to be in a machine's folder before its program starts."""

    def received(self, job, folder):
        """The file that a machine has made."""
        return folder / "file"

    def succeeded(self, host, machines):
        """Whether every program says that all went well."""
        return host.status == 0 and all(machine.status == 0 for machine in machines)

    def extra(self, machines):
        """What the tool itself knows better or besides, as keys of the case's entry."""
        return {}

    def needed(self, file_bytes):
        """Payload bytes that the file takes in this tool's own datagrams when each is sent once."""
        return math.ceil(file_bytes / self.data_bytes) * self.header_bytes + file_bytes

    def sent(self, counted_bytes, counted_packets):
        """Payload bytes from the counters: a train carries one set of headers, however many datagrams it becomes."""
        return counted_bytes - counted_packets * self.frame_bytes


class Img(Tool):
    """imgserv mcast and img session, with an image made with comp=none. discard proves that every symbol came.

    On a limited LAN there is no rate=: the speed of a veth counts as unknown, and the host's own socket, which tbf
    holds back, clocks it. On the unlimited LAN rate= is out of reach.
    """

    name = "img"
    complete = r": every chunk (received|restored)"
    data_bytes, header_bytes = 1408, 32

    def host(self, case, job):
        rate = os.environ.get("IMG_RATE") or (None if case.mbit else 100_000)
        return [BIN / "imgserv", "mcast", "bench", "-p", job.image, "-c", case.n, "-t", 1, "-i", SERVER,
                "linger=1", *([f"rate={rate}"] if rate else []), "--state", job.folder / "state"]

    def machine(self, case, job, number, folder):
        return [BIN / "img", "session", "bench", f"disks={folder / 'file'}" if folder else "disks=discard"]

    def prepare_machine(self, job, folder):
        with open(folder / "file", "wb") as disk:
            disk.truncate(job.file.stat().st_size)


class Udpcast(Tool):
    """udp-sender and udp-receiver. Each setting was tried once or twice, with 64 or 128 MiB, while others used the
    machine: differences below a fifth may be noise, so each N has what did best there, and trials are worth repeating.

    --full-duplex: half-duplex did 44 for 49 MB/s at N=4, 14 for 30 with 5 % loss. --rcvbuf 4m: without it up to a
    fifth was sent again; N=16 did 13 instead of 16 to 19 MB/s. --slice-size, no loss, with that buffer: at N=4 1024
    did 55, the default 48, 128 did 46; at N=16 the default did 19, 1024 did 16, 128 did 15. At N=4 with 5 % loss 128
    did 30, 1024 did 26. --fec 8x8/128 and 8x4/64 beside acknowledgements: 28 and 39 for 46 MB/s at 1 % loss, 26 and
    22 for 30 at 5 %. --broadcast: no difference. --max-bitrate was not tried: where the LAN is limited, the sender's
    own socket holds it back. --exit-wait: a receiver stays half a second (the default) to answer again, then says
    "Transfer complete"; that half second is taken off its time. --min-wait and --rexmit-hello-interval with loss:
    without them three of three runs with 64 MiB at N=16, 5 % waited for ever for one receiver, and one with 16 MiB
    ended; with them one with 24 MiB ended. They pass before the data, and are not timed.
    """

    name = "udpcast"
    EXIT_WAIT = 500  # ms
    complete = r"Transfer complete"
    complete_delay = EXIT_WAIT / 1000
    data_bytes, header_bytes = 1456, 16

    def host(self, case, job):
        return ["udp-sender", "--file", job.file, "--interface", "eth0", "--mcast-data-address", MULTICAST,
                 "--nopointopoint", "--nokbd", "--no-progress", "--min-receivers", case.n,
                 "--retries-until-drop", 200, "--full-duplex",
                *self._slices(case),
                *(["--min-wait", 5, "--rexmit-hello-interval", 200] if case.loss else [])]

    @staticmethod
    def _slices(case):
        if case.loss:
            return ["--slice-size", 128]
        return ["--slice-size", 1024] if case.n <= 4 else []

    def machine(self, case, job, number, folder):
        return ["udp-receiver", "--file", folder / "file" if folder else "/dev/null", "--nosync",
                 "--interface", "eth0", "--nokbd", "--rcvbuf", "4m", "--exit-wait", self.EXIT_WAIT]


class Uftp(Tool):
    """uftp and uftpd, unencrypted. Few settings were tried, once each, at N=4 with 64 MiB on a busy machine.

    -R -1 (as fast as it goes): 39 MB/s without loss; 400 Mbit/s did 27 and TFMCC 21, but with -r 0.02, with which -1
    did 20: a fixed rate near the LAN's best may do better and is worth a trial. -r: with 0.02 s and 1 % loss uftp
    gave its machines up or did not end in 20 s; 0.1 works, the default of 0.5 was not compared. -b 1440 is the
    largest round block within the MTU; -B and -c are the largest buffers; -x 0 writes the shortest log.
    """

    name = "uftp"
    host_first = False
    machines_stay = True
    complete = r"^RESULT;.*;copied"
    BUFFER = 104857600  # bytes, the most it takes
    data_bytes, header_bytes = 1440, 20
    sink_in_memory = True

    def host(self, case, job):
        members = ",".join(self._id(number) for number in range(1, case.n + 1))
        return ["uftp", "-I", "eth0", "-H", members, "-D", "file", "-x", 0, "-R", -1, "-B", self.BUFFER,
                "-b", self.data_bytes, "-r", "0.1:0.01:15", job.file]

    def machine(self, case, job, number, folder):
        return ["uftpd", "-d", "-I", "eth0", "-U", self._id(number), "-D", folder, "-F", "@LOG", "-q", "-x", 0,
                "-B", self.BUFFER, "-c", 20971520]

    def _id(self, number):
        return f"0x{number:08X}"

    def succeeded(self, host, machines):
        return host.status == 0


class Streams(Tool):
    """N TCP streams with sendfile; each machine reads and discards (streams.c)."""

    name = "tcp"
    complete = r"^complete "
    data_bytes, header_bytes = 1448, 0
    frame_bytes = ETHERNET_IPV4_TCP

    def host(self, case, job):
        return [TOOLS / "streams", "send", SERVER, job.file, case.n]

    def machine(self, case, job, number, folder):
        return [TOOLS / "streams", "receive", SERVER, *([folder / "file"] if folder else [])]


class Ceiling(Tool):
    """The bare blaster (ceiling.c): its receivers time themselves, from their first symbol to their last."""

    name = "ceiling"
    host_first = False
    verifiable = False
    ready = "ready"
    data_bytes, header_bytes = 1408, 32

    def host(self, case, job):
        limit = case.mbit * 1408 / 1482 / 8 if case.mbit else 0
        return [TOOLS / "ceiling", "send", SERVER, job.file, f"{limit:.3f}", 1 if case.loss else LONGEST_TRAIN]

    def machine(self, case, job, number, folder):
        return [TOOLS / "ceiling", "receive", address(number)]

    @staticmethod
    def results(machines):
        """What the receivers print at their ends."""
        return [json.loads(machine.lines[-1].text) for machine in machines]

    def extra(self, machines):
        slowest = min(self.results(machines), key=lambda result: result["MBps"])
        return {"goodput_MBps": round(slowest["MBps"], 2), "seconds": round(slowest["last"] - slowest["first"], 3),
                "lost_percent": round(slowest["lost_percent"], 3)}


ALL = {tool.name: tool for tool in (Img(), Udpcast(), Uftp(), Streams(), Ceiling())}
