"""Features of images: one pass of the network over a list of names, kept in a file while that is still true."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from data_cache.base.devices import autocast
from data_cache.base.errors import UserError, initialize_worker
from data_cache.base.files import sha256_of_names
from data_cache.base.progress import track
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import PartBoxes
from data_cache.parts.source_files import sha256_of_sizes
from reid.data.vehicle_images import Batch, VehicleImages, collate, normalised, read_batches, vehicle_images
from reid.distributed import first_rank_first, own_rank, rank_count, wait_for_all
from reid.features.blocks import BATCHES, Block, FeatureBlocks, cut
from reid.features.file import Features, read_features, require_room, write_features
from reid.recipes import ReidRecipe

log = logging.getLogger(__name__)

BATCH = {"cpu": 16, "cuda": 64}  # on a CPU the maps of more images outgrow what its allocator keeps at hand


def extract_features(
    network: nn.Module, images: VehicleImages, *, device: str, workers: int, blocks: FeatureBlocks | None = None
) -> Block:
    """Return the L2-normalised features (N, C) and the attention (N, D) of all images, in order.

    `blocks` keeps what is finished in files, so that a stopped extraction goes on; on a CPU it gives the bits of an
    undisturbed one. Without it nothing is written. Processes of torchrun that have joined share the missing blocks.
    """
    plan = cut(range(len(images)), BATCHES * BATCH[device])
    made = {} if blocks is None else blocks.finished(plan)
    missing = [rows for rows in plan if rows not in made]
    if blocks is None:
        made |= dict(_extracted(network, images, missing, device=device, workers=workers))
        return _joined([made[rows] for rows in plan])
    if rank_count() > 1:
        wait_for_all()  # all have seen what is missing before any adds to it
    share = missing[own_rank() :: rank_count()]
    for rows, block in _extracted(network, images, share, device=device, workers=workers):
        blocks.keep(rows, block)
        made[rows] = block
    if rank_count() > 1:
        wait_for_all()
        made |= {rows: blocks.made_by_another(rows) for rows in missing if rows not in made}
        wait_for_all()  # all have read the blocks before they are cleared up
    return _joined([made[rows] for rows in plan])


def _extracted(
    network: nn.Module, images: VehicleImages, missing: Sequence[range], *, device: str, workers: int
) -> Iterator[tuple[range, Block]]:
    """Yield the features of the missing rows, block by block; no batch reaches over the end of a block."""
    if not missing:  # a loader of nothing would start its processes all the same
        return
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    loader = DataLoader(
        images,
        batch_sampler=[list(batch) for rows in missing for batch in cut(rows, BATCH[device])],
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=initialize_worker,
        pin_memory=device == "cuda",
    )
    batches = track(read_batches(loader), "features", sum(map(len, missing)), lambda batch: len(batch.index))
    ends: dict[int, range] = {rows[-1]: rows for rows in missing}
    made: list[Block] = []
    for batch in batches:
        made.append(_of_batch(network, batch, device))
        rows = ends.get(int(batch.index[-1]))
        if rows is not None:
            yield rows, _joined(made)
            made = []


def _of_batch(network: nn.Module, batch: Batch, device: str) -> Block:
    with torch.inference_mode(), autocast(device):
        output = forward(network, batch, device)
    return functional.normalize(output.feature.float()).cpu().numpy(), output.attention.float().cpu().numpy()


def _joined(blocks: Sequence[Block]) -> Block:
    features, attention = zip(*blocks, strict=True)
    return np.concatenate(features), np.concatenate(attention)


def forward(network: Callable[..., Any], batch: Batch, device: str, *more: torch.Tensor) -> Any:
    """Run a network, or a method of it, on a batch, which is moved to the device; it gets what else there is."""
    images, boxes, present = (
        tensor.to(device, non_blocking=True) for tensor in (batch.images, batch.boxes, batch.present)
    )
    return network(normalised(images), boxes, present, *more)


def features_provenance(
    dataset: Dataset, names: Sequence[str], parts: PartBoxes, recipe: ReidRecipe, weights: str
) -> dict[str, Any]:
    """Return what determines a feature file: data set, names, files, part cache, recipe, and the hash of the weights.

    The files are told by their sizes in bytes, so that a copy of the data set is the same; None where one is missing.
    """
    return {
        "dataset": dataset.name,
        "names": sha256_of_names(list(names)),
        "files": sha256_of_sizes(dataset.root, names),
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
    """Return the features in `path` if they are of these images, parts and weights, else extract and write them.

    A stopped extraction leaves its finished blocks in PATH.blocks, and goes on from them when it is called again.
    Processes of torchrun that have joined share the work, and the first writes the file. Raises UserError for an image
    that cannot be read, for more names than a file can hold, on SIGTERM, and where another run is extracting to `path`.
    """
    require_room(path, names)
    provenance = features_provenance(dataset, names, parts, recipe, weights)
    blocks = FeatureBlocks(path, names, {**provenance, "device": device, "batch": BATCH[device]})
    found = features_if_true(path, provenance)
    if found is not None:
        log.info(f"{path}: features are up to date")
        if not own_rank():
            blocks.clear_up_leftovers()
        return found
    images = vehicle_images(dataset, parts, names, depth=recipe.parts, size=recipe.image_size)
    with blocks.at_work():
        matrix, attention = extract_features(network, images, device=device, workers=workers, blocks=blocks)
        features = Features(tuple(names), matrix, attention, provenance)
        with first_rank_first():
            if not own_rank():
                write_features(path, features)
                blocks.clear_up()
    return features


def features_if_true(path: Path, provenance: Mapping[str, Any]) -> Features | None:
    """Return the features in a file if they are of this `features_provenance`; None for others, or a damaged file."""
    if not path.exists():
        return None
    try:
        found = read_features(path, "the features are extracted again")
    except UserError as error:
        log.info(str(error))
        return None
    wanted = dict(provenance)
    if wanted["files"] is None:  # features can be scored where their images no longer lie
        wanted["files"] = found.provenance.get("files")
    return found if dict(found.provenance) == wanted else None
