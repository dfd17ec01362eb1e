"""Features of images: one pass of the network over a list of names, kept in a file while that is still true."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from data_cache.datasets import Dataset
from data_cache.errors import UserError, start_worker
from data_cache.files import sha256_of_names
from data_cache.parts import PartBoxes
from data_cache.progress import say, track
from reid.features_file import Features, read_features, write_features
from reid.images import Batch, VehicleImages, collate, normalised, read_batches, vehicle_images
from reid.recipes import ReidRecipe

BATCH = {"cpu": 16, "cuda": 64}  # on a CPU the maps of more images outgrow what its allocator keeps at hand


def extract_features(
    network: nn.Module, images: VehicleImages, *, device: str, workers: int
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.float32]]]:
    """Return the L2-normalised features (N, C) and the attention (N, D) of all images, in order."""
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    loader = DataLoader(
        images,
        BATCH[device],
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=start_worker,
        pin_memory=device == "cuda",
    )
    features, attention = [], []
    for batch in track(read_batches(loader), "features", len(loader)):
        with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16):
            output = forward(network, batch, device)
        features.append(functional.normalize(output.feature.float()).cpu().numpy())
        attention.append(output.attention.float().cpu().numpy())
    return np.concatenate(features), np.concatenate(attention)


def forward(network: nn.Module, batch: Batch, device: str, *more: torch.Tensor) -> Any:
    """Run the network on a batch, which is moved to the device; it gets what else there is."""
    images, boxes, present = (
        tensor.to(device, non_blocking=True) for tensor in (batch.images, batch.boxes, batch.present)
    )
    return network(normalised(images), boxes, present, *more)


def features_provenance(
    dataset: Dataset, names: Sequence[str], parts: PartBoxes, recipe: ReidRecipe, weights: str
) -> dict[str, Any]:
    """Return what determines a feature file: data set, names, part cache, recipe, and the hash of the weights."""
    return {
        "dataset": dataset.name,
        "names": sha256_of_names(list(names)),
        "parts": dict(parts.fingerprint),
        "recipe": recipe.model_dump(mode="json"),
        "weights": weights,
    }


def cached_features(
    path: Path,
    network: nn.Module,
    dataset: Dataset,
    names: Sequence[str],
    parts: PartBoxes,
    recipe: ReidRecipe,
    weights: str,
    *,
    device: str,
    workers: int,
) -> Features:
    """Return the features in `path` if they are of these images, parts and weights, else extract and write them."""
    provenance = features_provenance(dataset, names, parts, recipe, weights)
    found = _features_if_true(path, provenance)
    if found is not None:
        say(f"{path}: features are up to date")
        return found
    images = vehicle_images(dataset, parts, names, depth=recipe.parts, size=recipe.image_size)
    matrix, attention = extract_features(network, images, device=device, workers=workers)
    features = Features(tuple(names), matrix, attention, provenance)
    write_features(path, features)
    return features


def _features_if_true(path: Path, provenance: Mapping[str, Any]) -> Features | None:
    if not path.exists():
        return None
    try:
        found = read_features(path)
    except UserError as error:
        say(f"{error}; they are extracted again")
        return None
    return found if dict(found.provenance) == dict(provenance) else None
