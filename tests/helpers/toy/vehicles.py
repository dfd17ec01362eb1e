"""A toy data set of stage two: painted boxes for vehicles, two of each colour that differ by a mark only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from data_cache.base.files import read_json_lines
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FOUND, TURNED, PartBoxes
from data_cache.parts.names import PART_NAMES
from reid.model.backbones import BACKBONES, Backbone
from reid.model.checkpoint import read_checkpoint
from reid.recipes import ReidRecipe
from reid.runs import BEST, LAST
from reid.training.log import LOG
from reid.training.train import RECIPE, train

WIDTH, HEIGHT = 96, 72
SLOTS = 3  # K: the mark, the window, and one that is always empty
COLOURS = ((190, 40, 40), (40, 160, 60), (50, 70, 190), (200, 190, 60), (150, 60, 170), (60, 180, 190))
TINY = ReidRecipe(
    trunk="resnet18",  # within `tiny_scale`, the tiny backbone
    trunk_weights=None,
    features=32,
    parts=2,
    image_size=64,
    vehicles_per_batch=4,
    images_per_vehicle=2,
    epochs=3,
    learning_rate=3e-3,
    warmup_epochs=1,
    holdout=0.0,
    validate_every=1,
)
TINY_HOLDOUT = TINY.model_copy(update={"holdout": 0.25, "seed": 3, "learning_rate": 0.03})  # two of the eight vehicles
TINY_SETTINGS = [f"{name}={value}" for name, value in TINY.model_dump(exclude_defaults=True, mode="json").items()]
TINY_OPTIONS = [word for setting in TINY_SETTINGS for word in ("--set", setting.replace("None", "null"))]


class Toy(NamedTuple):
    """A data set on disk and its part boxes."""

    dataset: Dataset
    parts: PartBoxes


def train_toy(recipe: ReidRecipe, toy: Toy, folder: Path, workers: int = 0) -> Path:
    """Train on the toy set, on the CPU; return the best checkpoint."""
    return train(recipe, toy.dataset, toy.parts, folder, device="cpu", workers=workers)


def with_columns(dataset: Dataset, **columns: object) -> Dataset:
    """Return the data set with columns of its table replaced."""
    return replace(dataset, table=dataset.table.assign(**columns))


def toy_set(root: Path, *, trained: int = 8, tested: int = 4, images: int = 4) -> Toy:
    """Write a data set of kind `folder`: `images` per vehicle, by two cameras in turn; one image in seven has no part.

    `trained` and `tested` are numbers of vehicles.
    """
    (root / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    rows, boxes = [], []
    for vehicle in range(trained + tested):
        for number in range(images):
            name = f"images/{vehicle:02d}-{number}.jpg"
            pixels, found = draw(vehicle, number % 2, random)
            Image.fromarray(pixels).save(root / name, quality=95)
            split = "train" if vehicle < trained else "query" if number == 0 else "gallery"
            rows.append((name, f"v{vehicle:02d}", number % 2, split))
            boxes.append(found if len(boxes) % 7 else found[:0])
    table = pd.DataFrame(rows, columns=["name", "vehicle_id", "camera_id", "split"])
    table.sample(frac=1, random_state=0).to_csv(root / "images.csv", index=False)  # unsorted
    return Toy(load_dataset("folder", root), packed([row[0] for row in rows], boxes))


def draw(vehicle: int, camera: int, random: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return pixels (72, 96, 3) and the boxes of mark and window; vehicles 2n and 2n + 1 differ by the mark only."""
    pixels = random.integers(70, 150, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    x, y = int(random.integers(0, 24)), int(random.integers(0, 20))
    mark, window = (x + 8, y + 26, x + 28, y + 46), (x + 40, y + 6, x + 64, y + 22)
    paints = {(x, y, x + 70, y + 52): COLOURS[vehicle // 2 % len(COLOURS)], window: (30, 30, 40)}
    paints[mark] = (250, 250, 250) if vehicle % 2 else (10, 10, 10)
    for (left, top, right, bottom), colour in paints.items():
        pixels[top:bottom, left:right] = colour
    return pixels - np.uint8(10) * np.uint8(camera), np.array([mark, window], dtype=np.float32)


def packed(names: list[str], boxes: list[NDArray[np.float32]]) -> PartBoxes:
    """Return the part cache of images with at most two boxes each."""
    count = len(names)
    packed_boxes = np.zeros((count, SLOTS, 4), np.float32)
    scores, labels = np.zeros((count, SLOTS), np.float32), np.full((count, SLOTS), -1, np.int8)
    for row, found in enumerate(boxes):
        packed_boxes[row, : len(found)] = found
        scores[row, : len(found)], labels[row, : len(found)] = (0.9, 0.6)[: len(found)], (9, 15)[: len(found)]
    return PartBoxes(
        names=tuple(names),
        image_size=np.tile(np.array([[WIDTH, HEIGHT]], np.int32), (count, 1)),
        boxes=packed_boxes,
        scores=scores,
        labels=labels,
        status=np.where((labels < 0).all(axis=1), STATUS_EMPTY, STATUS_FOUND).astype(np.uint8),
        failure=("",) * count,
        part_names=PART_NAMES,
        fingerprint={"detector": "painted", **TURNED},
    )


class PatchConv(nn.Conv2d):
    """A convolution over separate patches as one matrix product.

    oneDNN's AMX kernel for 4x4 convolutions with stride 4 gives wrong values in bfloat16 (torch 2.14).
    """

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / k, W / k)."""
        patches = functional.unfold(images, self.kernel_size, stride=self.stride)
        values = functional.linear(patches.transpose(1, 2), self.weight.flatten(1), self.bias)
        return values.transpose(1, 2).unflatten(2, (images.shape[2] // self.stride[0], -1))


def tiny_backbone(weights: str | None) -> Backbone:
    """Return a backbone of stride 16 that trains in a moment, to replace a real one in `BACKBONES`."""
    layers = [PatchConv(3, 16, 4, stride=4), nn.BatchNorm2d(16), nn.ReLU()]
    layers += [PatchConv(16, 32, 4, stride=4), nn.BatchNorm2d(32), nn.ReLU()]
    return Backbone(nn.Sequential(*layers), 32)


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one thread, which is faster for such small work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def tiny_scale() -> Iterator[None]:
    """Replace ResNet-18 by the tiny backbone, and use one thread."""
    with one_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "resnet18", tiny_backbone)
        yield


@contextmanager
def interrupted(
    module: ModuleType, name: str, when: Callable[..., bool], error: type[BaseException] = KeyboardInterrupt
) -> Iterator[None]:
    """Let a function of a module raise `error` if `when` is true of its arguments, for as long as this lasts."""
    function = getattr(module, name)

    def stopping(*arguments: Any, **options: Any) -> Any:
        if when(*arguments):
            raise error
        return function(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, stopping)
        yield


def assert_same_run(found: Path, expected: Path) -> None:
    """Assert that two runs have the same checkpoints, to the bit, and the same logs except for speed."""
    for name in (LAST, BEST):
        one, other = read_checkpoint(found / name), read_checkpoint(expected / name)
        assert one.metadata == other.metadata and set(one.tensors) == set(other.tensors)
        differing = [key for key, value in one.tensors.items() if not torch.equal(value, other.tensors[key])]
        assert not differing, f"{name}: {differing}"
        assert one.sha256 == other.sha256
    logs = ([line | {"images_per_second": 0} for line in read_json_lines(run / LOG)] for run in (found, expected))
    assert next(logs) == next(logs)
    assert (found / RECIPE).read_bytes() == (expected / RECIPE).read_bytes()
