"""Held-out vehicles: never trained on, scored as a plain loop scores them, and they alone choose the best epoch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.base.files import read_json_lines
from data_cache.datasets.dataset import Dataset
from helpers.toy.vehicles import HELD, TINY, Toy, train_toy
from reid.data.holdout import split_vehicles
from reid.data.vehicle_images import vehicle_images
from reid.features.extraction import extract_features
from reid.model.checkpoint import build_network, read_checkpoint, trained_network
from reid.runs import BEST, LAST
from reid.training.train import training_loader
from reid.training.validation import Holdout

pytestmark = pytest.mark.usefixtures("tiny_network")


def only(dataset: Dataset, **columns: object) -> Dataset:
    """The data set with columns of its table replaced."""
    return replace(dataset, table=dataset.table.assign(**columns))


@pytest.mark.parametrize("holdout", [0.0, 0.25, 0.45])
def test_held_out_vehicles_are_never_trained_on(toy: Toy, holdout: float) -> None:
    recipe = TINY.model_copy(update={"holdout": holdout})
    table = toy.dataset.table
    vehicles = split_vehicles(toy.dataset, recipe)
    held = set(vehicles.held_out["vehicle_id"])
    assert len(held) == round(8 * holdout) and len(vehicles.trained) == 8 - len(held)
    assert not held & set(vehicles.trained)
    assert {*vehicles.images["name"], *vehicles.held_out["name"]} == set(table["name"][table["split"] == "train"])
    loader = training_loader(recipe, toy.dataset, toy.parts, vehicles, device="cpu", workers=0)
    names, seen = list(vehicles.images["name"]), set()
    vehicle_of = table.set_index("name")["vehicle_id"]
    for epoch in range(4):
        loader.sampler.start_epoch(epoch)
        for batch in loader.batches:
            for index in batch.index.tolist():
                assert vehicles.trained[loader.label[index]] == vehicle_of[names[index]]
                seen.add(vehicle_of[names[index]])
    assert seen == set(vehicles.trained)


def test_fleets_are_held_out_as_a_whole(toy: Toy) -> None:
    vehicle = toy.dataset.table["vehicle_id"]
    fleet = vehicle.map({name: f"fleet {place // 2}" for place, name in enumerate(sorted(set(vehicle)))})
    vehicles = split_vehicles(only(toy.dataset, fleet=fleet), TINY.model_copy(update={"holdout": 0.25}))
    assert vehicles.held_out["vehicle_id"].nunique() == 2 and len(vehicles.trained) == 6
    assert vehicles.held_out["fleet"].nunique() == 1
    assert not set(vehicles.held_out["fleet"]) & set(vehicles.images["fleet"])


@pytest.mark.parametrize("seed", range(8))
def test_vehicles_of_no_fleet_are_not_alike(toy: Toy, seed: int) -> None:
    vehicle = toy.dataset.table["vehicle_id"]
    first, second, *_ = sorted(set(vehicle))
    fleet = vehicle.map(lambda name: "north" if name in (first, second) else "")
    recipe = TINY.model_copy(update={"holdout": 0.28, "seed": seed})  # two of the seven that may be held out apart
    held = set(split_vehicles(only(toy.dataset, fleet=fleet), recipe).held_out["vehicle_id"])
    assert len(held - {first, second}) + len(held & {first, second}) / 2 == 2 and len(held & {first, second}) != 1


def test_which_vehicles_are_held_out_depends_on_the_seed_alone(toy: Toy) -> None:
    turned = replace(toy.dataset, table=toy.dataset.table.iloc[::-1].reset_index(drop=True))
    first, same = split_vehicles(toy.dataset, HELD), split_vehicles(turned, HELD)
    assert list(first.images["name"]) == list(same.images["name"])
    chosen = [split_vehicles(toy.dataset, HELD.model_copy(update={"seed": seed})).held_out for seed in range(10)]
    assert len({tuple(table["name"]) for table in chosen}) > 1


@pytest.mark.parametrize("cameras", ["two", "none"])
def test_the_held_out_score_is_that_of_a_plain_loop(toy: Toy, cameras: str) -> None:
    """Every image is a query; its own camera's images of its vehicle are left out, or itself where none is known."""
    dataset = toy.dataset if cameras == "two" else only(toy.dataset, camera_id=-1)
    table = dataset.table[dataset.table["split"] == "train"].sort_values("name")
    network, names = build_network(TINY, 8), list(table["name"])
    images = vehicle_images(dataset, toy.parts, names, depth=TINY.parts, size=TINY.image_size)
    features, _ = extract_features(network, images, device="cpu", workers=0)
    vehicle, camera = table["vehicle_id"].to_numpy(), table["camera_id"].to_numpy()
    precisions, firsts = [], []
    for query in range(len(names)):
        order = np.argsort(-(features @ features[query]), kind="stable")
        seen = camera == camera[query] if cameras == "two" else np.arange(len(names)) == query
        hits = [vehicle[row] == vehicle[query] for row in order if not (vehicle[row] == vehicle[query] and seen[row])]
        ranks = np.flatnonzero(hits) + 1
        precisions.append(np.mean([(number + 1) / rank for number, rank in enumerate(ranks)]))
        firsts.append(ranks[0] == 1)
    found = Holdout(dataset, table, toy.parts, TINY, "cpu", 0)(network)
    assert found["validation_mAP"] == pytest.approx(np.mean(precisions), abs=1e-6)
    assert found["validation_cmc1"] == pytest.approx(np.mean(firsts))


