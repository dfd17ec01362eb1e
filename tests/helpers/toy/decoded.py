"""Decoded images of the toy set, and what must be the same with and without them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from helpers.toy.vehicles import Toy
from reid.data import decoded
from reid.data import decoding as decoded_making
from reid.data.augmentation import Augmentation
from reid.data.decoded import DecodedImages
from reid.data.decoding import decoded_training_images, describe
from reid.data.sampler import Sample
from reid.data.vehicle_images import VehicleImages, collate, image_paths, vehicle_images

SIZE = 48
REMEDY = "`train --decoded-cache` makes it again"


def few_rows(patch: pytest.MonkeyPatch) -> None:
    """Put five images under a hash, so that a small set has several pieces and a last one that is not full."""
    patch.setattr(decoded, "ROWS", 5)
    patch.setattr(decoded_making, "ROWS", 5)


def names_of(toy: Toy) -> list[str]:
    """Return the names of the training images, sorted."""
    table = toy.dataset.table
    return sorted(table["name"][table["split"] == "train"])


def made(toy: Toy, path: Path, size: int = SIZE, workers: int = 0) -> DecodedImages:
    """Return the decoded training images in `path`, made there if need be."""
    return decoded_training_images(path, toy.dataset, size, workers=workers)


def needed(toy: Toy, size: int = SIZE) -> dict[str, Any]:
    """Return what a run on the set as it lies there needs the file to be made from."""
    names = names_of(toy)
    return describe(toy.dataset.name, names, image_paths(toy.dataset, names), size)


def items(toy: Toy, kept: DecodedImages | None, names: list[str] | None = None) -> VehicleImages:
    """Return the training images, or those of that name, to be augmented: from `kept`, or from their files."""
    images = vehicle_images(toy.dataset, toy.parts, names or names_of(toy), depth=2, size=SIZE, decoded=kept)
    images.augmentation, images.seed = Augmentation(), 4
    return images


def assert_same_items(found: VehicleImages, wanted: VehicleImages, workers: int = 0) -> None:
    """Plain and augmented, every image, in an order of its own, by so many processes."""
    order = np.random.default_rng(0).permutation(len(wanted)).tolist()
    plan: list[list[Any]] = [order[start : start + 5] for start in range(0, len(order), 5)]
    plan += [[Sample(epoch, place, index) for place, index in enumerate(order)] for epoch in range(2)]
    loaders = (DataLoader(one, batch_sampler=plan, num_workers=workers, collate_fn=collate) for one in (found, wanted))
    for one, other in zip(*loaders, strict=True):
        for name in ("images", "boxes", "present", "index"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


def files_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def repaint(toy: Toy, number: int) -> Path:
    """Put another picture in the place of a training image."""
    path = toy.dataset.root / names_of(toy)[number]
    Image.new("RGB", (96, 72), (0, 255, 0)).save(path)
    return path
