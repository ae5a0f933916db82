"""The targets that the benchmark's figures can decide, each with what was measured."""
STRIPE = 128  # source symbols of a stripe
WIRE_1GBIT = 115.6  # MB/s of the file that 1 Gbit/s can pay
BUFFERS_MIB = 256  # the default pool


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


def targets(figures, stragglers):
    """Rows (what, target, measured, held); held is None where a figure is missing."""
    rows = []

    def add(what, target, measured, form, holds):
        shown = "not measured" if measured is None else format(measured, form)
        rows.append((what, target, shown, None if measured is None else bool(holds(measured))))

    def goodput(tool, n, loss, lan):
        return figures.get("goodput_MBps", tool, n, loss, lan)

    def ratio(a, b):
        return None if a is None or not b else a / b

    for n, least in ((16, 0.8), (4, 0.6), (1, 0.4)):
        add(f"goodput / ceiling, no loss, unlimited LAN, N = {n}", f"≥ {least:.0%}",
            ratio(goodput("img", n, 0.0, "max"), goodput("ceiling", n, 0.0, "max")), ".1%", lambda v: v >= least)
    for loss in [loss for loss in figures.losses if loss]:
        for n in figures.ns:
            ceiling = goodput("ceiling", n, loss, "max")
            extra = theoretical_airtime(n, loss)
            add(f"goodput / (ceiling / (1 + {extra:.1%})), loss {loss:g} %, unlimited LAN, N = {n}", "≥ 90%",
                ratio(goodput("img", n, loss, "max"), ceiling and ceiling / (1 + extra)), ".1%", lambda v: v >= 0.9)
    for tool, least in (("udpcast", 15), ("uftp", 15), ("tcp", 1.8)):
        add(f"goodput against {tool}, no loss, unlimited LAN, N = 16", f"≥ {least}×",
            ratio(goodput("img", 16, 0.0, "max"), goodput(tool, 16, 0.0, "max")), ".2f", lambda v: v >= least)
    for loss, least in ((0.0, 0.95), (1.0, 0.9)):
        ceiling = goodput("ceiling", 4, loss, "1gbit")
        reach = ceiling and min(WIRE_1GBIT, ceiling)
        add(f"1 Gbit/s LAN, N = 4, loss {loss:g} %: goodput / min({WIRE_1GBIT}, ceiling)", f"≥ {least:.0%}",
            ratio(goodput("img", 4, loss, "1gbit"), reach), ".1%", lambda v: v >= least)
    airtimes = [figures.get("extra_airtime", "img", 16, 1.0, lan) for lan in ("max", "1gbit", "200mbit")]
    add("extra airtime, N = 16, 1 % loss, worst LAN", "≤ 5%",
        max((a for a in airtimes if a is not None), default=None), ".2%", lambda v: v <= 0.05)
    add("time(16) / time(1), 200 Mbit/s, no loss", "≤ 1.05",
        ratio(goodput("img", 1, 0.0, "200mbit"), goodput("img", 16, 0.0, "200mbit")), ".3f", lambda v: v <= 1.05)
    for who in ("host", "participant"):
        worst = [ratio(figures.get(f"cpu_{who}_s_per_GB", "img", n, 0.0, lan),
                       figures.get(f"cpu_{who}_s_per_GB", "udpcast", n, 0.0, lan))
                 for n in figures.ns for lan in ("max", "1gbit", "200mbit")]
        add(f"CPU-seconds per GB, {who}, no loss: img / udpcast, worst case", "≤ 0.25",
            max((r for r in worst if r is not None), default=None), ".3f", lambda v: v <= 0.25)
    for who in ("host", "participant"):
        peaks = [e[f"peak_{who}_MB"] for e in figures.entries if e["tool"] == "img" and e.get(f"peak_{who}_MB")]
        rows.append((f"peak resident memory, {who}, any case", f"{BUFFERS_MIB} MiB of buffers and the program",
                     f"{max(peaks):.0f} MB" if peaks else "not measured", None))
    return rows + straggler_rows(stragglers)


def straggler_rows(stragglers):
    """Rows from .build/stragglers.json: how much later the others were than in the reference run."""
    named = {run["run"]: run for run in stragglers or []}
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
                 run and bool(run["completed"])))
    return rows
