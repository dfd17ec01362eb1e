"""PK sampler: every batch holds P vehicles with K images each."""

import heapq
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError


class Sample(NamedTuple):
    """A place in an epoch and the image that takes it; (seed, epoch, position) determines its augmentation."""

    epoch: int
    position: int
    image: int


class PKSampler:
    """Batches of `vehicles` x `images`; a vehicle's images are dealt out before any comes twice in an epoch.

    Vehicles with the most images left go first (ties at random), which fills as many batches as any order can; a
    vehicle whose images do not fill its last group is topped up with repeats. Iterating again gives the same epoch;
    `start_epoch` chooses it. `share` (rank, ranks) deals one process's part of every batch, which is whole vehicles.
    """

    def __init__(
        self,
        labels: Sequence[int] | NDArray[np.int64],
        *,
        vehicles: int,
        images: int,
        seed: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """Keep labels (N,). Raises UserError where a batch cannot be filled, or shared out."""
        self.groups = [np.flatnonzero(np.asarray(labels) == label) for label in np.unique(labels)]
        if len(self.groups) < vehicles:
            raise UserError(
                f"a batch needs {vehicles} vehicles, the training set has {len(self.groups)}; lower vehicles_per_batch"
            )
        rank, ranks = share
        if vehicles % ranks:
            raise UserError(f"{ranks} processes cannot share {vehicles} vehicles a batch; change vehicles_per_batch")
        self.vehicles, self.images, self.seed, self.epoch = vehicles, images, seed, 0
        own = vehicles // ranks * images
        self._own = slice(rank * own, (rank + 1) * own)
        self._length = sum(1 for _ in self)  # the counts alone decide it, so that every epoch is as long

    @property
    def batch_size(self) -> int:
        """Return the images of a whole batch."""
        return self.vehicles * self.images

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return self._length

    def start_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration deals."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[Sample]]:
        """Deal the batches of the chosen epoch."""
        random = np.random.default_rng((self.seed, self.epoch))
        hands = [self._hands(group, random) for group in self.groups]
        waiting = [(-len(hand), random.random(), vehicle) for vehicle, hand in enumerate(hands)]
        heapq.heapify(waiting)
        position = 0
        while len(waiting) >= self.vehicles:
            chosen = [heapq.heappop(waiting) for _ in range(self.vehicles)]
            images = np.concatenate([hands[vehicle][left] for left, _, vehicle in chosen])
            batch = [Sample(self.epoch, position + place, int(image)) for place, image in enumerate(images)]
            yield batch[self._own]
            position += len(images)
            for left, _, vehicle in chosen:
                if left < -1:
                    heapq.heappush(waiting, (left + 1, random.random(), vehicle))

    def _hands(self, group: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """Cut a vehicle's shuffled images into (hands, K), repeating some to fill the last hand."""
        shuffled = random.permutation(group)
        missing = -len(group) % self.images
        repeats = random.permutation(np.resize(shuffled, max(missing, len(group))))[:missing]
        return np.asarray(np.concatenate([shuffled, repeats]).reshape(-1, self.images))
