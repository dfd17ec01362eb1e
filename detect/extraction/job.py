"""Plan of a detection run, made from files alone: neither torch nor MMDetection is imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, sha256_of_file, sha256_of_names, write_atomically
from data_cache.base.options import command_line
from data_cache.base.remote.addresses import Address, Location
from data_cache.base.remote.requests import read_files
from data_cache.base.tensors import read_metadata
from data_cache.parts.cache import TURNED, PartBoxes, read_parts
from data_cache.parts.fingerprints import require_fingerprint
from data_cache.parts.shards import plan_shards, shard_is_finished, shard_path
from data_cache.parts.source_files import files_replaced, run_fingerprint
from detect.model.weights import PACKAGES, REMEDY, read_recipe
from detect.recipes import DetectorRecipe

SHARD_SIZE = 256  # images


@dataclass(frozen=True)
class Shard:
    """A shard of the part cache: its file and the names of its images."""

    path: Path
    names: Sequence[str]


@dataclass(frozen=True)
class DetectionJob:
    """A detection run: images, detector, output and shards."""

    dataset: str
    names: tuple[str, ...]
    root: Location
    weights: Path
    recipe: DetectorRecipe
    output: Path
    limit: int | None
    fingerprint: Mapping[str, Any]
    shards: tuple[Shard, ...]

    def finished(self) -> PartBoxes | None:
        """Return the finished cache, or None. Raises UserError if it has another fingerprint or other images."""
        if not path_exists(self.output):
            return None
        parts = read_parts(self.output)
        found = run_fingerprint(parts)
        if found != self.fingerprint == found | {"names_sha256": self.fingerprint["names_sha256"]}:
            joining = command_line("cache merge", {"--dataset": self.dataset}, ["all.h5", self.output, "new.h5"])
            raise UserError(
                f"{self.output}: {_difference(parts.names, self.names)}; choose another file with --output, or delete "
                f"it; to add new images to it, detect them from a folder of their own into new.h5, then `{joining}`"
            )
        require_fingerprint(found, self.fingerprint, self.output)
        if files_replaced(parts, self.root):
            remedy = "delete it to detect them again, or choose another file with --output"
            raise UserError(f"{self.output}: images below {self.root} were replaced since it was written; {remedy}")
        return parts

    def missing(self, shards: Sequence[Shard]) -> list[Shard]:
        """Return the shards that are missing, damaged or of other images.

        Raises UserError if another detector wrote one.
        """
        return [
            shard for shard in shards if not shard_is_finished(shard.path, shard.names, self.fingerprint, self.root)
        ]

    def plan(self) -> dict[str, Any]:
        """Return what the run would do, as plain JSON values, with the number of `finished` images.

        Raises UserError if another detector wrote the output or a shard.
        """
        missing = [] if self.finished() is not None else self.missing(self.shards)
        return {
            "dataset": self.dataset,
            "images": len(self.names),
            "finished": len(self.names) - sum(len(shard.names) for shard in missing),
            "limit": self.limit,
            "weights": str(self.weights),
            "architecture": self.recipe.architecture,
            "input_size": self.recipe.input_size,
            "output": str(self.output),
        }


def prepare_job(
    images: Sequence[str],
    root: Location,
    weights: Path,
    output: Path,
    *,
    dataset: str,
    limit: int | None = None,
    shard_size: int | None = None,
) -> DetectionJob:
    """Return the job for `images` (names below `root`), or for the first `limit` of them by name.

    `shard_size` is SHARD_SIZE by default. Raises UserError if there are no images, or if `weights` is missing, damaged
    or no detector.
    """
    names = tuple(sorted(set(images))[:limit])
    if not names:
        raise UserError(f"data set {dataset}: no images below {root}")
    recipe = read_recipe(weights)
    pieces = plan_shards(names, shard_size or SHARD_SIZE)
    return DetectionJob(
        dataset=dataset,
        names=names,
        root=root,
        weights=weights,
        recipe=recipe,
        output=output,
        limit=limit,
        fingerprint=detector_fingerprint(weights, recipe, dataset, names, limit),
        shards=tuple(Shard(shard_path(output, index), piece) for index, piece in enumerate(pieces)),
    )


def fetch_finished(job: DetectionJob, address: Address) -> None:
    """Copy the cache at `address`, if there is one, to the output of the job, unless a file is there.

    Raises UserError if it is damaged or another run made it: it would be overwritten at the end.
    """
    (content,) = read_files([address])
    if content is None:
        return
    remedy = "choose another address with --output, or delete that file"
    with TemporaryDirectory() as folder:
        path = Path(folder, job.output.name)
        path.write_bytes(content)
        try:
            found = read_parts(path)
        except UserError as error:
            raise UserError(f"{address}: not a part cache, or damaged; {remedy}") from error
    require_fingerprint(run_fingerprint(found), job.fingerprint, str(address), remedy)
    if not path_exists(job.output):
        write_atomically(job.output, content)


def detector_fingerprint(
    weights: Path, recipe: DetectorRecipe, dataset: str, names: Sequence[str], limit: int | None = None
) -> dict[str, Any]:
    """Return everything that decides the content of a part cache; batch size, workers and device do not.

    `limit` is an entry only if given, so that a cache of some images never passes for one of all images. `detector` is
    the recipe as it stands in the weights file: without the options that later versions added.
    """
    return {
        "dataset": dataset,
        **({} if limit is None else {"limit": limit}),
        "names_sha256": sha256_of_names(list(names)),
        "detector": read_metadata(weights, REMEDY)["recipe"],
        "weights_sha256": sha256_of_file(weights),
        "input_size": recipe.input_size,
        "score_threshold": recipe.score_threshold,
        "nms_iou": recipe.nms_iou,
        "top_k": recipe.top_k,
        **TURNED,
        "versions": {package: version(package) for package in PACKAGES},
    }


def list_images(dataset: str, data_root: Location, images: Path | None) -> tuple[str, Location, list[str]]:
    """Return (name, folder or address, image names) of the folder `images` if given, otherwise of the data set."""
    if images is not None:
        from data_cache.images.loading import images_below

        return images.resolve().name, images, images_below(images)
    from data_cache.datasets.catalogue import load_dataset

    loaded = load_dataset(dataset, data_root)
    return loaded.name, loaded.root, loaded.names()


def _difference(cached: Sequence[str], wanted: Sequence[str]) -> str:
    """Return how the images of a cache differ from the wanted ones, as text."""
    kinds = {"are new": sorted({*wanted} - {*cached}), "are only in the cache": sorted({*cached} - {*wanted})}
    counts = [f"{len(names):,} {what}, first {names[0]}" for what, names in kinds.items() if names]
    return f"made of other images than this run's: {'; '.join(counts)}"
