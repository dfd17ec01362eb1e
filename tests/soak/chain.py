"""The whole chain on rendered vehicles, as small as possible, and what it leaves in a folder."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cli
from data_cache.base.files import sha256_of_bytes
from helpers.faults.processes import Program
from soak.trees import Tree, read_tree, settled_tree

RENDERED = "--vehicles 9 --image-size 64 --cameras 4 --cameras-per-vehicle 3 --images-per-camera 2"
DETECTOR = "epochs=2 input_size=64 widen_factor=0.0625 validate_every=1"
NETWORK = (
    "trunk=mobilenet_v2 epochs=2 image_size=32 vehicles_per_batch=2 images_per_vehicle=2 validate_every=1 "
    "features=8 holdout=0.4"
)
Steps = Mapping[str, list[str]]  # name of a command -> its arguments


@dataclass(frozen=True)
class Chain:
    """Commands of a program that follow each other; `steps` returns them for the folder that they work in.

    `with_workers` names those that use worker processes.
    """

    program: Program
    steps: Callable[[Path], Steps]
    with_workers: tuple[str, ...]


def run_command(arguments: Sequence[str]) -> None:
    """Run `python cli.py ARGUMENTS` on one thread."""
    import torch

    torch.set_num_threads(1)
    sys.modules["__main__"] = cli  # what a worker process imports first
    cli.main(arguments, prog_name="cli.py")


def commands(place: Path) -> Steps:
    """Return synth → parts train → detect → train → features → evaluate, all below `place`."""
    data = ["--data-root", str(place / "data")]
    where = [*data, "--dataset", "synthetic", "--runs", str(place / "runs"), "--device", "cpu"]
    recipe = ["--recipe", "demo"]
    return {
        "synth": ["synth", *data, *RENDERED.split()],
        "parts train": ["parts", "train", *where, *recipe, *_set(DETECTOR)],
        "detect": ["detect", *where, "--detector", "demo", "--batch-size", "4"],
        "train": ["train", *where, *recipe, *_set(NETWORK)],
        "features": ["features", *where, *recipe],
        "evaluate": ["evaluate", *where, *recipe],
    }


PRODUCT = Chain(run_command, commands, ("synth", "parts train", "detect", "train", "features"))


def _set(options: str) -> list[str]:
    return [word for option in options.split() for word in ("--set", option)]


def digests(place: Path) -> Tree:
    """Return a hash of each file below a folder, without its path and what differs between equal runs.

    Folders have None.
    """
    tree = settled_tree(read_tree(place))
    own = str(place).encode()  # stands in metrics.json, among the options of the command
    return {name: content and sha256_of_bytes(content.replace(own, b"")).encode() for name, content in tree.items()}


def unfinished(place: Path) -> set[tuple[str, int]]:
    """Return the locks and temporary files below a folder, with the time of writing (ns).

    A run that takes over the lock of a killed one writes it anew.
    """
    return {
        (path.relative_to(place).as_posix(), path.stat().st_mtime_ns)
        for path in place.rglob(".*")
        if path.name == ".lock" or path.suffix in (".tmp", ".unfinished", ".scratch")
    }
