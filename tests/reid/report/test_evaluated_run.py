"""An evaluated run is refused if its metrics, features, part cache and checkpoint do not belong together."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.base.devices import Compute
from data_cache.base.errors import UserError
from data_cache.base.files import read_json, write_json
from data_cache.base.tensors import save_tensors
from data_cache.parts.cache import write_parts
from helpers.toy.evaluated import make_evaluated_run, with_metrics
from helpers.toy.vehicles import TINY, Toy, tiny_scale
from reid.evaluation.evaluate import evaluate_run
from reid.evaluation.trained_run import TrainedRun
from reid.model.checkpoint import build_network, network_tensors, read_checkpoint
from reid.report.evaluated_run import read_evaluated_run
from reid.retrieval.scoring import Scoring
from reid.runs import BEST


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scores": {}}, "no scores of a trained network"),
        ({"dataset": "veri"}, "is of data set veri, not folder"),
        ({"checkpoint": {"file": "x", "sha256": "beef", "epoch": 1}}, "from another checkpoint"),
    ],
)
def test_inconsistent_results_are_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        with_metrics(make_evaluated_run(tmp_path), **change)


def test_missing_hashes_are_not_compared(tmp_path: Path) -> None:
    run = make_evaluated_run(tmp_path)
    assert with_metrics(run, checkpoint={}).checkpoint_hash is None
    assert replace(run, features=replace(run.features, provenance={})).checkpoint_hash == "c0ffee"


def test_another_part_cache_is_refused(tmp_path: Path) -> None:
    run = make_evaluated_run(tmp_path)
    features = replace(run.features, provenance={"parts": {"detector": "one"}})
    with pytest.raises(UserError, match=r"pgan_small: evaluated with another part cache; .* --parts$"):
        replace(run, features=features)
    assert replace(run, features=features, parts=replace(run.parts, fingerprint={"detector": "one"})).attends_to_parts


def evaluate_untrained(toy: Toy, runs: Path, seed: int = 0) -> Path:
    """Evaluate an untrained network and return its folder."""
    folder, recipe = runs / "folder" / "tiny", TINY.model_copy(update={"seed": seed})
    with tiny_scale():
        network = build_network(recipe, 8)
        metadata = {"kind": "re-identification", "recipe": recipe.model_dump(mode="json"), "vehicles": 8, "epoch": 1}
        metadata |= {"dataset": "folder", "best": None, "images": "", "parts": dict(toy.parts.fingerprint)}
        save_tensors(folder / BEST, network_tensors(network), metadata)
        checkpoint = read_checkpoint(folder / BEST)
        write_parts(runs / "folder" / "parts.h5", toy.parts)
        evaluate_run(TrainedRun(toy.dataset, toy.parts, checkpoint, folder), ["test"], Scoring(), Compute("cpu", 0))
    return folder


def test_a_run_is_read_and_its_heatmaps_are_those_of_its_images(toy: Toy, tmp_path: Path) -> None:
    folder = evaluate_untrained(toy, tmp_path)
    run = read_evaluated_run(folder, toy.dataset, "test", tmp_path, None)
    assert run.name == "tiny" and run.test_folder == folder / "test" and run.attends_to_parts
    assert (run.protocol().trials[0].query == toy.dataset.protocol("test").trials[0].query).all()
    names = list(run.features.names[:3])
    with tiny_scale():
        forwards, backwards = run.heatmaps(names, device="cpu"), run.heatmaps(names[::-1], device="cpu")
    assert list(forwards) == names
    for name in names:
        np.testing.assert_allclose(forwards[name].global_map, backwards[name].global_map, rtol=1e-5)
    assert not np.allclose(forwards[names[0]].global_map, forwards[names[1]].global_map)


def test_a_checkpoint_that_changed_after_the_evaluation_is_refused(toy: Toy, tmp_path: Path) -> None:
    run = read_evaluated_run(evaluate_untrained(toy, tmp_path), toy.dataset, "test", tmp_path, None)
    evaluate_untrained(toy, tmp_path, seed=1)
    with pytest.raises(UserError, match=r"best\.safetensors has changed since it was evaluated"):
        run.heatmaps(["x"], device="cpu")


def test_a_run_without_evaluation_is_refused(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not evaluated on test; run `python cli\.py evaluate --run \S+ --split test`"):
        read_evaluated_run(tmp_path, toy.dataset, "test", tmp_path, None)


@pytest.mark.parametrize("change", [{"recipe": {"lamda": 1}}, {"recipe": None}, {"features": {"file": "given.npz"}}])
def test_metrics_of_another_version_are_refused(toy: Toy, tmp_path: Path, change: dict[str, Any]) -> None:
    folder = evaluate_untrained(toy, tmp_path)
    metrics = folder / "test" / "metrics.json"
    write_json(metrics, read_json(metrics) | change)
    with pytest.raises(UserError, match=r"metrics\.json: made by another version; run `python cli\.py evaluate` again"):
        read_evaluated_run(folder, toy.dataset, "test", tmp_path, None)
