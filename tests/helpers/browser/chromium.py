"""A page in a headless Chromium: what a script that is put into it finds there."""

import html
import json
import shutil
import subprocess
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
    "--virtual-time-budget=20000",
)
PROBE = """
<script>
addEventListener("load", () => {{
  const answer = document.createElement("pre");
  answer.id = "answer";
  let found;
  try {{ found = (() => {{ {script} }})(); }} catch (error) {{ found = "failed: " + error; }}
  answer.textContent = JSON.stringify({{ found, errors }});
  document.body.append(answer);
}});
</script>
"""
LISTEN = """
<script>
const errors = [];
for (const kind of ["error", "unhandledrejection", "securitypolicyviolation"])
  addEventListener(kind, event => errors.push(kind + ": " + (event.message || event.reason || event.blockedURI)), true);
</script>
"""
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here to open the page in")


def ask(page: str, script: str, folder: Path, *options: str) -> tuple[Any, list[str]]:
    """Return what `script`, the body of a function, gives on a page when it has loaded, and the errors until then."""
    probed = page.replace("<head>", "<head>" + LISTEN, 1).replace("</body>", PROBE.format(script=script) + "</body>", 1)
    path = folder / "probed.html"
    path.write_text(probed, encoding="utf-8")
    with TemporaryDirectory() as profile:
        shown = subprocess.run(
            [str(BROWSER), *OPTIONS, f"--user-data-dir={profile}", *options, "--dump-dom", path.as_uri()],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    answer = shown.stdout.rpartition('<pre id="answer">')[2].partition("</pre>")[0]
    told = json.loads(html.unescape(answer))
    return told["found"], told["errors"]


def in_frame(page: str, width: int) -> str:
    """Return a page that holds another in a frame of that width: a window cannot be as narrow as a phone."""
    frame = f'<iframe width="{width}" height="800" style="border:0" srcdoc="{html.escape(page)}"></iframe>'
    return f"<!DOCTYPE html><html><head><title>frame</title></head><body>{frame}</body></html>"
