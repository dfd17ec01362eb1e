"""Scores of a test: means over trials, draws, queries without a match, and errors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.protocols import DrawnSplit, fixed_split
from reid.features.file import Features
from reid.retrieval.metrics import METRIC_NAMES, PrecisionForm, Scores
from reid.retrieval.scoring import ScoredTest, Scoring

COLUMNS = ["name", "vehicle_id", "camera_id", "split"]


def score(features: Features, dataset: Dataset, split: str = "test", **options: Any) -> Scores:
    return scored(features, dataset, split, **options).scores["row"]


def scored(features: Features, dataset: Dataset, split: str = "test", **options: Any) -> ScoredTest:
    return Scoring(**options).score({"row": features}, dataset, split, device="cpu")


def make_features(dataset: Dataset, noise: float = 0.8) -> Features:
    """Return features around a centre per vehicle, in an order of their own."""
    names, vehicles = dataset.table["name"].tolist(), dataset.table["vehicle_id"].tolist()
    random = np.random.default_rng(0)
    centres = {vehicle: random.standard_normal(16) for vehicle in sorted(set(vehicles))}
    matrix = np.stack([centres[vehicle] + noise * random.standard_normal(16) for vehicle in vehicles])
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    order = random.permutation(len(names))
    no_attention = np.zeros((len(names), 0), np.float32)
    return Features(tuple(names[row] for row in order), matrix[order].astype(np.float32), no_attention, {})


def camera_dataset(unmatched: int = 0, copies: bool = False) -> Dataset:
    """Return 8 vehicles by 3 cameras, queries by camera 0; `unmatched` more queries have no match.

    With `copies` the gallery's images by camera 0 have the file names of the queries.
    """
    rows = [
        (f"{kind}/{vehicle}_{camera}{'' if copies else kind}.jpg", str(vehicle), camera, kind)
        for vehicle in range(8)
        for kind, cameras in (("query", (0,)), ("gallery", (0, 1, 2)))
        for camera in cameras
    ]
    rows += [(f"query/x{number}.jpg", f"x{number}", 0, "query") for number in range(unmatched)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return Dataset("toy", Path("missing"), table, {"test": fixed_split(table, same_camera_is_junk=True)})


def drawn_dataset() -> Dataset:
    rows = [(f"{vehicle}_{image}.jpg", f"v{vehicle}", -1, "test") for vehicle in range(9) for image in range(4)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    split = DrawnSplit(np.arange(36), pd.factorize(table["vehicle_id"])[0].astype(np.int64))
    return Dataset("toy", Path("missing"), table, {"small": split})


def test_draws_depend_on_the_seed_and_scores_survive_json() -> None:
    dataset = drawn_dataset()
    features = make_features(dataset)
    scores = score(features, dataset, "small", draws=4, seed=5)
    assert scores == score(features, dataset, "small", draws=4, seed=5) != score(features, dataset, "small", draws=4)
    assert Scores(**json.loads(json.dumps(scores.to_dict(), allow_nan=False))) == scores


@pytest.mark.parametrize("form", ["step", "trapezoid"])
def test_scores_are_the_means_of_the_query_results(form: PrecisionForm) -> None:
    for dataset, split, sizes in ((camera_dataset(2), "test", [10]), (drawn_dataset(), "small", [27] * 10)):
        test = scored(make_features(dataset), dataset, split, form=form)
        results, found = test.results["row"], test.scores["row"]
        assert [len(result.positives) for result in results] == sizes
        by_trial = [result.average_precision[result.valid].mean() for result in results]
        assert (found.mAP, found.precision) == (pytest.approx(np.mean(by_trial)), form)


def test_queries_without_a_match_are_counted_and_left_out() -> None:
    with_unmatched, without = camera_dataset(unmatched=3), camera_dataset()
    features = make_features(with_unmatched)
    found, expected = score(features, with_unmatched), score(features, without)
    assert (found.queries, found.queries_without_match) == (11, 3)
    assert [getattr(found, name) for name in METRIC_NAMES] == [getattr(expected, name) for name in METRIC_NAMES]


def test_what_cannot_be_scored_is_an_error() -> None:
    dataset = camera_dataset()
    features = make_features(dataset)
    table = dataset.table.assign(camera_id=0)
    one_camera = Dataset("toy", dataset.root, table, {"test": fixed_split(table, same_camera_is_junk=True)})
    with pytest.raises(UserError, match="none of the 8 queries has a match"):
        score(features, one_camera)
    with pytest.raises(UserError, match=r"2 of 32 images have none, first (query|gallery)/"):
        score(Features(features.names[:-2], features.matrix[:-2], features.attention[:-2], {}), dataset)
    with pytest.raises(UserError, match="collapsed"):
        score(Features(features.names, features.matrix[:1].repeat(32, axis=0), features.attention, {}), dataset)
    with pytest.raises(UserError, match="unknown split"):
        score(features, dataset, "large")


def test_scores_by_cameras_are_rows_of_the_first_network_only() -> None:
    dataset = camera_dataset()
    features = make_features(dataset)
    test = Scoring(cameras=True).score({"row": features, "other": features}, dataset, "test", device="cpu")
    assert [*test.scores] == ["row", "row, across cameras", "row, within a camera", "other"]
    assert test.results["row, within a camera"][0].positives.tolist() == [1] * 8
    assert test.results["row, across cameras"][0].positives.tolist() == [2] * 8


def test_no_row_of_the_own_camera_where_the_gallery_has_the_queries_themselves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As in VeRi-776: image_test has a copy of each of image_query, which every network finds first."""
    dataset = camera_dataset(copies=True)
    with caplog.at_level("INFO"):
        test = scored(make_features(dataset), dataset, cameras=True)
    assert [*test.scores] == ["row", "row, across cameras"] and "copies of the queries" in caplog.text


def test_no_row_where_no_query_has_a_match_by_its_own_camera() -> None:
    dataset = drawn_dataset()
    assert [*scored(make_features(dataset), dataset, "small", cameras=True).scores] == ["row", "row, across cameras"]
