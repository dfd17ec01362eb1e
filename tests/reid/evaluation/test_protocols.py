"""Each benchmark's protocol on a few images whose lists are worked out by hand.

An image is a direction in the plane, in degrees: the smaller the angle between two, the more similar they are.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_cache.datasets.dataset import Dataset
from data_cache.datasets.protocols import DrawnSplit, FixedSplit, fixed_split
from reid.features.file import Features
from reid.retrieval.metrics import PrecisionForm
from reid.retrieval.scoring import ScoredTest, Scoring

Image = tuple[str, int, int, float]  # split, vehicle, camera, degrees


def table_of(images: Sequence[Image]) -> pd.DataFrame:
    rows = [(f"{row}.jpg", f"v{vehicle}", camera, split) for row, (split, vehicle, camera, _) in enumerate(images)]
    return pd.DataFrame(rows, columns=["name", "vehicle_id", "camera_id", "split"])


def scored(images: Sequence[Image], split: FixedSplit | DrawnSplit, form: PrecisionForm = "step") -> ScoredTest:
    angle = np.radians([degrees for *_, degrees in images])
    matrix = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    table = table_of(images)
    features = Features(tuple(table["name"]), matrix, np.zeros((len(images), 0), np.float32), {})
    dataset = Dataset("toy", Path(), table, {"test": split})
    return Scoring(form=form).score({"row": features}, dataset, "test", device="cpu")


def precisions(
    images: Sequence[Image], split: FixedSplit | DrawnSplit, form: PrecisionForm = "step"
) -> list[list[float]]:
    return [results.average_precision.tolist() for results in scored(images, split, form).results["row"]]


VERI: tuple[Image, ...] = (
    ("query", 1, 1, 0),
    ("query", 2, 3, 130),
    # the gallery contains the queries; tracks (a vehicle by a camera) are contiguous
    ("gallery", 1, 1, 0),  # the first query itself
    ("gallery", 1, 1, 5),
    ("gallery", 2, 1, 10),
    ("gallery", 2, 1, 60),
    ("gallery", 1, 2, 20),
    ("gallery", 1, 2, 80),
    ("gallery", 2, 3, 30),
    ("gallery", 2, 3, 130),  # the second query itself
    ("gallery", 1, 3, 40),
)
TRACKS = np.array([0, 2, 4, 6, 8])


def veri(**options: object) -> FixedSplit:
    return replace(fixed_split(table_of(VERI), same_camera_is_junk=True), **options)  # type: ignore[arg-type]


def test_veri_image_to_image() -> None:
    split = veri()
    # First query, junk 0 and 5 left out: 10 wrong, 20 right, 30 wrong, 40 right, 60 wrong, 80 right, 130 wrong.
    # Second, junk 30 and 130 left out: 80 wrong, 60 right, 40 wrong, 20 wrong, 10 right, 5 wrong, 0 wrong.
    step = [(1 / 2 + 2 / 4 + 3 / 6) / 3, (1 / 2 + 2 / 5) / 2]
    trapezoid = [
        ((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2 + (2 / 5 + 3 / 6) / 2) / 3,
        ((0 + 1 / 2) / 2 + (1 / 4 + 2 / 5) / 2) / 2,
    ]
    assert precisions(VERI, split) == [pytest.approx(step)]
    assert precisions(VERI, split, "trapezoid") == [pytest.approx(trapezoid)]
    found = scored(VERI, split).scores["row"]
    assert (found.cmc1, found.cmc5, found.gallery, found.queries_without_match) == (0, 1, 9, 0)
    assert found.mINP == pytest.approx((3 / 6 + 2 / 5) / 2)


def test_veri_without_its_junk_rule_ranks_every_query_itself_first() -> None:
    assert scored(VERI, veri(same_camera_is_junk=False)).scores["row"].cmc1 == 1


def test_veri_image_to_track() -> None:
    split = veri(tracks=TRACKS)
    # First query, its own track left out: best images 10 wrong, 20 right, 30 wrong, 40 right.
    # Second, its own left out: 80 wrong, 60 right, 40 wrong, 5 wrong.
    assert precisions(VERI, split) == [pytest.approx([0.5, 0.5])]
    assert precisions(VERI, split, "trapezoid") == [pytest.approx([1 / 3, 0.25])]
    test = scored(VERI, split)
    (result,), found = test.results["row"], test.scores["row"]
    assert (found.cmc1, found.cmc5, found.gallery) == (0, 1, 5)
    assert found.mINP == pytest.approx((2 / 4 + 1 / 2) / 2)
    assert (result.first_hit_rank.tolist(), result.positives.tolist()) == ([2, 2], [2, 1])


VEHICLEID: tuple[Image, ...] = tuple(
    ("test", vehicle, -1, degrees) for vehicle, degrees in ((1, 0), (1, 10), (2, 25), (2, 60), (3, 100), (3, 170))
)


def test_vehicleid_draw_by_draw() -> None:
    split = DrawnSplit(np.arange(6), np.array([1, 1, 2, 2, 3, 3]))
    trials = split.protocol("test", draws=10, seed=0).trials
    # If 25 is drawn, every match is first. If 60 is, query 25 is nearer to either image of vehicle 1, so its match is
    # second, and query 100 is nearer to 60 than to 170.
    expected = []
    for trial in trials:
        first = {0: 1.0, 1: 1.0, 2: 0.5, 3: 1.0, 4: 0.5 if 3 in trial.gallery else 1.0, 5: 1.0}
        expected.append([first[row] for row in trial.query.tolist()])
    assert len({tuple(trial.gallery) for trial in trials}) > 4
    assert precisions(VEHICLEID, split) == expected
    assert precisions(VEHICLEID, split, "trapezoid") == [[1.0 if one == 1 else 0.25 for one in e] for e in expected]
    found = scored(VEHICLEID, split).scores["row"]
    means = [np.mean(one) for one in expected]
    rank_one = [np.mean(np.array(one) == 1) for one in expected]
    assert (found.mAP, found.cmc1, found.cmc5) == pytest.approx((np.mean(means), np.mean(rank_one), 1.0))
    assert found.deviation is not None
    assert found.deviation["cmc1"] == pytest.approx(np.std(rank_one, ddof=1))
    assert (found.queries, found.gallery, found.trials, found.seed) == (3, 3, 10, 0)


VRIC: tuple[Image, ...] = (
    ("query", 1, 1, 0),
    ("query", 2, 1, 30),
    ("query", 3, 2, 95),
    ("gallery", 1, 2, 20),
    ("gallery", 2, 4, 50),
    ("gallery", 3, 1, 9),
)


@pytest.mark.parametrize("junk", [True, False])
def test_vric_single_shot(junk: bool) -> None:
    split = fixed_split(table_of(VRIC), same_camera_is_junk=junk)
    # Lists: 9 wrong, 20 right; 20 wrong, 50 right; 50 wrong, 20 wrong, 9 right. The junk rule drops nothing.
    assert precisions(VRIC, split) == [pytest.approx([1 / 2, 1 / 2, 1 / 3])]
    found = scored(VRIC, split).scores["row"]
    assert (found.mAP, found.mINP, found.cmc1, found.cmc5) == pytest.approx((4 / 9, 4 / 9, 0, 1))


VERIWILD: tuple[Image, ...] = (
    ("query", 1, 7, 0),
    ("query", 2, 8, 90),
    ("query", 3, 9, 180),
    ("gallery", 1, 7, 1),  # junk of the first query
    ("gallery", 2, 7, 3),
    ("gallery", 2, 9, 20),
    ("gallery", 3, 9, 30),  # junk of the third
    ("gallery", 1, 8, 40),
    ("gallery", 2, 8, 91),  # junk of the second
)


def test_veriwild_with_a_query_that_has_only_junk() -> None:
    split = fixed_split(table_of(VERIWILD), same_camera_is_junk=True)
    # First: 3, 20, 30 wrong, 40 right, 91 wrong. Second: 40, 30 wrong, 20 right, 3 right, 1 wrong. Third: no match.
    test = scored(VERIWILD, split)
    (result,), found = test.results["row"], test.scores["row"]
    assert result.first_hit_rank.tolist() == [4, 3, 0]
    assert result.positives.tolist() == [1, 2, 0]
    assert result.average_precision.tolist() == pytest.approx([1 / 4, (1 / 3 + 2 / 4) / 2, 0])
    assert result.inverse_negative_penalty.tolist() == pytest.approx([1 / 4, 2 / 4, 0])
    (trapezoid,) = precisions(VERIWILD, split, "trapezoid")
    assert trapezoid == pytest.approx([1 / 8, ((0 + 1 / 3) / 2 + (1 / 3 + 2 / 4) / 2) / 2, 0])
    assert (found.mAP, found.mINP) == pytest.approx(((1 / 4 + 5 / 12) / 2, 3 / 8))
    assert (found.cmc1, found.cmc5, found.queries, found.queries_without_match) == (0, 1, 3, 1)
