"""A data set: one table with a row per image, and the protocols that can be evaluated on it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_cache.base.config import unknown
from data_cache.base.errors import UserError
from data_cache.base.remote.addresses import Address, Location, require_path
from data_cache.datasets.protocols import Protocol, Split
from data_cache.images.loading import path_inside

COLUMNS = ["name", "vehicle_id", "camera_id", "split"]
SPLITS = ("train", "query", "gallery", "test")
UNKNOWN = "unknown-"  # begins the names of vehicles that are not known


class ParsedLists(NamedTuple):
    """The result of a reader: table, splits and `no_training` as in `Dataset`, and entries that repeat an image."""

    table: pd.DataFrame
    splits: dict[str, Split]
    repeated: tuple[str, ...] = ()
    no_training: str = ""


@dataclass(frozen=True)
class Dataset:
    """Images of vehicles.

    `root` is a folder or an address. `table` has the columns `name` (POSIX path below `root`, the key everywhere),
    `vehicle_id` (text as in the lists), `camera_id` (-1 if unknown), `split` (train | query | gallery | test), and
    optional text columns: `colour`, `type`, `model`, `time`. `splits` are the tests by name, the default last.
    `released`: the table comes from the authors' lists, whose problems are reported but not refused, because published
    results share them. `rendered`: the images are synthetic, in whatever layout. `repeated`: list entries that name an
    image again; the table has it once. `argument` is the value of `--dataset` that chose it, by default its name.
    `no_training` says why there are no training images, if so: the data set is for evaluation only.
    """

    name: str
    root: Location
    table: pd.DataFrame
    splits: Mapping[str, Split]
    released: bool = False
    rendered: bool = False
    repeated: tuple[str, ...] = ()
    argument: str = ""
    no_training: str = ""

    def __post_init__(self) -> None:
        """Raise UserError for duplicate names and unknown splits."""
        duplicates = self.table["name"][self.table["name"].duplicated()]
        if len(duplicates):
            raise UserError(f"{self.root}: {len(duplicates)} images are listed twice, first {duplicates.iloc[0]}")
        wrong = sorted(set(self.table["split"]) - set(SPLITS))
        if wrong:
            raise UserError(f"{self.root}: unknown split {wrong[0]!r}; use one of {', '.join(SPLITS)}")

    @property
    def option(self) -> dict[str, str]:
        """The option that chooses this data set, for `data_cache.base.options.remedy_command`."""
        return {"--dataset": self.argument or self.name}

    @property
    def training_images(self) -> pd.DataFrame:
        """The rows of the table with split train, by name."""
        return self.table[self.table["split"] == "train"].sort_values("name")

    @property
    def folder(self) -> Path:
        """The root, for work that needs more than images from it. Raises UserError if it is an address."""
        return require_path(self.root)

    def path(self, name: str) -> Location:
        """Return the path or address of an image. Raises ImageError if the name points outside the root."""
        return path_inside(self.root, name)

    def names(self) -> list[str]:
        """Return all image names, sorted as in the part cache."""
        return sorted(self.table["name"])

    def default_split(self) -> str:
        """Return the last test: the largest one, and for VeRi-776 the one that ranks images."""
        if not self.splits:
            raise UserError(f"{self.root}: nothing to evaluate, the data set lists no query or no gallery images")
        return list(self.splits)[-1]

    def require_training_images(self) -> None:
        """Raise UserError if the data set is for evaluation only."""
        if self.no_training:
            raise UserError(f"{self.root}: nothing to train on, only to evaluate: {self.no_training}")
        if not (self.table["split"] == "train").any():
            raise UserError(f"{self.root}: no image has the split train")

    def protocol(self, split: str, *, draws: int = 10, seed: int = 0) -> Protocol:
        """Return the trials of a test. Raises UserError if the data set has no such split."""
        if split not in self.splits:
            raise unknown(f"split of {self.name}", split, self.splits)
        return self.splits[split].protocol(split, draws, seed)


def unknown_vehicle(line: int) -> str:
    """Return the vehicle of an image of which none is known, so that it is the same as in no other image."""
    return f"{UNKNOWN}{line}"


def is_unknown(vehicle: str) -> bool:
    """Return whether a vehicle is an `unknown_vehicle`.

    >>> is_unknown(unknown_vehicle(3)), is_unknown("unknown"), is_unknown("3")
    (True, False, False)
    """
    return vehicle.startswith(UNKNOWN) and vehicle.removeprefix(UNKNOWN).isdecimal()


def without_absent_training(dataset: Dataset) -> Dataset:
    """Return the data set without its training images if none of them exists but a test image does.

    It is a copy for evaluation. If no image exists at all, they are still to come, and stay in the table. At an address
    nothing is looked up, which would take a request per image.
    """
    root = dataset.root
    if isinstance(root, Address):
        return dataset
    train = dataset.table["split"] == "train"
    names, folders = dataset.table["name"], {}

    def exists(name: str) -> bool:
        folder = (root / name).parent
        try:
            if folder not in folders:
                folders[folder] = folder.is_dir()
            return folders[folder] and (root / name).exists()
        except OSError:  # a folder without permission: `check` reports its images
            return True

    if not train.any() or any(map(exists, names[train])) or not any(map(exists, names[~train])):
        return dataset
    new_row = np.cumsum(~train.to_numpy()) - 1
    return replace(
        dataset,
        table=dataset.table[~train].reset_index(drop=True),
        splits={name: split.renumbered(new_row) for name, split in dataset.splits.items()},
        no_training=f"none of the {int(train.sum()):,} training images exists, first {min(names[train])}",
    )


def is_stand_in(dataset: Dataset) -> bool:
    """Return whether rendered images replace a benchmark's photographs; results must never be mistaken for its own."""
    return dataset.rendered and dataset.name != "synthetic"
