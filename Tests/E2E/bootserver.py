"""dnsmasq beside the machines, as the medium's own configuration has it: addresses and PXE for all of them."""


class BootServer:
    """Serves one directory at a time, from its making until the run ends."""

    def __init__(self, network, media, log):
        self.network, self.media, self.log = network, media, log
        self.program = None
        with open(log, "wb"):
            pass
        self.serve(media.pxe)

    def serve(self, root):
        """Serves this directory from now on, instead of the one before."""
        if self.program:
            self.program.stop()
        self.program = self.network.start(
            self.log, "dnsmasq", "--keep-in-foreground", "--log-facility=-", "--log-dhcp", "--leasefile-ro",
            f"--conf-file={self.media.pxe}/dnsmasq-dhcp.conf", "--interface=br0", f"--tftp-root={root}")
