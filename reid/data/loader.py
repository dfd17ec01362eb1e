"""The batches of training: augmented images with their boxes, in a PK sampler's order: this process's share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from data_cache.base.errors import initialize_worker
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import PartBoxes
from reid.data.augmentation import Augmentation
from reid.data.decoded import DecodedImages
from reid.data.holdout import Vehicles
from reid.data.sampler import PKSampler
from reid.data.vehicle_images import collate, vehicle_images
from reid.distributed import own_rank, rank_count
from reid.recipes import ReidRecipe


@dataclass(frozen=True)
class LabelledLoader:
    """Batches of training images; `paths` (N) and label (N,), the class numbers on the device, are of every image."""

    paths: Sequence[Path]
    sampler: PKSampler
    batches: DataLoader[Any]  # of Batch
    label: Tensor
    device: str


def training_loader(
    recipe: ReidRecipe,
    dataset: Dataset,
    parts: PartBoxes,
    vehicles: Vehicles,
    *,
    device: str,
    workers: int,
    decoded: DecodedImages | None = None,
) -> LabelledLoader:
    """Return augmented PK batches of the training vehicles' images. Raises UserError where they cannot fill one."""
    names = list(vehicles.images["name"])
    images = vehicle_images(dataset, parts, names, depth=recipe.parts, size=recipe.image_size, decoded=decoded)
    images.augmentation, images.seed = Augmentation(recipe.flip, recipe.erase), recipe.seed
    label = np.searchsorted(vehicles.trained, vehicles.images["vehicle_id"].to_numpy(dtype=str))
    sampler = PKSampler(
        label,
        vehicles=recipe.vehicles_per_batch,
        images=recipe.images_per_vehicle,
        seed=recipe.seed,
        share=(own_rank(), rank_count()),
    )
    loader: DataLoader[Any] = DataLoader(
        images,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=initialize_worker,
        pin_memory=device == "cuda",
        persistent_workers=workers > 0,
    )
    return LabelledLoader(images.paths, sampler, loader, torch.from_numpy(label).to(device), device)
