"""Sameness: a few trials with several values varied in each, and proof that the comparison sees differences."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_cache.parts.cache import read_parts, write_parts
from helpers.toy.vehicles import one_thread
from reid.features.file import read_features, write_features
from reid.runs import BEST, PREVIOUS
from soak.sameness import PLAIN, RECIPE, SPLIT, TOLERANCE, Place, Trial, difference, rounding, run_trials
from soak.varied import Variation


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    with one_thread():
        return Place(tmp_path_factory.mktemp("sameness"), 0)


# four workers may be more than the machine has cores, and torch warns of it
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(
    ("stage", "variation"),
    [
        ("detect", Variation(batch=1, shard=5)),
        ("detect", Variation(batch=8, shard=16, workers=1, start="spawn")),
        ("evaluate", Variation(batch=3, workers=4)),
        ("evaluate", Variation(workers=1, start="forkserver")),
        ("train", PLAIN),
    ],
)
def test_the_result_is_the_same(place: Place, stage: str, variation: Variation) -> None:
    assert place.difference(Trial(stage, "", variation)) == ""


def test_rounding_in_other_batches_is_within_the_tolerance(place: Place) -> None:
    assert 0 <= rounding(place.toy, 64) <= TOLERANCE


def change_a_box(runs: Path) -> None:
    parts = read_parts(runs / "parts.h5")
    boxes = parts.boxes.copy()
    row, slot = np.argwhere(parts.labels >= 0)[0]
    boxes[row, slot, 0] = np.nextafter(boxes[row, slot, 0], np.float32(np.inf))
    write_parts(runs / "parts.h5", replace(parts, boxes=boxes))


def rotate_a_feature(angle: float) -> Callable[[Path], None]:
    """Return a function that rotates one feature by `angle`, in radians."""

    def rotate(runs: Path) -> None:
        path = runs / "folder" / RECIPE / SPLIT / "features.safetensors"
        features = read_features(path)
        matrix = features.matrix.astype(np.float64)
        beside = np.eye(matrix.shape[1])[0] - matrix[3, 0] * matrix[3]
        matrix[3] = np.cos(angle) * matrix[3] + np.sin(angle) * beside / np.linalg.norm(beside)
        write_features(path, replace(features, matrix=matrix.astype(np.float32)))

    return rotate


def change_a_score(runs: Path) -> None:
    path = runs / "folder" / RECIPE / SPLIT / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["scores"]["trained"]["mAP"] += 1e-9
    path.write_text(json.dumps(metrics))


def change_the_weights(runs: Path) -> None:
    shutil.copy(runs / "folder" / RECIPE / PREVIOUS, runs / "folder" / RECIPE / BEST)


@pytest.mark.parametrize(
    ("stage", "change", "exact", "words"),
    [
        ("detect", change_a_box, True, "parts.h5 differs"),
        ("evaluate", rotate_a_feature(1e-3), True, "the features differ, by up to "),
        ("evaluate", rotate_a_feature(1e-3), False, ""),
        ("evaluate", rotate_a_feature(2e-2), False, "the features differ, by up to 2.0e-04"),
        ("evaluate", change_a_score, False, "the scores differ"),
        ("train", change_the_weights, True, "the trained networks differ"),
    ],
)
def test_a_difference_is_seen(
    place: Place, tmp_path: Path, stage: str, change: Callable[[Path], None], exact: bool, words: str
) -> None:
    wanted = place.reference(stage)
    runs = shutil.copytree(wanted, tmp_path / "runs")
    change(runs)
    found = difference(stage, runs, wanted, exact=exact)
    assert found.startswith(words) and bool(found) == bool(words)


def test_differences_are_counted_and_kept(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["", "parts.h5 differs", ""])
    monkeypatch.setattr(Place, "difference", lambda self, trial: next(answers))
    trials = [Trial("detect", varied, PLAIN) for varied in ("workers", "workers", "threads")]
    rows = run_trials(place, trials, tmp_path / "findings")
    assert rows == [("sameness: detect, workers", 2, 1), ("sameness: detect, threads", 1, 0)]
    assert "parts.h5 differs" in (tmp_path / "findings/sameness.jsonl").read_text()
