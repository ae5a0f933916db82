"""Host commands, loop devices, hashes and threads that the scenarios share; a failure is one sentence."""

import contextlib
import hashlib
import os
import subprocess
import threading
import time


class Failure(Exception):
    """A scenario did not prove what it should: the sentence says what was seen instead."""


def prove(condition, sentence):
    """Fails with the sentence unless the condition holds."""
    if not condition:
        raise Failure(sentence)


def command(*words, stdin=None, limit=900, env=None, check=True):
    """Runs a program to its end and returns its output as text (standard error included)."""
    words = [str(word) for word in words]
    try:
        done = subprocess.run(words, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=limit, env=env,
                              stdin=subprocess.DEVNULL if stdin is None else None)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{' '.join(words)} did not end within {limit} s") from late
    except FileNotFoundError as missing:
        raise Failure(f"{words[0]} is missing: run make setup") from missing
    if check and done.returncode != 0:
        tail = "\n".join(done.stdout.strip().splitlines()[-12:])
        raise Failure(f"{' '.join(words)} ended with status {done.returncode}:\n{tail}")
    return done.stdout


@contextlib.contextmanager
def loop_device(path, read_only=False):
    """A loop device for a file: it lets go of the file with its last user, so none is left behind."""
    options = ["--read-only"] if read_only else []
    device = command("losetup", "--find", "--show", "--partscan", *options, path).strip()
    holder = os.open(device, os.O_RDONLY)
    try:
        if not read_only:  # what an earlier user set outlives the attachment
            command("blockdev", "--setrw", device)
        command("losetup", "--detach", device)  # in use: detached when `holder` and all mounts are closed
        yield device
    finally:
        os.close(holder)


@contextlib.contextmanager
def mounted(source, at, *options):
    """A file system on the host, mounted for as long as the block runs."""
    os.makedirs(at, exist_ok=True)
    command("mount", *(["-o", ",".join(options)] if options else []), source, at)
    try:
        yield at
    finally:
        command("umount", at)


@contextlib.contextmanager
def mounted_partition(disk, number, at, *options):
    """A partition of a disk's file, mounted on the host, whose kernel needs no partition parser for it."""
    start, size = partition(disk, number)
    with mounted(disk, at, "loop", f"offset={start}", f"sizelimit={size}", *options):
        yield at


def partition(disk, number):
    """Offset and size of a partition in bytes, as sgdisk reads them."""
    facts = dict(line.split(": ", 1) for line in command("sgdisk", f"--info={number}", disk).splitlines()
                 if ": " in line)
    first, last = (int(facts[f"{end} sector"].split()[0]) for end in ("First", "Last"))
    return first * 512, (last - first + 1) * 512


def sha256(path, start=0, size=None):
    """The SHA-256 of a file, or of a part of it."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(start)
        while size is None or size > 0:
            block = file.read(1 << 20 if size is None else min(1 << 20, size))
            if not block:
                break
            size = None if size is None else size - len(block)
            digest.update(block)
    return digest.hexdigest()


def empty_disk(path, size):
    """A disk of zeros that takes no space."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def copy_disk(source, path):
    """A copy of a disk's file that keeps its holes."""
    command("cp", "--sparse=always", "--reflink=auto", source, path)
    return path


def together(*jobs):
    """Runs the jobs at the same time and returns their results; the first that failed speaks for all."""
    results, errors = [None] * len(jobs), []

    def work(index):
        try:
            results[index] = jobs[index]()
        except BaseException as error:  # handed to the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(index,), daemon=True) for index in range(len(jobs))]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and not errors:
        for thread in threads:
            thread.join(0.2)
    if errors:
        raise errors[0]
    return results


class Clock:
    """Seconds since it was made."""

    def __init__(self):
        self.start = time.monotonic()

    @property
    def seconds(self):
        return time.monotonic() - self.start
