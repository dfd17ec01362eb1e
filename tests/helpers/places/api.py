"""A toy set with a detector, its part cache and a trained run: what the Python API is tried on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from data_cache.parts.cache import PartBoxes, read_parts
from detect.extraction.job import prepare_job
from detect.extraction.run import detect_parts
from detect.model.ssd import build_network
from detect.model.weights import write_weights
from helpers.places.stand_in import RECIPE, stand_in
from helpers.toy.annotations import TINY as TINY_DETECTOR
from helpers.toy.vehicles import TINY, Toy, tiny_scale, toy_set, train_toy
from reid.recipes import ReidRecipe
from vehicle_reid.gallery.entries import Entries
from vehicle_reid.model import VehicleReID

ONE_EPOCH = TINY.model_copy(update={"epochs": 1})
CHANNELS = ONE_EPOCH.features
Matrix = NDArray[np.float32]


class Place(NamedTuple):
    """A data set, RUNS, and in it the run that was trained."""

    toy: Toy
    runs: Path
    run: Path

    @property
    def root(self) -> Path:
        """Where the images' names begin."""
        return self.toy.dataset.root

    def path(self, name: str) -> Path:
        """Where an image lies."""
        return self.root / name

    def model(self) -> VehicleReID:
        """The trained run, loaded."""
        return VehicleReID.load(self.run, device="cpu")

    def tested(self) -> list[str]:
        """The names of the test's images, sorted, queries and gallery."""
        table = self.toy.dataset.table
        return sorted(table["name"][table["split"] != "train"])


def make_place(folder: Path, recipe: ReidRecipe = ONE_EPOCH, *, real: bool = False) -> Place:
    """Detect the parts of a toy set and train on them; `real` takes a real detector, of random weights."""
    toy = toy_set(folder / "data")
    runs = folder / "runs"
    weights = runs / "detector" / "toy" / "weights.safetensors"
    torch.manual_seed(0)
    if real:
        write_weights(weights, build_network(TINY_DETECTOR), TINY_DETECTOR)
    else:
        write_weights(weights, nn.BatchNorm2d(1), RECIPE)
    parts = detected(toy, weights, runs / "folder" / "parts.h5")
    run = runs / "folder" / "tiny"
    train_toy(recipe, Toy(toy.dataset, parts), run)
    return Place(Toy(toy.dataset, parts), runs, run)


def detected(toy: Toy, weights: Path, output: Path) -> PartBoxes:
    """The part cache that stage one makes of a toy set."""
    job = prepare_job(toy.dataset.names(), toy.dataset.root, weights, output, dataset="folder")
    detect_parts(job, device="cpu", workers=0)
    return read_parts(output)


@contextmanager
def small_networks() -> Iterator[None]:
    """A tiny trunk, and a stand-in for the detector, in place of the real ones."""
    with tiny_scale(), stand_in():
        yield


def random_matrix(count: int, channels: int = CHANNELS, seed: int = 0) -> Matrix:
    """Vectors of length 1."""
    matrix = np.random.default_rng(seed).standard_normal((count, channels)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True).astype(np.float32)


def random_entries(count: int, channels: int = CHANNELS, seed: int = 0) -> Entries:
    """Entries of no real images: ids with gaps, two cameras and the unknown one, two places for parts."""
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
