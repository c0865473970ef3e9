"""Headless Chromium, driven through its DevTools protocol over a pipe: no package, no port, no other program.

https://chromedevtools.github.io/devtools-protocol/ lists the methods. A ``Page`` records console messages, exceptions,
requests and policy violations in their order.
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome", "google-chrome-stable")
PROGRAM = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
# --no-sandbox: Chromium's sandbox fails for root and in most containers; the page is our own, so it is safe
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe")
OPTIONS += ("--no-first-run", "--disable-extensions", "--disable-background-networking", "--hide-scrollbars")
SECONDS = 120  # limit for one answer, on a busy machine


class Page:
    """One browser tab."""

    def __init__(self, reader: int, writer: int) -> None:
        self.reader, self.writer, self.session = reader, writer, ""
        self.buffer, self.number = b"", 0
        self.console: list[str] = []
        self.requests: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a DevTools method and return its result; record the events that arrive before it."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = memoryview(json.dumps(message).encode() + b"\0")
        while data:
            data = data[os.write(self.writer, data) :]
        while True:
            answer = self._read()
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.reader], [], [], SECONDS)
            assert ready, "the browser does not answer"
            more = os.read(self.reader, 1 << 20)
            assert more, "the browser has ended"
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        method, told = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.console.append(json.dumps(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.console.append(json.dumps(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.console.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not told["request"]["url"].startswith("data:"):
            self.requests.append(told["request"]["url"])
        return message

    def open(self, path: Path, *, wide: int = 1280, high: int = 900, dark: bool = False, script: bool = True) -> None:
        """Open a file in a window of the given size and wait until it is loaded and painted."""
        self.send("Emulation.setScriptExecutionDisabled", value=not script)
        self.send("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ])  # fmt: skip
        self.send("Emulation.setDeviceMetricsOverride", width=wide, height=high, deviceScaleFactor=1, mobile=wide < 600)
        self.console.clear()
        self.requests.clear()
        self.send("Page.navigate", url=path.resolve().as_uri())
        deadline = time.monotonic() + SECONDS
        while self.run("document.readyState") != "complete":
            assert time.monotonic() < deadline, "the page does not load"
        if script:
            self.settle()

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; await it if it is a promise."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def settle(self) -> None:
        """Wait for two frames, so that observers have run and their output is drawn."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def key(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key."""
        more = {"text": text} if text else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    def move(self, selector: str, index: int = 0) -> None:
        """Move the pointer over the middle of an element."""
        element = f"document.querySelectorAll({json.dumps(selector)})[{index}]"
        self.run(f"{element}.scrollIntoView({{block: 'center'}})")
        x, y, wide, high = self.run(f"(r => [r.x, r.y, r.width, r.height])({element}.getBoundingClientRect())")
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x + wide / 2, y=y + high / 2)
        self.settle()

    def picture(self, path: Path) -> None:
        """Write a screenshot of the window."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def printed(self, path: Path) -> None:
        """Write the page to a PDF, as the browser prints it."""
        path.write_bytes(base64.b64decode(self.send("Page.printToPDF", printBackground=True)["data"]))


@contextlib.contextmanager
def page(profile: Path) -> Iterator[Page]:
    """A tab in a separate browser process, with its profile in the folder ``profile``."""
    assert PROGRAM is not None
    given, writer = os.pipe()
    reader, told = os.pipe()
    # The browser reads from descriptor 3 and writes to 4: first move both ends to higher numbers.
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (given, told)]

    def connect() -> None:
        for number, end in enumerate(high, 3):
            os.dup2(end, number)

    command = [PROGRAM, *OPTIONS, f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        command, preexec_fn=connect, close_fds=False, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for end in (given, told, *high):
        os.close(end)
    try:
        yield Page(reader, writer)
    finally:
        os.close(writer)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(reader)
