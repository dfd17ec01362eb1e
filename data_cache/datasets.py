"""Data sets as one table, a row an image, with the protocols that may be evaluated on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data_cache.errors import UserError
from data_cache.images import path_inside
from data_cache.protocols import Protocol, Split, fixed_split
from data_cache.readers import read_vehicleid, read_veri, read_veriwild, read_vric
from data_cache.recipes import unknown

REQUIRED_COLUMNS = ("name", "vehicle_id", "camera_id", "split")
SPLITS = ("train", "query", "gallery", "test")


@dataclass(frozen=True)
class Dataset:
    """Images of vehicles.

    `table` has the columns `name` (POSIX path below `root`: the key everywhere), `vehicle_id` (text, as the data set
    writes it), `camera_id` (-1 where there is none), `split` (train | query | gallery | test) and what else is known.
    `splits` names the tests that can be run, the largest last. `released` tells that its authors' lists say so: a fault
    in them is remarked, not refused, because every published number has it too.
    """

    name: str
    root: Path
    table: pd.DataFrame
    splits: Mapping[str, Split]
    released: bool = False

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
        """Return the largest test."""
        if not self.splits:
            raise UserError(f"{self.root}: nothing to evaluate, the data set lists no query or no gallery images")
        return list(self.splits)[-1]

    def protocol(self, split: str, *, draws: int = 10, seed: int = 0) -> Protocol:
        """Return the trials of a test. Raises UserError for a split that the data set does not have."""
        if split not in self.splits:
            raise unknown(f"split of {self.name}", split, self.splits)
        return self.splits[split].protocol(split, draws, seed)


def read_csv(path: Path) -> pd.DataFrame:
    """Read a data set's CSV (name, vehicle_id, camera_id, split, and any more). Raises UserError for what is wrong."""
    try:
        # index_col=False: pandas takes the first column for an index where every line ends with a comma
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False).fillna("")
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such file; a CSV with the columns {', '.join(REQUIRED_COLUMNS)} is needed"
        ) from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path}: cannot be read as CSV ({str(error).strip()})") from error
    missing = [column for column in REQUIRED_COLUMNS if column not in table]
    if missing:
        raise UserError(f"{path}: column {missing[0]} is missing; needed: {', '.join(REQUIRED_COLUMNS)}")
    if table.empty:
        raise UserError(f"{path}: lists no image")
    unnamed = (table[["name", "vehicle_id"]] == "").any(axis=1)
    if unnamed.any():
        raise UserError(f"{path}, line {int(unnamed.argmax()) + 2}: name or vehicle_id is empty")
    camera = pd.to_numeric(table["camera_id"].replace("", "-1"), errors="coerce")
    wrong = ~((camera == camera.round()) & (camera.abs() < 2**53))  # NaN and infinity too
    if wrong.any():
        line = int(wrong.argmax()) + 2
        raise UserError(f"{path}, line {line}: camera_id must be a whole number, or empty where there is none")
    return table.assign(camera_id=camera.astype("int64"))


def _read_folder(root: Path, csv: Path) -> tuple[pd.DataFrame, dict[str, Split]]:
    table = read_csv(csv)
    split = fixed_split(table, same_camera_is_junk=bool((table["camera_id"] >= 0).any()))
    return table, {"test": split} if len(split.query) and len(split.gallery) else {}