@pytest.mark.parametrize(("seed", "ties"), [(3, False), (0, True)])
def test_the_best_checkpoint_is_the_epoch_with_the_best_held_out_score(
    toy: Toy, tmp_path: Path, seed: int, ties: bool
) -> None:
    recipe = HELD.model_copy(update={"epochs": 5, "validate_every": 2, "seed": seed})
    train_toy(recipe, toy, tmp_path)
    scored = {
        line["epoch"]: line["validation_mAP"]
        for line in read_json_lines(tmp_path / "log.jsonl")
        if "validation_mAP" in line
    }
    assert list(scored) == [2, 4, 5] and (len(set(scored.values())) == 1) == ties
    best = read_checkpoint(tmp_path / BEST)
    assert best.metadata["epoch"] == max(scored, key=lambda epoch: (scored[epoch], -epoch))
    score = Holdout(toy.dataset, split_vehicles(toy.dataset, recipe).held_out, toy.parts, recipe, "cpu", 0)
    assert score(trained_network(best))["validation_mAP"] == pytest.approx(max(scored.values()))


def test_without_held_out_vehicles_the_last_epoch_is_the_best(toy: Toy, tmp_path: Path) -> None:
    train_toy(TINY, toy, tmp_path)
    best, last = read_checkpoint(tmp_path / BEST), read_checkpoint(tmp_path / LAST)
    assert best.metadata["epoch"] == 3
    assert all(torch.equal(value, last.tensors[name]) for name, value in best.tensors.items())
    assert {name for name in last.tensors if name not in best.tensors} == {
        name for name in last.tensors if name.startswith("optimiser.")
    }


@pytest.mark.parametrize("holdout", [0.05, 0.1])
def test_a_holdout_of_fewer_than_two_vehicles_is_refused_before_training(
    toy: Toy, tmp_path: Path, holdout: float
) -> None:
    with pytest.raises(UserError, match=r"holdout"):
        train_toy(TINY.model_copy(update={"holdout": holdout}), toy, tmp_path)
    assert not (tmp_path / LAST).exists()


def test_a_holdout_seen_by_one_camera_is_refused_before_training(toy: Toy, tmp_path: Path) -> None:
    alone = replace(only(toy.dataset, camera_id=3), splits={})
    with pytest.raises(UserError, match=r"two cameras.*holdout"):
        train_toy(HELD, Toy(alone, toy.parts), tmp_path)
    assert not (tmp_path / LAST).exists()
