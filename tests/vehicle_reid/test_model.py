"""A loaded run: its boxes equal the part cache, its features the feature file."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import detect.model.detector
from data_cache.base.devices import Compute
from data_cache.base.errors import UserError
from data_cache.base.tensors import load_tensors, save_tensors
from data_cache.images.loading import decode_image, load_image
from data_cache.parts.cache import PartBoxes, write_parts
from data_cache.parts.names import PART_NAMES
from detect.model.detector import load_detector
from helpers.places.api import ONE_EPOCH, ToyRun, make_toy_run
from helpers.places.detect import shipping
from helpers.toy.vehicles import tiny_scale, train_toy
from reid.features.extraction import FeatureSource, cached_features
from reid.features.file import Features
from reid.model.checkpoint import read_checkpoint
from vehicle_reid import Gallery, VehicleReID
from vehicle_reid import images as images_module


@pytest.fixture(scope="module")
def written(toy_run: ToyRun, tmp_path_factory: pytest.TempPathFactory) -> Features:
    """The feature file of the test."""
    return write_features(toy_run, tmp_path_factory.mktemp("features"))


def write_features(run: ToyRun, folder: Path) -> Features:
    model = run.model()
    source = FeatureSource(run.toy.dataset, run.tested_names(), run.toy.parts, model.recipe, "")
    return cached_features(folder / "features.safetensors", model.network, source, Compute("cpu", 0))


def features_of(table: pd.DataFrame) -> np.ndarray:
    return np.stack(table["feature"].tolist())


def assert_boxes_equal_cache(table: pd.DataFrame, cache: PartBoxes, top_d: int | None = None) -> None:
    for name, boxes, parts in zip(table["name"], table["boxes"], table["parts"], strict=True):
        row = cache.rows([name])[0]
        present = cache.labels[row, :top_d] >= 0
        np.testing.assert_array_equal(boxes, cache.boxes[row, :top_d][present])
        assert parts == tuple(PART_NAMES[label] for label in cache.labels[row, :top_d][present])


def test_a_real_detector_gives_the_boxes_of_the_cache_and_the_features_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect.model.detector, "load_detector", load_detector)  # not the stand-in
    with tiny_scale():
        run = make_toy_run(tmp_path, real_detector=True)
        model = run.model()
        parts = model.parts(run.images())
        assert_boxes_equal_cache(parts, run.toy.parts)
        assert parts["boxes"].map(len).max() > 4  # random weights find parts everywhere
        embedded = model.embed(run.images(run.tested_names()))
        np.testing.assert_array_equal(features_of(embedded), write_features(run, tmp_path / "features").matrix)


def test_parts_equal_the_cache(toy_run: ToyRun, model: VehicleReID) -> None:
    names, cache = toy_run.toy.dataset.names()[::-1], toy_run.toy.parts
    parts = model.parts(toy_run.images(names))
    assert parts["name"].tolist() == names
    assert set(zip(parts["width"], parts["height"], strict=True)) == {(96, 72)}
    assert_boxes_equal_cache(parts, cache)
    for scores, cached in zip(parts["scores"], cache.scores[cache.rows(names)], strict=True):
        np.testing.assert_array_equal(scores, cached[: len(scores)])


def test_features_and_attention_equal_the_file(toy_run: ToyRun, model: VehicleReID, written: Features) -> None:
    embedded = model.embed(toy_run.images(toy_run.tested_names()), cameras=3)
    assert embedded["name"].tolist() == list(written.names)
    np.testing.assert_array_equal(features_of(embedded), written.matrix)
    for weights, row in zip(embedded["attention"], written.attention, strict=True):
        np.testing.assert_array_equal(weights, row[: len(weights)])
        assert not row[len(weights) :].any()
    assert (embedded["camera"] == 3).all()
    assert_boxes_equal_cache(embedded, toy_run.toy.parts, ONE_EPOCH.parts)


def test_with_given_parts_no_detector_is_needed(
    toy_run: ToyRun, model: VehicleReID, written: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = toy_run.images(toy_run.tested_names())
    table = model.parts(images)
    monkeypatch.setattr(VehicleReID, "weights", lambda self: pytest.fail("a detector was requested"))
    own = toy_run.model()
    for parts in (toy_run.toy.parts, table.sample(frac=1, random_state=0)):
        np.testing.assert_array_equal(features_of(own.embed(images, parts)), written.matrix)
    none = table.assign(boxes=[np.zeros((0, 4))] * len(table), parts=[()] * len(table), scores=[()] * len(table))
    assert np.abs(features_of(own.embed(images, none)) - written.matrix).max() > 1e-3


def test_another_batch_and_order_gives_the_same_features_up_to_rounding(
    toy_run: ToyRun, model: VehicleReID, written: Features
) -> None:
    names = toy_run.tested_names()[5:0:-1]
    embedded = model.embed(toy_run.images(names))
    assert embedded["name"].tolist() == names and embedded.index.tolist() == list(range(5))
    np.testing.assert_allclose(features_of(embedded), written.matrix[5:0:-1], atol=1e-5)


def test_an_image_is_decoded_once_and_the_network_stays_in_place(
    toy_run: ToyRun, model: VehicleReID, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: toy_run.path(name).read_bytes() for name in toy_run.tested_names()[:3]}
    expected = model.embed({name: load_image(toy_run.path(name)) for name in files})
    decoded: list[str] = []

    def decode(data: bytes, name: str) -> np.ndarray:
        decoded.append(name)
        return decode_image(data, name)

    monkeypatch.setattr(images_module, "decode_image", decode)
    monkeypatch.setattr(torch.nn.Module, "_apply", None)  # moves a network tensor by tensor
    embedded = model.embed(files)
    assert sorted(decoded) == sorted(files)
    np.testing.assert_array_equal(features_of(embedded), features_of(expected))
    monkeypatch.setattr(images_module, "KEPT_BYTES", 1)  # the second and third are decoded by each stage
    np.testing.assert_array_equal(features_of(model.embed(files)), features_of(expected))
    assert len(decoded) == 3 + 1 + 2 * 2


def test_no_image_gives_an_empty_table(model: VehicleReID) -> None:
    assert list(model.parts([]).columns) == ["name", "width", "height", "boxes", "parts", "scores"]
    assert list(model.embed([]).columns) == ["name", "camera", "boxes", "parts", "attention", "feature"]
    assert len(model.embed([])) == len(model.compare([], [])) == 0


def test_compare_returns_the_cosine_of_the_features(toy_run: ToyRun, model: VehicleReID, written: Features) -> None:
    paths = [toy_run.path(name) for name in toy_run.tested_names()[:6]]
    matches = model.compare(paths[1::-1], paths)
    assert matches["query"].tolist() == [str(paths[1])] * 6 + [str(paths[0])] * 6
    assert matches["rank"].tolist() == [1, 2, 3, 4, 5, 6] * 2
    scores = matches.pivot(index="query", columns="name", values="score").loc[map(str, paths[:2]), map(str, paths)]
    np.testing.assert_allclose(scores, written.matrix[:2] @ written.matrix[:6].T, atol=1e-5)
    assert matches["score"][0] == pytest.approx(1, abs=1e-6) and matches["name"][0] == str(paths[1])
    assert model.compare(paths[0], load_image(paths[0]))["score"].item() == pytest.approx(1, abs=1e-6)


def test_an_unusable_image_is_a_one_line_error(toy_run: ToyRun, model: VehicleReID, tmp_path: Path) -> None:
    good, bad = toy_run.path(toy_run.tested_names()[0]), tmp_path / "bad.jpg"
    bad.write_bytes(good.read_bytes()[:-300])
    for call in (model.parts, model.embed):
        with pytest.raises(UserError, match=rf"^1 of 2 images cannot be read, first {bad}: damaged image"):
            call([good, bad])
    with pytest.raises(UserError, match=r"image-000000: an array of float64 \(3, 3\)"):
        model.embed(np.zeros((3, 3)))  # type: ignore[arg-type]


def test_boxes_of_an_image_of_another_size_are_refused(toy_run: ToyRun, model: VehicleReID) -> None:
    name = toy_run.tested_names()[0]
    turned = {name: np.ascontiguousarray(load_image(toy_run.path(name)).transpose(1, 0, 2))}
    with pytest.raises(UserError, match=f"{name}: is 72 x 96 now and was 96 x 72 when its parts were found"):
        model.embed(turned, toy_run.toy.parts)


def test_parts_of_another_detector_or_format_are_refused(toy_run: ToyRun, model: VehicleReID) -> None:
    image = toy_run.images(toy_run.tested_names()[:1])
    foreign = replace(toy_run.toy.parts, fingerprint={"weights_sha256": "f" * 64})
    with pytest.raises(UserError, match=f"the part cache: made with detector = {'f' * 64}, this run needs"):
        model.embed(image, foreign)
    table = model.parts(image)
    for wrong, words in (
        (table.drop(columns="boxes"), "column boxes is missing"),
        (table.assign(parts=[("door",)], boxes=[np.ones((1, 4))], scores=[(0.5,)]), "'door' is not one of the 16"),
        (table.assign(parts=[("logo",)], boxes=[[[0, 0, 999, 9]]], scores=[(0.5,)]), "outside its image"),
        (table.assign(name="other"), "1 images are not in it"),
    ):
        with pytest.raises(UserError, match=words):
            model.embed(image, wrong)


def test_the_detector_is_the_one_that_made_the_runs_part_cache(toy_run: ToyRun, tmp_path: Path) -> None:
    shutil.copytree(toy_run.runs, tmp_path / "runs")
    folder, run = tmp_path / "runs" / "detector", tmp_path / "runs" / "folder" / "tiny"
    own = folder / "toy" / "weights.safetensors"
    tensors, metadata, _ = load_tensors(own, "")
    save_tensors(folder / "another" / "weights.safetensors", {"x": tensors["weight"]}, metadata)
    model = VehicleReID.load(run, device="cpu")
    assert model.weights() == own.resolve()
    assert model.fingerprint == {
        "checkpoint": read_checkpoint(run / "best.safetensors").sha256,
        "detector": toy_run.toy.parts.fingerprint["weights_sha256"],
    }
    other = VehicleReID.load(run, detector=folder / "another" / "weights.safetensors", device="cpu")
    assert other.fingerprint["detector"] != model.fingerprint["detector"]
    own.unlink()
    sha256 = str(model.fingerprint["detector"])[:12]
    with pytest.raises(UserError, match=rf"weights {sha256}\) is missing in RUNS/detector; choose one with --detector"):
        VehicleReID.load(run, device="cpu").parts(toy_run.photos()[0])


def test_a_run_without_a_recorded_detector_uses_that_of_the_data_sets_cache(toy_run: ToyRun, tmp_path: Path) -> None:
    shutil.copytree(toy_run.runs, tmp_path / "runs")
    run = tmp_path / "runs" / "folder" / "tiny"
    tensors, metadata, _ = load_tensors(run / "best.safetensors", "")
    del metadata["parts"]  # as in imported weights
    save_tensors(run / "best.safetensors", tensors, metadata)
    assert VehicleReID.load(run, device="cpu").fingerprint["detector"] == toy_run.model().fingerprint["detector"]
    cache = tmp_path / "runs" / "folder" / "parts.h5"
    write_parts(cache, replace(toy_run.toy.parts, fingerprint={"masks": "imported"}))
    with pytest.raises(UserError, match="the detector of its part boxes is unknown; choose one with --detector"):
        VehicleReID.load(run, device="cpu").parts(toy_run.photos()[0])
    cache.unlink()  # then any detector is as good
    own = tmp_path / "runs" / "detector" / "toy" / "weights.safetensors"
    own.with_name("metrics.json").write_text("{}")
    assert VehicleReID.load(run, device="cpu").weights() == own


def test_the_shipped_detector_is_found_by_its_hash_and_by_its_name(toy_run: ToyRun, tmp_path: Path) -> None:
    shutil.copytree(toy_run.runs, tmp_path / "runs")
    run, own = tmp_path / "runs" / "folder" / "tiny", tmp_path / "runs" / "detector" / "toy" / "weights.safetensors"
    with shipping(own.rename(tmp_path / "shipped.safetensors")) as file:
        models = [VehicleReID.load(run, detector=detector, device="cpu") for detector in (None, "shipped", file)]
        assert [model.weights() for model in models] == [file] * 3
        assert len({model.fingerprint["detector"] for model in models}) == 1
        file.write_bytes(b"damaged")
        with pytest.raises(UserError, match=r"shipped\.safetensors: damaged, not the file that ships"):
            VehicleReID.load(run, device="cpu")


def test_a_recipe_with_a_limit_per_label_reads_varied_boxes(
    toy_run: ToyRun, model: VehicleReID, tmp_path: Path
) -> None:
    recipe = ONE_EPOCH.model_copy(update={"parts_per_label": 1})
    train_toy(recipe, toy_run.toy, tmp_path / "folder" / "varied")
    varied = VehicleReID.load(tmp_path / "folder" / "varied", device="cpu")
    weights = toy_run.runs / "detector" / "toy" / "weights.safetensors"
    detecting = VehicleReID.load(tmp_path / "folder" / "varied", detector=weights, device="cpu")
    images = toy_run.images(toy_run.tested_names())
    usual, found = model.embed(images), detecting.embed(images)
    assert any(len(set(parts)) < len(parts) for parts in usual["parts"])
    assert all(len(set(parts)) == len(parts) for parts in found["parts"])
    given = varied.embed(images, model.parts(images))
    np.testing.assert_array_equal(features_of(given), features_of(found))


@pytest.mark.parametrize("attention", ["none", "grid"])
def test_a_network_without_parts_needs_no_detector(toy_run: ToyRun, tmp_path: Path, attention: str) -> None:
    recipe = ONE_EPOCH.model_copy(update={"attention": attention})
    train_toy(recipe, toy_run.toy, tmp_path / "folder" / attention)
    model = VehicleReID.load(tmp_path / "folder" / attention, device="cpu")
    assert model.fingerprint["detector"] is None
    embedded = model.embed(toy_run.images(toy_run.tested_names()[:3]), toy_run.toy.parts)
    assert embedded["boxes"].map(len).tolist() == [0, 0, 0]
    assert embedded["attention"].map(len).tolist() == [16 if attention == "grid" else 0] * 3
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    gallery = Gallery.build(model, [toy_run.photos()[0], tmp_path / "bad.jpg"], skip_unreadable=True)
    assert gallery.names == (str(toy_run.photos()[0]),)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(str(tmp_path / "best.safetensors"))):
        VehicleReID.load(tmp_path)


def test_flip_test_is_part_of_the_model_and_of_its_galleries(toy_run: ToyRun, tmp_path: Path) -> None:
    images = toy_run.images(toy_run.tested_names())
    plain, both = (VehicleReID.load(toy_run.folder, device="cpu", flip_test=flip) for flip in (False, True))
    assert plain.fingerprint == toy_run.model().fingerprint
    source = FeatureSource(toy_run.toy.dataset, toy_run.tested_names(), toy_run.toy.parts, both.recipe, "")
    expected = cached_features(tmp_path / "features.safetensors", both.network, source, Compute("cpu", 0)).matrix
    np.testing.assert_array_equal(features_of(both.embed(images)), expected)
    assert np.abs(expected - features_of(plain.embed(images))).max() > 1e-3
    Gallery.build(both, images).save(tmp_path / "gallery")
    assert len(Gallery.load(tmp_path / "gallery", both)) == len(images)
    with pytest.raises(UserError, match="made with flip_test = yes, this run needs None"):
        Gallery.load(tmp_path / "gallery", plain)
