"""`evaluate` and `features` from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli import main
from data_cache.base.files import read_json
from data_cache.base.tensors import load_tensors, save_tensors
from data_cache.parts.cache import write_parts
from data_cache.parts.names import PART_NAMES
from helpers.places.reid import Place, assert_error
from reid.evaluation.trained_run import FEATURES
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


def test_hidden_parts_get_a_row_and_features_of_their_own(place: Place, run: Path) -> None:
    plain = json.loads(place("evaluate", "--json").stdout)
    found = json.loads(place("evaluate", "--hide", "logo", "--rerank", "--json").stdout)
    assert list(found["scores"]) == ["trained", "trained, re-ranked", "trained, logo hidden"]
    assert found["scores"]["trained"] == plain["scores"]["trained"] and "hidden" not in found["parts"]
    shown, hidden = (read_features(run / "test" / name) for name in (FEATURES, "features-logo_hidden.safetensors"))
    assert hidden.provenance["recipe"] == {**shown.provenance["recipe"], "hide": ["logo"]}
    assert hidden.provenance["parts"]["hidden"]["parts"] == ["logo"] and "hidden" not in shown.provenance["parts"]
    has_logo = (place.toy.parts.labels[place.toy.parts.rows(shown.names)] == PART_NAMES.index("logo")).any(axis=1)
    changed = (shown.matrix != hidden.matrix).any(axis=1)
    np.testing.assert_array_equal(changed, has_logo)
    assert changed.any() and not changed.all()
    assert (hidden.attention > 0).sum(axis=1).max() == 1 < (shown.attention > 0).sum(axis=1).max()
    assert "│ trained, logo hidden" in place("evaluate", "--hide", "logo").stdout
    assert_error(place("evaluate", "--hide", "logos"), 1, "unknown part logos; did you mean logo?")
    external = place("evaluate", "--hide", "logo", "--features", str(run / "test" / FEATURES), "--name", "x")
    assert external.exit_code == 2 and "--hide and --features cannot be combined" in external.output


@pytest.mark.parametrize("recipe", ["pgan_small", "baseline_small", "grid_small"])
def test_a_network_trained_with_hidden_parts_is_scored_and_reported_without_them(place: Place, recipe: str) -> None:
    run = place.train("--recipe", recipe, "--set", "hide=[logo]", "--decoded-cache").parent
    assert [path.name for path in (place.runs / "folder").glob("decoded*")] == ["decoded-64-without-logo.safetensors"]
    metrics = json.loads(place("evaluate", "--json").stdout)
    assert metrics["recipe"]["hide"] == ["logo"] and metrics["parts"]["hidden"]["parts"] == ["logo"]
    assert read_features(run / "test" / FEATURES).provenance["parts"]["hidden"]["parts"] == ["logo"]
    shared = ["--dataset", "folder", "--data-root", str(place.toy.dataset.root), "--runs", str(place.runs)]
    for command in ("report", "heatmaps", "rank"):
        result = CliRunner().invoke(main, [command, *shared])
        assert result.exit_code == 0, result.output
    assert_error(place("evaluate", "--hide", "logo"), 1, "its recipe hides logo")
    assert (
        list(json.loads(place("evaluate", "--hide", "wheel", "--json").stdout)["scores"])[1] == "trained, wheel hidden"
    )


@pytest.mark.parametrize("recipe", ["baseline_small", "grid_small"])
def test_parts_are_hidden_from_a_network_that_was_trained_without_boxes(place: Place, recipe: str) -> None:
    place.train("--recipe", recipe)
    scores = json.loads(place("evaluate", "--hide", "logo", "--json").stdout)["scores"]
    assert list(scores) == ["trained", "trained, logo hidden"] and scores["trained"] != scores["trained, logo hidden"]


def test_flip_test_gets_a_row_of_its_own_and_equals_the_option_of_the_recipe(place: Place, run: Path) -> None:
    found = json.loads(place("evaluate", "--hide", "logo", "--flip-test", "--untrained", "--json").stdout)
    rows = ["trained", "trained, logo hidden", "trained, flip test", "untrained", "trunk"]
    assert list(found["scores"]) == rows
    flipped = read_features(run / "test" / "features-flip_test.safetensors")
    assert flipped.provenance["recipe"]["flip_test"] is True
    result = place("features", "--flip-test")
    assert result.stdout.strip().endswith("features-flip_test.safetensors") and "up to date" in result.output
    both = read_features(Path(place("features", "--flip-test", "--hide", "logo").stdout.strip()))
    assert both.provenance["recipe"] == {**flipped.provenance["recipe"], "hide": ["logo"]}
    unchanged = place("evaluate", "--json").stdout
    assert json.loads(unchanged)["scores"]["trained"] == found["scores"]["trained"]

    checkpoint = run / BEST
    tensors, metadata, _ = load_tensors(checkpoint, "")
    save_tensors(checkpoint, tensors, {**metadata, "recipe": {**metadata["recipe"], "flip_test": True}})
    own = json.loads(place("evaluate", "--json").stdout)
    assert own["scores"]["trained"] == found["scores"]["trained, flip test"]
    np.testing.assert_array_equal(read_features(run / "test" / FEATURES).matrix, flipped.matrix)
    assert_error(place("evaluate", "--flip-test"), 1, "its recipe has flip_test")


def test_what_is_done_after_the_network_is_a_row_each(place: Place, run: Path) -> None:
    place.train("--recipe", "baseline_small")
    options = ("--database", "2", "--camera-means", "--whiten", "--with", "baseline_small", "--cameras")
    result = place("evaluate", "--run", "pgan_small", *options, "--json")
    assert result.exit_code == 0, result.output
    metrics = json.loads(result.stdout)
    by_camera = ("across cameras", "within a camera")
    added = ("augmented database", "without camera means", *by_camera, "with baseline_small", "whitened")
    assert [*metrics["scores"]] == ["trained", *(f"trained, {row}" for row in added)]
    assert metrics["protocol"]["database"] == 2
    plain = json.loads(place("evaluate", "--run", "pgan_small", "--json").stdout)
    assert plain["scores"]["trained"] == metrics["scores"]["trained"]
    assert (run / "features-train.safetensors").exists()
