"""The split into training and held-out vehicles, and the loader that trains on the former only."""

from dataclasses import replace

import pytest

from data_cache.base.errors import UserError
from helpers.toy.vehicles import TINY, TINY_HOLDOUT, Toy, with_columns
from reid.data.augmentation import Augmentation
from reid.data.loader import split_vehicles, training_loader
from reid.data.vehicle_images import VehicleImages


@pytest.mark.parametrize("holdout", [0.0, 0.25, 0.45])
def test_held_out_vehicles_are_never_loaded_and_labels_are_right(toy: Toy, holdout: float) -> None:
    recipe, table = TINY.model_copy(update={"holdout": holdout}), toy.dataset.table
    split = split_vehicles(toy.dataset, recipe)
    held_out = set(split.held_out["vehicle_id"])
    assert len(held_out) == round(8 * holdout) and len(split.vehicle_ids) == 8 - len(held_out)
    assert not held_out & set(split.vehicle_ids)
    assert {*split.train["name"], *split.held_out["name"]} == set(table["name"][table["split"] == "train"])
    loader = training_loader(recipe, toy.dataset, toy.parts, split, device="cpu", workers=0)
    vehicle_of, loaded = table.set_index("name")["vehicle_id"], set()
    for epoch in range(4):
        loader.sampler.start_epoch(epoch)
        for batch in loader.batches:
            for index in batch.index.tolist():
                vehicle = vehicle_of[loader.names[index]]
                assert split.vehicle_ids[loader.labels[index]] == vehicle
                loaded.add(vehicle)
    assert loaded == set(split.vehicle_ids)


def test_fleets_are_held_out_as_a_whole(toy: Toy) -> None:
    vehicle = toy.dataset.table["vehicle_id"]
    fleet = vehicle.map({name: f"fleet {number // 2}" for number, name in enumerate(sorted(set(vehicle)))})
    split = split_vehicles(with_columns(toy.dataset, fleet=fleet), TINY.model_copy(update={"holdout": 0.25}))
    assert split.held_out["vehicle_id"].nunique() == 2 and len(split.vehicle_ids) == 6
    assert split.held_out["fleet"].nunique() == 1
    assert not set(split.held_out["fleet"]) & set(split.train["fleet"])


@pytest.mark.parametrize("seed", range(8))
def test_vehicles_outside_fleets_are_held_out_one_by_one(toy: Toy, seed: int) -> None:
    vehicle = toy.dataset.table["vehicle_id"]
    first, second, *_ = sorted(set(vehicle))
    fleet = vehicle.map(lambda name: "north" if name in (first, second) else "")
    recipe = TINY.model_copy(update={"holdout": 0.28, "seed": seed})  # two of seven: one fleet and six vehicles
    held_out = set(split_vehicles(with_columns(toy.dataset, fleet=fleet), recipe).held_out["vehicle_id"])
    north = held_out & {first, second}
    assert len(held_out - north) + len(north) / 2 == 2 and len(north) != 1


def test_the_split_depends_on_the_seed_but_not_on_the_order_of_the_table(toy: Toy) -> None:
    reordered = replace(toy.dataset, table=toy.dataset.table.iloc[::-1].reset_index(drop=True))
    first, same = split_vehicles(toy.dataset, TINY_HOLDOUT), split_vehicles(reordered, TINY_HOLDOUT)
    assert list(first.train["name"]) == list(same.train["name"])
    recipes = [TINY_HOLDOUT.model_copy(update={"seed": seed}) for seed in range(10)]
    assert len({tuple(split_vehicles(toy.dataset, recipe).held_out["name"]) for recipe in recipes}) > 1


def test_the_loader_augments_as_the_recipe_says(toy: Toy) -> None:
    recipe = TINY.model_copy(update={"flip": 0.25, "erase": 0.75, "augment": "strong", "seed": 6})
    split = split_vehicles(toy.dataset, recipe)
    images = training_loader(recipe, toy.dataset, toy.parts, split, device="cpu", workers=0).batches.dataset
    assert isinstance(images, VehicleImages)
    assert (images.augmentation, images.seed) == (Augmentation(flip=0.25, erase=0.75, changes="strong"), 6)


def test_across_cameras_every_group_of_a_vehicle_has_both_cameras(toy: Toy) -> None:
    cameras = toy.dataset.table.set_index("name")["camera_id"]
    groups: dict[bool, set[tuple[int, ...]]] = {True: set(), False: set()}
    for across in groups:
        recipe = TINY.model_copy(update={"across_cameras": across})
        split = split_vehicles(toy.dataset, recipe)
        loader = training_loader(recipe, toy.dataset, toy.parts, split, device="cpu", workers=0)
        for epoch in range(5):
            loader.sampler.start_epoch(epoch)
            for batch in loader.sampler:
                found = [int(cameras[loader.names[sample.image]]) for sample in batch]
                groups[across] |= {tuple(sorted(found[at : at + 2])) for at in range(0, len(found), 2)}
    assert groups == {True: {(0, 1)}, False: {(0, 0), (0, 1), (1, 1)}}


@pytest.mark.parametrize("cameras", [[-1], [0, -1], [0]])
def test_across_cameras_needs_all_cameras_and_two_at_least(toy: Toy, cameras: list[int]) -> None:
    count = len(toy.dataset.table)
    dataset = with_columns(toy.dataset, camera_id=(cameras * count)[:count])
    recipe = TINY.model_copy(update={"across_cameras": True})
    split = split_vehicles(dataset, recipe)
    with pytest.raises(UserError, match=r"across_cameras needs the cameras of all training images, two at least"):
        training_loader(recipe, dataset, toy.parts, split, device="cpu", workers=0)
