"""Scripts and steps for tests that drive the search page in a browser."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.browser.devtools import Tab
from helpers.places.api import ToyRun

PHONE = 360  # CSS pixels
LOADED = "[...document.images].every(image => image.complete)"
BROKEN = "[...document.images].filter(image => image.checkVisibility() && !image.naturalWidth).length"
MATCHES = "document.querySelectorAll('#matches li').length"
HEADING = "document.getElementById('query-heading').textContent"
PROBLEM = "document.getElementById('problem')"
SHOWN_RESULTS = "document.getElementById('results').checkVisibility()"
IDLE = "document.getElementById('status').textContent === ''"
FOCUSABLE = """
    [...document.querySelectorAll('a[href], button, input, select, summary')].filter(one => one.checkVisibility())
    .map(one => {
      one.focus({ focusVisible: true });
      const shown = one.type === 'file' ? one.parentElement : one, style = getComputedStyle(shown);
      const name = one.getAttribute('aria-label') || one.labels?.[0]?.innerText || one.innerText;
      return [one.outerHTML.slice(0, 99), document.activeElement === one, one.tabIndex, style.outlineStyle,
              parseFloat(style.outlineWidth), (name || '').trim().length];
    })"""


@contextmanager
def start_page(window: Tab, url: str) -> Iterator[None]:
    """Open a page with ten images in a wide window; fails if the browser reports a fault by the end."""
    window.faults.clear()
    window.window(1200, 900)
    window.open("about:blank")
    window.open(url)
    window.wait("document.querySelectorAll('#first li').length === 10")
    yield
    assert window.faults == []


def query_photo(run: ToyRun, number: int = 0) -> Path:
    """Return a query of the test, which is not in the gallery."""
    return run.path(run.names("query")[number])


def search_with(tab: Tab, path: Path, matches: int = 10) -> None:
    """Choose a file on the page and wait for its matches."""
    tab.choose("#file", path)
    tab.wait(f"{HEADING} === {json.dumps(path.name)} && {MATCHES} === {matches} && {IDLE} && {LOADED}")


def choose_option(tab: Tab, name: str, value: str) -> None:
    """Choose an option of a list."""
    tab.run(
        f"""(() => {{ const list = document.getElementById({json.dumps(name)});
          list.value = {json.dumps(value)};
          list.dispatchEvent(new Event("change", {{ bubbles: true }})); }})()"""
    )


def hold_requests(tab: Tab, part: str) -> None:
    """Keep requests with `part` in their address, in place of sending them, until `release_requests`."""
    tab.run(
        f"""(() => {{ const send = window.fetch;
          window.held = [];
          window.release = () => {{ window.fetch = send; held.forEach(one => one()); }};
          window.fetch = (address, options) => !String(address).includes({json.dumps(part)}) ? send(address, options)
            : new Promise((done, fail) => {{
                options?.signal?.addEventListener("abort", () => fail(options.signal.reason));
                held.push(() => send(address, options).then(done, fail));
              }}); }})()"""
    )


def release_requests(tab: Tab) -> None:
    """Wait for a request that is held, and send it and all later ones."""
    tab.wait("held.length > 0")
    tab.run("release()")


def match_names(tab: Tab) -> list[str]:
    """Return the names of the matches on the page."""
    return [str(name) for name in tab.run("[...document.querySelectorAll('#matches a.picture')].map(one => one.title)")]


def problem_of(tab: Tab) -> str:
    """Wait for an error message on the page and return it."""
    tab.wait(f"!{PROBLEM}.hidden && {PROBLEM}.textContent")
    return str(tab.run(f"{PROBLEM}.textContent"))
