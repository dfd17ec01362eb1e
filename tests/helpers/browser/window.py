"""The search page as a browser shows it: what the tests look for there, and how they search."""

import json
from pathlib import Path

from helpers.browser.devtools import Tab
from helpers.places.api import Place

PHONE = 360  # CSS pixels
LOADED = "[...document.images].every(image => image.complete)"
BROKEN = "[...document.images].filter(image => image.checkVisibility() && !image.naturalWidth).length"
MATCHES = "document.querySelectorAll('#matches li').length"
HEADING = "document.getElementById('query-heading').textContent"
PROBLEM = "document.getElementById('problem')"
IDLE = "document.getElementById('doing').textContent === ''"
FOCUS = """
    [...document.querySelectorAll('a, button, input, select, summary')].filter(one => one.checkVisibility())
    .map(one => {
      one.focus({ focusVisible: true });
      const shown = one.type === 'file' ? one.parentElement : one, style = getComputedStyle(shown);
      const name = one.getAttribute('aria-label') || one.labels?.[0]?.innerText || one.innerText;
      return [one.outerHTML.slice(0, 99), document.activeElement === one, one.tabIndex, style.outlineStyle,
              parseFloat(style.outlineWidth), (name || '').trim().length];
    })"""


def photo(place: Place, number: int = 0) -> Path:
    """A photo that is not in the gallery."""
    table = place.toy.dataset.table
    return place.path(sorted(table["name"][table["split"] == "query"])[number])


def searched(tab: Tab, path: Path, matches: int = 10) -> None:
    """Choose a file, and wait for what it finds."""
    tab.choose("#file", path)
    tab.wait(f"{HEADING} === {json.dumps(path.name)} && {MATCHES} === {matches} && {IDLE} && {LOADED}")


def names(tab: Tab) -> list[str]:
    return [str(name) for name in tab.run("[...document.querySelectorAll('#matches a.picture')].map(one => one.title)")]


def told(tab: Tab) -> str:
    """What the page tells as a problem, when it does."""
    tab.wait(f"!{PROBLEM}.hidden && {PROBLEM}.textContent")
    return str(tab.run(f"{PROBLEM}.textContent"))
