"""PK sampler: every batch holds P vehicles with K images each."""

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError


class Sample(NamedTuple):
    """An image at a position of an epoch; (seed, epoch, position) determines its augmentation."""

    epoch: int
    position: int
    image: int


class PKSampler:
    """Batches of `vehicles` x `images`; within an epoch, no image repeats before all images of its vehicle were used.

    Each vehicle's images are shuffled and cut into groups of K; the last group is filled up with repeats. A batch takes
    a group of each of the P vehicles with the most groups left (ties at random), which gives as many batches as any
    order can. Every iteration gives the epoch chosen by `start_epoch`. `share` (rank, ranks) selects one process's
    vehicles of each batch.

    With `cameras` (N,) each camera's images are spread over as many groups as they can be, and the ties go to vehicles
    that a camera has in common: a positive looks different, and the hardest negatives share its background and light.
    """

    def __init__(
        self,
        labels: Sequence[int] | NDArray[np.int64],
        *,
        vehicles: int,
        images: int,
        seed: int,
        share: tuple[int, int] = (0, 1),
        cameras: NDArray[np.int64] | None = None,
    ) -> None:
        """Keep labels (N,). Raises UserError if a batch cannot be filled, or not be shared by the processes."""
        self._images_of = [np.flatnonzero(np.asarray(labels) == label) for label in np.unique(labels)]
        if len(self._images_of) < vehicles:
            raise UserError(
                f"a batch needs {vehicles} vehicles, the training set has {len(self._images_of)}; "
                "lower vehicles_per_batch"
            )
        rank, ranks = share
        if vehicles % ranks:
            raise UserError(f"{ranks} processes cannot share {vehicles} vehicles a batch; change vehicles_per_batch")
        self.vehicles, self.images, self.seed, self.epoch = vehicles, images, seed, 0
        self._cameras = cameras
        own = vehicles // ranks * images
        self._own = slice(rank * own, (rank + 1) * own)
        self._length = sum(1 for _ in self)  # the same for every epoch: it depends on the counts of images only

    @property
    def batch_size(self) -> int:
        """The number of images of a batch, over all processes."""
        return self.vehicles * self.images

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return self._length

    def start_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[Sample]]:
        """Yield the batches of the chosen epoch."""
        random = np.random.default_rng((self.seed, self.epoch))
        # cameras in a random order, so that another one comes first in each epoch
        cameras = None if self._cameras is None else random.permutation(int(self._cameras.max()) + 1)[self._cameras]
        groups = [self._groups(images, cameras, random) for images in self._images_of]

        def turn(vehicle: int, left: int) -> tuple[int, int, float, int]:
            """Return the place in the queue of a vehicle with -left groups: the most groups first, then by camera."""
            camera = 0 if cameras is None else int(cameras[groups[vehicle][left][0]])
            return left, camera, random.random(), vehicle

        queue = [turn(vehicle, -len(own)) for vehicle, own in enumerate(groups)]
        heapq.heapify(queue)
        position = 0
        while len(queue) >= self.vehicles:
            chosen = [heapq.heappop(queue) for _ in range(self.vehicles)]
            images = np.concatenate([groups[vehicle][left] for left, _, _, vehicle in chosen])
            batch = [Sample(self.epoch, position + offset, int(image)) for offset, image in enumerate(images)]
            yield batch[self._own]
            position += len(images)
            for left, _, _, vehicle in chosen:
                if left < -1:
                    heapq.heappush(queue, turn(vehicle, left + 1))

    def _groups(
        self, images: NDArray[np.int64], cameras: NDArray[np.int64] | None, random: np.random.Generator
    ) -> NDArray[np.int64]:
        """Cut a vehicle's shuffled images into (groups, K), with repeats in the last group, by other cameras first."""
        shuffled = random.permutation(images)
        if cameras is not None:
            shuffled = shuffled[_dealt(cameras[shuffled], self.images)]
        missing = -len(images) % self.images
        if cameras is None or len(images) < self.images:
            repeats = random.permutation(np.resize(shuffled, max(missing, len(images))))
        else:
            earlier, last = np.split(shuffled, [len(images) // self.images * self.images])
            repeats = random.permutation(earlier)
            repeats = repeats[_rarest_first(cameras[repeats], cameras[last])]
        return np.asarray(np.concatenate([shuffled, repeats[:missing]]).reshape(-1, self.images))


def _rarest_first(cameras: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an order of images, by `cameras` (N,), in which to add them to a group so that cameras repeat late.

    >>> _rarest_first(np.array([1, 1, 2, 3, 3]), np.array([1, 2])).tolist()
    [3, 0, 2, 4, 1]
    """
    count, before = Counter(group.tolist()), []
    for camera in cameras.tolist():
        before.append(count[camera])
        count[camera] += 1
    return np.argsort(before, kind="stable")


def _dealt(cameras: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return an order of images, by `cameras` (N,), of which each `size` are by as many cameras as can be.

    Sorted by camera, the images are dealt to the groups in turn; those left over, evenly taken, are the last group.

    >>> _dealt(np.array([1, 1, 1, 1, 1, 1, 2, 2]), 4).tolist()
    [0, 2, 4, 6, 1, 3, 5, 7]
    """
    order, groups = np.argsort(cameras, kind="stable"), len(cameras) // size
    rest = len(cameras) % size
    left_over = (2 * np.arange(rest) + 1) * len(cameras) // (2 * max(1, rest))
    dealt = np.delete(order, left_over)
    return np.concatenate([*(dealt[group::groups] for group in range(groups)), order[left_over]])
