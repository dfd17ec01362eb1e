"""The data sets known by name: their folders, readers and sources."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_cache.base.config import unknown
from data_cache.base.errors import UserError
from data_cache.base.options import remedy_command
from data_cache.base.remote.addresses import SCHEME, Address, Location
from data_cache.datasets.csv_file import is_rendered, read_folder, read_synthetic
from data_cache.datasets.dataset import Dataset, ParsedLists, without_absent_training
from data_cache.datasets.vehicleid import read_vehicleid
from data_cache.datasets.veri import read_veri
from data_cache.datasets.veriwild import read_veriwild
from data_cache.datasets.vric import read_vric


@dataclass(frozen=True)
class Source:
    """A known data set: its folders below the data root, the first preferred, its reader and its authors' page."""

    folders: tuple[str, ...]  # only letters and digits matter, see `normal_form`
    read: Callable[[Path], ParsedLists]
    website: str = ""


SOURCES = {
    "veri": Source(("VeRi", "VeRi-776", "VeRi_with_plate"), read_veri, "https://github.com/JDAI-CV/VeRidataset"),
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
SIMILAR = 0.75  # difflib similarity of normal forms


def load_dataset(name: str, data_root: Location) -> Dataset:
    """Read a data set below `data_root`: a known name, `folder` (its images.csv), or the path of a CSV file.

    The names in a CSV are relative to `data_root`, which may be an address for a CSV file only. If the data set is
    missing, raises UserError with how to get it.
    """
    if SCHEME in name:
        raise UserError("--dataset: a list is read from this machine only; copy the CSV here and give its path")
    if name.endswith(".csv"):
        return _listed_dataset(name, Path(name), data_root)
    if isinstance(data_root, Address):
        raise UserError(f"--data-root {data_root}: an address needs a list of its images, --dataset FILE.csv")
    if name == "folder":
        return _listed_dataset(name, data_root / "images.csv", data_root)
    if name not in SOURCES:
        raise unknown("data set", name, [*SOURCES, "folder", "FILE.csv"])
    source = SOURCES[name]
    root = _existing_folder(data_root, source.folders)
    if root is None:
        places = " or ".join(str(data_root / folder) for folder in source.folders)
        near = _similar_folders(data_root, source.folders)
        seen = f"; {', '.join(near)} is there: rename it if it is meant" if near else ""
        remedy = f"render it: {remedy_command('synth', {'--data-root': data_root})}"
        if source.website:
            remedy = f"ask its authors: {source.website}; DATASET=synthetic needs no data of yours"
        raise UserError(f"data set {name} not found: looked for {places} (in any case){seen}; {remedy}")
    lists = source.read(root)
    rendered = is_rendered(root)
    listed = Dataset(
        name,
        root,
        lists.table,
        lists.splits,
        released=not rendered,
        rendered=rendered,
        repeated=lists.repeated,
        no_training=lists.no_training,
    )
    return without_absent_training(listed)


def _listed_dataset(name: str, csv: Path, root: Location) -> Dataset:
    """Read the data set of a user's CSV, chosen by `--dataset NAME`."""
    lists = read_folder(csv, root)
    listed = Dataset(dataset_label(name), root, lists.table, lists.splits, argument=name, no_training=lists.no_training)
    return without_absent_training(listed)


def _existing_folder(data_root: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first of these folders that exists, exact spelling before any other; None if there is none."""
    present = _folders_in(data_root)
    candidates = [other for name in names for other in (name, *present) if other.lower() == name.lower()]
    candidates += [other for name in names for other in present if normal_form(other) == normal_form(name)]
    return next((data_root / name for name in candidates if name in present), None)


def _similar_folders(data_root: Path, names: tuple[str, ...]) -> list[str]:
    """Return folders that are named nearly like one of `names`, but no other known data set."""
    known = {normal_form(folder) for source in SOURCES.values() for folder in source.folders}
    wanted = tuple(normal_form(name) for name in names)
    others = {folder: normal_form(folder) for folder in _folders_in(data_root)}
    return [
        folder
        for folder, form in others.items()
        if form not in known and (form.startswith(wanted) or difflib.get_close_matches(form, wanted, 1, SIMILAR))
    ]


def _folders_in(data_root: Path) -> list[str]:
    try:
        return sorted(path.name for path in data_root.iterdir() if path.is_dir()) if data_root.is_dir() else []
    except OSError as error:
        raise UserError(f"{data_root}: cannot be read ({error.strerror})") from error


def normal_form(name: str) -> str:
    """Return the letters and digits of a folder's name.

    >>> normal_form("VeRi_with-plate")
    'veriwithplate'
    """
    return "".join(one for one in name.casefold() if one.isalnum())


def dataset_label(name: str) -> str:
    """Return the name for a data set's results: the stem of a CSV file, else the name itself."""
    return Path(name).stem if name.endswith(".csv") else name
