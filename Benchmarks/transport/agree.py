"""Does the ceiling of this benchmark agree with the one that everybody here was given (../shared/bench/ceiling)?"""
import os
import re
import statistics
import subprocess
from pathlib import Path

from ground import ROOT, TOOLS, BenchError, Workspace, prepare, raise_limits
from tools import ALL, Case
from transfer import Job, Transfer

ROUNDS = 3  # they take turns; medians count
TOLERANCE = 0.10
TIMEOUT = 400


def shared_folder():
    """The folder with lan.sh and ceiling/run.sh."""
    places = [Path(os.environ["SHARED"])] if "SHARED" in os.environ else []
    places += [ROOT.parent / "shared" / "bench", ROOT.parent.parent / "shared" / "bench"]
    for place in places:
        if (place / "ceiling" / "run.sh").exists():
            return place
    raise BenchError("../shared/bench/ceiling/run.sh is not here: set SHARED to the folder that holds ceiling/")


def our_rate(workspace, job, n, log):
    """MB/s of the slowest receiver of our blaster."""
    workspace.lan("up", n, 0, "max")
    transfer = Transfer(workspace, job, ALL["ceiling"], Case(n, 0.0, "max"), log, keep=False)
    workspace.lan("down")
    if not transfer.complete:
        raise BenchError(f"our ceiling did not come to its end: {transfer.note}")
    return min(result["MBps"] for result in ALL["ceiling"].results(transfer.machines))


def their_rate(folder, n):
    """MB/s of the slowest receiver of their blaster."""
    done = subprocess.run([folder / "ceiling" / "run.sh", str(n)], text=True, capture_output=True, timeout=TIMEOUT)
    rates = re.findall(r"^received ([0-9.]+) MB/s", done.stdout, re.MULTILINE)
    if done.returncode != 0 or not rates:
        raise BenchError(f"{folder}/ceiling/run.sh {n} failed: {done.stderr.strip()}")
    return min(map(float, rates))


def agree():
    """Prints both ceilings side by side; 0 if they agree within TOLERANCE at every N."""
    folder = shared_folder()
    prepare(need_img=False)
    raise_limits()
    disagreements = 0
    print(f"MB/s of the slowest receiver, medians of {ROUNDS} runs by turns; theirs is {folder}/ceiling")
    print(f"{'N':>3} {'ours':>8} {'theirs':>8} {'ratio':>6}")
    with Workspace() as workspace, open(TOOLS / "log", "w", buffering=1) as log:
        job = Job(workspace, need_image=False)
        for n in (1, 4, 16):
            ours, others = [], []
            for _ in range(ROUNDS):
                ours.append(our_rate(workspace, job, n, log))
                others.append(their_rate(folder, n))
            ratio = statistics.median(ours) / statistics.median(others)
            within = abs(ratio - 1) <= TOLERANCE
            disagreements += not within
            print(f"{n:3} {statistics.median(ours):8.0f} {statistics.median(others):8.0f} {ratio:6.3f}"
                  f"{'' if within else '  they differ by more than 10 percent'}", flush=True)
    return 1 if disagreements else 0
