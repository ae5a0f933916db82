"""dnsmasq beside the machines, as the medium's own configuration has it: addresses and PXE for all of them."""


def start(network, media, directory):
    """Starts dnsmasq in the network's namespace; it serves until the run ends."""
    return network.start(f"{directory}/dnsmasq.log", "dnsmasq", "--keep-in-foreground", "--log-facility=-",
                         "--log-dhcp", "--leasefile-ro", f"--conf-file={media.pxe}/dnsmasq-dhcp.conf",
                         "--interface=br0", f"--tftp-root={media.pxe}")
