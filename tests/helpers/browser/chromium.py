"""Scripts run on a page in headless Chromium."""

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
  const output = document.createElement("pre");
  output.id = "output";
  let result;
  try {{ result = (() => {{ {script} }})(); }} catch (error) {{ result = "failed: " + error; }}
  output.textContent = JSON.stringify({{ result, errors }});
  document.body.append(output);
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
needs_browser = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")


def run_in_browser(page: str, script: str, folder: Path, *options: str) -> tuple[Any, list[str]]:
    """Return the result of `script`, the body of a function, on the loaded page, and the errors until then."""
    probed = page.replace("<head>", "<head>" + LISTEN, 1).replace("</body>", PROBE.format(script=script) + "</body>", 1)
    path = folder / "probed.html"
    path.write_text(probed, encoding="utf-8")
    with TemporaryDirectory() as profile:
        process = subprocess.run(
            [str(BROWSER), *OPTIONS, f"--user-data-dir={profile}", *options, "--dump-dom", path.as_uri()],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    output = process.stdout.rpartition('<pre id="output">')[2].partition("</pre>")[0]
    values = json.loads(html.unescape(output))
    return values["result"], values["errors"]


def in_frame(page: str, width: int) -> str:
    """Return a page with another in a frame of that width: a window cannot be as narrow as a phone."""
    frame = f'<iframe width="{width}" height="800" style="border:0" srcdoc="{html.escape(page)}"></iframe>'
    return f"<!DOCTYPE html><html><head><title>frame</title></head><body>{frame}</body></html>"
