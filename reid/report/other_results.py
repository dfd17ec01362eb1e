"""The tables that `ablate` wrote, read back for the report: title, rows beside the paper's figures, notes, picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_cache.base.errors import UserError

KINDS = ("table-*.md", "figure-*.md")
REMEDY = "run `python cli.py ablate` again"


@dataclass(frozen=True)
class AblationTable:
    """A table as text: headings and rows of as many cells, notes below it, and the PNG that was drawn of it, if any."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    picture: bytes | None


def read_ablation_tables(folder: Path, split: str, splits: Sequence[str]) -> list[AblationTable]:
    """Return the tables in `folder` of a test, by name; `splits` are all tests, the default last.

    Tables of the default test have no suffix. Raises UserError for a file that is no such table.
    """
    others = tuple(f"-{other}" for other in splits)
    found = sorted((path for kind in KINDS for path in folder.glob(kind)), key=lambda path: path.stem)
    wanted = [
        path
        for path in found
        if (not path.stem.endswith(others) if split == splits[-1] else path.stem.endswith(f"-{split}"))
    ]
    return [_read(path) for path in wanted]


def _read(path: Path) -> AblationTable:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        picture = path.with_suffix(".png")
        drawn = picture.read_bytes() if picture.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {REMEDY}") from error
    cells = [tuple(_plain(cell) for cell in line.strip("|").split("|")) for line in lines if line.startswith("|")]
    titles = [line.removeprefix("# ") for line in lines if line.startswith("# ")]
    if len(titles) != 1 or len(cells) < 3 or len({len(row) for row in cells}) != 1:
        raise UserError(f"{path}: not a table of `ablate`; {REMEDY}")
    notes = tuple(_plain(line.removeprefix("- ")) for line in lines if line.startswith("- "))
    return AblationTable(titles[0], cells[0], tuple(cells[2:]), notes, drawn)


def _plain(text: str) -> str:
    return text.strip().replace("`", "")
