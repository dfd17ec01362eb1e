"""List files of the benchmarks in every form in which they may be laid down, for the tests of their readers."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from data_cache.datasets import Dataset

Form = Callable[[Sequence[str]], bytes]
FORMS: dict[str, Form] = {
    "plain": lambda lines: "".join(line + "\n" for line in lines).encode(),
    "CRLF": lambda lines: "".join(line + "\r\n" for line in lines).encode(),
    "no last newline": lambda lines: "\n".join(lines).encode(),
    "BOM": lambda lines: "".join(line + "\n" for line in lines).encode("utf-8-sig"),
    "empty lines and blanks": lambda lines: "\n\n".join(f"{line} \t" for line in [*lines, ""]).encode(),
}


in_every_form = pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))


def lay(root: Path, lists: dict[str, Sequence[str]], form: Form = FORMS["plain"]) -> Path:
    """Write list files below `root` in that form."""
    for name, lines in lists.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(form(lines))
    return root


def records(table: pd.DataFrame) -> list[tuple[str, str, int, str]]:
    return list(table[["name", "vehicle_id", "camera_id", "split"]].itertuples(index=False, name=None))


def names_of(dataset: Dataset, split: str) -> tuple[set[str], set[str]]:
    """Return the names of the queries and of the gallery of a split's first trial."""
    trial = dataset.protocol(split).trials[0]
    query, gallery = (set(dataset.table["name"].iloc[rows]) for rows in (trial.query, trial.gallery))
    return query, gallery
