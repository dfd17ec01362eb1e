"""The training set: the split into trained and held-out vehicles, and augmented PK batches of the former."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from data_cache.base.errors import UserError, initialize_worker
from data_cache.base.files import sha256_of_names
from data_cache.datasets.dataset import Dataset
from data_cache.images.batches import collate_within_shared_memory
from data_cache.parts.cache import PartBoxes
from reid.data.augmentation import Augmentation
from reid.data.sampler import PKSampler
from reid.data.vehicle_images import DecodedImages, collate, vehicle_images
from reid.distributed import own_rank, rank_count
from reid.recipes import ReidRecipe


@dataclass(frozen=True)
class TrainingSplit:
    """The train split in two tables of images, sorted by name; the best epoch is chosen on `held_out`."""

    train: pd.DataFrame
    held_out: pd.DataFrame
    vehicle_ids: NDArray[np.str_]  # (V,) of `train`, sorted; the index of a vehicle is its class

    @property
    def sha256(self) -> str:
        """The hash of names and vehicles of `train`, which checkpoints keep as `images`."""
        return sha256_of_names(self.train[["name", "vehicle_id"]].to_numpy().tolist())

    def labels(self) -> NDArray[np.int64]:
        """Return the classes of the training images, (N,)."""
        return np.searchsorted(self.vehicle_ids, self.train["vehicle_id"].to_numpy(dtype=str))


def split_vehicles(dataset: Dataset, recipe: ReidRecipe) -> TrainingSplit:
    """Hold out a share of the training vehicles at random. Raises UserError if there are no training images.

    Fleets of near-identical vehicles, if the data set has them, are held out as a whole: a held-out vehicle is hard to
    recognise only among its fleet.
    """
    dataset.require_training_images()
    table = dataset.training_images
    vehicle = table["vehicle_id"]
    group = vehicle
    if "fleet" in table:
        fleet = vehicle.map(table.groupby("vehicle_id")["fleet"].first())
        group = ("fleet " + fleet).where(fleet != "", "vehicle " + vehicle)  # outside fleets, each by itself
    shuffled = np.random.default_rng(recipe.seed).permutation(np.unique(group.to_numpy(dtype=str)))
    is_held_out = group.isin(shuffled[: round(recipe.holdout * len(shuffled))].tolist())
    train, held_out = table[~is_held_out], table[is_held_out]
    return TrainingSplit(train, held_out, np.unique(train["vehicle_id"].to_numpy(dtype=str)))


def pk_sampler(recipe: ReidRecipe, split: TrainingSplit, share: tuple[int, int] = (0, 1)) -> PKSampler:
    """Return the sampler of the recipe's batches; `share` as in `PKSampler`.

    Raises UserError if the recipe wants batches across cameras, and a camera is not known.
    """
    cameras = None
    if recipe.across_cameras:
        cameras, known = np.unique(split.train["camera_id"].to_numpy(np.int64), return_inverse=True)
        if len(cameras) < 2 or cameras[0] < 0:
            raise UserError("across_cameras needs the cameras of all training images, two at least; set it to false")
        cameras = known
    return PKSampler(
        split.labels(),
        vehicles=recipe.vehicles_per_batch,
        images=recipe.images_per_vehicle,
        seed=recipe.seed,
        share=share,
        cameras=cameras,
    )


@dataclass(frozen=True)
class TrainingLoader:
    """Augmented batches of the training images; `names` and `labels` (N,), on the device, are of all images."""

    names: Sequence[str]
    labels: Tensor
    sampler: PKSampler
    batches: DataLoader[Any]  # of Batch
    device: str


def training_loader(
    recipe: ReidRecipe,
    dataset: Dataset,
    parts: PartBoxes,
    split: TrainingSplit,
    *,
    device: str,
    workers: int,
    decoded: DecodedImages | None = None,
) -> TrainingLoader:
    """Return this process's share of augmented PK batches. Raises UserError if there are too few vehicles."""
    names = list(split.train["name"])
    images = vehicle_images(
        dataset,
        parts,
        names,
        top_d=recipe.parts,
        size=recipe.input_size,
        crop=recipe.part_crops,
        decoded=decoded,
        augmentation=Augmentation(recipe.flip, recipe.erase, recipe.augment),
        seed=recipe.seed,
    )
    pixels = prod(recipe.input_size) + recipe.parts * recipe.part_crops**2
    batch_bytes = recipe.vehicles_per_batch * recipe.images_per_vehicle * 3 * pixels
    sampler = pk_sampler(recipe, split, (own_rank(), rank_count()))
    batches: DataLoader[Any] = DataLoader(
        images,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate_within_shared_memory(collate, batch_bytes, workers=workers),
        worker_init_fn=initialize_worker,
        pin_memory=device == "cuda",
        persistent_workers=workers > 0,
    )
    return TrainingLoader(names, torch.from_numpy(split.labels()).to(device), sampler, batches, device)
