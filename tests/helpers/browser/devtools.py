"""A headless Chromium that is driven through its debugging pipe: typed in, clicked in, and asked what it shows."""

import base64
import fcntl
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from helpers.browser.chromium import BROWSER, OPTIONS

PATIENCE = 30_000  # milliseconds that a page may take until it shows what is waited for
TOLD = ("Runtime.exceptionThrown", "Log.entryAdded", "Inspector.targetCrashed")
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowDown": 40, "ArrowRight": 39}
TEXTS = {"Enter": "\r", " ": " "}


class Tab:
    """A page in a browser; `faults` are its uncaught errors and what the browser itself complained of."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing, self._rest, self._sent = reading, writing, b"", 0
        self.faults: list[str] = []
        self._session: str | None = None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> Any:
        """Give the browser a command and return its answer."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._sent:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _next(self) -> Any:
        while b"\0" not in self._rest:
            more = os.read(self._reading, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        told = json.loads(message)
        if told.get("method") in TOLD:
            self.faults.append(json.dumps(told["params"]))
        return told

    def open(self, url: str) -> None:
        """Go to an address, as a browser writes it, and wait until the page has loaded."""
        found = self("Page.navigate", url=url)
        assert "errorText" not in found, found
        self.wait(f"document.readyState === 'complete' && location.href === {json.dumps(url)}")

    def run(self, script: str) -> Any:
        """Return the value of an expression on the page; a promise is waited for."""
        found = self("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in found, f"{script}: {found['exceptionDetails']}"
        return found["result"].get("value")

    def wait(self, condition: str) -> Any:
        """Return the value of an expression as soon as it is true."""
        found = self.run(
            f"""new Promise((done, fail) => {{
              const last = Date.now() + {PATIENCE};
              const look = () => {{
                let found = null;
                try {{ found = {condition}; }} catch (error) {{ found = null; }}
                if (found) done(found instanceof Node ? true : found);
                else if (Date.now() > last) done(null);
                else setTimeout(look, 15);
              }};
              look();
            }})"""
        )
        assert found, f"waited in vain for {condition}; the page shows: {self.run('document.body.innerText')}"
        return found

    def press(self, key: str, times: int = 1) -> None:
        """Press a key where the focus is."""
        about = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
        for _ in range(times):
            self("Input.dispatchKeyEvent", type="keyDown", text=TEXTS.get(key, ""), **about)
            self("Input.dispatchKeyEvent", type="keyUp", **about)

    def choose(self, selector: str, path: Path) -> None:
        """Choose a file in an input of files."""
        found = self("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        self("DOM.setFileInputFiles", files=[str(path)], objectId=found["result"]["objectId"])

    def window(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        """Make the window that large, in CSS pixels."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, *, whole: bool = True) -> bytes:
        """Return a PNG file of the whole page, or of what the window shows."""
        found = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])


@contextmanager
def browser() -> Iterator[Tab]:
    """Give a tab in a browser of its own, which ends with it."""
    to_browser, from_us = os.pipe()
    from_browser, to_us = os.pipe()
    inside = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in (to_browser, to_us)]
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = [one for one in OPTIONS if "virtual-time" not in one]
        words = [str(BROWSER), *options, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        silent = os.open(os.devnull, os.O_WRONLY)
        actions = [(os.POSIX_SPAWN_DUP2, one, number) for number, one in ((3, inside[0]), (4, inside[1]), (2, silent))]
        process = os.posix_spawn(words[0], words, dict(os.environ), file_actions=actions, setpgroup=0)
        for one in (to_browser, to_us, *inside, silent):
            os.close(one)
        try:
            yield Tab(from_browser, from_us)
        finally:
            os.close(from_us)
            os.close(from_browser)
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
