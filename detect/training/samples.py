"""Training samples in MMDetection's form; randomness depends only on (seed, epoch, index), not on the workers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from data_cache.base.errors import UserError
from data_cache.images.loading import load_image, path_inside
from data_cache.parts.names import PART_NAMES
from detect.annotations.images import AnnotatedImage
from detect.recipes import DetectorRecipe
from detect.training.augment import Boxes, augment


class PartSamples(Dataset[dict[str, Any]]):
    """Augmented images with their parts; position epoch * len + i is image i as augmented in that epoch."""

    metainfo: dict[str, Any] = {}  # noqa: RUF012 - without it MMEngine's loop warns

    def __init__(self, images: tuple[AnnotatedImage, ...], root: Path, recipe: DetectorRecipe) -> None:
        self.images, self.root, self.recipe = images, root, recipe

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """Return `inputs` (3, S, S) uint8 and `data_samples` with the parts.

        Raises UserError if the image cannot be used or has another size than annotated.
        """
        epoch, index = divmod(position, len(self.images))
        random = np.random.default_rng((self.recipe.seed, epoch, index))
        record = self.images[index]
        image = load_image(path_inside(self.root, record.name))
        if image.shape[:2] != (record.height, record.width):
            raise UserError(
                f"{record.name}: {image.shape[1]} x {image.shape[0]} pixels, annotated as "
                f"{record.width} x {record.height}; correct the annotations"
            )
        pixels, boxes, visible = augment(image, record.boxes, self.recipe, random)
        return {
            "inputs": torch.from_numpy(pixels.transpose(2, 0, 1).copy()),
            "data_samples": _data_sample(boxes[visible], record, visible, self.recipe.input_size),
        }


class EpochSampler(Sampler[int]):
    """Every image once per epoch, in an order drawn from (seed, epoch); MMEngine calls `set_epoch`."""

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed, self.epoch = length, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        return iter((self.epoch * self.length + order).tolist())

    def __len__(self) -> int:
        return self.length


def collate_lists(samples: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Collate as MMDetection expects: one list per key, nothing stacked."""
    return {key: [sample[key] for sample in samples] for key in samples[0]}


def _data_sample(boxes: Boxes, record: AnnotatedImage, visible: NDArray[np.bool_], size: int) -> Any:
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    left_out = [label not in record.annotated for label in range(len(PART_NAMES))]
    sample = DetDataSample(metainfo={"img_shape": (size, size), "scale_factor": (1.0, 1.0), "left_out": left_out})
    labels = torch.from_numpy(record.labels[visible])
    sample.gt_instances = InstanceData(bboxes=torch.from_numpy(boxes), labels=labels)
    return sample
