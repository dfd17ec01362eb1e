"""Feature extraction: one pass of the network over a list of images, cached in a file."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_cache.base.devices import Compute
from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_names
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import PartBoxes
from data_cache.parts.source_files import sha256_of_sizes
from reid.data.vehicle_images import VehicleImages, vehicle_images
from reid.distributed import first_rank_first, own_rank, rank_count, wait_for_all
from reid.features.blocks import BATCHES, Block, FeatureBlocks, cut
from reid.features.embedding import concatenated, extract_blocks
from reid.features.file import Features, read_features, require_names_fit, write_features
from reid.features.ray_tasks import RaySource, blocks_in_ray
from reid.model.checkpoint import Network
from reid.recipes import ReidRecipe

log = logging.getLogger(__name__)

BATCH = {"cpu": 16, "cuda": 64}  # on a CPU the maps of a larger batch exceed what the allocator keeps


@dataclass(frozen=True, eq=False)
class FeatureSource:
    """What determines a feature file: images of a data set, their part boxes, and a network by recipe and weights.

    names (N,); `weights` is the hash of the network's weights.
    """

    dataset: Dataset
    names: Sequence[str]
    parts: PartBoxes
    recipe: ReidRecipe
    weights: str

    def provenance(self) -> dict[str, Any]:
        """Return the provenance in the file's metadata.

        `files` hashes the file sizes, so that a copy of the data set matches; it is None if a file is missing.
        """
        return {
            "dataset": self.dataset.name,
            "names": sha256_of_names(list(self.names)),
            "files": sha256_of_sizes(self.dataset.root, self.names),
            "parts": dict(self.parts.fingerprint),
            "recipe": self.recipe.model_dump(mode="json"),
            "weights": self.weights,
        }

    def images(self) -> VehicleImages:
        """Return the images with their boxes. Raises UserError if a file is missing or its parts failed."""
        recipe = self.recipe
        return vehicle_images(
            self.dataset,
            self.parts,
            self.names,
            top_d=recipe.parts,
            size=recipe.input_size,
            crop=recipe.part_crops,
        )

    def images_of_rows(self, rows: range) -> VehicleImages:
        """Return some of the images with their boxes. Raises UserError as `images`."""
        return replace(self, names=self.names[rows.start : rows.stop]).images()


def cached_features(path: Path, network: Network, source: FeatureSource, compute: Compute) -> Features:
    """Return the features in `path` if they are of `source`, else extract and write them.

    A stopped extraction leaves its finished blocks in PATH.blocks, and the next call resumes from them. Processes of
    `torchrun` that have joined share the work, and the first one writes the file; with the engine "ray" workers of Ray
    do. Raises UserError for an image that cannot be read, for more names than a file can hold, and if another run is
    extracting to `path`.
    """
    require_names_fit(path, source.names)
    provenance = source.provenance()
    blocks = FeatureBlocks(path, source.names, {**provenance, "device": compute.device, "batch": BATCH[compute.device]})
    features = current_features(path, provenance)
    if features is not None:
        log.info(f"{path}: features are up to date")
        if not own_rank():
            blocks.remove_leftovers()
        return features
    images = source.images()
    with blocks.locked():
        block = extract_features(
            network,
            images,
            device=compute.device,
            workers=compute.workers,
            blocks=blocks,
            ray_source=RaySource(source.recipe, source.images_of_rows, source.dataset.root)
            if compute.engine == "ray"
            else None,
        )
        features = Features(tuple(source.names), *block, provenance)
        with first_rank_first():
            if not own_rank():
                write_features(path, features)
                blocks.remove()
    return features


def current_features(path: Path, provenance: Mapping[str, Any]) -> Features | None:
    """Return the features in a file if it has this provenance; None if it has another or is missing or damaged."""
    if not path.exists():
        return None
    try:
        features = read_features(path, "the features are extracted again")
    except UserError as error:
        log.info(str(error))
        return None
    wanted = dict(provenance)
    if wanted["files"] is None:  # features can be scored after their images have been removed
        wanted["files"] = features.provenance.get("files")
    return features if dict(features.provenance) == wanted else None


def extract_features(
    network: Network,
    images: VehicleImages,
    *,
    device: str,
    workers: int,
    blocks: FeatureBlocks | None = None,
    ray_source: RaySource | None = None,
) -> Block:
    """Return the L2-normalised features (N, C) and the attention (N, D) of all images, in order.

    With `blocks`, finished blocks are kept in files and a stopped extraction resumes, on a CPU with the bits of an
    uninterrupted one; processes of `torchrun` that have joined share the missing blocks. With `ray_source`, workers of
    Ray extract them.
    """
    size = BATCH[device]
    plan = cut(range(len(images)), BATCHES * size)
    done = {} if blocks is None else blocks.finished(plan)
    missing = [rows for rows in plan if rows not in done]
    if blocks is None:
        done |= dict(extract_blocks(network, images, missing, device=device, workers=workers, batch_size=size))
        return concatenated([done[rows] for rows in plan])
    if rank_count() > 1:
        wait_for_all()  # all know what is missing before any of them writes a block
    share = missing[own_rank() :: rank_count()]
    if ray_source is None:
        made = extract_blocks(network, images, share, device=device, workers=workers, batch_size=size)
    else:
        made = blocks_in_ray(network, ray_source, share, device=device, workers=workers, batch_size=size)
    for rows, block in made:
        blocks.write(rows, block)
        done[rows] = block
    if rank_count() > 1:
        wait_for_all()
        done |= {rows: blocks.from_other_process(rows) for rows in missing if rows not in done}
        wait_for_all()  # all have read the blocks before they are removed
    return concatenated([done[rows] for rows in plan])
