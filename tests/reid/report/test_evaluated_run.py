"""An evaluated run is shown only where its metrics, features and checkpoint are of one piece."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.base.files import read_json, write_json
from data_cache.base.tensors import save_tensors
from data_cache.parts.cache import write_parts
from helpers.toy.evaluated import shown_run, with_metrics
from helpers.toy.vehicles import TINY, Toy, tiny_scale
from reid.evaluation.evaluate import evaluate
from reid.evaluation.scoring import Scoring
from reid.model.checkpoint import build_network, network_tensors, read_checkpoint
from reid.report.evaluated_run import evaluated_run
from reid.runs import BEST


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scores": {}}, "no scores of a trained network"),
        ({"dataset": "veri"}, "is of data set veri, not folder"),
        ({"checkpoint": {"file": "x", "sha256": "beef", "epoch": 1}}, "of another checkpoint"),
    ],
)
def test_results_that_do_not_fit_together_are_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        with_metrics(shown_run(tmp_path), **change)


def test_what_is_not_told_is_not_compared(tmp_path: Path) -> None:
    run = shown_run(tmp_path)
    assert with_metrics(run, checkpoint={}).checkpoint_hash is None
    assert replace(run, features=replace(run.features, provenance={})).checkpoint_hash == "c0ffee"


def test_boxes_that_the_network_did_not_see_are_refused(tmp_path: Path) -> None:
    run = shown_run(tmp_path)
    told = replace(run.features, provenance={"parts": {"detector": "one"}})
    with pytest.raises(UserError, match=r"pgan_small: evaluated with other part boxes .* --parts$"):
        replace(run, features=told)
    assert replace(run, features=told, parts=replace(run.parts, fingerprint={"detector": "one"})).weighs_parts


def evaluated(toy: Toy, runs: Path, seed: int = 0) -> Path:
    """Evaluate a network that was never trained; return its folder."""
    folder, recipe = runs / "folder" / "tiny", TINY.model_copy(update={"seed": seed})
    with tiny_scale():
        network = build_network(recipe, 8)
        told = {"kind": "re-identification", "recipe": recipe.model_dump(mode="json"), "vehicles": 8, "epoch": 1}
        told |= {"dataset": "folder", "best": None, "images": "", "parts": dict(toy.parts.fingerprint)}
        save_tensors(folder / BEST, network_tensors(network), told)
        checkpoint = read_checkpoint(folder / BEST)
        write_parts(runs / "folder" / "parts.h5", toy.parts)
        evaluate(toy.dataset, toy.parts, checkpoint, ["test"], Scoring(), untrained=False, device="cpu", workers=0)
    return folder


def test_a_run_is_read_back_and_its_heatmaps_are_those_of_its_images(toy: Toy, tmp_path: Path) -> None:
    folder = evaluated(toy, tmp_path)
    run = evaluated_run(folder, toy.dataset, "test", tmp_path, None)
    assert run.name == "tiny" and run.test_folder == folder / "test" and run.weighs_parts
    assert (run.protocol().trials[0].query == toy.dataset.protocol("test").trials[0].query).all()
    names = list(run.features.names[:3])
    with tiny_scale():
        forwards, backwards = run.heat(names, device="cpu"), run.heat(names[::-1], device="cpu")
    assert list(forwards) == names
    for name in names:
        np.testing.assert_allclose(forwards[name].trunk, backwards[name].trunk, rtol=1e-5)
    assert not np.allclose(forwards[names[0]].trunk, forwards[names[1]].trunk)


def test_a_checkpoint_that_has_changed_since_is_refused(toy: Toy, tmp_path: Path) -> None:
    run = evaluated_run(evaluated(toy, tmp_path), toy.dataset, "test", tmp_path, None)
    evaluated(toy, tmp_path, seed=1)
    with pytest.raises(UserError, match=r"best\.safetensors has changed since it was evaluated"):
        run.heat(["x"], device="cpu")


def test_what_was_not_evaluated_is_told(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not evaluated on test; run `python cli\.py evaluate --split test`"):
        evaluated_run(tmp_path, toy.dataset, "test", tmp_path, None)


@pytest.mark.parametrize("change", [{"recipe": {"lamda": 1}}, {"recipe": None}, {"features": {"file": "given.npz"}}])
def test_metrics_of_another_version_are_refused(toy: Toy, tmp_path: Path, change: dict[str, Any]) -> None:
    folder = evaluated(toy, tmp_path)
    metrics = folder / "test" / "metrics.json"
    write_json(metrics, read_json(metrics) | change)
    with pytest.raises(UserError, match=r"metrics\.json: made by another version; run `python cli\.py evaluate` again"):
        evaluated_run(folder, toy.dataset, "test", tmp_path, None)
