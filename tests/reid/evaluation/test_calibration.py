"""Calibration: simulated searches against a loop, the command on a toy run, and files of other runs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_cache.base.errors import UserError
from helpers.naive.ranking import unit
from helpers.places.reid import Place, assert_error
from helpers.toy.vehicles import tiny_scale, toy_set
from reid.evaluation import calibration as module
from reid.evaluation.calibration import FILE, fitted, read_calibration, simulated_searches
from reid.model.checkpoint import read_checkpoint
from reid.retrieval.open_set import evidence
from reid.retrieval.ranking import Labels


def clusters(vehicles: int, noise: float, seed: int = 0) -> tuple[np.ndarray, Labels]:
    """Six images of each vehicle, by three cameras, around a centre of their own."""
    random = np.random.default_rng(seed)
    vehicle = np.repeat(np.arange(vehicles), 6)
    centres = random.standard_normal((vehicles, 8))
    features = unit(centres[vehicle] + noise * random.standard_normal((len(vehicle), 8)))
    return features, Labels(vehicle, np.tile([0, 0, 1, 1, 2, 2], vehicles))


def test_simulated_searches_equal_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEARCHES", 3)
    features, labels = clusters(9, 0.9)
    searches = simulated_searches(features, labels, seed=4)
    random, row = np.random.default_rng(4), 0
    for share in (0.5, 0.25, 0.125):
        chosen = set(random.permutation(np.arange(9))[: max(2, round(share * 9))].tolist())
        gallery = [image for image in range(54) if labels.vehicle[image] in chosen]
        for query in range(54):
            seen = [
                image
                for image in gallery
                if not (labels.vehicle[image] == labels.vehicle[query] and labels.camera[image] == labels.camera[query])
            ]
            scores = sorted(((float(features[query] @ features[image]), image) for image in seen), reverse=True)
            best = labels.vehicle[scores[0][1]]
            assert searches.right[row] == (best == labels.vehicle[query])
            assert searches.positives[row] == sum(labels.vehicle[image] == labels.vehicle[query] for image in seen)
            wanted = evidence(np.float32([[score for score, _ in scores]]), len(gallery))[0]
            np.testing.assert_allclose(searches.found[row], wanted, atol=1e-4)
            row += 1
    assert row == len(searches.found)


def test_an_image_of_an_unknown_camera_is_not_found_in_itself() -> None:
    features, labels = clusters(9, 5.0)
    searches = simulated_searches(features, Labels(labels.vehicle, np.full(54, -1)), seed=0)
    assert searches.found[:, 0].max() < 0.999


def test_strangers_fill_galleries_and_belong_to_no_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEARCHES", 3)
    features, labels = clusters(9, 0.9)
    strangers = unit(np.random.default_rng(3).standard_normal((40, features.shape[1])))
    searches = simulated_searches(features, labels, 4, strangers)
    random, row = np.random.default_rng(4), 0
    for size in (1, 0.5, 0.25):
        chosen = set(random.permutation(np.arange(9))[: max(2, round(0.5 * size * 9))].tolist())
        taken = random.permutation(40)[: round(size * 40)]
        for query in range(54):
            seen = [
                image
                for image in range(54)
                if labels.vehicle[image] in chosen
                and (labels.vehicle[image] != labels.vehicle[query] or labels.camera[image] != labels.camera[query])
            ]
            scores = [(float(features[query] @ features[image]), labels.vehicle[image]) for image in seen]
            scores += [(float(features[query] @ stranger), -1) for stranger in strangers[taken]]
            scores.sort(reverse=True)
            assert searches.right[row] == (scores[0][1] == labels.vehicle[query])
            assert searches.positives[row] == sum(labels.vehicle[image] == labels.vehicle[query] for image in seen)
            size_of_gallery = sum(vehicle in chosen for vehicle in labels.vehicle.tolist()) + len(taken)
            wanted = evidence(np.float32([[score for score, _ in scores]]), size_of_gallery)[0]
            np.testing.assert_allclose(searches.found[row], wanted, atol=1e-4)
            row += 1


def test_the_aims_are_met_on_the_searches_that_they_were_fitted_to() -> None:
    features, labels = clusters(40, 1.0)
    strangers = unit(np.random.default_rng(3).standard_normal((200, features.shape[1])))
    searches = simulated_searches(features, labels, 0, strangers)
    strict = fitted(features, labels, strangers, "fpir=0.05", 0)
    loose = fitted(features, labels, strangers, "f1", 0)
    assert searches.open_set(strict).at(strict.threshold)["fpir"] <= 0.05
    assert (
        searches.open_set(loose).at(loose.threshold)["top1_f1"]
        >= searches.open_set(strict).at(strict.threshold)["top1_f1"]
    )
    assert replace(strict, threshold=0) == replace(loose, threshold=0)  # one confidence
    assert replace(fitted(features, labels, strangers[:0], "f1", 0), threshold=0) == replace(loose, threshold=0)
    for aim in ("f2", "fpir=2", "fpir=", "0.05"):
        with pytest.raises(UserError, match="not f1, or fpir=RATE"):
            fitted(features, labels, strangers, aim, 0)


def test_confidence_is_honest_on_other_vehicles() -> None:
    """Of the matches with a confidence near p, about the share p is right."""
    features, labels = clusters(60, 0.8)
    model = fitted(features, labels, features[:0], "f1", 0)
    other = simulated_searches(*clusters(60, 0.8, seed=7), seed=1)
    confidence = model.confidence(other.found)
    checked = 0
    for low in np.arange(0, 1, 0.2):
        inside = (confidence >= low) & (confidence < low + 0.2)
        if inside.sum() < 200:
            continue
        checked += 1
        assert abs(confidence[inside].mean() - other.right[inside].mean()) < 0.12
    assert checked >= 2


def test_the_command_writes_a_calibration_of_its_run(tmp_path: Path) -> None:
    with tiny_scale():
        place = Place(toy_set(tmp_path / "data", trained=24), tmp_path / "runs")
        folder = place.train("--recipe", "pgan_small", "--set", "holdout=0.45").parent
        result = place("calibrate", "--json")
        assert result.exit_code == 0, result.output
        summary = json.loads(result.stdout)
        assert summary["output"] == str(folder / FILE) and summary["queries"] > 0 < summary["absent"]
        sha256 = read_checkpoint(folder / "best.safetensors").sha256
        found = read_calibration(folder, sha256)
        assert found is not None and found.aim == "f1" and found.vehicles == 11
        assert json.loads(place("calibrate", "--json").stdout) == summary
        with pytest.raises(UserError, match="made for another checkpoint"):
            read_calibration(folder, "0" * 64)
        for damage in ('{"calibration": 1}', (folder / FILE).read_text().replace('"cosine"', '"angle"')):
            (folder / FILE).write_text(damage)
            with pytest.raises(UserError, match=r"of another version.*calibrate again"):
                read_calibration(folder, sha256)
        (folder / FILE).unlink()
        assert read_calibration(folder, sha256) is None
        assert_error(place("calibrate", "--aim", "best"), 1, "--aim best: not f1")
        path = place.toy.dataset.root / "images.csv"
        first = path.read_text().splitlines(keepends=True)
        gone = next(line.split(",")[1] for line in first if line.strip().endswith("train"))
        path.write_text("".join(line for line in first if line.split(",")[1] != gone))
        assert_error(place("calibrate"), 1, "was trained on other images than folder lists now")


@pytest.mark.usefixtures("tiny")
def test_a_run_that_held_nothing_out_cannot_be_calibrated(place: Place) -> None:
    place.train("--recipe", "pgan_small")
    assert_error(place("calibrate"), 1, "0 vehicles with identity were not trained on", "holdout=0.2")
