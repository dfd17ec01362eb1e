"""Validation scores held-out vehicles as a plain loop does, and only these scores choose the best epoch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.base.files import read_json_lines
from helpers.toy.vehicles import TINY, TINY_HOLDOUT, Toy, train_toy, with_columns
from reid.data.loader import split_vehicles
from reid.data.vehicle_images import vehicle_images
from reid.features.extraction import extract_features
from reid.model.checkpoint import build_network, read_checkpoint, trained_network
from reid.runs import BEST, LAST
from reid.training.log import LOG
from reid.training.state import MOMENTS
from reid.training.validation import Holdout

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.mark.parametrize("cameras", ["two", "none"])
def test_the_score_is_that_of_a_plain_loop(toy: Toy, cameras: str) -> None:
    """Every image is a query; images of its vehicle by its camera do not count, or only itself without cameras."""
    dataset = toy.dataset if cameras == "two" else with_columns(toy.dataset, camera_id=-1)
    table = dataset.table[dataset.table["split"] == "train"].sort_values("name")
    network, names = build_network(TINY, 8), list(table["name"])
    images = vehicle_images(dataset, toy.parts, names, top_d=TINY.parts, size=TINY.image_size)
    features, _ = extract_features(network, images, device="cpu", workers=0)
    vehicle, camera = table["vehicle_id"].to_numpy(), table["camera_id"].to_numpy()
    precisions, firsts = [], []
    for query in range(len(names)):
        order = np.argsort(-(features @ features[query]), kind="stable")
        same_view = camera == camera[query] if cameras == "two" else np.arange(len(names)) == query
        junk = (vehicle == vehicle[query]) & same_view
        hits = [vehicle[row] == vehicle[query] for row in order if not junk[row]]
        ranks = np.flatnonzero(hits) + 1
        precisions.append(np.mean([(number + 1) / rank for number, rank in enumerate(ranks)]))
        firsts.append(ranks[0] == 1)
    found = Holdout(dataset, table, toy.parts, TINY, "cpu", 0)(network)
    assert found["validation_mAP"] == pytest.approx(np.mean(precisions), abs=1e-6)
    assert found["validation_cmc1"] == pytest.approx(np.mean(firsts))


@pytest.mark.parametrize("cameras", ["one", "none"])
def test_if_nothing_can_be_held_out_the_remedy_works(toy: Toy, tmp_path: Path, cameras: str) -> None:
    table = toy.dataset.table
    training = (table["split"] == "train").to_numpy()
    single = table[~training | ~table["vehicle_id"].where(training).duplicated()]
    if cameras == "none":
        single = single.assign(camera_id=-1)
    lone = toy._replace(dataset=replace(toy.dataset, table=single.reset_index(drop=True), splits={}))
    with pytest.raises(UserError, match=r"no training vehicle is seen by two cameras.*use --set holdout=0, which"):
        train_toy(TINY_HOLDOUT, lone, tmp_path / "run")
    train_toy(TINY_HOLDOUT.model_copy(update={"holdout": 0.0}), lone, tmp_path / "run")
    assert (tmp_path / "run" / BEST).exists()


@pytest.mark.parametrize(("seed", "ties"), [(3, False), (0, True)])
def test_the_best_checkpoint_is_the_first_epoch_with_the_best_score(
    toy: Toy, tmp_path: Path, seed: int, ties: bool
) -> None:
    recipe = TINY_HOLDOUT.model_copy(update={"epochs": 5, "validate_every": 2, "seed": seed})
    train_toy(recipe, toy, tmp_path)
    log = read_json_lines(tmp_path / LOG)
    scores = {line["epoch"]: line["validation_mAP"] for line in log if "validation_mAP" in line}
    assert list(scores) == [2, 4, 5] and (len(set(scores.values())) == 1) == ties
    best = read_checkpoint(tmp_path / BEST)
    assert best.metadata["epoch"] == max(scores, key=lambda epoch: (scores[epoch], -epoch))
    holdout = Holdout(toy.dataset, split_vehicles(toy.dataset, recipe).held_out, toy.parts, recipe, "cpu", 0)
    assert holdout(trained_network(best))["validation_mAP"] == pytest.approx(max(scores.values()))


def test_without_held_out_vehicles_the_last_epoch_is_the_best(toy: Toy, tmp_path: Path) -> None:
    train_toy(TINY, toy, tmp_path)
    best, last = read_checkpoint(tmp_path / BEST), read_checkpoint(tmp_path / LAST)
    assert best.metadata["epoch"] == 3
    assert all(torch.equal(value, last.tensors[name]) for name, value in best.tensors.items())
    assert all(name.startswith(MOMENTS) for name in last.tensors if name not in best.tensors)


@pytest.mark.parametrize("holdout", [0.05, 0.1])
def test_fewer_than_two_held_out_vehicles_are_refused_before_training(toy: Toy, tmp_path: Path, holdout: float) -> None:
    with pytest.raises(UserError, match=r"holdout"):
        train_toy(TINY.model_copy(update={"holdout": holdout}), toy, tmp_path)
    assert not (tmp_path / LAST).exists()


def test_held_out_vehicles_seen_by_one_camera_are_refused_before_training(toy: Toy, tmp_path: Path) -> None:
    one_camera = replace(with_columns(toy.dataset, camera_id=3), splits={})
    with pytest.raises(UserError, match=r"two cameras.*holdout"):
        train_toy(TINY_HOLDOUT, Toy(one_camera, toy.parts), tmp_path)
    assert not (tmp_path / LAST).exists()
