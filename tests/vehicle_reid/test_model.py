"""A loaded run: its boxes are those of the part cache, its features those of the feature file."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_cache.base.errors import UserError
from data_cache.base.tensors import load_tensors, save_tensors
from data_cache.images.loading import load_image
from data_cache.parts.cache import PartBoxes
from data_cache.parts.names import PART_NAMES
from helpers.places.api import CHANNELS, ONE_EPOCH, Place, make_place, small_networks
from helpers.toy.vehicles import Toy, tiny_scale, train_toy
from reid.features.extraction import cached_features
from reid.features.file import Features
from reid.model.checkpoint import read_checkpoint
from vehicle_reid.model import VehicleReID


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    with small_networks():
        yield


@pytest.fixture(scope="module")
def place(small: None, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def model(place: Place) -> VehicleReID:
    return place.model()


@pytest.fixture(scope="module")
def written(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Features:
    """What `features` writes of the test."""
    return features_file(place, tmp_path_factory.mktemp("features"))


def features_file(place: Place, folder: Path) -> Features:
    model = place.model()
    dataset, parts = place.toy
    path, names = folder / "features.safetensors", place.tested()
    where = {"device": "cpu", "workers": 0}
    return cached_features(path, model.network, dataset, names, parts, model.recipe, "", **where)  # type: ignore[arg-type]


def matrix(table: pd.DataFrame) -> np.ndarray:
    return np.stack(table["feature"].tolist())


def assert_boxes_of_the_cache(table: pd.DataFrame, cache: PartBoxes, depth: int | None = None) -> None:
    for name, boxes, parts in zip(table["name"], table["boxes"], table["parts"], strict=True):
        row = cache.rows([name])[0]
        there = cache.labels[row, :depth] >= 0
        np.testing.assert_array_equal(boxes, cache.boxes[row, :depth][there])
        assert parts == tuple(PART_NAMES[label] for label in cache.labels[row, :depth][there])


def test_with_a_real_detector_boxes_are_the_caches_and_features_the_files(tmp_path: Path) -> None:
    with tiny_scale():
        place = make_place(tmp_path, real=True)
        model, names = place.model(), place.toy.dataset.names()
        found = model.parts({name: place.path(name) for name in names})
        assert_boxes_of_the_cache(found, place.toy.parts)
        assert found["boxes"].map(len).max() > 4  # random weights find something everywhere
        wanted = features_file(place, tmp_path / "features")
        embedded = model.embed({name: place.path(name) for name in place.tested()})
        np.testing.assert_array_equal(matrix(embedded), wanted.matrix)


def test_parts_are_those_of_the_cache(place: Place, model: VehicleReID) -> None:
    names = place.toy.dataset.names()
    found = model.parts({name: place.path(name) for name in reversed(names)})
    assert found["name"].tolist() == names[::-1]
    assert set(zip(found["width"], found["height"], strict=True)) == {(96, 72)}
    assert_boxes_of_the_cache(found, place.toy.parts)
    scores = place.toy.parts.scores[place.toy.parts.rows(found["name"].tolist())]
    assert all(np.array_equal(one, other[: len(one)]) for one, other in zip(found["scores"], scores, strict=True))


def test_features_and_attention_are_those_of_the_file(place: Place, model: VehicleReID, written: Features) -> None:
    embedded = model.embed({name: place.path(name) for name in place.tested()}, cameras=3)
    assert embedded["name"].tolist() == list(written.names)
    np.testing.assert_array_equal(matrix(embedded), written.matrix)
    for weights, wanted in zip(embedded["attention"], written.attention, strict=True):
        np.testing.assert_array_equal(weights, wanted[: len(weights)])
        assert not wanted[len(weights) :].any()
    assert (embedded["camera"] == 3).all()
    assert_boxes_of_the_cache(embedded, place.toy.parts, ONE_EPOCH.parts)


def test_given_parts_are_used_and_no_detector_is_needed(
    place: Place, model: VehicleReID, written: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = {name: place.path(name) for name in place.tested()}
    table = model.parts(images)
    monkeypatch.setattr(VehicleReID, "weights", lambda self: pytest.fail("a detector was looked for"))
    own = place.model()
    for parts in (place.toy.parts, table.sample(frac=1, random_state=0)):
        np.testing.assert_array_equal(matrix(own.embed(images, parts)), written.matrix)
    none = table.assign(boxes=[np.zeros((0, 4))] * len(table), parts=[()] * len(table), scores=[()] * len(table))
    assert np.abs(matrix(own.embed(images, none)) - written.matrix).max() > 1e-3


def test_one_image_alone_has_nearly_the_feature_it_has_in_a_batch(
    place: Place, model: VehicleReID, written: Features
) -> None:
    name = place.tested()[3]
    path = place.path(name)
    forms = [path, str(path), path.read_bytes(), load_image(path)]
    found = np.concatenate([matrix(model.embed(form)) for form in forms])
    assert found.shape == (4, CHANNELS)
    np.testing.assert_allclose(found, written.matrix[[3] * 4], atol=1e-5)


def test_images_come_in_the_order_given(place: Place, model: VehicleReID, written: Features) -> None:
    names = place.tested()[5:0:-1]
    found = model.embed({name: place.path(name) for name in names})
    assert found["name"].tolist() == names and found.index.tolist() == list(range(5))
    np.testing.assert_allclose(matrix(found), written.matrix[5:0:-1], atol=1e-5)


def test_no_image_is_an_empty_table(model: VehicleReID) -> None:
    assert list(model.parts([]).columns) == ["name", "width", "height", "boxes", "parts", "scores"]
    assert list(model.embed([]).columns) == ["name", "camera", "boxes", "parts", "attention", "feature"]
    assert len(model.embed([])) == len(model.compare([], [])) == 0


def test_compare_is_the_cosine_of_the_features(place: Place, model: VehicleReID, written: Features) -> None:
    names = place.tested()[:6]
    paths = [place.path(name) for name in names]
    found = model.compare(paths[1::-1], paths)
    assert found["query"].tolist() == [str(paths[1])] * 6 + [str(paths[0])] * 6
    assert found["rank"].tolist() == [1, 2, 3, 4, 5, 6] * 2
    scores = found.pivot(index="query", columns="name", values="score").loc[map(str, paths[:2]), map(str, paths)]
    np.testing.assert_allclose(scores, written.matrix[:2] @ written.matrix[:6].T, atol=1e-5)
    assert found["score"][0] == pytest.approx(1, abs=1e-6) and found["name"][0] == str(paths[1])
    same = model.compare(paths[0], load_image(paths[0]))
    assert same["score"].item() == pytest.approx(1, abs=1e-6)


def test_an_image_that_cannot_be_used_is_one_line(place: Place, model: VehicleReID, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(place.path(place.tested()[0]).read_bytes()[:-300])
    for call in (model.parts, model.embed):
        with pytest.raises(UserError, match=rf"^1 of 2 images cannot be read, first {bad}: damaged image"):
            call([place.path(place.tested()[1]), bad])
    with pytest.raises(UserError, match=r"image-000000: an array of float64 \(3, 3\)"):
        model.embed(np.zeros((3, 3)))  # type: ignore[arg-type]


def test_boxes_of_an_image_of_another_size_are_refused(place: Place, model: VehicleReID) -> None:
    name = place.tested()[0]
    turned = {name: np.ascontiguousarray(load_image(place.path(name)).transpose(1, 0, 2))}
    with pytest.raises(UserError, match=f"{name}: is 72 x 96 now and was 96 x 72 when its parts were found"):
        model.embed(turned, place.toy.parts)


def test_parts_that_do_not_fit_are_refused(place: Place, model: VehicleReID) -> None:
    image = {place.tested()[0]: place.path(place.tested()[0])}
    foreign = replace(place.toy.parts, fingerprint={"weights_sha256": "f" * 64})
    with pytest.raises(UserError, match=f"the part cache: made with detector = {'f' * 64}, this run needs"):
        model.embed(image, foreign)
    table = model.parts(image)
    for wrong, words in (
        (table.drop(columns="boxes"), "column boxes is missing"),
        (table.assign(parts=[("door",)], boxes=[np.ones((1, 4))], scores=[(0.5,)]), "'door' is none of the 16"),
        (table.assign(parts=[("logo",)], boxes=[[[0, 0, 999, 9]]], scores=[(0.5,)]), "outside its image"),
        (table.assign(name="other"), "1 images are not in it"),
    ):
        with pytest.raises(UserError, match=words):
            model.embed(image, wrong)


def test_the_detector_is_the_one_of_the_runs_part_cache(place: Place, tmp_path: Path) -> None:
    shutil.copytree(place.runs, tmp_path / "runs")
    folder, run = tmp_path / "runs" / "detector", tmp_path / "runs" / "folder" / "tiny"
    own = folder / "toy" / "weights.safetensors"
    tensors, metadata, _ = load_tensors(own, "")
    save_tensors(folder / "another" / "weights.safetensors", {"x": tensors["weight"]}, metadata)
    model = VehicleReID.load(run, device="cpu")
    assert model.weights() == own.resolve()
    assert model.fingerprint == {
        "checkpoint": read_checkpoint(run / "best.safetensors").sha256,
        "detector": place.toy.parts.fingerprint["weights_sha256"],
    }
    other = VehicleReID.load(run, detector=folder / "another" / "weights.safetensors", device="cpu")
    assert other.fingerprint["detector"] != model.fingerprint["detector"]
    own.unlink()
    made_by = str(model.fingerprint["detector"])[:12]
    with pytest.raises(UserError, match=rf"{made_by}, which is not in RUNS/detector; name a weights file with"):
        VehicleReID.load(run, device="cpu").parts(place.path(place.tested()[0]))


def test_where_the_run_does_not_tell_the_data_sets_cache_does(place: Place, tmp_path: Path) -> None:
    shutil.copytree(place.runs, tmp_path / "runs")
    run = tmp_path / "runs" / "folder" / "tiny"
    tensors, metadata, _ = load_tensors(run / "best.safetensors", "")
    del metadata["parts"]  # as of imported weights
    save_tensors(run / "best.safetensors", tensors, metadata)
    assert VehicleReID.load(run, device="cpu").fingerprint["detector"] == place.model().fingerprint["detector"]
    (tmp_path / "runs" / "folder" / "parts.h5").unlink()
    with pytest.raises(UserError, match="no detector is known that made its part boxes; name a weights file"):
        VehicleReID.load(run, device="cpu").parts(place.path(place.tested()[0]))


@pytest.mark.parametrize("attention", ["none", "grid"])
def test_a_network_that_looks_at_no_parts_needs_no_detector(place: Place, tmp_path: Path, attention: str) -> None:
    recipe = ONE_EPOCH.model_copy(update={"attention": attention})
    train_toy(recipe, Toy(place.toy.dataset, place.toy.parts), tmp_path / "folder" / attention)
    model = VehicleReID.load(tmp_path / "folder" / attention, device="cpu")
    assert model.fingerprint["detector"] is None
    found = model.embed([place.path(name) for name in place.tested()[:3]], place.toy.parts)
    assert found["boxes"].map(len).tolist() == [0, 0, 0]
    assert found["attention"].map(len).tolist() == [16 if attention == "grid" else 0] * 3


def test_where_nothing_was_trained_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(str(tmp_path / "best.safetensors"))):
        VehicleReID.load(tmp_path)
