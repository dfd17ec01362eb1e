"""Decoded images of the toy set, and the comparison with images read from their files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from helpers.toy.vehicles import Toy
from reid.data import decoded, pixel_file
from reid.data.augmentation import Augmentation
from reid.data.decoded import DecodedViews, decoded_training_views, describe
from reid.data.pixel_file import PixelFile
from reid.data.sampler import Sample
from reid.data.vehicle_images import FileViews, VehicleImages, collate, image_paths, vehicle_images
from reid.data.views import ViewMaker

SIZE = 48


def five_rows_per_piece(patch: pytest.MonkeyPatch) -> None:
    """Hash every five images, so that a small set has several pieces and an incomplete last one."""
    patch.setattr(pixel_file, "ROWS", 5)
    patch.setattr(decoded, "ROWS", 5)


def names_of(toy: Toy) -> list[str]:
    """Return the names of the training images, sorted."""
    table = toy.dataset.table
    return sorted(table["name"][table["split"] == "train"])


def made(toy: Toy, path: Path, size: int = SIZE, workers: int = 0) -> PixelFile:
    """Return the decoded training images at `path`, made if necessary."""
    return decoded_training_views(path, toy.dataset, size, workers=workers).images


def description(toy: Toy, size: int = SIZE) -> dict[str, Any]:
    """Return what the file must have been made from, given the image files as they are now."""
    names = names_of(toy)
    return describe(toy.dataset.name, names, FileViews(image_paths(toy.dataset, names), ViewMaker(size)))


def images_of(toy: Toy, pixels: PixelFile | None, names: list[str] | None = None) -> VehicleImages:
    """Return augmentable training images, by default all, from `pixels` or from their files."""
    return vehicle_images(
        toy.dataset,
        toy.parts,
        names or names_of(toy),
        top_d=2,
        size=SIZE,
        decoded=None if pixels is None else DecodedViews(pixels),
        augmentation=Augmentation(),
        seed=4,
    )


def assert_same_items(found: VehicleImages, expected: VehicleImages, workers: int = 0) -> None:
    """Assert that all items are the same, plain and augmented, in shuffled order."""
    order = np.random.default_rng(0).permutation(len(expected)).tolist()
    plan: list[list[Any]] = [order[start : start + 5] for start in range(0, len(order), 5)]
    plan += [[Sample(epoch, position, image) for position, image in enumerate(order)] for epoch in range(2)]
    loaders = (
        DataLoader(images, batch_sampler=plan, num_workers=workers, collate_fn=collate) for images in (found, expected)
    )
    for one, other in zip(*loaders, strict=True):
        for name in ("images", "boxes", "labels", "crops", "index"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


def files_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def replace_image(toy: Toy, number: int) -> Path:
    """Replace a training image by a green one of the same size."""
    path = toy.dataset.root / names_of(toy)[number]
    Image.new("RGB", (96, 72), (0, 255, 0)).save(path)
    return path
