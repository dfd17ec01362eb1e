"""Evaluation of a run: metrics against a plain loop, their origin, and the files."""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.base.files import read_json
from helpers.toy.runs import evaluated, features_in, literal_scores
from helpers.toy.vehicles import TINY, Toy, toy_set
from reid.data.vehicle_images import vehicle_images
from reid.evaluation.evaluate import evaluate_external
from reid.evaluation.metrics_file import EXTERNAL, QUERIES, TRAINED
from reid.evaluation.trained_run import FEATURES
from reid.features.extraction import extract_features
from reid.features.file import read_features
from reid.model.checkpoint import build_network, read_checkpoint, trained_network
from reid.recipes import ReidRecipe
from reid.retrieval.scoring import EXPANDED, RERANKED, Scoring
from reid.runs import BEST, METRICS

pytestmark = pytest.mark.usefixtures("tiny_network")


def test_metrics_hold_the_scores_and_their_origin(toy: Toy, run: Path) -> None:
    result = evaluated(toy, run, untrained=True)
    metrics = read_json(run / "test" / "metrics.json")
    assert metrics == json.loads(json.dumps(result.metrics))
    assert result.folder == run / "test"
    assert (metrics["dataset"], metrics["split"], metrics["recipe_name"]) == ("folder", "test", "pgan_small")
    assert metrics["protocol"] == {
        "same_camera_is_junk": True,
        "draws": 1,
        "seed": None,
        "precision": "step",
        "ranks": "images",
    }
    assert metrics["features"] == "test/features.safetensors"
    assert ReidRecipe(**metrics["recipe"]) == TINY
    checkpoint = read_checkpoint(run / BEST)
    assert metrics["checkpoint"] == {"file": BEST, "sha256": checkpoint.sha256, "epoch": 3}
    assert metrics["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"pgan-vehicle-reid", "numpy", "torchvision"} <= set(metrics["versions"])
    assert datetime.fromisoformat(metrics["made"]).tzinfo is not None
    assert metrics["device"].startswith("CPU") and "commit" in metrics
    assert list(metrics["scores"]) == ["trained", "untrained", "trunk"]
    for row, name in (("trained", "features"), ("untrained", "features-untrained"), ("trunk", "features-trunk")):
        found = read_features(run / "test" / f"{name}.safetensors")
        for metric, value in literal_scores(toy, found.matrix, found.names).items():
            assert metrics["scores"][row][metric] == pytest.approx(value, abs=1e-6), (row, metric)
        assert (metrics["scores"][row]["queries"], metrics["scores"][row]["gallery"]) == (4, 12)
        assert metrics["scores"][row]["queries_without_match"] == 0


def test_features_are_those_of_the_network_for_the_test_images(toy: Toy, run: Path) -> None:
    found = features_in(evaluated(toy, run).folder)
    table = toy.dataset.table
    assert list(found.names) == sorted(table["name"][table["split"] != "train"])
    assert found.matrix.shape == (16, TINY.features) and found.matrix.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found.matrix, axis=1), np.ones(16), atol=1e-5)
    images = vehicle_images(toy.dataset, toy.parts, list(found.names), top_d=TINY.parts, size=TINY.image_size)
    network = trained_network(read_checkpoint(run / BEST))
    for row in range(16):
        image, boxes, labels, *_ = images[row]
        present = labels >= 0
        scaled = image.float() / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        scaled = scaled / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        with torch.no_grad():
            output = network(scaled[None], boxes[None], present[None])
        feature = output.feature[0].numpy() / output.feature[0].norm().item()
        assert feature @ found.matrix[row] > 0.999
        np.testing.assert_allclose(found.attention[row], output.attention[0], atol=0.05)
        assert (found.attention[row][~present.numpy()] == 0).all()


def test_the_untrained_rows_are_the_network_before_training(toy: Toy, run: Path) -> None:
    evaluated(toy, run, untrained=True)
    found = {name: read_features(run / "test" / f"features-{name}.safetensors") for name in ("untrained", "trunk")}
    assert found["untrained"].matrix.shape[1] == TINY.features and found["trunk"].matrix.shape[1] == 32
    network = build_network(TINY, 8).eval()
    names = list(found["untrained"].names)
    images = vehicle_images(toy.dataset, toy.parts, names, top_d=TINY.parts, size=TINY.image_size)
    matrix, _ = extract_features(network, images, device="cpu", workers=0)
    np.testing.assert_allclose(found["untrained"].matrix, matrix, atol=1e-6)


def test_training_images_are_not_needed(tmp_path: Path, run: Path) -> None:
    toy = toy_set(tmp_path / "set")
    for name in toy.dataset.table["name"][toy.dataset.table["split"] == "train"]:
        toy.dataset.path(name).unlink()
    assert evaluated(toy, run).scores["trained"].queries == 4


