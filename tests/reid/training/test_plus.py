"""Training of PGAN+: it learns, logs its terms, resumes to the same bits, and decoded crops change nothing."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.base.files import read_json_lines
from data_cache.parts.cache import PartBoxes
from data_cache.parts.selection import boxes_in_slots
from helpers.toy.vehicles import TINY, TINY_HOLDOUT, Toy, assert_same_run, interrupted, train_toy
from reid.model.checkpoint import build_network, read_checkpoint, trained_network
from reid.model.pgan_plus import PGANPlus
from reid.recipes import PRESETS, ReidRecipe
from reid.runs import BEST
from reid.training import loop
from reid.training.log import LOG
from reid.training.state import start_state
from reid.training.train import train
from reid.training.validation import Holdout

PLUS: dict[str, Any] = {"attention": "none", "part_crops": 32, "slot_features": 8}
RECIPE = TINY_HOLDOUT.model_copy(update=PLUS)
STRONG = {"average": 0.6, "flip_test": True, "label_smoothing": 0.1, "identity_weight": 4.0}

pytestmark = pytest.mark.usefixtures("tiny_network")


class StopHere(Exception):
    """Interrupts a run at a chosen moment."""


def test_training_distinguishes_vehicles_and_logs_its_terms(toy: Toy, tmp_path: Path) -> None:
    recipe = TINY.model_copy(update={**PLUS, "epochs": 12, "erase": 0.0})
    best = train_toy(recipe, toy, tmp_path)
    lines = read_json_lines(tmp_path / LOG)
    terms = {"identity", "fusion", "slots", "joint", "triplets"}
    for line in lines:
        assert set(line) == terms | {"loss", "epoch", "learning_rate", "images_per_second"}
        assert line["loss"] == pytest.approx(line["identity"] + sum(line[name] for name in terms))  # lambda is 2
        assert all(math.isfinite(line[name]) for name in terms)
    assert lines[-1]["loss"] < 0.6 * lines[0]["loss"]
    table = toy.dataset.table
    score = Holdout(toy.dataset, table[table["split"] == "train"], toy.parts, recipe, "cpu", 0)
    after = score(trained_network(read_checkpoint(best)))
    assert after["validation_cmc1"] > 0.95
    assert after["validation_mAP"] > score(build_network(recipe, 8))["validation_mAP"] + 0.1


@pytest.mark.parametrize("options", [{"attention": "parts"}, {}, STRONG], ids=["parts", "none", "strong"])
def test_an_interrupted_run_resumes_to_the_same_bits(toy: Toy, tmp_path: Path, options: dict[str, Any]) -> None:
    recipe = RECIPE.model_copy(update=options)
    stop = interrupted(loop, "training_step", lambda state, *_: state.epoch == 1, StopHere)
    with stop, pytest.raises(StopHere):
        train_toy(recipe, toy, tmp_path / "stopped")
    train_toy(recipe, toy, tmp_path / "stopped")
    train_toy(recipe, toy, tmp_path / "whole", workers=2)
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


def test_decoded_images_and_crops_give_the_same_bits(toy: Toy, tmp_path: Path) -> None:
    train_toy(RECIPE, toy, tmp_path / "files")
    decoded = tmp_path / "decoded.safetensors"
    train(RECIPE, toy.dataset, toy.parts, tmp_path / "run", device="cpu", workers=0, decoded=decoded)
    assert len([*tmp_path.glob("decoded*.safetensors")]) == 2
    assert_same_run(tmp_path / "run", tmp_path / "files")


def test_images_without_any_part_can_be_trained_on(toy: Toy, tmp_path: Path, no_parts: PartBoxes) -> None:
    best = train(RECIPE, toy.dataset, no_parts, tmp_path, device="cpu", workers=0)
    assert all(math.isfinite(line["loss"]) for line in read_json_lines(tmp_path / LOG))
    assert isinstance(trained_network(read_checkpoint(best)), PGANPlus)


@pytest.fixture
def no_parts(toy: Toy) -> PartBoxes:
    """The toy set's part cache, in which no part was found."""
    return boxes_in_slots(toy.parts, np.full_like(toy.parts.labels, -1, dtype=np.intp))


def test_the_presets_take_the_telling_parts_first_and_differ_in_size_only() -> None:
    large, small = PRESETS["pgan_plus"], PRESETS["pgan_plus_small"]
    assert large.uses_parts and large.part_crops == 96 and small.part_crops == 64
    for preset, baseline in ((large, "baseline"), (small, "baseline_small")):
        own = {"part_crops", "parts_first", "parts_per_label"}
        assert preset.model_dump(exclude=own) == PRESETS[baseline].model_dump()
        assert preset.box_choice.first == "varying" and preset.box_choice.per_label == 2
    assert not ReidRecipe(part_crops=32, parts=0, attention="none").uses_parts


def test_the_strong_presets_are_pgan_plus_with_four_options_more() -> None:
    for name in ("", "_small"):
        strong, plus = PRESETS[f"strong{name}"], PRESETS[f"pgan_plus{name}"]
        own = set(STRONG)
        assert strong.model_dump(exclude=own) == plus.model_dump(exclude=own)
        assert all(getattr(strong, option) != getattr(plus, option) for option in own)


def test_the_whole_is_trained_from_the_weights_of_the_baseline() -> None:
    plus = start_state(RECIPE, 4, "cpu").network
    baseline = start_state(TINY_HOLDOUT.model_copy(update={"attention": "none"}), 4, "cpu").network
    assert isinstance(plus, PGANPlus)
    own = plus.whole.state_dict()
    assert all((value == own[name]).all() for name, value in baseline.state_dict().items())


def test_the_best_checkpoint_is_the_trained_network(toy: Toy, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(train_toy(RECIPE, toy, tmp_path))
    assert checkpoint.path == tmp_path / BEST and checkpoint.recipe == RECIPE
    assert {name.split(".")[1] for name in checkpoint.tensors} == {
        "whole", "slots", "scale", "slot_classifier", "classifier",
    }  # fmt: skip
