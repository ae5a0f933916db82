"""The targets that the benchmark's figures can decide, each with what was measured."""
STRIPE = 128  # source symbols of a stripe
WIRE_1GBIT = 115.6  # MB/s of the file that 1 Gbit/s can pay
PAYLOAD_1GBIT = 125 * 1408 / 1482  # MB/s: symbol bytes in the frames, without preamble and gap, that tbf counts
BUFFERS_MIB = 256  # the default pool
BURST_LIMIT = 1.2  # mean length of gaps above which losses are not independent (5 % have 1.05)
CPU_MARGIN = 1.25  # of the ceiling: the machine's noise, headers, reports
SHORTEST = 60.0  # seconds of a reference; in a shorter session 30 s of silence would be most of it
NS = (1, 4, 16)
LANS = ("max", "1gbit", "200mbit")


def theoretical_airtime(n, loss, k=STRIPE):
    """Extra airtime of an ideal code when a stripe's k symbols go to n machines that lose `loss` percent each.

    The host sends until the unluckiest machine has k symbols of each stripe: the mean of the maximum of n
    negative binomial numbers, over k, minus one.
    """
    p = loss / 100
    if p == 0:
        return 0.0
    mean, enough = float(k), 0.0
    chance = (1 - p) ** k  # that the k-th symbol arrives as transmission number x
    for x in range(k, k * 4):
        enough += chance
        mean += 1 - min(enough, 1.0) ** n
        chance *= p * x / (x - k + 1)
    return mean / k - 1


def is_invalid(entry):
    """Whether the LAN did not lose independently, as it was meant to."""
    return bool(entry["loss"]) and (entry.get("mean_burst") or 1) > BURST_LIMIT


