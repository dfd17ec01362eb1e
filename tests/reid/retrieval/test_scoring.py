"""Scores under a protocol: the naive mean over trials, nothing left out silently, clear faults, readable tables."""

import doctest
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.protocols import DrawnSplit, Split, fixed_split
from reid.evaluation import score_table as tables
from reid.evaluation.score_table import counted, score_table, score_text
from reid.features.file import Features
from reid.retrieval.metrics import PrecisionForm
from reid.retrieval.scores import FIGURES, Scores, rank_protocol, score, scores_of


def cosines(features: Features) -> np.ndarray:
    return features.matrix.astype(np.float64) @ features.matrix.astype(np.float64).T


def features_for(names: list[str], vehicles: list[str], noise: float = 0.8, seed: int = 0) -> Features:
    random = np.random.default_rng(seed)
    centres = {vehicle: random.standard_normal(16) for vehicle in sorted(set(vehicles))}
    matrix = np.stack([centres[vehicle] + noise * random.standard_normal(16) for vehicle in vehicles])
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    order = random.permutation(len(names))  # the file's order is its own
    return Features(
        tuple(names[row] for row in order), matrix[order].astype(np.float32), np.zeros((len(names), 0), np.float32), {}
    )


def camera_dataset(strangers: int = 0) -> Dataset:
    """8 vehicles x 3 cameras; camera 0 asks, cameras 0 to 2 are the gallery; `strangers` queries match nothing."""
    rows = [
        (f"{kind}/{vehicle}_{camera}.jpg", str(vehicle), camera, kind)
        for vehicle in range(8)
        for kind, cameras in (("query", (0,)), ("gallery", (0, 1, 2)))
        for camera in cameras
    ]
    rows += [(f"query/x{number}.jpg", f"x{number}", 0, "query") for number in range(strangers)]
    table = pd.DataFrame(rows, columns=["name", "vehicle_id", "camera_id", "split"])
    return Dataset("toy", Path("nowhere"), table, {"test": fixed_split(table, same_camera_is_junk=True)})


def drawn_dataset() -> Dataset:
    rows = [(f"{vehicle}_{image}.jpg", f"v{vehicle}", -1, "test") for vehicle in range(9) for image in range(4)]
    table = pd.DataFrame(rows, columns=["name", "vehicle_id", "camera_id", "split"])
    split: Split = DrawnSplit(np.arange(36), pd.factorize(table["vehicle_id"])[0].astype(np.int64))
    return Dataset("toy", Path("nowhere"), table, {"small": split})


def features_of(dataset: Dataset, noise: float = 0.8) -> Features:
    return features_for(dataset.table["name"].tolist(), dataset.table["vehicle_id"].tolist(), noise)


def test_fixed_split_against_a_naive_walk() -> None:
    dataset = camera_dataset()
    features = features_of(dataset)
    found = score(features, dataset, "test")
    place, similarity = {name: row for row, name in enumerate(features.names)}, cosines(features)
    precisions, firsts = [], []
    for query in dataset.table[dataset.table["split"] == "query"].itertuples():
        gallery = dataset.table[dataset.table["split"] == "gallery"]
        gallery = gallery[~((gallery["vehicle_id"] == query.vehicle_id) & (gallery["camera_id"] == query.camera_id))]
        names = sorted(gallery["name"], key=lambda name: -similarity[place[query.name], place[name]])
        vehicle = dict(zip(gallery["name"], gallery["vehicle_id"], strict=True))
        hits = [rank for rank, name in enumerate(names, start=1) if vehicle[name] == query.vehicle_id]
        precisions.append(np.mean([number / rank for number, rank in enumerate(hits, start=1)]))
        firsts.append(hits[0])
    assert found.mAP == pytest.approx(np.mean(precisions))
    assert found.cmc1 == pytest.approx(np.mean([first == 1 for first in firsts]))
    assert found.cmc5 == pytest.approx(np.mean([first <= 5 for first in firsts]))
    assert (found.queries, found.gallery, found.trials, found.deviation, found.seed) == (8, 24, 1, None, None)


