"""Sameness: a few of its trials, several values varied in each; and that its comparison sees a difference."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest

from data_cache.parts.cache import read_parts, write_parts
from helpers.toy.vehicles import one_thread
from reid.features.file import read_features, write_features
from reid.runs import BEST
from soak import sameness as module
from soak.answers import RECIPE, SPLIT, TOLERANCE, compared, rounding
from soak.rows import Row
from soak.sameness import ALONE, PLAIN, STAGES, Place, Trial, mixed_trials, single_trials, tried
from soak.varied import Ended, Variation


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    with one_thread():
        return Place(tmp_path_factory.mktemp("sameness"), 0)


# four workers are more than the machine may have cores, and torch says so
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
# `make soak` tries every value alone; the workers of detection and training, and two ranks, have tests of their own
@pytest.mark.parametrize(
    "trial",
    [
        Trial("detect", "batch and shard size", Variation(batch=1, shard=5)),
        Trial("detect", "start method and batch size", Variation(batch=8, shard=16, workers=1, start="spawn")),
        Trial("evaluate", "workers and batch size", Variation(batch=3, workers=4)),
        Trial("evaluate", "start method", Variation(workers=1, start="forkserver")),
        Trial("train", ALONE, PLAIN),
    ],
    ids=lambda trial: f"{trial.stage}, {trial.axis}",
)
def test_the_answer_is_the_same(place: Place, trial: Trial) -> None:
    assert place.different(trial) == ""


def test_the_rounding_of_other_batches_is_within_the_tolerance(place: Place) -> None:
    assert 0 <= max(rounding(place.toy, 64, [1, 8]).values()) <= TOLERANCE


def other_box(runs: Path) -> None:
    parts = read_parts(runs / "parts.h5")
    boxes = parts.boxes.copy()
    row, place = np.argwhere(parts.labels >= 0)[0]
    boxes[row, place, 0] = np.nextafter(boxes[row, place, 0], np.float32(np.inf))
    write_parts(runs / "parts.h5", replace(parts, boxes=boxes))


def turned_by(angle: float) -> Callable[[Path], None]:
    """Return what turns one feature by `angle`, in radians."""

    def turn(runs: Path) -> None:
        path = runs / "folder" / RECIPE / SPLIT / "features.safetensors"
        found = read_features(path)
        matrix = found.matrix.astype(np.float64)
        beside = np.eye(matrix.shape[1])[0] - matrix[3, 0] * matrix[3]
        matrix[3] = np.cos(angle) * matrix[3] + np.sin(angle) * beside / np.linalg.norm(beside)
        write_features(path, replace(found, matrix=matrix.astype(np.float32)))

    return turn


def other_score(runs: Path) -> None:
    path = runs / "folder" / RECIPE / SPLIT / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["scores"]["trained"]["mAP"] += 1e-9
    path.write_text(json.dumps(metrics))


def other_weights(runs: Path) -> None:
    shutil.copy(runs / "folder" / RECIPE / "previous.safetensors", runs / "folder" / RECIPE / BEST)


@pytest.mark.parametrize(
    ("stage", "harm", "exact", "words"),
    [
        ("detect", other_box, True, "parts.h5 differs"),
        ("evaluate", turned_by(1e-3), True, "the features differ, by up to 5."),
        ("evaluate", turned_by(1e-3), False, ""),
        ("evaluate", turned_by(2e-2), False, "the features differ, by up to 2.0e-04"),
        ("evaluate", other_score, False, "the scores differ"),
        ("train", other_weights, True, "the trained networks differ"),
    ],
)
def test_a_difference_is_seen(
    place: Place, tmp_path: Path, stage: str, harm: Callable[[Path], None], exact: bool, words: str
) -> None:
    wanted = place.wanted(Trial(stage, ALONE, PLAIN))
    runs = shutil.copytree(wanted, tmp_path / "runs")
    assert compared(stage, runs, wanted, exact=exact) == ""
    harm(runs)
    told = compared(stage, runs, wanted, exact=exact)
    assert told.startswith(words) and bool(told) == bool(words)


def test_rows_count_what_differed_or_failed_and_findings_tell_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["", "parts.h5 differs", ""])
    monkeypatch.setattr(Place, "different", lambda self, trial: next(answers))
    trials = [Trial("detect", axis, PLAIN) for axis in ("workers", "workers", "threads")]
    rows = [Row("sameness: detect, workers", 2, 1, 1), Row("sameness: detect, threads", 1, 1, 0)]
    assert tried(place, trials, tmp_path / "findings") == rows
    (line,) = (tmp_path / "findings/sameness.jsonl").read_text().splitlines()
    assert json.loads(line) == {"fault": "sameness: detect, workers", **vars(PLAIN), "told": "parts.h5 differs"}
    monkeypatch.undo()
    monkeypatch.setattr(module, "ended", lambda *_: Ended(1, "Error: it failed"))
    assert place.different(Trial("detect", "workers", Variation(workers=1))) == "exit code 1: Error: it failed"
    assert tried(place, trials, end=0.0) == []


def test_every_value_is_tried_alone_and_the_mix_follows_from_the_seed() -> None:
    trials = single_trials()
    for stage, axes in STAGES.items():
        assert {trial.axis for trial in trials if trial.stage == stage} - {ALONE} == {*axes}
    mixes = [list(islice(mixed_trials(Random(seed)), 30)) for seed in (1, 1, 2)]
    assert mixes[0] == mixes[1] != mixes[2]
