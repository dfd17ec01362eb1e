"""A toy data set with a detector, its part cache and a trained run, for tests of the Python API."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from data_cache.parts.cache import read_parts
from detect.extraction.job import prepare_job
from detect.extraction.run import detect_parts
from detect.model.ssd import build_network
from detect.model.weights import write_weights
from helpers.places.detect import shipping
from helpers.places.stand_in import RECIPE, stand_in
from helpers.toy.annotations import TINY as TINY_DETECTOR
from helpers.toy.vehicles import TINY, Toy, tiny_scale, toy_set, train_toy
from reid import shipped
from reid.data.hiding import network_parts
from reid.recipes import ReidRecipe
from vehicle_reid.gallery.entries import Entries
from vehicle_reid.model import VehicleReID

ONE_EPOCH = TINY.model_copy(update={"epochs": 1})
CHANNELS = ONE_EPOCH.features
Matrix = NDArray[np.float32]


class ToyRun(NamedTuple):
    """A toy data set with its part cache, a RUNS folder, and the folder of a run trained on it."""

    toy: Toy
    runs: Path
    folder: Path

    @property
    def root(self) -> Path:
        """The folder of the data set."""
        return self.toy.dataset.root

    @property
    def cameras(self) -> dict[str, int]:
        """The camera of each image by name."""
        table = self.toy.dataset.table
        return dict(zip(table["name"], table["camera_id"].tolist(), strict=True))

    def path(self, name: str) -> Path:
        """Return the path of an image."""
        return self.root / name

    def images(self, names: list[str] | None = None) -> dict[str, Path]:
        """Return the paths of the named images, or of all, by name."""
        return {name: self.path(name) for name in (names or self.toy.dataset.names())}

    def model(self) -> VehicleReID:
        """Return the trained run, loaded."""
        return VehicleReID.load(self.folder, device="cpu")

    def names(self, *splits: str) -> list[str]:
        """Return the sorted names of the images in these splits: train, query or gallery."""
        table = self.toy.dataset.table
        return sorted(table["name"][table["split"].isin(splits)])

    def tested_names(self) -> list[str]:
        """Return the sorted names of the queries and the gallery."""
        return self.names("query", "gallery")

    def photos(self) -> list[Path]:
        """Return images that are not in the gallery, sorted by name."""
        return [self.path(name) for name in self.names("train", "query")]


def make_toy_run(folder: Path, recipe: ReidRecipe = ONE_EPOCH, *, real_detector: bool = False) -> ToyRun:
    """Detect the parts of a toy set and train on them; `real_detector` is one with random weights.

    The `parts` of the run are those that were detected, of which the training has what `network_parts` leaves.
    """
    toy = toy_set(folder / "data")
    runs = folder / "runs"
    weights, output = runs / "detector" / "toy" / "weights.safetensors", runs / "folder" / "parts.h5"
    torch.manual_seed(0)
    if real_detector:
        write_weights(weights, build_network(TINY_DETECTOR), TINY_DETECTOR)
    else:
        write_weights(weights, nn.BatchNorm2d(1), RECIPE)
    job = prepare_job(toy.dataset.names(), toy.dataset.root, weights, output, dataset="folder")
    detect_parts(job, device="cpu", workers=0)
    toy = Toy(toy.dataset, read_parts(output))
    train_toy(recipe, Toy(toy.dataset, network_parts(toy.parts, recipe)), runs / "folder" / "tiny")
    return ToyRun(toy, runs, runs / "folder" / "tiny")


@contextmanager
def small_networks() -> Iterator[None]:
    """Replace the backbone by a tiny one, and the detector by a stand-in."""
    with tiny_scale(), stand_in():
        yield


def shipping_network(checkpoint: Path) -> AbstractContextManager[Path]:
    """Let a checkpoint be the network that ships with the package."""
    return shipping(checkpoint, shipped)


def random_matrix(count: int, channels: int = CHANNELS, seed: int = 0) -> Matrix:
    """Return random unit vectors (count, channels)."""
    matrix = np.random.default_rng(seed).standard_normal((count, channels)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True).astype(np.float32)


def random_entries(count: int, channels: int = CHANNELS, seed: int = 0) -> Entries:
    """Return random entries: ids with gaps, two cameras and the unknown one, two slots for parts."""
    random = np.random.default_rng(seed)
    labels = random.integers(-1, 16, (count, 2)).astype(np.int8)
    boxes = np.where(labels[..., None] >= 0, random.uniform(0, 9, (count, 2, 4)), 0).astype(np.float32)
    return Entries(
        tuple(f"ü {row:04d}.jpg" for row in range(count)),
        np.cumsum(random.integers(1, 4, count)).astype(np.int64),
        random.integers(-1, 2, count).astype(np.int64),
        random_matrix(count, channels, seed),
        boxes,
        labels,
        np.where(labels >= 0, np.float32(0.5), np.float32(0)),
    )