def test_drawn_split_is_the_mean_and_deviation_of_its_draws() -> None:
    dataset = drawn_dataset()
    features = features_of(dataset)
    similarity, place = cosines(features), {name: row for row, name in enumerate(features.names)}
    found = score(features, dataset, "small", draws=4, seed=5)
    reciprocal = []
    for trial in dataset.protocol("small", draws=4, seed=5).trials:
        names, vehicles = dataset.table["name"], dataset.table["vehicle_id"]
        ranks = []
        for query in trial.query:
            values = {vehicles[row]: similarity[place[names[query]], place[names[row]]] for row in trial.gallery}
            ranks.append(sum(value >= values[vehicles[query]] for value in values.values()))
        reciprocal.append(np.mean([1 / rank for rank in ranks]))
    assert found.mAP == pytest.approx(np.mean(reciprocal))
    assert found.deviation is not None
    assert found.deviation["mAP"] == pytest.approx(np.std(reciprocal, ddof=1))
    assert (found.trials, found.seed, found.queries, found.gallery) == (4, 5, 27, 9)


def test_draws_depend_on_the_seed_alone() -> None:
    dataset = drawn_dataset()
    features = features_of(dataset)
    assert score(features, dataset, "small", seed=1) == score(features, dataset, "small", seed=1)
    assert score(features, dataset, "small", seed=1) != score(features, dataset, "small", seed=2)


@pytest.mark.parametrize("form", ["step", "trapezoid"])
def test_what_each_query_got_gives_the_scores(form: PrecisionForm) -> None:
    for dataset, split, sizes in ((camera_dataset(2), "test", [10]), (drawn_dataset(), "small", [27] * 10)):
        features, protocol = features_of(dataset), dataset.protocol(split)
        results = rank_protocol(features, dataset.table, protocol, form=form)
        assert [len(result.positives) for result in results] == sizes
        found = scores_of(protocol, results, form)
        assert found == score(features, dataset, split, form=form)
        by_trial = [result.average_precision[result.valid].mean() for result in results]
        assert (found.mAP, found.precision) == (pytest.approx(np.mean(by_trial)), form)


def test_queries_without_a_match_are_counted_and_change_no_figure() -> None:
    with_strangers, without = camera_dataset(strangers=3), camera_dataset()
    features = features_of(with_strangers)
    found, expected = score(features, with_strangers, "test"), score(features, without, "test")
    assert (found.queries, found.queries_without_match) == (11, 3)
    assert [getattr(found, name) for name in FIGURES] == [getattr(expected, name) for name in FIGURES]


def test_no_query_with_a_match_is_an_error() -> None:
    dataset = camera_dataset()
    table = dataset.table.assign(camera_id=0)
    lonely = Dataset("toy", dataset.root, table, {"test": fixed_split(table, same_camera_is_junk=True)})
    with pytest.raises(UserError, match="none of the 8 queries has a match"):
        score(features_of(lonely), lonely, "test")


def test_missing_and_collapsed_features_are_errors() -> None:
    dataset = camera_dataset()
    features = features_of(dataset)
    less = Features(features.names[:-2], features.matrix[:-2], features.attention[:-2], {})
    with pytest.raises(UserError, match=r"2 of 32 images have none, first (query|gallery)/"):
        score(less, dataset, "test")
    constant = Features(features.names, features.matrix[:1].repeat(32, axis=0), features.attention, {})
    for ranking in (score, lambda *_: rank_protocol(constant, dataset.table, dataset.protocol("test"))):
        with pytest.raises(UserError, match="collapsed"):
            ranking(constant, dataset, "test")
    with pytest.raises(UserError, match="unknown split"):
        score(features, dataset, "large")


def test_json_is_strict_and_complete() -> None:
    found = score(features_of(drawn_dataset()), drawn_dataset(), "small")
    again = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert Scores(**again) == found


def test_tables_show_percent_spread_and_counts() -> None:
    rows = {
        "trained [x]": score(features_of(camera_dataset(2), noise=0.0), camera_dataset(2), "test"),
        "untrained": score(features_of(drawn_dataset(), noise=3.0), drawn_dataset(), "small"),
    }
    text = score_text(rows)
    first, second = text.splitlines()[1:3]
    assert first.split()[2:] == ["100.0"] * 5
    assert second.count("±") == 5 and len(first) == len(second)
    assert "test: 10 queries (2 without a match, left out), gallery 24" in text
    assert "small: 27 queries (0 without a match, left out), gallery 9; mean ± deviation of 10 draws, seed 0" in text
    assert [len(column._cells) for column in score_table(rows).columns] == [2] * 6
    assert "trapezoid" in counted({**rows["untrained"].to_dict(), "precision": "trapezoid"})


def test_the_rich_table_prints_names_as_they_are() -> None:
    from rich.console import Console

    rows = {"a [bold]": score(features_of(camera_dataset()), camera_dataset(), "test")}
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(score_table(rows))
    assert "a [bold]" in console.export_text()


def test_doctests() -> None:
    assert doctest.testmod(tables).failed == 0
