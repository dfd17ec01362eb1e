"""Invariants of the PK sampler, and its number of batches against an exhaustive search."""

import functools
import itertools
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from reid.data.sampler import PKSampler, Sample

COUNTS = [(4, 4, 4, 4), (1, 2, 3, 4, 5), (9, 1, 1), (7, 5, 2, 2, 1), (12, 3, 3), (8, 8, 1, 1, 1, 5), (6, 5, 4)]
SIZES = [(2, 2), (3, 2), (2, 4), (3, 3)]  # vehicles, images per vehicle


def labels_of(counts: tuple[int, ...], seed: int = 0) -> NDArray[np.int64]:
    """Shuffled labels of vehicles with these numbers of images; the labels have gaps."""
    return np.random.default_rng(seed).permutation(np.repeat(3 * np.arange(len(counts)) + 5, counts))


def sampler_of(counts: tuple[int, ...], vehicles: int = 2, images: int = 2, seed: int = 0) -> PKSampler:
    return PKSampler(labels_of(counts), vehicles=vehicles, images=images, seed=seed)


def images_of(batches: list[list[Sample]]) -> list[int]:
    return [sample.image for batch in batches for sample in batch]


@functools.cache
def most_batches(groups: tuple[int, ...], vehicles: int) -> int:
    """The largest number of batches from vehicles with these numbers of groups, found by trying every order."""
    choices = itertools.combinations([vehicle for vehicle, left in enumerate(groups) if left], vehicles)
    rests = {tuple(sorted(left - (vehicle in chosen) for vehicle, left in enumerate(groups))) for chosen in choices}
    return max((1 + most_batches(rest, vehicles) for rest in rests), default=0)


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize(("vehicles", "images"), SIZES)
def test_every_batch_holds_p_vehicles_with_k_images_each(counts: tuple[int, ...], vehicles: int, images: int) -> None:
    labels, sampler = labels_of(counts), sampler_of(counts, vehicles, images)
    for epoch in range(5):
        sampler.start_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler) > 0
        for batch in batches:
            assert sorted(Counter(labels[[sample.image for sample in batch]]).values()) == [images] * vehicles
            assert {sample.epoch for sample in batch} == {epoch}
        positions = [sample.position for batch in batches for sample in batch]
        assert positions == list(range(len(batches) * vehicles * images))


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize(("vehicles", "images"), SIZES)
def test_no_order_gives_more_batches(counts: tuple[int, ...], vehicles: int, images: int) -> None:
    groups = tuple(sorted(-(-count // images) for count in counts))
    assert len(sampler_of(counts, vehicles, images)) == most_batches(groups, vehicles)


@pytest.mark.parametrize("counts", [(4, 4, 4, 4), (8, 8), (2, 2, 2, 2, 4), (6, 6, 6, 2, 2, 2)])
def test_every_image_is_used_once_if_the_counts_allow(counts: tuple[int, ...]) -> None:
    assert sorted(images_of(list(sampler_of(counts)))) == list(range(sum(counts)))


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("images", [2, 3, 4])
def test_no_image_repeats_before_all_of_its_vehicle_were_used(counts: tuple[int, ...], images: int) -> None:
    labels, sampler = labels_of(counts), sampler_of(counts, 2, images)
    for epoch in range(10):
        sampler.start_epoch(epoch)
        used = Counter(images_of(list(sampler)))
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            assert all(used[image] >= 1 for image in own) or all(used[image] <= 1 for image in own)


def test_a_vehicle_with_few_images_repeats_them_evenly() -> None:
    labels = np.array([0] * 8 + [1] * 3 + [2])
    sampler = PKSampler(labels, vehicles=3, images=4, seed=0)
    for epoch in range(20):
        sampler.start_epoch(epoch)
        (batch,) = list(sampler)
        used = Counter(sample.image for sample in batch)
        assert sorted(used[image] for image in (8, 9, 10)) == [1, 1, 2] and used[11] == 4
        assert sorted(used[image] for image in range(8)) == [0] * 4 + [1] * 4


def test_over_the_epochs_every_image_is_used() -> None:
    """One vehicle has far more images than fit in one epoch."""
    sampler, used = sampler_of((20, 1, 1)), set()
    for epoch in range(60):
        sampler.start_epoch(epoch)
        used |= set(images_of(list(sampler)))
    assert used == set(range(22))


def test_over_the_epochs_every_pair_of_vehicles_shares_a_batch() -> None:
    labels, sampler = labels_of((4,) * 6), sampler_of((4,) * 6)
    first, last = set(), set()
    for epoch in range(100):
        sampler.start_epoch(epoch)
        pairs = [frozenset(labels[[sample.image for sample in batch]].tolist()) for batch in sampler]
        first.add(pairs[0])
        last.add(pairs[-1])
    assert len(first) == len(last) == 6 * 5 // 2


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    def batches(seed: int, epoch: int) -> list[list[Sample]]:
        sampler = sampler_of((5, 5, 5, 5), seed=seed)
        sampler.start_epoch(epoch)
        return list(sampler)

    before = np.random.get_state()[1].copy()
    assert batches(0, 3) == batches(0, 3)
    assert (np.random.get_state()[1] == before).all()
    assert images_of(batches(0, 3)) != images_of(batches(0, 4))
    assert images_of(batches(0, 3)) != images_of(batches(1, 3))


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_processes_share_every_batch_by_whole_vehicles(ranks: int) -> None:
    labels = labels_of((7, 5, 2, 2, 1, 4))
    whole = PKSampler(labels, vehicles=4, images=3, seed=1)
    shares = [PKSampler(labels, vehicles=4, images=3, seed=1, share=(rank, ranks)) for rank in range(ranks)]
    for epoch in range(3):
        for sampler in (whole, *shares):
            sampler.start_epoch(epoch)
        assert {len(share) for share in shares} == {len(whole)} and {share.batch_size for share in shares} == {12}
        for batch, *parts in zip(whole, *shares, strict=True):
            assert [sample for part in parts for sample in part] == batch
            assert all(len({labels[sample.image] for sample in part}) == 4 // ranks for part in parts)


def test_too_few_vehicles_and_vehicles_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(UserError, match=r"needs 4 vehicles, the training set has 3; lower vehicles_per_batch"):
        sampler_of((9, 9, 9), vehicles=4)
    with pytest.raises(UserError, match=r"3 processes cannot share 4 vehicles a batch; change vehicles_per_batch"):
        PKSampler(labels_of((4,) * 6), vehicles=4, images=2, seed=0, share=(0, 3))


def camera_sampler(seed: int = 0) -> tuple[PKSampler, NDArray[np.int64], NDArray[np.int64]]:
    """A sampler of 12 vehicles, each with six images by three of nine cameras, and labels and cameras."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(12), 6)
    cameras = np.concatenate([np.repeat(random.choice(9, 3, replace=False), 2) for _ in range(12)])
    order = random.permutation(len(labels))
    labels, cameras = labels[order], cameras[order]
    return PKSampler(labels, vehicles=4, images=3, seed=seed, cameras=cameras), labels, cameras


def most_cameras(counts: tuple[int, ...], size: int) -> int:
    """The largest sum over groups of the number of their cameras, found by trying every order of the images."""
    images = [camera for camera, count in enumerate(counts) for _ in range(count)]
    orders = set(itertools.permutations(images))
    return max(sum(len(set(order[i : i + size])) for i in range(0, len(order), size)) for order in orders)


@pytest.mark.parametrize("counts", [(6, 2), (4, 2, 2), (5, 1, 2), (3, 3, 2), (7, 1), (4, 4)])
@pytest.mark.parametrize("size", [2, 4])
def test_across_cameras_no_cut_into_groups_has_more_cameras(counts: tuple[int, ...], size: int) -> None:
    cameras = np.random.default_rng(0).permutation(np.tile(np.repeat(np.arange(len(counts)), counts), 2))
    labels = np.repeat([0, 1], len(cameras) // 2)
    for label in (0, 1):
        own = np.repeat(np.arange(len(counts)), counts)
        cameras[labels == label] = np.random.default_rng(label).permutation(own)
    sampler = PKSampler(labels, vehicles=2, images=size, seed=0, cameras=cameras)
    for epoch in range(5):
        sampler.start_epoch(epoch)
        batches = list(sampler)
        assert sorted(images_of(batches)) == list(range(len(labels)))
        for label in (0, 1):
            groups = [[s.image for s in batch if labels[s.image] == label] for batch in batches]
            assert sum(len(set(cameras[group])) for group in groups) == most_cameras(counts, size)


@pytest.mark.parametrize("counts", [(3, 2), (5, 2), (4, 1, 1), (2, 2, 1, 1), (5, 1)])
def test_across_cameras_the_last_group_takes_other_images_by_other_cameras(counts: tuple[int, ...]) -> None:
    own = np.repeat(np.arange(len(counts)), counts)
    labels, cameras = np.repeat([0, 1], len(own)), np.tile(own, 2)
    sampler = PKSampler(labels, vehicles=2, images=4, seed=0, cameras=cameras)
    for epoch in range(20):
        sampler.start_epoch(epoch)
        last = list(sampler)[-1]
        for label in (0, 1):
            group = [sample.image for sample in last if labels[sample.image] == label]
            assert len(set(group)) == 4 and len(set(cameras[group])) == min(4, len(counts))


@pytest.mark.parametrize("seed", range(3))
def test_across_cameras_a_group_is_by_different_cameras_and_nothing_else_changes(seed: int) -> None:
    sampler, labels, cameras = camera_sampler(seed)
    plain = PKSampler(labels, vehicles=4, images=3, seed=seed)
    assert len(sampler) == len(plain)
    for epoch in range(3):
        sampler.start_epoch(epoch)
        batches = list(sampler)
        assert sorted(images_of(batches)) == list(range(len(labels)))
        for batch in batches:
            for vehicle in {labels[sample.image] for sample in batch}:
                group = [cameras[sample.image] for sample in batch if labels[sample.image] == vehicle]
                assert len(set(group)) == 3


def test_across_cameras_a_batch_has_more_negatives_by_the_same_camera() -> None:
    def share(sampler: PKSampler, labels: NDArray[np.int64], cameras: NDArray[np.int64]) -> float:
        found = []
        for epoch in range(20):
            sampler.start_epoch(epoch)
            for batch in sampler:
                rows = [sample.image for sample in batch]
                camera, label = cameras[rows], labels[rows]
                negative = (camera[:, None] == camera) & (label[:, None] != label)
                found.append(negative.any(axis=1).mean())
        return float(np.mean(found))

    sampler, labels, cameras = camera_sampler()
    spread = PKSampler(labels, vehicles=4, images=3, seed=0)
    assert share(sampler, labels, cameras) > share(spread, labels, cameras)


@pytest.mark.parametrize("own", [[0, 0, 1, 1], [0, 1, 2, 2, 1, 0]])
def test_across_cameras_ties_go_to_vehicles_that_a_camera_has_in_common(own: list[int]) -> None:
    """Vehicles of one group each, all by one camera: two of each camera make a batch, and any camera can be first."""
    cameras = np.repeat(own, 2)
    sampler = PKSampler(np.arange(len(cameras)) // 2, vehicles=2, images=2, seed=0, cameras=cameras)
    first = set()
    for epoch in range(20):
        sampler.start_epoch(epoch)
        batches = [{int(cameras[sample.image]) for sample in batch} for batch in sampler]
        assert sorted(map(list, batches)) == [[camera] for camera in sorted(set(own))]
        first |= batches[0]
    assert first == set(own)