def targets(figures, stragglers):
    """Rows (what, target, measured, held); held is None where a figure is missing, "" where nothing is asked for."""
    rows = []

    def add(what, target, measured, form, holds):
        shown = "not measured" if measured is None else format(measured, form)
        rows.append((what, target, shown, None if measured is None else bool(holds(measured))))

    def add_worst(what, target, measured, form, holds):
        """The largest of several; without one of them it can only be missed."""
        known = [value for value in measured if value is not None]
        worst = max(known, default=None)
        shown = "not measured" if worst is None else format(worst, form)
        if known and len(known) < len(measured):
            shown += f" ({len(known)} of {len(measured)} cases)"
        held = None if worst is None else bool(holds(worst))
        rows.append((what, target, shown, None if held and len(known) < len(measured) else held))

    def goodput(tool, n, loss, lan):
        return figures.get("goodput_MBps", tool, n, loss, lan)

    def ratio(one, other, name="goodput_MBps"):
        """Of two cases (tool, n, loss, lan) with files of the same size."""
        a, b = figures.get(name, *one), figures.get(name, *other)
        same = figures.get("file_MiB", *one) == figures.get("file_MiB", *other)
        return a / b if same and a is not None and b else None

    def limited_cpu(n, lan, name):
        """tbf cuts trains up and copies each datagram to every port within the sender's call: no sender can need
        less there than the ceiling does, whatever it does itself."""
        own, peer, bare = (ratio((tool, n, 0.0, lan), ("img", n, 0.0, lan), name) for tool in ("img", "udpcast", "ceiling"))
        return 1 / max(peer / 4, bare) if own and peer and bare else None

    for n, least in ((16, 0.8), (4, 0.6), (1, 0.4)):
        add(f"goodput / ceiling, no loss, unlimited LAN, N = {n}", f"≥ {least:.0%}",
            ratio(("img", n, 0.0, "max"), ("ceiling", n, 0.0, "max")), ".1%", lambda v: v >= least)
    for loss in (0.1, 1.0, 5.0):
        for n in NS:
            extra = theoretical_airtime(n, loss)
            part = ratio(("img", n, loss, "max"), ("ceiling", n, loss, "max"))
            add(f"goodput / (ceiling / (1 + {extra:.1%})), loss {loss:g} %, unlimited LAN, N = {n}", "≥ 90%",
                part and part * (1 + extra), ".1%", lambda v: v >= 0.9)
    for tool, least in (("udpcast", 15), ("uftp", 15), ("tcp", 1.8)):
        add(f"goodput against {tool}, no loss, unlimited LAN, N = 16", f"≥ {least}×",
            ratio(("img", 16, 0.0, "max"), (tool, 16, 0.0, "max")), ".2f", lambda v: v >= least)
    for loss, least in ((0.0, 0.95), (1.0, 0.9)):
        ceiling = goodput("ceiling", 4, loss, "1gbit")
        part = ratio(("img", 4, loss, "1gbit"), ("ceiling", 4, loss, "1gbit"))
        add(f"1 Gbit/s LAN, N = 4, loss {loss:g} %: goodput / min({WIRE_1GBIT}, ceiling)", f"≥ {least:.0%}",
            part and part * ceiling / min(WIRE_1GBIT, ceiling), ".1%", lambda v: v >= least)
    whole = figures.pipeline and figures.pipeline["goodput_MBps"]
    add(f"whole pipeline (seal, hash, write), N = 2, no loss: goodput / the {PAYLOAD_1GBIT:.1f} MB/s that 1 Gbit/s carries",
        "≥ 90%", whole and whole / PAYLOAD_1GBIT, ".1%", lambda v: v >= 0.9)
    add_worst("extra airtime, N = 16, 1 % loss, worst LAN", "≤ 5%",
              [figures.get("extra_airtime", "img", 16, 1.0, lan) for lan in LANS], ".2%", lambda v: v <= 0.05)
    add("time(16) / time(1), 200 Mbit/s, no loss", "≤ 1.05",
        ratio(("img", 1, 0.0, "200mbit"), ("img", 16, 0.0, "200mbit")), ".3f", lambda v: v <= 1.05)
    for who in ("host", "participant"):
        cpu = f"cpu_{who}_s_per_GB"
        add_worst(f"CPU-seconds per GB, {who}, no loss, unlimited LAN: img / udpcast, worst N", "≤ 0.25",
                  [ratio(("img", n, 0.0, "max"), ("udpcast", n, 0.0, "max"), cpu) for n in NS], ".3f", lambda v: v <= 0.25)
        add_worst(f"the same on the limited LANs: img / the larger of udpcast / 4 and what the bare ceiling needs", f"≤ {CPU_MARGIN}",
                  [limited_cpu(n, lan, cpu) for n in NS for lan in LANS[1:]], ".2f", lambda v: v <= CPU_MARGIN)
    for who in ("host", "participant"):
        peaks = [e[f"peak_{who}_MB"] for e in figures.entries if e["tool"] == "img" and e.get(f"peak_{who}_MB")]
        rows.append((f"peak resident memory, {who}, any case", f"{BUFFERS_MIB} MiB of buffers and the program",
                     f"{max(peaks):.0f} MB" if peaks else "not measured", "" if peaks else None))
    return rows + straggler_rows(stragglers)


def straggler_rows(stragglers):
    """Rows from .build/stragglers.json: how much later the others were than in the reference run."""
    named = {run["run"]: run for run in stragglers or []}
    reference = named.get("reference")
    if not reference or max(reference["finish_s"].values(), default=0) < SHORTEST:
        named = {}
    rows = []
    for name, what in (("stopped", "one stopped for 30 s"), ("late", "a fifth joins at half")):
        run = named.get(name)
        later = run and run.get("others_later")
        held = None if later is None else later <= 0.02 and run["completed"]
        rows.append((f"{what}: the others' finish against the reference", "≤ 2% later, all complete",
                     "not measured" if later is None else f"{later:+.2%}, {'all' if run['completed'] else 'NOT all'} complete", held))
    run = named.get("killed")
    rows.append(("killed with SIGKILL and started again", "completes; the session ends normally",
                 "not measured" if not run else "completed" if run["completed"] else run.get("note", "not completed"),
                 bool(run["completed"]) if run else None))
    return rows
