"""Training learns, depends on recipe and data only, and reports problems before it starts."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.base.files import read_json, read_json_lines
from helpers.toy.vehicles import TINY, TINY_HOLDOUT, Toy, assert_same_run, toy_set, train_toy, with_columns
from reid.data.vehicle_images import Batch, vehicle_images
from reid.model.checkpoint import build_network, read_checkpoint, trained_network
from reid.recipes import ReidRecipe
from reid.runs import BEST, LAST
from reid.training import loop
from reid.training.log import LOG
from reid.training.loop import learning_rate
from reid.training.losses import Criterion, Margin, Objective
from reid.training.state import State, start_state
from reid.training.train import RECIPE
from reid.training.validation import Holdout

pytestmark = pytest.mark.usefixtures("tiny_network")


def log_of(folder: Path) -> list[dict[str, Any]]:
    return read_json_lines(folder / LOG)


def test_training_lowers_the_loss_and_distinguishes_similar_vehicles(toy: Toy, tmp_path: Path) -> None:
    recipe = TINY.model_copy(update={"epochs": 12, "erase": 0.0})
    best = train_toy(recipe, toy, tmp_path)
    losses = [line["loss"] for line in log_of(tmp_path)]
    assert losses[-1] < 0.6 * losses[0]
    table = toy.dataset.table
    for images, least in ((table[table["split"] == "train"], 0.95), (table[table["split"] != "train"], 0)):
        score = Holdout(toy.dataset, images, toy.parts, recipe, "cpu", 0)
        before, after = score(build_network(recipe, 8)), score(trained_network(read_checkpoint(best)))
        assert after["validation_cmc1"] > max(least, before["validation_cmc1"] + 0.1)
        assert after["validation_mAP"] > before["validation_mAP"] + 0.1


@pytest.mark.parametrize("attention", ["parts", "equal", "grid", "none"])
def test_every_variant_trains_and_logs_its_loss_terms(toy: Toy, tmp_path: Path, attention: str) -> None:
    recipe = TINY.model_copy(update={"attention": attention, "epochs": 2})
    assert train_toy(recipe, toy, tmp_path) == tmp_path / BEST
    terms = {"loss", "identity", "fusion"} | ({"global", "part"} if attention != "none" else set())
    for epoch, line in enumerate(log_of(tmp_path), start=1):
        assert line["epoch"] == epoch and set(line) == terms | {"epoch", "learning_rate", "images_per_second"}
        assert line["loss"] == pytest.approx(2 * line["identity"] + sum(line[t] for t in terms - {"loss", "identity"}))
        assert math.isfinite(line["loss"]) and line["images_per_second"] > 0
    assert [line["learning_rate"] for line in log_of(tmp_path)] == pytest.approx([3e-5, 3e-3])
    assert read_json(tmp_path / RECIPE) == recipe.model_dump(mode="json")
    assert not (tmp_path / ".lock").exists()


def test_training_does_not_read_the_test_set(toy: Toy, tmp_path: Path) -> None:
    other = toy_set(tmp_path / "set")
    table = other.dataset.table
    for name in table["name"][table["split"] != "train"]:
        other.dataset.path(name).unlink()
    train_toy(TINY_HOLDOUT, toy, tmp_path / "with")
    train_toy(TINY_HOLDOUT, other, tmp_path / "without")
    assert_same_run(tmp_path / "without", tmp_path / "with")


def test_workers_and_the_global_generator_change_nothing(toy: Toy, tmp_path: Path) -> None:
    train_toy(TINY_HOLDOUT, toy, tmp_path / "none")
    torch.manual_seed(123)
    train_toy(TINY_HOLDOUT, toy, tmp_path / "two", workers=2)
    assert_same_run(tmp_path / "two", tmp_path / "none")


def test_every_epoch_has_its_rate_and_its_own_augmented_batches(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, steps = loop.training_step, []

    def recorded(state: State, batch: Batch, vehicle: torch.Tensor, device: str) -> Any:
        steps.append((state.epoch, state.optimizer.param_groups[0]["lr"], batch))
        return step(state, batch, vehicle, device)

    monkeypatch.setattr(loop, "training_step", recorded)
    recipe = TINY.model_copy(update={"warmup_epochs": 2, "flip": 1.0, "erase": 0.0})
    train_toy(recipe, toy, tmp_path)
    assert [epoch for epoch, _, _ in steps] == [0] * 4 + [1] * 4 + [2] * 4
    assert all(rate == learning_rate(recipe, epoch) for epoch, rate, _ in steps)
    orders = [[i for epoch, _, batch in steps if epoch == e for i in batch.index.tolist()] for e in range(3)]
    assert orders[0] != orders[1] != orders[2]
    table = toy.dataset.table
    names = sorted(table["name"][table["split"] == "train"])
    plain = vehicle_images(toy.dataset, toy.parts, names, top_d=recipe.parts, size=recipe.image_size)
    for _, _, batch in steps:
        for image, boxes, index in zip(batch.images, batch.boxes, batch.index, strict=True):
            assert torch.equal(image, plain[int(index)][0].flip(-1))
            torch.testing.assert_close(boxes[:, [0, 2]], 1 - plain[int(index)][1][:, [2, 0]])


def test_a_finished_run_without_its_best_checkpoint_is_refused(toy: Toy, tmp_path: Path) -> None:
    train_toy(TINY, toy, tmp_path)
    (tmp_path / BEST).unlink()
    with pytest.raises(UserError, match=r"best\.safetensors: missing, though all epochs are done; delete .* anew"):
        train_toy(TINY, toy, tmp_path)


def test_the_optimizer_is_the_papers_and_leaves_out_the_shift_of_the_neck() -> None:
    state = start_state(ReidRecipe(trunk="resnet18", trunk_weights=None), 8, "cpu")
    (group,) = state.optimizer.param_groups
    assert isinstance(state.optimizer, torch.optim.Adam)
    assert (group["lr"], group["betas"][0], group["weight_decay"]) == (1.75e-4, 0.9, 5e-4)
    trained = {id(parameter) for parameter in group["params"]}
    assert id(state.network.neck.bias) not in trained
    assert len(trained) == len(list(state.network.parameters())) - 1


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({}, {}),
        ({"triplets": ["fusion"]}, {"triplets": ("fusion",)}),
        ({"lambda": 0.5}, {"identity_weight": 0.5}),
        ({"margin": 0.7}, {"margin": 0.7}),
        ({"label_smoothing": 0.2}, {"label_smoothing": 0.2}),
        ({"slot_weight": 0.25}, {"slot_weight": 0.25}),
        ({"identity_loss": "arcface", "arc_margin": 0.2, "arc_scale": 16}, {"arc": Margin(0.2, 16)}),
        ({"metric_loss": "circle", "circle_margin": 0.4, "circle_scale": 32}, {"circle": Margin(0.4, 32)}),
        ({"arc_margin": 0.2, "arc_scale": 16, "circle_margin": 0.4, "circle_scale": 32}, {}),
    ],
)
@pytest.mark.parametrize("part_crops", [0, 32])
def test_each_option_of_the_loss_changes_its_own_field_of_the_criterion(
    options: dict[str, Any], changed: dict[str, Any], part_crops: int
) -> None:
    recipe = ReidRecipe.model_validate({**TINY.model_dump(), "part_crops": part_crops, **options})
    objective = start_state(recipe, 4, "cpu").objective
    assert isinstance(objective, Objective)
    assert objective.criterion == replace(Criterion(), **changed)


def test_the_loss_in_the_log_has_the_weights_and_the_terms_of_the_recipe(toy: Toy, tmp_path: Path) -> None:
    train_toy(TINY.model_copy(update={"identity_weight": 0.5, "triplets": ("fusion",)}), toy, tmp_path)
    assert len(log_of(tmp_path)) == TINY.epochs
    for line in log_of(tmp_path):
        assert set(line) == {"loss", "identity", "fusion", "epoch", "learning_rate", "images_per_second"}
        assert line["loss"] == pytest.approx(0.5 * line["identity"] + line["fusion"])


def test_problems_of_data_and_recipe_are_found_before_training(own_toy: Toy, tmp_path: Path) -> None:
    dataset, run = own_toy.dataset, tmp_path / "run"
    table = dataset.table
    no_training = replace(dataset, table=table[table["split"] != "train"].reset_index(drop=True), splits={})
    shared = with_columns(dataset, vehicle_id=table["vehicle_id"].replace("v03", "v01"))
    recipe = TINY.model_copy(update={"vehicles_per_batch": 3})
    for words, broken, changes in (
        ("no image has the split train", no_training, {}),
        ("1 vehicles are in both train and test, first v01", shared, {}),
        ("a batch needs 9 vehicles, the training set has 3", dataset, {"vehicles_per_batch": 9}),
        ("uses 5 parts per image, the part cache holds 3", dataset, {"parts": 5}),
    ):
        with pytest.raises(UserError, match=words):
            train_toy(recipe.model_copy(update=changes), Toy(broken, own_toy.parts), run)
    dataset.path(dataset.names()[2]).unlink()
    with pytest.raises(UserError, match=r"1 images are missing, first .*00-2\.jpg"):
        train_toy(recipe, own_toy, run)
    assert not (run / LAST).exists()
