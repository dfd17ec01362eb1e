"""Protocols: VehicleID's draws, and splits from the table."""

import numpy as np
import pandas as pd

from data_cache.datasets.protocols import DrawnSplit, FixedSplit, fixed_split, rows_where


def drawn_split(images: tuple[int, ...] = (4, 1, 3, 6, 2), shift: int = 100) -> DrawnSplit:
    """Return a split of vehicles with these numbers of images, shuffled, in rows from `shift`."""
    vehicles = np.repeat(np.arange(len(images)), images)
    np.random.default_rng(5).shuffle(vehicles)
    return DrawnSplit(np.arange(shift, shift + len(vehicles)), vehicles)


def by_row(split: DrawnSplit) -> dict[int, int]:
    return dict(zip(split.rows.tolist(), split.vehicles.tolist(), strict=True))


def test_each_draw_has_one_gallery_image_per_vehicle_and_all_others_as_queries() -> None:
    split = drawn_split()
    vehicle = by_row(split)
    protocol = split.protocol("small", draws=10, seed=0)
    assert (protocol.split, protocol.seed, len(protocol.trials)) == ("small", 0, 10)
    assert not protocol.same_camera_is_junk
    for trial in protocol.trials:
        assert sorted(vehicle[row] for row in trial.gallery.tolist()) == [0, 1, 2, 3, 4]
        assert sorted([*trial.query.tolist(), *trial.gallery.tolist()]) == split.rows.tolist()


def gallery_sets(split: DrawnSplit, draws: int, seed: int) -> list[tuple[int, ...]]:
    return [tuple(trial.gallery.tolist()) for trial in split.protocol("small", draws, seed).trials]


def test_draws_differ_and_depend_on_the_seed() -> None:
    split = drawn_split((5,) * 20)
    first = gallery_sets(split, 10, 0)
    assert len(set(first)) == 10
    assert gallery_sets(split, 10, 0) == first
    assert gallery_sets(split, 3, 0) == first[:3]  # a draw does not depend on their number
    assert not set(gallery_sets(split, 10, 1)) & set(first)


def test_global_generator_is_not_used() -> None:
    state = np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    drawn_split().protocol("small", 10, 0)
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index, union-attr]


def test_images_of_a_vehicle_are_drawn_uniformly() -> None:
    split = drawn_split((4,) * 5)
    drawn = np.concatenate([trial.gallery for trial in split.protocol("small", 400, 0).trials])
    counts = np.bincount(drawn - 100, minlength=20)
    assert counts.min() > 60 and counts.max() < 140  # 100 expected, 4.6 standard deviations either way


def test_fixed_split_has_one_trial() -> None:
    split = FixedSplit(np.array([1, 2]), np.array([0, 3]), same_camera_is_junk=True)
    for draws, seed in ((1, 0), (10, 7)):
        protocol = split.protocol("test", draws, seed)
        (trial,) = protocol.trials
        assert (trial.query.tolist(), trial.gallery.tolist()) == ([1, 2], [0, 3])
        assert protocol.same_camera_is_junk and protocol.seed is None


def test_fixed_split_takes_its_rows_from_the_table() -> None:
    table = pd.DataFrame({"split": ["query", "train", "gallery", "test", "gallery", "query"]}, index=range(10, 16))
    split = fixed_split(table, same_camera_is_junk=False)
    assert (split.query.tolist(), split.gallery.tolist()) == ([0, 5], [2, 4])  # positions, not index labels
    within = pd.Series([True, True, False, True, True, False], index=table.index)
    split = fixed_split(table, same_camera_is_junk=False, within=within)
    assert (split.query.tolist(), split.gallery.tolist()) == ([0], [4])
    assert rows_where(within).tolist() == [0, 1, 3, 4]
