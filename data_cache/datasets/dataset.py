"""Data sets as one table, a row an image, with the protocols that may be evaluated on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from data_cache.base.config import unknown
from data_cache.base.errors import UserError
from data_cache.datasets.protocols import Protocol, Split
from data_cache.images.loading import path_inside

COLUMNS = ["name", "vehicle_id", "camera_id", "split"]
SPLITS = ("train", "query", "gallery", "test")


@dataclass(frozen=True)
class Dataset:
    """Images of vehicles.

    `table` has the columns `name` (POSIX path below `root`: the key everywhere), `vehicle_id` (text, as the data set
    writes it), `camera_id` (-1 where there is none), `split` (train | query | gallery | test) and what else is known,
    as text: `colour`, `type`, `model`, `time`. `splits` names the tests that can be run, the default last.
    `released` tells that its authors' lists say so: a fault in them is remarked, not refused, because every published
    number has it too. `rendered` tells that the renderer made it, in whatever layout. `repeated` tells the entries by
    which a list names an image again; the table has it once.
    """

    name: str
    root: Path
    table: pd.DataFrame
    splits: Mapping[str, Split]
    released: bool = False
    rendered: bool = False
    repeated: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse doubled names and unknown splits."""
        doubled = self.table["name"][self.table["name"].duplicated()]
        if len(doubled):
            raise UserError(f"{self.root}: {len(doubled)} images are listed twice, first {doubled.iloc[0]}")
        strange = sorted(set(self.table["split"]) - set(SPLITS))
        if strange:
            raise UserError(f"{self.root}: unknown split {strange[0]!r}; a split is one of {', '.join(SPLITS)}")

    def path(self, name: str) -> Path:
        """Return where an image lies. Raises ImageError for a name that leads out of the root."""
        return path_inside(self.root, name)

    def names(self) -> list[str]:
        """Return all image names, sorted: the order of the part cache."""
        return sorted(self.table["name"])

    def default_split(self) -> str:
        """Return the last test: the largest, and of VeRi-776 the one that ranks images."""
        if not self.splits:
            raise UserError(f"{self.root}: nothing to evaluate, the data set lists no query or no gallery images")
        return list(self.splits)[-1]

    def protocol(self, split: str, *, draws: int = 10, seed: int = 0) -> Protocol:
        """Return the trials of a test. Raises UserError for a split that the data set does not have."""
        if split not in self.splits:
            raise unknown(f"split of {self.name}", split, self.splits)
        return self.splits[split].protocol(split, draws, seed)


def is_stand_in(dataset: Dataset) -> bool:
    """Whether rendered vehicles lie where a benchmark's photographs belong; its figures must never pass for those."""
    return dataset.rendered and dataset.name != "synthetic"


class Reading(NamedTuple):
    """What a reader found: table and splits as in `Dataset`, and a line for each entry that a list repeats."""

    table: pd.DataFrame
    splits: dict[str, Split]
    repeated: tuple[str, ...] = ()
