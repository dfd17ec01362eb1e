"""Data sets as one table, a row an image, with the protocols that may be evaluated on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data_cache.csv_lists import is_rendered, read_folder, read_synthetic
from data_cache.errors import UserError
from data_cache.images import path_inside
from data_cache.protocols import Protocol, Split
from data_cache.readers import Reading, read_vehicleid, read_vric
from data_cache.readers_veri import read_veri
from data_cache.readers_veriwild import read_veriwild
from data_cache.recipes import unknown

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


@dataclass(frozen=True)
class _Source:
    folders: tuple[str, ...]  # in any case
    read: Callable[[Path], Reading]
    how_to_get: str


_SOURCES = {
    "veri": _Source(("VeRi",), read_veri, "ask its authors: https://github.com/JDAI-CV/VeRidataset"),
    "vehicleid": _Source(
        ("VehicleID_V1.0", "PKU-VehicleID", "VehicleID"),
        read_vehicleid,
        "ask its authors: https://www.pkuml.org/resources/pku-vehicleid.html",
    ),
    "vric": _Source(("VRIC",), read_vric, "ask its authors: https://qmul-vric.github.io"),
    "veriwild": _Source(
        ("VERI-Wild", "VERIWild"), read_veriwild, "ask its authors: https://github.com/PKU-IMRE/VERI-Wild"
    ),
    "synthetic": _Source(("synthetic",), read_synthetic, "make it: `python cli.py synth`"),
}
KNOWN = tuple(_SOURCES)  # data sets with lists of their own; others are what a CSV lists


def load_dataset(name: str, data_root: Path) -> Dataset:
    """Read a data set below `data_root`: one of the known names, `folder` (images.csv there), or the path of a CSV.

    The names in a CSV are relative to `data_root`. Raises UserError where nothing lies there, telling how to get it.
    """
    if name == "folder" or name.endswith(".csv"):
        found = read_folder(data_root / "images.csv" if name == "folder" else Path(name))
        return Dataset(dataset_label(name), data_root, found.table, found.splits)
    if name not in _SOURCES:
        raise unknown("data set", name, [*_SOURCES, "folder", "FILE.csv"])
    source = _SOURCES[name]
    root = _folder(data_root, source.folders)
    if root is None:
        looked = " or ".join(str(data_root / folder) for folder in source.folders)
        elsewhere = "" if name == "synthetic" else "; DATASET=synthetic needs no data of yours"
        raise UserError(
            f"data set {name} is not there: looked for {looked} (in any case); {source.how_to_get}{elsewhere}"
        )
    found = source.read(root)
    rendered = is_rendered(root)
    return Dataset(
        name, root, found.table, found.splits, released=not rendered, rendered=rendered, repeated=found.repeated
    )


def _folder(data_root: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first of these folders, as written or else in another case; None where there is none."""
    try:
        below = sorted(path.name for path in data_root.iterdir() if path.is_dir()) if data_root.is_dir() else []
    except OSError as error:
        raise UserError(f"{data_root}: cannot be looked into ({error.strerror})") from error
    alike = (other for name in names for other in (name, *below) if other.lower() == name.lower())
    return next((data_root / name for name in alike if name in below), None)


def is_stand_in(dataset: Dataset) -> bool:
    """Whether rendered vehicles lie where a benchmark's photographs belong; its figures must never pass for those."""
    return dataset.rendered and dataset.name != "synthetic"


def dataset_label(name: str) -> str:
    """Return the name under which a data set's results are kept: a CSV's stem, else the name itself."""
    return Path(name).stem if name.endswith(".csv") else name


@dataclass(frozen=True)
class Findings:
    """What a data set's lists would do to training and testing.

    `shared` are vehicles in both; `unmatched` has, for each test with any, the queries without a match; `faults` are
    the lines for which training is refused, `remarks` those that only tell.
    """

    shared: tuple[str, ...]
    unmatched: Mapping[str, tuple[str, ...]]
    faults: tuple[str, ...]
    remarks: tuple[str, ...]


def faults(dataset: Dataset) -> list[str]:
    """Return what would spoil training or testing; see `findings`."""
    return list(findings(dataset).faults)


def findings(dataset: Dataset) -> Findings:
    """Look for entries listed twice, vehicles in training and test, an empty part, queries without a match.

    Only what a test ranks counts as test: a picture may be listed for its parts alone.
    In released lists single queries without a match are a remark (12 of VERI-Wild's 3,000 small ones have none); a test
    in which none has one is a fault everywhere.
    """
    table, wrong, told = dataset.table, [], []
    if dataset.repeated:
        wrong.append(
            f"{len(dataset.repeated)} images are listed again, first in {dataset.repeated[0]}; remove the line"
        )
    protocols = {split: dataset.protocol(split, draws=1) for split in dataset.splits}
    trained = set(table["vehicle_id"][table["split"] == "train"])
    tested = {row for protocol in protocols.values() for row in protocol.rows()}
    shared = sorted(trained & set(table["vehicle_id"].iloc[sorted(tested)]))
    if shared:
        wrong.append(f"{len(shared)} vehicles are in both train and test, first {shared[0]}")
    unmatched = {}
    for split, protocol in protocols.items():
        trial = protocol.trials[0]
        wrong += [f"{split}: no {part} images" for part in ("query", "gallery") if not len(getattr(trial, part))]
        lonely = queries_without_match(dataset, split)
        if not lonely:
            continue
        unmatched[split] = tuple(lonely)
        if dataset.released and len(lonely) < len(trial.query):
            told.append(f"{split}: {len(lonely)} queries have no match and do not count, first {lonely[0]}")
        else:
            wrong.append(f"{split}: {len(lonely)} of {len(trial.query)} queries have no match, first {lonely[0]}")
    return Findings(tuple(shared), unmatched, tuple(wrong), tuple(told))


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
