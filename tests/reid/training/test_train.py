"""Training: it learns, nothing but the recipe and the data decides how, and faults are said before or without harm."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.base.files import read_json, read_json_lines
from data_cache.datasets.dataset import Dataset
from helpers.toy.vehicles import HELD, TINY, Toy, assert_same_run, toy_set, train_toy
from reid.data.augmentation import Augmentation
from reid.data.holdout import split_vehicles
from reid.data.loader import training_loader
from reid.data.vehicle_images import Batch, VehicleImages, vehicle_images
from reid.model.checkpoint import build_network, read_checkpoint, trained_network
from reid.recipes import ReidRecipe
from reid.runs import BEST, LAST
from reid.training import loop
from reid.training.loop import learning_rate
from reid.training.state import State, start_state
from reid.training.validation import Holdout

pytestmark = pytest.mark.usefixtures("tiny_network")


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return read_json_lines(folder / "log.jsonl")


def only(dataset: Dataset, **columns: object) -> Dataset:
    """The data set with columns of its table replaced."""
    return replace(dataset, table=dataset.table.assign(**columns))


def test_training_on_a_toy_set_lowers_the_loss_and_tells_twins_apart(toy: Toy, tmp_path: Path) -> None:
    recipe = TINY.model_copy(update={"epochs": 12, "erase": 0.0})
    best = train_toy(recipe, toy, tmp_path)
    losses = [line["loss"] for line in lines_of(tmp_path)]
    assert losses[-1] < 0.6 * losses[0]
    table = toy.dataset.table
    for split in (table[table["split"] == "train"], table[table["split"] != "train"]):
        score = Holdout(toy.dataset, split, toy.parts, recipe, "cpu", 0)
        before, after = score(build_network(recipe, 8)), score(trained_network(read_checkpoint(best)))
        assert after["validation_cmc1"] > before["validation_cmc1"] + 0.1
        assert after["validation_mAP"] > before["validation_mAP"] + 0.1
    # what was trained on is known by heart
    score = Holdout(toy.dataset, table[table["split"] == "train"], toy.parts, recipe, "cpu", 0)
    assert score(trained_network(read_checkpoint(best)))["validation_cmc1"] > 0.95


@pytest.mark.parametrize("attention", ["parts", "equal", "grid", "none"])
def test_every_variant_trains_and_its_log_tells_the_terms(toy: Toy, tmp_path: Path, attention: str) -> None:
    recipe = TINY.model_copy(update={"attention": attention, "epochs": 2})
    assert train_toy(recipe, toy, tmp_path) == tmp_path / BEST
    terms = {"loss", "identity", "fusion"} | ({"global", "part"} if attention != "none" else set())
    for number, line in enumerate(lines_of(tmp_path), start=1):
        assert line["epoch"] == number and set(line) == terms | {"epoch", "learning_rate", "images_per_second"}
        assert line["loss"] == pytest.approx(2 * line["identity"] + sum(line[t] for t in terms - {"loss", "identity"}))
        assert math.isfinite(line["loss"]) and line["images_per_second"] > 0
    assert [line["learning_rate"] for line in lines_of(tmp_path)] == pytest.approx([3e-5, 3e-3])
    assert read_json(tmp_path / "recipe.json") == recipe.model_dump(mode="json")
    assert not (tmp_path / ".lock").exists()


def test_the_test_set_is_not_looked_at(toy: Toy, tmp_path: Path) -> None:
    other = toy_set(tmp_path / "set")
    table = other.dataset.table
    for name in table["name"][table["split"] != "train"]:
        other.dataset.path(name).unlink()
    train_toy(HELD, toy, tmp_path / "whole")
    train_toy(HELD, other, tmp_path / "without")
    assert_same_run(tmp_path / "without", tmp_path / "whole")


def test_workers_and_the_callers_randomness_change_nothing(toy: Toy, tmp_path: Path) -> None:
    train_toy(HELD, toy, tmp_path / "none")
    torch.manual_seed(123)
    train_toy(HELD, toy, tmp_path / "two", workers=2)
    assert_same_run(tmp_path / "two", tmp_path / "none")


def test_every_epoch_has_its_rate_its_batches_and_its_augmentation(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, seen = loop.training_step, []

    def watched(state: State, batch: Batch, vehicle: torch.Tensor, device: str) -> dict[str, torch.Tensor]:
        seen.append((state.epoch, state.optimizer.param_groups[0]["lr"], batch))
        return step(state, batch, vehicle, device)

    monkeypatch.setattr(loop, "training_step", watched)
    recipe = TINY.model_copy(update={"warmup_epochs": 2, "flip": 1.0, "erase": 0.0})
    train_toy(recipe, toy, tmp_path)
    assert [epoch for epoch, _, _ in seen] == [0] * 4 + [1] * 4 + [2] * 4
    assert all(rate == learning_rate(recipe, epoch) for epoch, rate, _ in seen)
    orders = [
        [image for epoch, _, batch in seen if epoch == wanted for image in batch.index.tolist()] for wanted in range(3)
    ]
    assert orders[0] != orders[1] != orders[2]
    table = toy.dataset.table
    names = sorted(table["name"][table["split"] == "train"])
    plain = vehicle_images(toy.dataset, toy.parts, names, depth=recipe.parts, size=recipe.image_size)
    for _, _, batch in seen:
        for image, boxes, index in zip(batch.images, batch.boxes, batch.index, strict=True):
            assert torch.equal(image, plain[int(index)][0].flip(-1))
            torch.testing.assert_close(boxes[:, [0, 2]], 1 - plain[int(index)][1][:, [2, 0]])


def test_the_recipe_decides_the_augmentation_and_its_seed(toy: Toy) -> None:
    recipe = TINY.model_copy(update={"flip": 0.25, "erase": 0.75, "seed": 6})
    vehicles = split_vehicles(toy.dataset, recipe)
    loader = training_loader(recipe, toy.dataset, toy.parts, vehicles, device="cpu", workers=0)
    images = loader.batches.dataset
    assert isinstance(images, VehicleImages)
    assert (images.augmentation, images.seed) == (Augmentation(flip=0.25, erase=0.75), 6)


def test_a_finished_run_whose_best_epoch_is_gone_is_told(toy: Toy, tmp_path: Path) -> None:
    train_toy(TINY, toy, tmp_path)
    (tmp_path / BEST).unlink()
    with pytest.raises(UserError, match=r"best\.safetensors: gone, though all epochs are done; delete .* anew"):
        train_toy(TINY, toy, tmp_path)


def test_another_seed_is_another_run(toy: Toy) -> None:
    first, same, other = (
        start_state(TINY.model_copy(update={"seed": seed}), 8, "cpu").network.state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_the_optimizer_is_the_papers_and_leaves_the_shift_alone() -> None:
    state = start_state(ReidRecipe(trunk="resnet18", trunk_weights=None), 8, "cpu")
    (group,) = state.optimizer.param_groups
    assert isinstance(state.optimizer, torch.optim.Adam)
    assert (group["lr"], group["betas"][0], group["weight_decay"]) == (1.75e-4, 0.9, 5e-4)
    trained = {id(parameter) for parameter in group["params"]}
    assert id(state.network.neck.bias) not in trained
    assert len(trained) == len(list(state.network.parameters())) - 1


def test_faults_of_the_data_set_are_found_before_training(toy: Toy, tmp_path: Path) -> None:
    table = toy.dataset.table
    nothing = replace(toy.dataset, table=table[table["split"] != "train"].reset_index(drop=True), splits={})
    with pytest.raises(UserError, match="no image has the split train"):
        train_toy(TINY, Toy(nothing, toy.parts), tmp_path)
    shared = only(toy.dataset, vehicle_id=table["vehicle_id"].replace("v09", "v01"))
    with pytest.raises(UserError, match="1 vehicles are in both train and test, first v01"):
        train_toy(TINY, Toy(shared, toy.parts), tmp_path)
    with pytest.raises(UserError, match="a batch needs 9 vehicles, the training set has 8"):
        train_toy(TINY.model_copy(update={"vehicles_per_batch": 9}), toy, tmp_path)
    with pytest.raises(UserError, match="5 parts are asked for, the part cache holds 3"):
        train_toy(TINY.model_copy(update={"parts": 5}), toy, tmp_path)
    assert not (tmp_path / LAST).exists()


def test_a_missing_image_is_found_before_training(tmp_path: Path) -> None:
    toy = toy_set(tmp_path / "set", trained=4, tested=1)
    toy.dataset.path(toy.dataset.names()[2]).unlink()
    with pytest.raises(UserError, match=r"1 images are missing, first .*00-2\.jpg"):
        train_toy(TINY, toy, tmp_path / "run")
    assert not (tmp_path / "run" / LAST).exists()
