"""A run's own process, mount and host-name space: whatever a run makes ends with it, even after SIGKILL.

The run becomes process 1 of a new process namespace. When it ends, however it ends, the kernel kills every
virtual machine and helper in it, and with them go the mounts, the network namespace (its name lies on a
private tmpfs) and the loop devices (which let go of their file with their last user).
"""

import ctypes
import os
import signal
import sys

CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


class Interrupted(BaseException):
    """A signal asked the run to end."""


def must(result, doing):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{doing}: {os.strerror(ctypes.get_errno())}")


def enter():
    """Returns in the new process 1; the process that called it waits for that one and ends as it does."""
    must(libc.unshare(CLONE_NEWNS | CLONE_NEWPID), "cannot make namespaces (root is needed)")
    inner = os.fork()
    if inner:
        _wait_for(inner)
    must(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "cannot be tied to the outer process")
    must(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "cannot make mounts private")
    must(libc.mount(b"proc", b"/proc", b"proc", 0, None), "cannot mount /proc")
    os.makedirs("/run/netns", exist_ok=True)
    must(libc.mount(b"none", b"/run/netns", b"tmpfs", 0, None), "cannot mount /run/netns")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupted)


def _interrupted(number, _frame):
    for other in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(f"ended by {signal.Signals(number).name}")


def _wait_for(inner):
    def forward(number, _frame):
        os.kill(inner, number)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to both
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    _, status = os.waitpid(inner, 0)
    sys.stdout.flush()
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
