"""A serial console read and driven like a person would: wait for text, type, wait for the answer.

Everything that came is kept; `expect` searches from where the last one found its text. Terminal control
sequences are taken out, so that a pattern sees what a person would read. The raw bytes go to a log.
"""

import re
import threading
import time

from tools import Failure

CONTROL = re.compile(rb"\x1b(?:\[[0-9;?=>!]*[ -/]*[@-~]|[()][0-9A-Za-z]|[=>78cDEHMNOZ]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
INCOMPLETE = re.compile(rb"\x1b[^\x1b]{0,40}$")
FATAL = re.compile(r"Kernel panic - not syncing|grub rescue>|No bootable (?:device|option)")
SHOWN_LINES = 15


class Console:
    """One machine's console; `serial` is the connected socket, `alive` tells whether the machine still runs."""

    def __init__(self, name, serial, log, alive):
        self.name, self.log, self.alive = name, log, alive
        self.text, self.position = "", 0
        self.changed = threading.Condition()
        self.commands = 0
        self.socket = serial
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        pending = b""
        with open(self.log, "ab", buffering=0) as log:
            while True:
                try:
                    block = self.socket.recv(65536)
                except OSError:
                    block = b""
                log.write(block)
                pending += block
                tail = INCOMPLETE.search(pending) if block else None
                keep = len(pending) if tail is None or CONTROL.match(pending, tail.start()) else tail.start()
                readable = CONTROL.sub(b"", pending[:keep]).replace(b"\0", b"").decode("utf-8", "replace")
                pending = pending[keep:]
                with self.changed:
                    self.text += readable
                    self.changed.notify_all()
                if not block:
                    return

    def expect(self, pattern, limit, fatal=True):
        """Waits until the pattern appears after what was found before; returns the match.

        `limit` is in seconds. A panic, a firmware without anything to boot and the machine's end fail at
        once, unless `fatal` is false.
        """
        wanted = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + limit
        with self.changed:
            while True:
                found = wanted.search(self.text, self.position)
                if found:
                    self.position = found.end()
                    return found
                bad = FATAL.search(self.text, self.position) if fatal else None
                if bad:
                    raise self._failure(pattern, f"but '{bad.group()}' came")
                if not self.alive():
                    raise self._failure(pattern, "and the machine has ended")
                if time.monotonic() > deadline:
                    raise self._failure(pattern, f"within {limit:.0f} s")
                self.changed.wait(0.5)

    def _failure(self, pattern, why):
        lines = [line.rstrip() for line in re.split(r"[\r\n]+", self.text[-6000:]) if line.strip()]
        end = "\n".join(f"   | {line[-150:]}" for line in lines[-SHOWN_LINES:])
        return Failure(f"{self.name}: '{pattern}' did not appear {why}; the console's end ({self.log}):\n{end}")

    def seen(self, pattern):
        """The last match in all that came so far, or None."""
        last = None
        for last in re.finditer(pattern, self.text, re.MULTILINE):
            pass
        return last

    def type(self, text):
        """Types as fast as the other side takes it."""
        try:
            self.socket.sendall(text.encode())
        except OSError as error:
            raise Failure(f"{self.name}: typing failed: {error.strerror}") from error

    def begin(self, words):
        """Types a command line at a shell's prompt; `finish` waits for its end."""
        self.commands += 1
        # The typed line has %s where the answer has a word, so that the echo is not taken for the answer.
        self.type(f"printf '\\n@%s:{self.commands}\\n' begin; {words}; printf '\\n@%s:{self.commands}\\n' $?\r")
        self.expect(rf"^@begin:{self.commands}\r?\n", 120)

    def finish(self, limit):
        """Exit status and output of the command that `begin` typed."""
        start = self.position
        found = self.expect(rf"^@(\d+):{self.commands}\r?\n", limit)
        with self.changed:
            return int(found.group(1)), self.text[start:found.start()].replace("\r\n", "\n").strip()

    def close(self):
        self.socket.close()
