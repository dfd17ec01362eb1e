"""The PK sampler's invariants, and its batches against an exhaustive search for the most that can be dealt."""

import functools
import itertools
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from reid.data.sampler import PKSampler, Sample

COUNTS = [(4, 4, 4, 4), (1, 2, 3, 4, 5), (9, 1, 1), (7, 5, 2, 2, 1), (12, 3, 3), (8, 8, 1, 1, 1, 5), (6, 5, 4)]


def labels_of(counts: tuple[int, ...], seed: int = 0) -> NDArray[np.int64]:
    """Labels in any order, numbered with gaps."""
    return np.random.default_rng(seed).permutation(np.repeat(3 * np.arange(len(counts)) + 5, counts))


def sampler_of(counts: tuple[int, ...], vehicles: int = 2, images: int = 2, seed: int = 0) -> PKSampler:
    return PKSampler(labels_of(counts), vehicles=vehicles, images=images, seed=seed)


def images_of(batches: list[list[Sample]]) -> list[int]:
    return [sample.image for batch in batches for sample in batch]


@functools.cache
def most_batches(hands: tuple[int, ...], vehicles: int) -> int:
    """The most batches that any order can deal, by trying all of them."""
    choices = itertools.combinations([place for place, left in enumerate(hands) if left], vehicles)
    rests = {tuple(sorted(left - (place in chosen) for place, left in enumerate(hands))) for chosen in choices}
    return max((1 + most_batches(rest, vehicles) for rest in rests), default=0)


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize(("vehicles", "images"), [(2, 2), (3, 2), (2, 4), (3, 3)])
def test_every_batch_holds_p_vehicles_with_k_images_each(counts: tuple[int, ...], vehicles: int, images: int) -> None:
    labels, sampler = labels_of(counts), sampler_of(counts, vehicles, images)
    for epoch in range(5):
        sampler.start_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler) > 0
        for batch in batches:
            assert sorted(Counter(labels[[sample.image for sample in batch]]).values()) == [images] * vehicles
            assert {sample.epoch for sample in batch} == {epoch}
        assert [sample.position for batch in batches for sample in batch] == list(
            range(len(batches) * vehicles * images)
        )


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize(("vehicles", "images"), [(2, 2), (3, 2), (2, 4), (3, 3)])
def test_no_order_deals_more_batches(counts: tuple[int, ...], vehicles: int, images: int) -> None:
    hands = tuple(sorted(-(-count // images) for count in counts))
    assert len(sampler_of(counts, vehicles, images)) == most_batches(hands, vehicles)


@pytest.mark.parametrize("counts", [(4, 4, 4, 4), (8, 8), (2, 2, 2, 2, 4), (6, 6, 6, 2, 2, 2)])
def test_every_image_comes_once_where_the_counts_allow(counts: tuple[int, ...]) -> None:
    assert sorted(images_of(list(sampler_of(counts)))) == list(range(sum(counts)))


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("images", [2, 3, 4])
def test_no_image_comes_back_before_all_of_its_vehicle_have_been_dealt(counts: tuple[int, ...], images: int) -> None:
    labels, sampler = labels_of(counts), sampler_of(counts, 2, images)
    for epoch in range(10):
        sampler.start_epoch(epoch)
        dealt = Counter(images_of(list(sampler)))
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            if any(dealt[image] > 1 for image in own):
                assert all(dealt[image] >= 1 for image in own)


def test_a_vehicle_of_few_images_repeats_them_evenly() -> None:
    labels = np.array([0] * 8 + [1] * 3 + [2])
    for epoch in range(20):
        sampler = PKSampler(labels, vehicles=3, images=4, seed=0)
        sampler.start_epoch(epoch)
        (batch,) = list(sampler)
        dealt = Counter(sample.image for sample in batch)
        assert sorted(dealt[image] for image in (8, 9, 10)) == [1, 1, 2] and dealt[11] == 4
        assert sorted(dealt[image] for image in range(8)) == [0] * 4 + [1] * 4


def test_over_the_epochs_every_image_is_dealt() -> None:
    """One vehicle has far more images than can be dealt beside the others in one epoch."""
    counts, dealt = (20, 1, 1), set()
    sampler = sampler_of(counts)
    for epoch in range(60):
        sampler.start_epoch(epoch)
        dealt |= set(images_of(list(sampler)))
    assert dealt == set(range(22))


def test_seed_and_epoch_alone_decide_the_order() -> None:
    def dealt(seed: int, epoch: int) -> list[list[Sample]]:
        sampler = sampler_of((5, 5, 5, 5), seed=seed)
        sampler.start_epoch(epoch)
        return list(sampler)

    assert dealt(0, 3) == dealt(0, 3)
    assert images_of(dealt(0, 3)) != images_of(dealt(0, 4))
    assert images_of(dealt(0, 3)) != images_of(dealt(1, 3))


def test_the_global_generators_are_left_alone() -> None:
    before = np.random.get_state()[1].copy()
    list(sampler_of((5, 5, 5)))
    assert (np.random.get_state()[1] == before).all()


def test_vehicles_meet_others_in_other_epochs() -> None:
    labels, sampler = labels_of((4,) * 6), sampler_of((4,) * 6)
    first, last = set(), set()
    for epoch in range(100):
        sampler.start_epoch(epoch)
        pairs = [frozenset(labels[[sample.image for sample in batch]].tolist()) for batch in sampler]
        first.add(pairs[0])
        last.add(pairs[-1])
    assert len(first) == len(last) == 6 * 5 // 2


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


def test_vehicles_that_cannot_be_shared_out_are_an_error() -> None:
    with pytest.raises(UserError, match=r"3 processes cannot share 4 vehicles a batch; change vehicles_per_batch"):
        PKSampler(labels_of((4,) * 6), vehicles=4, images=2, seed=0, share=(0, 3))


def test_too_few_vehicles_are_an_error_with_its_remedy() -> None:
    with pytest.raises(UserError, match=r"needs 4 vehicles, the training set has 3; lower vehicles_per_batch"):
        sampler_of((9, 9, 9), vehicles=4)
