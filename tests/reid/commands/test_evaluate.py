"""`evaluate` and `features` from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from data_cache.base.files import read_json
from data_cache.base.tensors import load_tensors, save_tensors
from data_cache.parts.cache import write_parts
from helpers.places.reid import Place, assert_error
from reid.evaluation.evaluate import FEATURES
from reid.features.file import read_features
from reid.runs import BEST

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture
def run(place: Place) -> Path:
    return place.train("--recipe", "pgan_small").parent


def test_evaluate_reuses_extracted_features(place: Place, run: Path) -> None:
    result = place("features")
    assert result.exit_code == 0 and Path(result.stdout.strip()) == run / "test" / FEATURES
    before = (run / "test" / FEATURES).stat().st_mtime_ns
    result = place("evaluate")
    assert result.exit_code == 0 and "features are up to date" in result.output
    assert (run / "test" / FEATURES).stat().st_mtime_ns == before


def test_split_all_evaluates_every_test(place: Place, run: Path) -> None:
    metrics = json.loads(place("evaluate", "--split", "all", "--json").stdout)
    assert metrics == read_json(run / "test" / "metrics.json")  # the toy set has one test
    assert metrics["split"] == "test"
    arguments = {name: metrics["arguments"][name] for name in ("--dataset", "--split", "--device")}
    assert arguments == {"--dataset": "folder", "--split": "all", "--device": "cpu"}


def test_added_scores_are_printed_below_the_plain_ones(place: Place, run: Path) -> None:
    result = place("evaluate", "--rerank", "--expand", "2", "--ap", "trapezoid")
    assert result.exit_code == 0, result.output
    lines = [line.strip("│ ").split("│")[0].strip() for line in result.stdout.splitlines() if line.startswith("│")]
    assert lines == ["trained", "trained, re-ranked", "trained, expanded queries"]
    assert "trapezoid" in result.stdout


def test_external_features_get_a_folder_of_their_own(place: Place, run: Path) -> None:
    ours = json.loads(place("evaluate", "--json").stdout)
    features = read_features(run / "test" / FEATURES)
    theirs = place.runs.parent / "theirs.npz"
    np.savez(theirs, names=np.array(features.names), features=features.matrix)
    found = json.loads(place("evaluate", "--features", str(theirs), "--json").stdout)
    assert found["scores"] == {"given": ours["scores"]["trained"]}
    assert read_json(place.runs / "folder" / "theirs" / "test" / "metrics.json") == found
    assert place("evaluate").exit_code == 0  # the newest run is still the trained one


def test_direct_transfer_gets_a_folder_of_its_own(place: Place, run: Path) -> None:
    """The toy set under two names: the same images give the same scores."""
    ours = json.loads(place("evaluate", "--json").stdout)
    (place.runs / "folder").rename(place.runs / "elsewhere")
    trained = place.runs / "elsewhere" / "pgan_small"
    tensors, metadata, _ = load_tensors(trained / BEST, "train again")
    save_tensors(trained / BEST, tensors, metadata | {"dataset": "elsewhere"})
    write_parts(place.runs / "folder" / "parts.h5", place.toy.parts)
    assert_error(place("evaluate"), 1, "no trained network")
    found = json.loads(place("evaluate", "--trained-on", "elsewhere", "--json").stdout)
    assert (found["dataset"], found["trained_on"]) == ("folder", "elsewhere")
    assert (found["scores"], ours["trained_on"]) == (ours["scores"], "folder")
    folder = place.runs / "folder" / "from-elsewhere-pgan_small" / "test"
    assert read_json(folder / "metrics.json") == found
    result = place("features", "--trained-on", "lists/elsewhere.csv")
    assert (result.exit_code, result.stdout) == (0, f"{folder / FEATURES}\n") and "up to date" in result.stderr
    assert_error(place("evaluate"), 1, "no trained network")  # a transfer is no run of this data set


def test_trained_on_its_own_data_set_is_no_transfer(place: Place, run: Path) -> None:
    assert place("evaluate", "--trained-on", "folder").exit_code == 0
    assert (run / "test" / "metrics.json").exists()


def test_trained_on_without_a_run_is_an_error(place: Place, run: Path) -> None:
    assert_error(place("evaluate", "--trained-on", "veri"), 1, "no trained network", "--dataset veri")


@pytest.mark.parametrize(
    "options",
    [["--run", "pgan_small"], ["--untrained"], ["--parts", "parts.h5"], ["--trained-on", "veri"]],
)
def test_external_features_exclude_options_of_a_run(place: Place, tmp_path: Path, options: list[str]) -> None:
    result = place("evaluate", "--features", str(tmp_path / "theirs.npz"), *options)
    assert_error(result, 2, options[0], "--features")


def test_a_missing_feature_file_is_named(place: Place, tmp_path: Path) -> None:
    assert_error(place("evaluate", "--features", str(tmp_path / "theirs.npz")), 1, "theirs.npz: no such file")


def test_features_before_training_name_the_remedy(place: Place) -> None:
    assert_error(place("features"), 1, "no trained network", "cli.py train")