def _read_synthetic(root: Path) -> tuple[pd.DataFrame, dict[str, Split]]:
    if not (root / "synthetic.json").exists():
        raise UserError(
            f"{root}: no finished synthetic data set; make it with `python cli.py synth --data-root {root.parent}`"
        )
    table = read_csv(root / "images.csv")
    vehicles = np.array(sorted(set(table["vehicle_id"][table["split"] != "train"])))
    sizes = {"small": max(1, len(vehicles) // 3), "medium": max(1, 2 * len(vehicles) // 3), "large": len(vehicles)}
    return table, {
        split: fixed_split(table, same_camera_is_junk=True, within=table["vehicle_id"].isin(set(vehicles[:size])))
        for split, size in sizes.items()
    }


@dataclass(frozen=True)
class _Source:
    folders: tuple[str, ...]
    read: Callable[[Path], tuple[pd.DataFrame, dict[str, Split]]]
    how_to_get: str


_SOURCES = {
    "veri": _Source(("VeRi", "veri"), read_veri, "ask its authors: https://github.com/JDAI-CV/VeRidataset"),
    "vehicleid": _Source(
        ("VehicleID_V1.0", "PKU-VehicleID", "vehicleid"),
        read_vehicleid,
        "ask its authors: https://www.pkuml.org/resources/pku-vehicleid.html",
    ),
    "vric": _Source(("VRIC", "vric"), read_vric, "ask its authors: https://qmul-vric.github.io"),
    "veriwild": _Source(
        ("VERI-Wild", "VERI-WILD", "veri-wild", "veriwild"),
        read_veriwild,
        "ask its authors: https://github.com/PKU-IMRE/VERI-Wild",
    ),
    "synthetic": _Source(("synthetic",), _read_synthetic, "make it: `python cli.py synth`"),
}


def load_dataset(name: str, data_root: Path) -> Dataset:
    """Read a data set below `data_root`: one of the known names, `folder` (images.csv there), or the path of a CSV.

    The names in a CSV are relative to `data_root`. Raises UserError where nothing lies there, telling how to get it.
    """
    if name == "folder" or name.endswith(".csv"):
        csv = data_root / "images.csv" if name == "folder" else Path(name)
        return Dataset(dataset_label(name), data_root, *_read_folder(data_root, csv))
    if name not in _SOURCES:
        raise unknown("data set", name, [*_SOURCES, "folder", "FILE.csv"])
    source = _SOURCES[name]
    for folder in source.folders:
        if (data_root / folder).is_dir():
            return Dataset(name, data_root / folder, *source.read(data_root / folder), released=name != "synthetic")
    looked = " or ".join(str(data_root / folder) for folder in source.folders)
    elsewhere = "" if name == "synthetic" else "; DATASET=synthetic needs no data of yours"
    raise UserError(f"data set {name} is not there: looked for {looked}; {source.how_to_get}{elsewhere}")


def dataset_label(name: str) -> str:
    """Return the name under which a data set's results are kept: a CSV's stem, else the name itself."""
    return Path(name).stem if name.endswith(".csv") else name


def faults(dataset: Dataset) -> list[str]:
    """Return what would spoil training or testing: shared vehicles, an empty part, queries without a match.

    In released lists single queries without a match are `remarks`; a test in which none has one is a fault everywhere.
    """
    table = dataset.table
    found = []
    trained = set(table["vehicle_id"][table["split"] == "train"])
    shared = sorted(trained & set(table["vehicle_id"][table["split"] != "train"]))
    if shared:
        found.append(f"{len(shared)} vehicles are in both train and test, first {shared[0]}")
    for split in dataset.splits:
        trial = dataset.protocol(split, draws=1).trials[0]
        found += [f"{split}: no {part} images" for part in ("query", "gallery") if not len(getattr(trial, part))]
        lonely = queries_without_match(dataset, split)
        if lonely and (len(lonely) == len(trial.query) or not dataset.released):
            found.append(f"{split}: {len(lonely)} of {len(trial.query)} queries have no match, first {lonely[0]}")
    return found


def remarks(dataset: Dataset) -> list[str]:
    """Return what the tests of released lists leave out: 12 of VERI-Wild's 3,000 small queries have no match."""
    lonely = {split: queries_without_match(dataset, split) for split in dataset.splits if dataset.released}
    return [
        f"{split}: {len(names)} queries have no match and do not count, first {names[0]}"
        for split, names in lonely.items()
        if names
    ]


def queries_without_match(dataset: Dataset, split: str) -> list[str]:
    """Return the names of a test's queries whose vehicle is nowhere in the gallery, junk aside."""
    table, protocol = dataset.table, dataset.protocol(split, draws=1)
    trial = protocol.trials[0]
    cameras = table.iloc[trial.gallery].groupby("vehicle_id")["camera_id"].agg(set).to_dict()
    lonely = []
    for name, vehicle, camera in table.iloc[trial.query][["name", "vehicle_id", "camera_id"]].to_numpy().tolist():
        junk = {camera} if protocol.same_camera_is_junk and camera >= 0 else set()  # -1: not known
        if not cameras.get(vehicle, set()) - junk:
            lonely.append(str(name))
    return lonely
