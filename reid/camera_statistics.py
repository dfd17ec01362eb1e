"""How many boxes of every part are used in the images of each camera: what none shows, no network can see."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_cache.datasets import Dataset
from data_cache.parts import PartBoxes
from reid.features_file import Features
from reid.part_statistics import depth_used

MOST_CAMERAS = 24  # columns that can be read; VERI-Wild has 174


@dataclass(frozen=True, eq=False)
class PartsByCamera:
    """Boxes of P parts in the images of C cameras, in the order of their numbers.

    `mean` (P, C) is the number of boxes of a part in an image, on the mean; `images` (C,) counts the camera's images;
    `left_out` the cameras that are not among these, for they have the fewest images. The most frequent part is first.
    """

    parts: tuple[str, ...]
    cameras: tuple[int, ...]
    images: tuple[int, ...]
    mean: NDArray[np.float64]
    left_out: int = 0

    @property
    def total(self) -> list[float]:
        """Boxes of any part in an image, by camera."""
        return [float(value) for value in self.mean.sum(axis=0)]

    @property
    def largest(self) -> float:
        """The largest mean of a part, 1 where there is no box at all."""
        return float(self.mean.max(initial=0.0)) or 1.0


def parts_by_camera(
    parts: PartBoxes, features: Features, dataset: Dataset, *, most: int = MOST_CAMERAS
) -> PartsByCamera | None:
    """Return the counts over the images of `features`; None where the cache holds no boxes or no camera is known.

    Raises UserError where an image is not in the part cache.
    """
    camera_of = dict(zip(dataset.table["name"], dataset.table["camera_id"], strict=True))
    camera = np.array([camera_of[name] for name in features.names], dtype=np.int64)
    if not parts.labels.shape[1] or not (camera >= 0).any():
        return None
    labels = parts.labels[parts.rows(features.names), : depth_used(parts, features)]
    numbers, counts = np.unique(camera[camera >= 0], return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:most])
    used = [label for label in range(len(parts.part_names)) if (labels == label).any()]
    used.sort(key=lambda label: -int((labels == label).any(axis=1).sum()))
    mean = [
        [float((labels[camera == number] == label).sum(axis=1).mean()) for number in numbers[kept]] for label in used
    ]
    return PartsByCamera(
        parts=tuple(parts.part_names[label] for label in used),
        cameras=tuple(int(number) for number in numbers[kept]),
        images=tuple(int(count) for count in counts[kept]),
        mean=np.array(mean, dtype=np.float64).reshape(len(used), len(kept)),
        left_out=len(numbers) - len(kept),
    )
