"""What commands made of the same data, compared: part caches, features, scores, trained networks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data_cache.base.files import read_json
from helpers.toy.vehicles import Toy, assert_same_run
from reid.data.vehicle_images import vehicle_images
from reid.features.extraction import extract_features
from reid.features.file import read_features
from reid.model.checkpoint import build_network
from reid.recipes import PRESETS
from soak.varied import Variation, applied

RECIPE, SPLIT = "pgan_small", "test"
TOLERANCE = 1e-4  # of 1 - cosine, of an image in batches of other sizes; on rendered pictures 3e-6 was seen


def compared(stage: str, found: Path, wanted: Path, *, exact: bool) -> str:
    """Return what differs in what a command made in two folders of runs.

    Features need not agree to the bit where they were computed in other batches (not `exact`): rounding may differ.
    """
    if stage == "detect":
        return "" if (found / "parts.h5").read_bytes() == (wanted / "parts.h5").read_bytes() else "parts.h5 differs"
    one, other = found / "folder" / RECIPE, wanted / "folder" / RECIPE
    if stage == "train":
        try:
            assert_same_run(one, other)
        except AssertionError as error:
            return f"the trained networks differ: {error}"
        return ""
    one, other = one / SPLIT, other / SPLIT
    features = [folder / "features.safetensors" for folder in (one, other)]
    away = furthest(*(read_features(path).matrix for path in features))
    if away > TOLERANCE or (exact and features[0].read_bytes() != features[1].read_bytes()):
        return f"the features differ, by up to {away:.1e} of cosine"
    scores = [read_json(folder / "metrics.json")["scores"] for folder in (one, other)]
    return "" if scores[0] == scores[1] else f"the scores differ: {scores[0]} and {scores[1]}"


def furthest(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the largest 1 - cosine of a row with the same row."""
    return float((1 - np.einsum("nc,nc->n", first.astype(np.float64), second.astype(np.float64))).max())


def rounding(toy: Toy, size: int, batches: Sequence[int]) -> dict[int, float]:
    """Return how far features of ResNet-50 of images of `size` pixels are from those in plain batches, by batch size.

    On one CPU, ResNet-18, ResNet-34 and MobileNetV2 gave the same bits in batches of any size, and this one did not.
    """
    recipe = PRESETS["pgan"].model_copy(update={"trunk_weights": None, "image_size": size, "parts": 2})
    torch.manual_seed(0)
    network, names = build_network(recipe, 8), toy.dataset.names()[: Variation().batch]
    images = vehicle_images(toy.dataset, toy.parts, names, top_d=recipe.parts, size=size)

    def features(batch: int) -> NDArray[np.float32]:
        with applied(Variation(batch=batch)):
            return extract_features(network, images, device="cpu", workers=0)[0]

    plain = features(Variation().batch)
    return {batch: furthest(features(batch), plain) for batch in batches}