def test_missing_checkpoint_unknown_split_and_missing_parts_are_refused(toy: Toy, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"best\.safetensors: no such file; delete .* and train again"):
        evaluated(toy, tmp_path / "nothing")
    with pytest.raises(UserError, match="unknown split of folder large"):
        evaluated(toy, run, "large")
    arrays = ("names", "failure", "image_size", "boxes", "scores", "labels", "status")
    fewer = replace(toy.parts, **{name: getattr(toy.parts, name)[:40] for name in arrays})
    with pytest.raises(UserError, match="8 images are not in it"):
        evaluated(Toy(toy.dataset, fewer), run)
    assert not (run / "test" / "metrics.json").exists()


def test_reranked_and_expanded_scores_are_added_to_the_plain_ones(toy: Toy, run: Path) -> None:
    plain = evaluated(toy, run).scores[TRAINED]
    result = evaluated(toy, run, untrained=True, scoring=Scoring(rerank=True, expand=2))
    rows = [TRAINED, f"{TRAINED}, {RERANKED}", f"{TRAINED}, {EXPANDED}", "untrained", "trunk"]
    assert list(result.scores) == rows == list(read_json(result.folder / "metrics.json")["scores"])
    assert result.scores[TRAINED] == plain
    protocol = read_json(result.folder / "metrics.json")["protocol"]
    assert (protocol["expand"], protocol["rerank"]) == (2, {"k1": 20, "k2": 6, "lambda": 0.3})
    for row in rows:
        assert result.scores[row].queries == 4 and 0 < result.scores[row].mAP <= 1


def test_the_form_of_average_precision_is_used_and_recorded(toy: Toy, run: Path) -> None:
    scoring = Scoring(form="trapezoid")
    result = evaluated(toy, run, scoring=scoring)
    expected = scoring.score({TRAINED: features_in(result.folder)}, toy.dataset, "test", device="cpu").scores
    assert result.scores == expected
    assert result.metrics["protocol"]["precision"] == result.metrics["scores"][TRAINED]["precision"] == "trapezoid"


def test_means_over_queries_csv_are_the_scores(toy: Toy, run: Path) -> None:
    result = evaluated(toy, run, scoring=Scoring(expand=1))
    found = pd.read_csv(result.folder / "queries.csv", dtype={"vehicle_id": str})
    assert list(found["name"][found["row"] == TRAINED]) == list(
        toy.dataset.table["name"][toy.dataset.table["split"] == "query"]
    )
    assert set(found["draw"]) == {0} and (found["positives"] > 0).all()
    for row, scores in result.scores.items():
        of_row = found[found["row"] == row]
        assert of_row["average_precision"].mean() == pytest.approx(scores.mAP)
        assert (of_row["first_hit_rank"] <= 5).mean() == pytest.approx(scores.cmc5)
        assert of_row["inverse_negative_penalty"].mean() == pytest.approx(scores.mINP)


def test_leftovers_of_killed_writers_are_removed(toy: Toy, run: Path) -> None:
    (run / "test").mkdir(exist_ok=True)
    for name in (METRICS, QUERIES):
        (run / "test" / f".{name}.abcdefgh.tmp").write_bytes(b"half")
    evaluated(toy, run)
    assert sorted(path.name for path in (run / "test").iterdir()) == [FEATURES, METRICS, QUERIES]


def test_external_features_are_scored_under_the_same_protocol(toy: Toy, run: Path, tmp_path: Path) -> None:
    ours = evaluated(toy, run)
    features = features_in(ours.folder)
    theirs = tmp_path / "theirs.npz"
    np.savez(theirs, names=np.array(features.names), features=3 * features.matrix.astype(np.float64))
    (result,) = evaluate_external(theirs, toy.dataset, ["test"], Scoring(), tmp_path / "given", device="cpu")
    assert result.scores == {EXTERNAL: ours.scores[TRAINED]}
    metrics = read_json(tmp_path / "given/test/metrics.json")
    assert (metrics["system"]["name"], metrics["system"]["file"]) == ("given", "theirs.npz")
    assert len(metrics["system"]["sha256"]) == 64
    assert "checkpoint" not in metrics and metrics["protocol"] == ours.metrics["protocol"]
    copy = read_features(tmp_path / "given" / metrics["features"])
    assert copy.names == features.names and copy.attention.shape[1] == 0
    np.testing.assert_allclose(copy.matrix, features.matrix, atol=1e-6)


def test_external_features_never_replace_the_results_of_a_trained_network(toy: Toy, run: Path, tmp_path: Path) -> None:
    theirs = evaluated(toy, run).folder / FEATURES
    before = (run / "test" / METRICS).read_bytes()
    with pytest.raises(UserError, match=r"pgan_small: holds a trained network; .* by --name"):
        evaluate_external(theirs, toy.dataset, ["test"], Scoring(), run, device="cpu")
    assert (run / "test" / METRICS).read_bytes() == before
