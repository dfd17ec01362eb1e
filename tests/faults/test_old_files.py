"""Files of the first version: later versions read them to the same values, or refuse them by name.

When a format changes, its old files stay here, and the test becomes one of the refusal. `fixtures/make_fixtures.py`
documents how they were made; they are never made again.
"""

import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.base.files import read_json, sha256_of_file
from data_cache.base.tensors import load_tensors, save_tensors
from data_cache.parts import cache as parts
from data_cache.parts.cache import read_parts
from data_cache.parts.names import PART_NAMES
from detect.model.weights import load_weights, read_recipe
from detect.recipes import DetectorRecipe
from fixtures.make_fixtures import ANSWERS, DETECTOR, FEATURES, HERE, IDENTITY, PARTS, RECIPE, answers, small_backbone
from reid.features import file as features_file
from reid.features.file import read_features
from reid.model.backbones import BACKBONES
from reid.model.checkpoint import read_checkpoint
from reid.runs import BEST, LAST
from reid.training.state import checkpoint_to_resume, restore, start_state

HASHES = {
    "parts-1.h5": "bb6d34a7718f2bf67d69e2391f4e7d3251b031e8de0a037093fd0185232706fd",
    "features-1.safetensors": "0047e65f25e8f69a8f33e4a0f354f5f67bc96e431d66449a7fad8e7db196dbe2",
    "detector-1.safetensors": "64f114eebcfd2e9a98f16f4ef82c08b53494483b8ef1f5be7b5a211f4d4f08a0",
    "1-best.safetensors": "1df0dd8d2a84043c263edb4b69cf042b9bb03e59e340c1cffbd6951f81fc8d4f",
    "1-last.safetensors": "f1aeb9f089f6649829fa48138db07d5a4bba25bcc6e4acaa084d6075dcf0c62e",
    "answers-1.json": "d42893af5dc20b81ab68c43733d5801f74aef7dd33060530e0636a09f12bf165",
}


@pytest.mark.parametrize("name", HASHES)
def test_the_files_are_unchanged(name: str) -> None:
    assert sha256_of_file(HERE / name) == HASHES[name]
    assert (HERE / name).stat().st_size < 100_000


def test_part_cache_of_schema_1_is_read() -> None:
    found = read_parts(HERE / PARTS)
    assert found.names == ("images/a.jpg", "images/ü b.jpg", "z.jpg")
    assert found.image_size.tolist() == [[60, 45], [80, 50], [0, 0]]
    assert found.boxes[0].tolist() == [[1.5, 2, 30, 40], [5, 5, 20.25, 21]] and not found.boxes[1:].any()
    assert found.scores.tolist() == [[0.75, 0.5], [0, 0], [0, 0]]
    assert [[PART_NAMES[label] for label in row if label >= 0] for row in found.labels] == [["plate", "wheel"], [], []]
    assert found.status.tolist() == [0, 1, 2] and found.failure == ("", "", "z.jpg: no such file")
    assert found.fingerprint == {"dataset": "veri", "top_k": 2, "versions": {"torch": "2.14.1"}}
    assert found.part_names == PART_NAMES


def test_unknown_schema_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SCHEMA", 2)
    with pytest.raises(
        UserError, match=r"parts-1\.h5: part cache of schema 1, this version reads 2; run `python cli\.py"
    ):
        read_parts(HERE / PARTS)
    monkeypatch.setattr(features_file, "SCHEMA", 2)
    with pytest.raises(UserError, match=r"features-1\.safetensors: has schema 1, this version reads 2; .*eva"):
        read_features(HERE / FEATURES)


def test_features_of_schema_1_are_read() -> None:
    found = read_features(HERE / FEATURES)
    assert found.names == ("images/a.jpg", "images/ü b.jpg")
    np.testing.assert_array_equal(found.matrix, np.float32([(0.6, 0.8, 0, 0), (0, 0, 1, 0)]))
    assert found.attention.tolist() == [[0.25, 0.75], [1, 0]]
    assert found.provenance == {"dataset": "veri", "weights": "0" * 64}


def test_weights_of_a_detector_are_read() -> None:
    network = torch.nn.BatchNorm2d(2)
    load_weights(HERE / DETECTOR, network)
    assert isinstance(read_recipe(HERE / DETECTOR), DetectorRecipe)
    assert network.weight.tolist() == [1, 1]


def test_checkpoint_gives_the_same_outputs() -> None:
    found, wanted = answers(HERE / f"1-{BEST}"), read_json(HERE / ANSWERS)
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5, err_msg=name)
    checkpoint = read_checkpoint(HERE / f"1-{BEST}")
    metadata = {name: value for name, value in checkpoint.metadata.items() if name != "recipe"}  # it may gain fields
    assert checkpoint.recipe == RECIPE and {**metadata, "recipe": IDENTITY["recipe"]} == {
        **IDENTITY,
        "epoch": 2,
        "best": 0.5,
    }


def test_training_resumes_from_a_checkpoint(tmp_path: Path) -> None:
    shutil.copy(HERE / f"1-{LAST}", tmp_path / LAST)
    metadata = read_checkpoint(tmp_path / LAST).metadata
    found = checkpoint_to_resume(tmp_path, {name: metadata[name] for name in IDENTITY})
    assert found is not None
    with patch.dict(BACKBONES, resnet18=small_backbone):
        state = start_state(RECIPE, 3, "cpu")
        restore(state, found)
    assert (state.epoch, state.best) == (2, 0.5)
    moments = state.optimizer.state_dict()["state"]
    stored = [name for name in found.tensors if name.startswith("optimiser.")]
    assert len(stored) == sum(map(len, moments.values())) > 20


def test_checkpoint_with_an_unknown_recipe_field_is_refused_by_name(tmp_path: Path) -> None:
    tensors, metadata, _ = load_tensors(HERE / f"1-{BEST}", "")
    recipe = {**metadata["recipe"], "of_another_time": 1}
    save_tensors(tmp_path / BEST, tensors, {**metadata, "recipe": recipe})
    with pytest.raises(UserError, match=r"best\.safetensors: written by another version with a recipe"):
        read_checkpoint(tmp_path / BEST).recipe  # noqa: B018
