"""The data sets known by name: their folders, readers and sources."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_cache.base.config import unknown
from data_cache.base.errors import UserError
from data_cache.datasets.csv_file import is_rendered, read_folder, read_synthetic
from data_cache.datasets.dataset import Dataset, ParsedLists
from data_cache.datasets.vehicleid import read_vehicleid
from data_cache.datasets.veri import read_veri
from data_cache.datasets.veriwild import read_veriwild
from data_cache.datasets.vric import read_vric


@dataclass(frozen=True)
class Source:
    """A known data set: its folders below the data root, the first preferred, its reader and its authors' page."""

    folders: tuple[str, ...]  # case does not matter
    read: Callable[[Path], ParsedLists]
    website: str = ""


SOURCES = {
    "veri": Source(("VeRi",), read_veri, "https://github.com/JDAI-CV/VeRidataset"),
    "vehicleid": Source(
        ("VehicleID_V1.0", "PKU-VehicleID", "VehicleID"),
        read_vehicleid,
        "https://www.pkuml.org/resources/pku-vehicleid.html",
    ),
    "vric": Source(("VRIC",), read_vric, "https://qmul-vric.github.io"),
    "veriwild": Source(("VERI-Wild", "VERIWild"), read_veriwild, "https://github.com/PKU-IMRE/VERI-Wild"),
    "synthetic": Source(("synthetic",), read_synthetic),
}
KNOWN = tuple(SOURCES)


def load_dataset(name: str, data_root: Path) -> Dataset:
    """Read a data set below `data_root`: a known name, `folder` (its images.csv), or the path of a CSV file.

    The names in a CSV are relative to `data_root`. If the data set is missing, raises UserError with how to get it.
    """
    if name == "folder" or name.endswith(".csv"):
        lists = read_folder(data_root / "images.csv" if name == "folder" else Path(name))
        return Dataset(dataset_label(name), data_root, lists.table, lists.splits)
    if name not in SOURCES:
        raise unknown("data set", name, [*SOURCES, "folder", "FILE.csv"])
    source = SOURCES[name]
    root = _existing_folder(data_root, source.folders)
    if root is None:
        places = " or ".join(str(data_root / folder) for folder in source.folders)
        remedy = "render it: `python cli.py synth`"
        if source.website:
            remedy = f"ask its authors: {source.website}; DATASET=synthetic needs no data of yours"
        raise UserError(f"data set {name} not found: looked for {places} (in any case); {remedy}")
    lists = source.read(root)
    rendered = is_rendered(root)
    return Dataset(
        name, root, lists.table, lists.splits, released=not rendered, rendered=rendered, repeated=lists.repeated
    )


def _existing_folder(data_root: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first of these folders that exists, exact case before any other; None if there is none."""
    try:
        present = sorted(path.name for path in data_root.iterdir() if path.is_dir()) if data_root.is_dir() else []
    except OSError as error:
        raise UserError(f"{data_root}: cannot be read ({error.strerror})") from error
    candidates = (other for name in names for other in (name, *present) if other.lower() == name.lower())
    return next((data_root / name for name in candidates if name in present), None)


def dataset_label(name: str) -> str:
    """Return the name for a data set's results: the stem of a CSV file, else the name itself."""
    return Path(name).stem if name.endswith(".csv") else name
