"""What a pass of stage one is to make, decided from files alone: neither torch nor MMDetection is imported for it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.base.files import is_there, sha256_of_file, sha256_of_names
from data_cache.parts.cache import PartBoxes, read_parts, require_fingerprint
from data_cache.parts.shards import plan_shards, shard_is_finished, shard_path
from data_cache.parts.source_files import files_replaced, made_by
from detect.model.weights import PACKAGES, read_recipe
from detect.recipes import DetectorRecipe

SHARD_SIZE = 256
ANEW = "delete it to find their parts anew, or write to another place with --output"
OTHER_IMAGES = (
    "write to another place with --output, or delete it; what it holds can be kept: "
    "detect new images from a folder of their own, then `python cli.py cache merge`"
)


@dataclass(frozen=True)
class Shard:
    """A shard to make: where it goes, and the images in it."""

    path: Path
    names: Sequence[str]


@dataclass(frozen=True)
class DetectionPlan:
    """What a pass would do: the images in all and those finished before, the detector, and where its parts go."""

    dataset: str
    images: int
    finished: int
    limit: int | None
    weights: Path
    architecture: str
    input_size: int
    output: Path

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self) | {"weights": str(self.weights), "output": str(self.output)}

    def lines(self) -> str:
        """Return the plan as lines for the terminal."""
        first = "" if self.limit is None else f", the first {self.limit:,} by name"
        return (
            f"images:   {self.images:,} of {self.dataset}{first}\n"
            f"finished: {self.finished:,}; to do: {self.images - self.finished:,}\n"
            f"detector: {self.weights} ({self.architecture}, {self.input_size} x {self.input_size} pixels)\n"
            f"output:   {self.output}"
        )


@dataclass(frozen=True)
class DetectionJob:
    """A pass of stage one: these images, this detector, this output, in these shards."""

    dataset: str
    names: tuple[str, ...]
    root: Path
    weights: Path
    recipe: DetectorRecipe
    output: Path
    limit: int | None
    fingerprint: Mapping[str, Any]
    shards: tuple[Shard, ...]

    def finished(self) -> PartBoxes | None:
        """Return the cache where it is there. Raises UserError where something else made it, or of other images."""
        if not is_there(self.output):
            return None
        parts = read_parts(self.output)
        found = made_by(parts)
        if found | {"names_sha256": self.fingerprint["names_sha256"]} == self.fingerprint != found:
            raise UserError(f"{self.output}: {_difference(parts.names, self.names)}; {OTHER_IMAGES}")
        require_fingerprint(found, self.fingerprint, self.output)
        if files_replaced(parts, self.root):
            raise UserError(f"{self.output}: of images that have been replaced since, below {self.root}; {ANEW}")
        return parts

    def missing(self, shards: Sequence[Shard]) -> list[Shard]:
        """Return which of `shards` are not there, not whole, or of other images.

        Raises UserError where another detector wrote one.
        """
        return [
            shard for shard in shards if not shard_is_finished(shard.path, shard.names, self.fingerprint, self.root)
        ]

    def plan(self) -> DetectionPlan:
        """Return what is left to do. Raises UserError where the output or its shards were made by something else."""
        missing = [] if self.finished() is not None else self.missing(self.shards)
        left = sum(len(shard.names) for shard in missing)
        return DetectionPlan(
            dataset=self.dataset,
            images=len(self.names),
            finished=len(self.names) - left,
            limit=self.limit,
            weights=self.weights,
            architecture=self.recipe.architecture,
            input_size=self.recipe.input_size,
            output=self.output,
        )


def prepare_job(
    images: Sequence[str],
    root: Path,
    weights: Path,
    output: Path,
    *,
    dataset: str,
    limit: int | None = None,
    shard_size: int = SHARD_SIZE,
) -> DetectionJob:
    """Return the pass over `images` (names below `root`), or over the first `limit` of them by name.

    Raises UserError where there is no image, or where `weights` is missing, damaged or no detector.
    """
    names = tuple(sorted(set(images))[:limit])
    if not names:
        raise UserError(f"data set {dataset}: no images below {root}")
    recipe = read_recipe(weights)
    return DetectionJob(
        dataset=dataset,
        names=names,
        root=root,
        weights=weights,
        recipe=recipe,
        output=output,
        limit=limit,
        fingerprint=detector_fingerprint(weights, recipe, dataset, names, limit),
        shards=tuple(
            Shard(shard_path(output, index), part) for index, part in enumerate(plan_shards(names, shard_size))
        ),
    )


def detector_fingerprint(
    weights: Path, recipe: DetectorRecipe, dataset: str, names: Sequence[str], limit: int | None = None
) -> dict[str, Any]:
    """Return all that decides the content of a part cache; batch size, workers and device are no part of it.

    `limit` stands in it only where one was given, so that a cache of some images is never taken for one of all.
    """
    return {
        "dataset": dataset,
        **({} if limit is None else {"limit": limit}),
        "names_sha256": sha256_of_names(list(names)),
        "detector": recipe.model_dump(mode="json"),
        "weights_sha256": sha256_of_file(weights),
        "input_size": recipe.input_size,
        "score_threshold": recipe.score_threshold,
        "nms_iou": recipe.nms_iou,
        "top_k": recipe.top_k,
        "versions": {package: version(package) for package in PACKAGES},
    }


def _difference(held: Sequence[str], wanted: Sequence[str]) -> str:
    """Return what sets the names in a cache apart from those of this run, in words."""
    kinds = {"are new": sorted({*wanted} - {*held}), "are in it alone": sorted({*held} - {*wanted})}
    told = [f"{len(names):,} {what}, first {names[0]}" for what, names in kinds.items() if names]
    return f"made of other images than this run's: {'; '.join(told)}"


def chosen_images(dataset: str, data_root: Path, images: Path | None) -> tuple[str, Path, list[str]]:
    """Return name, folder and image names of the folder `images`, or of the data set where there is none."""
    if images is not None:
        from data_cache.images.loading import images_below

        return images.resolve().name, images, images_below(images)
    from data_cache.datasets.catalogue import load_dataset

    table = load_dataset(dataset, data_root)
    return table.name, table.root, table.names()
