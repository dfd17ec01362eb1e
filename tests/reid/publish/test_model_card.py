"""Exported weights equal the checkpoint, the recipe can be trained, and the model card is correct."""

import json
from pathlib import Path

import pytest
import torch

from data_cache.base.config import resolve_recipe
from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_file, write_json
from data_cache.base.tensors import save_tensors
from data_cache.datasets.catalogue import dataset_label
from helpers.toy.vehicles import TINY
from reid.model.checkpoint import Checkpoint, build_network, network_tensors, read_checkpoint
from reid.publish.model_card import CARD, RECIPE, WEIGHTS, export_weights, model_card
from reid.recipes import ReidRecipe
from reid.retrieval.metrics import METRIC_NAMES
from reid.runs import BEST

DETECTOR = "d" * 64
RECIPE_OF_RUN = TINY.model_copy(update={"identity_weight": 1.0})


def write_run(folder: Path, **changes: object) -> Checkpoint:
    """Write a run of an untrained network into `folder`."""
    metadata = {
        "kind": "re-identification",
        "recipe": RECIPE_OF_RUN.model_dump(mode="json"),
        "dataset": "veri",
        "vehicles": 5760,
        "parts": {"weights_sha256": DETECTOR},
        "epoch": 2,
        "best": 0.5,
    }
    network = build_network(RECIPE_OF_RUN, 8, pretrained=False)
    save_tensors(folder / BEST, network_tensors(network), {**metadata, **changes})
    return read_checkpoint(folder / BEST)


def write_metrics(checkpoint: Checkpoint, split: str, sha256: str, percent: float) -> None:
    scores = {"split": split, **dict.fromkeys(METRIC_NAMES, percent / 100)}
    counts = {"queries": 1678, "queries_without_match": 1, "gallery": 11579, "trials": 1, "precision": "step"}
    row = {**scores, **counts, "deviation": None, "seed": None}
    metrics = {"dataset": "veri", "split": split, "checkpoint": {"sha256": sha256}, "scores": {"trained": row}}
    write_json(checkpoint.path.parent / split / "metrics.json", metrics)


@pytest.mark.usefixtures("tiny")
def test_the_weights_can_replace_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = write_run(tmp_path / "demo")
    exported = export_weights(checkpoint)
    assert exported.files == tuple(tmp_path / "demo/export" / name for name in (WEIGHTS, RECIPE, CARD))
    assert {path.name for path in (tmp_path / "demo/export").iterdir()} == {WEIGHTS, RECIPE, CARD}
    assert exported.weights_sha256 == checkpoint.sha256
    copy = read_checkpoint(tmp_path / "demo/export" / WEIGHTS)
    assert (copy.sha256, copy.recipe, copy.metadata) == (checkpoint.sha256, checkpoint.recipe, checkpoint.metadata)
    assert all(torch.equal(value, checkpoint.tensors[name]) for name, value in copy.tensors.items())


@pytest.mark.usefixtures("tiny")
def test_the_recipe_can_be_trained(tmp_path: Path) -> None:
    export_weights(write_run(tmp_path))
    assert resolve_recipe(ReidRecipe, {}, str(tmp_path / "export" / RECIPE)) == RECIPE_OF_RUN


@pytest.mark.usefixtures("tiny")
def test_the_card_contains_data_scores_hashes_and_limits(tmp_path: Path) -> None:
    checkpoint = write_run(tmp_path / "pgan")
    write_metrics(checkpoint, "small", checkpoint.sha256, 61.5)
    write_metrics(checkpoint, "large", "another checkpoint's", 77.7)
    card = export_weights(checkpoint).files[2].read_text()
    assert card.startswith("# pgan, trained on veri\n")
    assert "veri: 5,760 vehicles of its training images" in card
    assert DETECTOR in card and checkpoint.sha256 in card and "64 x 64 pixels, at most 2 part boxes" in card
    assert "| trained | 61.5 | 61.5 | 61.5 | 61.5 | 61.5 | 61.5 |" in card
    assert "small: 1,678 queries (1 without a match, left out), gallery 11,579." in card
    assert "77.7" not in card and "not evaluated" not in card and "endered" not in card
    for name in (WEIGHTS, RECIPE):
        assert f"| {name} | {sha256_of_file(tmp_path / 'pgan/export' / name)} |" in card
    assert "    lambda: 1.0\n" in card and f"- torch {torch.__version__.split('+')[0]}\n" in card
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    assert [heading[3:] for heading in headings] == [
        *("Scores", "Files", "Made by", "Recipe", "Exported with", "Licence", "Limits"),
    ]


@pytest.mark.usefixtures("tiny")
def test_the_card_says_what_goes_in_and_out_and_where_the_weights_came_from(tmp_path: Path) -> None:
    changes = {"image_height": 96, "part_crops": 32, "slot_features": 8, "start": "runs/veri/base"}
    recipe = RECIPE_OF_RUN.model_copy(update=changes)
    card = model_card(write_run(tmp_path / "plus", recipe=recipe.model_dump(mode="json")), [], {})
    assert f"{recipe.image_size} x 96 pixels" in card
    assert f"a feature of {recipe.features + 16 * 8} numbers" in card
    assert "| started from | the network runs/veri/base |" in card and "initial backbone weights" not in card
    assert "starting from runs/veri/base" in card


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("dataset", "given"), [("veri", "veri"), ("cars", "cars.csv")])
def test_the_card_says_how_to_use_the_weights_on_any_data_set(tmp_path: Path, dataset: str, given: str) -> None:
    card = model_card(write_run(tmp_path, dataset=dataset), [], {})
    assert f"mkdir -p runs/{dataset}/mine" in card and f"evaluate --dataset {given} --run mine\n" in card
    assert dataset_label(given) == dataset


@pytest.mark.usefixtures("tiny")
def test_the_card_names_rendered_vehicles(tmp_path: Path) -> None:
    card = export_weights(write_run(tmp_path, dataset="synthetic")).files[2].read_text()
    assert "synthetic (rendered vehicles)" in card and "say little about photographs" in card
    checkpoint = write_run(tmp_path / "other")
    write_metrics(checkpoint, "test", checkpoint.sha256, 50)
    metrics = checkpoint.path.parent / "test" / "metrics.json"
    write_json(metrics, json.loads(metrics.read_text()) | {"rendered": True})
    assert "veri (rendered vehicles)" in export_weights(checkpoint).files[2].read_text()


@pytest.mark.usefixtures("tiny")
def test_the_card_of_imported_weights_leaves_out_what_is_unknown(tmp_path: Path) -> None:
    source = {"weights": "of PGAN's authors", "sha256": "e" * 64, "classifier": True}
    checkpoint = write_run(tmp_path, source=source, epoch=None, parts={})
    card = export_weights(checkpoint).files[2].read_text()
    assert f"| imported | weights of PGAN's authors, SHA-256 {'e' * 64} |" in card
    assert "| epoch |" not in card and "part boxes by" not in card and "not evaluated" in card


@pytest.mark.usefixtures("tiny")
def test_nothing_is_written_if_scores_are_damaged(tmp_path: Path) -> None:
    checkpoint = write_run(tmp_path)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "metrics.json").write_text("{")
    with pytest.raises(UserError, match=r"metrics\.json: cannot be read as JSON"):
        export_weights(checkpoint)
    assert not (tmp_path / "export").exists()
