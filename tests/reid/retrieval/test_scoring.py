"""Scores of a test against naive walks, means over trials, and errors."""

import json
from collections.abc import Sequence
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


def camera_dataset(unmatched: int = 0) -> Dataset:
    """Return 8 vehicles by 3 cameras, queries by camera 0; `unmatched` more queries have no match."""
    rows = [
        (f"{kind}/{vehicle}_{camera}.jpg", str(vehicle), camera, kind)
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


def similarity(features: Features, query: str, others: Sequence[str]) -> dict[str, float]:
    rows = {name: features.matrix[row].astype(np.float64) for row, name in enumerate(features.names)}
    return {other: float(rows[query] @ rows[other]) for other in others}


def test_a_fixed_split_equals_a_naive_walk() -> None:
    dataset = camera_dataset()
    features = make_features(dataset)
    precisions, firsts = [], []
    for query in dataset.table[dataset.table["split"] == "query"].itertuples():
        gallery = dataset.table[dataset.table["split"] == "gallery"]
        gallery = gallery[~((gallery["vehicle_id"] == query.vehicle_id) & (gallery["camera_id"] == query.camera_id))]
        scores = similarity(features, query.name, list(gallery["name"]))
        vehicle = dict(zip(gallery["name"], gallery["vehicle_id"], strict=True))
        names = sorted(scores, key=lambda name: -scores[name])
        hits = [rank for rank, name in enumerate(names, start=1) if vehicle[name] == query.vehicle_id]
        precisions.append(np.mean([number / rank for number, rank in enumerate(hits, start=1)]))
        firsts.append(hits[0])
    found = score(features, dataset)
    assert found.mAP == pytest.approx(np.mean(precisions))
    assert found.cmc1 == pytest.approx(np.mean([first == 1 for first in firsts]))
    assert found.cmc5 == pytest.approx(np.mean([first <= 5 for first in firsts]))
    assert (found.queries, found.gallery, found.trials, found.deviation, found.seed) == (8, 24, 1, None, None)


def test_a_drawn_split_is_the_mean_and_deviation_of_its_draws() -> None:
    dataset = drawn_dataset()
    features = make_features(dataset)
    names, vehicles = dataset.table["name"], dataset.table["vehicle_id"]
    means = []
    for trial in dataset.protocol("small", draws=4, seed=5).trials:
        ranks = []
        for query in trial.query:
            scores = similarity(features, names[query], list(names[trial.gallery]))
            own = next(scores[names[row]] for row in trial.gallery if vehicles[row] == vehicles[query])
            ranks.append(sum(value >= own for value in scores.values()))
        means.append(np.mean([1 / rank for rank in ranks]))
    found = score(features, dataset, "small", draws=4, seed=5)
    assert found.mAP == pytest.approx(np.mean(means))
    assert found.deviation is not None
    assert found.deviation["mAP"] == pytest.approx(np.std(means, ddof=1))
    assert (found.trials, found.seed, found.queries, found.gallery) == (4, 5, 27, 9)
    assert found == score(features, dataset, "small", draws=4, seed=5) != score(features, dataset, "small", draws=4)
    assert Scores(**json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found


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
