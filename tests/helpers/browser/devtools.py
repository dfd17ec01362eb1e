"""A headless Chromium driven through its debugging pipe: typing, clicking, reading the page."""

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")
TIMEOUT = 30_000  # milliseconds
ERROR_EVENTS = ("Runtime.exceptionThrown", "Log.entryAdded", "Inspector.targetCrashed")
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowDown": 40, "ArrowRight": 39}
TEXTS = {"Enter": "\r", " ": " "}


class Tab:
    """A page in a browser; `faults` are its uncaught errors and the browser's error messages."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing, self._rest, self._sent = reading, writing, b"", 0
        self.faults: list[str] = []
        self._session: str | None = None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> Any:
        """Send the browser a command and return its result."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._next_message()
            if reply.get("id") == self._sent:
                assert "error" not in reply, f"{method}: {reply['error']}"
                return reply["result"]

    def _next_message(self) -> Any:
        while b"\0" not in self._rest:
            more = os.read(self._reading, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(text)
        if message.get("method") in ERROR_EVENTS:
            self.faults.append(json.dumps(message["params"]))
        return message

    def open(self, url: str) -> None:
        """Open a normalised URL and wait until the page has loaded."""
        result = self("Page.navigate", url=url)
        assert "errorText" not in result, result
        self.wait(f"document.readyState === 'complete' && location.href === {json.dumps(url)}")

    def run(self, script: str) -> Any:
        """Return the value of an expression on the page; promises are awaited."""
        result = self("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in result, f"{script}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def wait(self, condition: str) -> Any:
        """Wait until an expression is true and return its value."""
        found = self.run(
            f"""new Promise((done, fail) => {{
              const last = Date.now() + {TIMEOUT};
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
        assert found, f"timeout waiting for {condition}; the page shows: {self.run('document.body.innerText')}"
        return found

    def press(self, key: str, times: int = 1) -> None:
        """Press a key on the focused element."""
        event = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
        for _ in range(times):
            self("Input.dispatchKeyEvent", type="keyDown", text=TEXTS.get(key, ""), **event)
            self("Input.dispatchKeyEvent", type="keyUp", **event)

    def choose(self, selector: str, *paths: Path) -> None:
        """Choose files in a file input."""
        element = self("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        self("DOM.setFileInputFiles", files=[str(path) for path in paths], objectId=element["result"]["objectId"])

    def _place(self, selector: str) -> tuple[float, float, float, float]:
        """Return the left, top, width and height of an element, scrolled into view, in CSS pixels."""
        left, top, width, height = self.run(
            f"""(() => {{ const one = document.querySelector({json.dumps(selector)});
              one.scrollIntoView({{ block: "nearest" }});
              const box = one.getBoundingClientRect();
              return [box.left, box.top, box.width, box.height]; }})()"""
        )
        return left, top, width, height

    def drop(self, selector: str, *paths: Path) -> None:
        """Drop files and folders on an element, as from a file manager."""
        left, top, width, height = self._place(selector)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self("Input.dispatchDragEvent", type=kind, x=left + width / 2, y=top + height / 2, data=data)

    def drag(self, selector: str, start: tuple[float, float], stop: tuple[float, float]) -> None:
        """Drag the mouse over an element, from and to points in shares of its width and height."""
        left, top, width, height = self._place(selector)
        for kind, (x, y) in (("mousePressed", start), ("mouseMoved", stop), ("mouseReleased", stop)):
            point = {"x": left + x * width, "y": top + y * height}
            self("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **point)

    def downloaded(self, script: str, name: str, folder: Path) -> str:
        """Run a script that downloads a file of that name and return its text."""
        self("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        self.run(script)
        deadline = time.monotonic() + TIMEOUT / 1000
        while not (folder / name).exists():
            assert time.monotonic() < deadline, f"no download of {name}"
            time.sleep(0.02)
        text = (folder / name).read_bytes().decode()
        (folder / name).unlink()
        return text

    def window(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        """Set the window size in CSS pixels, and light or dark mode."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])


@contextmanager
def browser() -> Iterator[Tab]:
    """Yield a tab in a new browser, which is killed at the end."""
    to_browser, from_us = os.pipe()
    from_browser, to_us = os.pipe()
    inside = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in (to_browser, to_us)]
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [str(BROWSER), *OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
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
