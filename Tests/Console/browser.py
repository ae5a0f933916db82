"""Headless Chromium over its debugging pipe (Chrome DevTools Protocol): no driver, no port, no library."""
import base64
import fcntl
import json
import os
import select
import subprocess
import time

PATIENCE = 20  # seconds for what a page is waited for


class Failure(Exception):
    """What a test expected and did not see."""


class Browser:
    """One page of one browser, which ends with it."""

    def __init__(self, prefix, profile, log):
        """prefix: words before the command (ip netns exec NAME); profile: an empty directory of its own."""
        (command_end, self.command), (self.answer, answer_end) = os.pipe(), os.pipe()
        # Above 9, so that they are not in the way of 3 and 4; these copies are inherited.
        command_read, answer_write = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (command_end, answer_end))
        # Chromium reads commands from descriptor 3 and answers on 4.
        shell = f"exec 3<&{command_read} 4>&{answer_write}; exec \"$@\""
        self.process = subprocess.Popen(
            [*prefix, "bash", "-c", shell, "bash", "chromium", "--headless=new", "--no-sandbox",
             "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--lang=en-US", "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=False,
            env={**os.environ, "HOME": profile, "TZ": "UTC"})
        for end in (command_end, answer_end, command_read, answer_write):
            os.close(end)
        self.buffer = b""
        self.number = 0
        self.complaints = []
        target = self._call("Target.createTarget", {"url": "about:blank"}, None)["targetId"]
        self.session = self._call(
            "Target.attachToTarget", {"targetId": target, "flatten": True}, None)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.command)
        os.close(self.answer)

    def _read(self, deadline):
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.answer], [], [], left)[0]:
                raise Failure("the browser does not answer")
            piece = os.read(self.answer, 1 << 20)
            if not piece:
                raise Failure("the browser has ended")
            self.buffer += piece
        text, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(text)

    def _call(self, method, parameters, session):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.command, data):]
        deadline = time.monotonic() + PATIENCE * 3
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise Failure(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._note(answer)

    def _note(self, event):
        """Keeps what the browser itself complains about: script errors and broken rules of the security policy."""
        method, what = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(what["exceptionDetails"].get("exception", {}).get("description", "an exception"))
        elif method == "Log.entryAdded" and what["entry"]["level"] == "error":
            entry = what["entry"]
            # A refused form has its status; the page says why, and the test looks for that.
            if entry["source"] != "network":
                self.complaints.append(f"{entry['source']}: {entry['text']}")

    def call(self, method, **parameters):
        return self._call(method, parameters, self.session)

    def value(self, script):
        """What a script's expression is."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise Failure(f"{script}: {result['exceptionDetails'].get('exception', {}).get('description')}")
        return result["result"].get("value")

    def until(self, script, what, patience=PATIENCE):
        """Waits until the expression holds; `what` is what is missed otherwise."""
        deadline = time.monotonic() + patience
        while True:
            try:
                value = self.value(f"!!({script})")
                if value:
                    return value
            except Failure:
                # The page is being replaced.
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                shown = self.value("document.querySelector('main')?.innerText ?? ''")
                raise Failure(f"{what}; the page at {self.value('location.href')} shows:\n{shown[:1500]}")
            time.sleep(0.1)

    def open(self, address):
        """Goes to an address and waits for the document."""
        self.value("document.documentElement.dataset.old = 'yes'")
        self.call("Page.navigate", url=address)
        self.arrive(f"{address} does not open")

    def arrive(self, what):
        """Waits for a document that is not the one marked by `mark`."""
        self.until("document.readyState === 'complete' && !document.documentElement.dataset.old", what)

    def leave(self, script, what):
        """Does something that leads to another document, and waits for it."""
        self.value("document.documentElement.dataset.old = 'yes'")
        self.value(script)
        self.arrive(what)

    def fill(self, **fields):
        """Types into fields, by their ids, and has the page notice."""
        for name, text in fields.items():
            found = self.value(f"""(() => {{
                const field = document.getElementById({json.dumps(name.replace('_', '-'))});
                if (!field) return false;
                field.focus();
                if (field.type === 'checkbox' || field.type === 'radio') field.checked = {json.dumps(bool(text))};
                else field.value = {json.dumps(text)};
                field.dispatchEvent(new Event('input', {{bubbles: true}}));
                field.dispatchEvent(new Event('change', {{bubbles: true}}));
                return true;
            }})()""")
            if not found:
                raise Failure(f"the page has no field '{name}'")

    def press(self, text, within="main"):
        """Presses the button or follows the link of that text."""
        return f"""(() => {{
            const all = [...document.querySelectorAll({json.dumps(within)} + " button, " + {json.dumps(within)} + " a")];
            const one = all.find((one) => one.textContent.trim() === {json.dumps(text)} && one.offsetParent);
            if (!one) throw new Error({json.dumps(text)} + " is not on the page");
            one.click();
        }})()"""

    def shoot(self, path, width, height, scheme="light"):
        """A picture of the whole page at a width of the window; fails where the page is wider than that."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
        over = self.value("""Math.max(document.documentElement.scrollWidth - window.innerWidth, ...[...document
            .querySelectorAll("main > *, main section > *, main section > div > *")]
            .map((one) => Math.round(one.getBoundingClientRect().right
                - document.querySelector("main").getBoundingClientRect().right
                + parseFloat(getComputedStyle(document.querySelector("main")).paddingRight))))""")
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
        if over > 0:
            raise Failure(f"{os.path.basename(path)}: something is {over} px too wide")
