"""Features that are up to date are reused; all others are extracted again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_cache.base.devices import Compute
from data_cache.base.files import read_json
from data_cache.base.tensors import save_tensors
from data_cache.datasets.catalogue import load_dataset
from helpers.toy.runs import evaluated, evaluated_on, features_in, literal_scores, no_extraction
from helpers.toy.vehicles import TINY, Toy
from reid.evaluation.trained_run import TrainedRun, features_of_run, image_names, mean_of_runs
from reid.features import extraction
from reid.model.checkpoint import read_checkpoint
from reid.runs import BEST

pytestmark = pytest.mark.usefixtures("tiny_network")


def test_current_features_are_reused(toy: Toy, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluated(toy, run, untrained=True)
    monkeypatch.setattr(extraction, "extract_features", no_extraction)
    assert evaluated(toy, run, untrained=True).scores == first.scores


def change_weights(toy: Toy, run: Path) -> Toy:
    """Write other weights with the same recipe."""
    checkpoint = read_checkpoint(run / BEST)
    weights = {"model.neck.weight": 1 + 0.5 * torch.randn(TINY.features)}
    save_tensors(run / BEST, {**checkpoint.tensors, **weights}, checkpoint.metadata)
    return toy


def change_parts(toy: Toy, run: Path) -> Toy:
    return Toy(toy.dataset, replace(toy.parts, fingerprint={"detector": "another"}))


def remove_an_image(toy: Toy, run: Path) -> Toy:
    table = toy.dataset.table
    kept = table[table["name"] != table["name"][table["split"] == "gallery"].iloc[-1]]
    kept.to_csv(run / "images.csv", index=False)
    dataset = replace(load_dataset(str(run / "images.csv"), toy.dataset.root), name="folder")
    return Toy(dataset, toy.parts)


def damage_file(toy: Toy, run: Path) -> Toy:
    path = run / "test" / "features.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 4
    path.write_bytes(damaged)
    return toy


@pytest.mark.parametrize("change", [change_weights, change_parts, remove_an_image, damage_file])
def test_outdated_features_are_extracted_again(
    toy: Toy, run: Path, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    evaluated(toy, run)
    changed = change(toy, run)
    with monkeypatch.context() as patch:
        patch.setattr(extraction, "extract_features", no_extraction)
        with pytest.raises(AssertionError, match="features were extracted"):
            evaluated(changed, run)
    result = evaluated(changed, run)
    found = features_in(result.folder)
    fresh = literal_scores(changed, found.matrix, found.names)
    assert result.scores["trained"].mAP == pytest.approx(fresh["mAP"], abs=1e-6)


def two_tests(toy: Toy) -> Toy:
    """Return the toy set with a second test, of the first two queries against the whole gallery."""
    whole = toy.dataset.splits["test"]
    smaller = replace(whole, query=whole.query[:2])
    return Toy(replace(toy.dataset, splits={"small": smaller, "test": whole}), toy.parts)


def test_several_tests_share_one_extraction(toy: Toy, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = two_tests(toy)
    alone = {split: evaluated(both, run, split).scores for split in ("small", "test")}
    passes = []
    original = extraction.extract_features
    monkeypatch.setattr(
        extraction, "extract_features", lambda *given, **how: passes.append(1) or original(*given, **how)
    )
    found = evaluated_on(both, run, ["small", "test"])
    assert len(passes) == 1
    assert [one.folder.name for one in found] == ["small", "test"]
    assert [one.scores for one in found] == [alone["small"], alone["test"]]
    for one in found:
        assert read_json(one.folder / "metrics.json")["features"] == "all/features.safetensors"


def test_one_test_reuses_the_features_of_all(toy: Toy, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = two_tests(toy)
    found = evaluated_on(both, run, ["small", "test"], untrained=True)
    with monkeypatch.context() as patch:
        patch.setattr(extraction, "extract_features", no_extraction)
        for before in found:
            again = evaluated(both, run, before.folder.name, untrained=True)
            assert (again.scores, again.metrics["features"]) == (before.scores, "all/features.safetensors")
    change_weights(both, run)
    again = evaluated(both, run, "small")
    assert again.metrics["features"] == "small/features.safetensors"
    assert features_in(again.folder).provenance["weights"] == read_checkpoint(run / BEST).sha256


def test_the_mean_with_another_run_is_of_the_test_alone(toy: Toy, run: Path) -> None:
    """Though the features of all tests are taken where they are up to date."""
    both = two_tests(toy)
    evaluated_on(both, run, ["small", "test"])
    trained = TrainedRun(both.dataset, both.parts, read_checkpoint(run / BEST), run)
    _, features = features_of_run(trained, ["small"], Compute("cpu", 0))
    mean = mean_of_runs(features, [trained], ["small"], Compute("cpu", 0))
    assert list(mean.names) == image_names(both.dataset, ["small"]) and len(mean.names) < len(features.names)
    own = features.of(mean.names)
    np.testing.assert_allclose(mean.matrix @ mean.matrix.T, own @ own.T, atol=1e-6)
