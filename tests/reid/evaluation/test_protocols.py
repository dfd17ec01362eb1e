"""Each benchmark's protocol on a few images whose lists are worked out by hand, from the table to the figures.

An image is a direction in the plane, told in degrees: the smaller the angle between two, the more they are alike.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data_cache.datasets.protocols import DrawnSplit, FixedSplit, Protocol, fixed_split
from reid.features.file import Features
from reid.retrieval.metrics import PrecisionForm
from reid.retrieval.scores import rank_protocol, score_protocol, scores_of

Image = tuple[str, int, int, float]  # split, vehicle, camera, degrees


def table_of(images: Sequence[Image]) -> pd.DataFrame:
    rows = [(f"{row}.jpg", f"v{vehicle}", camera, split) for row, (split, vehicle, camera, _) in enumerate(images)]
    return pd.DataFrame(rows, columns=["name", "vehicle_id", "camera_id", "split"])


def features_of(images: Sequence[Image]) -> Features:
    angle = np.radians([degrees for *_, degrees in images])
    matrix = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    return Features(tuple(table_of(images)["name"]), matrix, np.zeros((len(images), 0), np.float32), {})


def precisions(images: Sequence[Image], protocol: Protocol, form: PrecisionForm = "step") -> list[list[float]]:
    results = rank_protocol(features_of(images), table_of(images), protocol, form=form)
    return [result.average_precision.tolist() for result in results]


VERI: tuple[Image, ...] = (
    ("query", 1, 1, 0),
    ("query", 2, 3, 130),
    # the gallery holds the queries too, tracks together: a vehicle by a camera
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
    protocol = veri().protocol("test", 1, 0)
    # First query, junk 0 and 5 left out: 10 wrong, 20 right, 30 wrong, 40 right, 60 wrong, 80 right, 130 wrong.
    # Second, junk 30 and 130 left out: 80 wrong, 60 right, 40 wrong, 20 wrong, 10 right, 5 wrong, 0 wrong.
    expected = {"step": [(1 / 2 + 2 / 4 + 3 / 6) / 3, (1 / 2 + 2 / 5) / 2]}
    expected["trapezoid"] = [
        ((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2 + (2 / 5 + 3 / 6) / 2) / 3,
        ((0 + 1 / 2) / 2 + (1 / 4 + 2 / 5) / 2) / 2,
    ]
    assert precisions(VERI, protocol) == [pytest.approx(expected["step"])]
    assert precisions(VERI, protocol, "trapezoid") == [pytest.approx(expected["trapezoid"])]
    found = score_protocol(features_of(VERI), table_of(VERI), protocol)
    assert (found.cmc1, found.cmc5, found.gallery, found.queries_without_match) == (0, 1, 9, 0)
    assert found.mINP == pytest.approx((3 / 6 + 2 / 5) / 2)


def test_veri_without_its_junk_rule_finds_every_query_itself() -> None:
    found = score_protocol(features_of(VERI), table_of(VERI), veri(same_camera_is_junk=False).protocol("test", 1, 0))
    assert found.cmc1 == 1


def test_veri_image_to_track() -> None:
    protocol = veri(tracks=TRACKS).protocol("track", 1, 0)
    # First query, its own track left out: best images 10 wrong, 20 right, 30 wrong, 40 right.
    # Second, its own left out: 80 wrong, 60 right, 40 wrong, 5 wrong.
    assert precisions(VERI, protocol) == [pytest.approx([0.5, 0.5])]
    assert precisions(VERI, protocol, "trapezoid") == [pytest.approx([1 / 3, 0.25])]
    found = score_protocol(features_of(VERI), table_of(VERI), protocol)
    assert (found.cmc1, found.cmc5, found.gallery) == (0, 1, 5)
    assert found.mINP == pytest.approx((2 / 4 + 1 / 2) / 2)
    (result,) = rank_protocol(features_of(VERI), table_of(VERI), protocol)
    assert (result.first_hit_rank.tolist(), result.positives.tolist()) == ([2, 2], [2, 1])


VEHICLEID: tuple[Image, ...] = tuple(
    ("test", vehicle, -1, degrees) for vehicle, degrees in ((1, 0), (1, 10), (2, 25), (2, 60), (3, 100), (3, 170))
)


def test_vehicleid_image_by_image_and_draw_by_draw() -> None:
    split = DrawnSplit(np.arange(6), np.array([1, 1, 2, 2, 3, 3]))
    protocol = split.protocol("small", draws=10, seed=0)
    # Where 25 is drawn, all queries come first. Where 60 is, 25 is nearer to vehicle 1, whichever image of it is
    # drawn, and so second; 100 is then nearer to 60 than to 170.
    expected = []
    for trial in protocol.trials:
        first = {0: 1.0, 1: 1.0, 2: 0.5, 3: 1.0, 4: 0.5 if 3 in trial.gallery else 1.0, 5: 1.0}
        expected.append([first[row] for row in trial.query.tolist()])
    assert len({tuple(trial.gallery) for trial in protocol.trials}) > 4
    assert precisions(VEHICLEID, protocol) == expected
    assert precisions(VEHICLEID, protocol, "trapezoid") == [[1.0 if one == 1 else 0.25 for one in e] for e in expected]
    found = score_protocol(features_of(VEHICLEID), table_of(VEHICLEID), protocol)
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
    protocol = fixed_split(table_of(VRIC), same_camera_is_junk=junk).protocol("test", 1, 0)
    # Lists: 9 wrong, 20 right; 20 wrong, 50 right; 50 wrong, 20 wrong, 9 right. The junk rule drops nothing.
    assert precisions(VRIC, protocol) == [pytest.approx([1 / 2, 1 / 2, 1 / 3])]
    found = score_protocol(features_of(VRIC), table_of(VRIC), protocol)
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
    protocol = fixed_split(table_of(VERIWILD), same_camera_is_junk=True).protocol("small", 1, 0)
    # First: 3, 20, 30 wrong, 40 right, 91 wrong. Second: 40, 30 wrong, 20 right, 3 right, 1 wrong. Third: no match.
    (result,) = rank_protocol(features_of(VERIWILD), table_of(VERIWILD), protocol)
    assert result.first_hit_rank.tolist() == [4, 3, 0]
    assert result.positives.tolist() == [1, 2, 0]
    assert result.average_precision.tolist() == pytest.approx([1 / 4, (1 / 3 + 2 / 4) / 2, 0])
    assert result.inverse_negative_penalty.tolist() == pytest.approx([1 / 4, 2 / 4, 0])
    (trapezoid,) = precisions(VERIWILD, protocol, "trapezoid")
    assert trapezoid == pytest.approx([1 / 8, ((0 + 1 / 3) / 2 + (1 / 3 + 2 / 4) / 2) / 2, 0])
    found = scores_of(protocol, [result])
    assert (found.mAP, found.mINP) == pytest.approx(((1 / 4 + 5 / 12) / 2, 3 / 8))
    assert (found.cmc1, found.cmc5, found.queries, found.queries_without_match) == (0, 1, 3, 1)
