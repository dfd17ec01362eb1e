"""The data sets that are known by name: where each is looked for, who reads it, and how to get it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_cache.base.config import unknown
from data_cache.base.errors import UserError
from data_cache.datasets.csv_file import is_rendered, read_folder, read_synthetic
from data_cache.datasets.dataset import Dataset, Reading
from data_cache.datasets.vehicleid import read_vehicleid
from data_cache.datasets.veri import read_veri
from data_cache.datasets.veriwild import read_veriwild
from data_cache.datasets.vric import read_vric


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


def dataset_label(name: str) -> str:
    """Return the name under which a data set's results are kept: a CSV's stem, else the name itself."""
    return Path(name).stem if name.endswith(".csv") else name
