"""The whole chain on rendered vehicles, as small as it gets; what it leaves, and how that differs from another run."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.base.files import read_json, read_json_lines, sha256_of_bytes, sha256_of_file
from soak.processes import Program, product

LEFT_ASIDE = ("made", "commit", "images_per_second")  # time, what was committed meanwhile, and speed
RENDERED = "--vehicles 9 --image-size 64 --cameras 4 --cameras-per-vehicle 3 --images-per-camera 2"
DETECTOR = "epochs=2 input_size=64 widen_factor=0.0625 validate_every=1"
NETWORK = (
    "trunk=mobilenet_v2 epochs=2 image_size=32 vehicles_per_batch=2 images_per_vehicle=2 validate_every=1 "
    "features=8 holdout=0.4"
)
Contents = Mapping[str, str]  # path -> hash of what matters in the file; "" for a folder
Steps = Mapping[str, list[str]]  # name of a command -> its arguments


@dataclass(frozen=True)
class Chain:
    """Commands of a program that follow each other; `steps` gives them for the folder that they work in.

    `with_workers` are those that have processes read or render for them.
    """

    program: Program
    steps: Callable[[Path], Steps]
    with_workers: tuple[str, ...]


def commands(place: Path) -> Steps:
    """Return synth → parts train → detect → train → features → evaluate, all below `place`."""
    data = ["--data-root", str(place / "data")]
    where = [*data, "--dataset", "synthetic", "--runs", str(place / "runs"), "--recipe", "demo", "--device", "cpu"]
    return {
        "synth": ["synth", *data, *RENDERED.split()],
        "parts train": ["parts", "train", *where, *_set(DETECTOR)],
        "detect": ["detect", *where, "--batch-size", "4"],
        "train": ["train", *where, *_set(NETWORK)],
        "features": ["features", *where],
        "evaluate": ["evaluate", *where],
    }


PRODUCT = Chain(product, commands, ("synth", "parts train", "detect", "train", "features"))


def _set(options: str) -> list[str]:
    return [word for option in options.split() for word in ("--set", option)]


def contents(place: Path) -> Contents:
    """Return all that lies below a folder; times, speeds and commits in JSON are left aside."""
    return {
        path.relative_to(place).as_posix(): "" if path.is_dir() else _hash_of(path) for path in sorted(place.rglob("*"))
    }


def _hash_of(path: Path) -> str:
    try:
        return _hash_of_meaning(path)
    except (UserError, KeyError) as error:
        return f"damaged: {error}"


def _hash_of_meaning(path: Path) -> str:
    if path.name == "metrics.json":
        told = [*_without_times(read_json(path)).items()]  # their order matters
    elif path.suffix == ".jsonl":
        epochs: dict[int, dict[str, object]] = {}
        for line in read_json_lines(path):  # of an epoch that was repeated the later line counts, to every reader
            epochs[line["epoch"]] = epochs.get(line["epoch"], {}) | _without_times(line)
        told = [*epochs.items()]
    else:
        return sha256_of_file(path)
    return sha256_of_bytes(json.dumps(told).encode())


def _without_times(told: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in told.items() if name not in LEFT_ASIDE}


def differences(wanted: Contents, found: Contents) -> Iterator[str]:
    """Yield a line for each file or folder that is missing, is another, or should not be there."""
    for path in sorted(wanted.keys() | found.keys()):
        if path not in found:
            yield f"{path} is missing"
        elif path not in wanted:
            yield f"{path} was left behind"
        elif wanted[path] != found[path]:
            yield f"{path} differs"


def unfinished(place: Path) -> set[tuple[str, int]]:
    """Return the locks and temporary files below a folder, and when each was written (ns).

    They are of a run that is at work or was killed; one that takes a lock over writes it anew.
    """
    return {
        (path.relative_to(place).as_posix(), path.stat().st_mtime_ns)
        for path in place.rglob(".*")
        if path.name == ".lock" or path.suffix in (".tmp", ".unfinished", ".scratch")
    }
