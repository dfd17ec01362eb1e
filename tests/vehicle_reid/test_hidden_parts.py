"""A model that hides parts: features of the API, of a gallery and of the feature file agree, and the page follows."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data_cache.images.loading import load_image
from data_cache.parts.names import PART_NAMES
from helpers.places.api import ONE_EPOCH, ToyRun, make_toy_run, small_networks
from reid.data.hiding import cover, hide_parts, network_parts
from reid.data.vehicle_images import vehicle_images
from reid.data.views import resized
from reid.features.extraction import extract_features
from vehicle_reid import Gallery, VehicleReID
from vehicle_reid.embedding import find_parts
from vehicle_reid.images import images_of_folder
from vehicle_reid.web.finder import Finder

HIDDEN = ("car light", "logo", "plate", "wheel", "wind-shield glass")


NETWORKS = {
    "pgan": {"attention": "parts"},
    "baseline": {"attention": "none"},
    "pgan_plus": {"attention": "none", "part_crops": 32},
}


@pytest.fixture(scope="module", params=NETWORKS)
def hiding(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyRun]:
    """A toy run that hides some of the parts its stand-in detector finds."""
    recipe = ONE_EPOCH.model_copy(update={"hide": HIDDEN, "triplets": ("fusion",), **NETWORKS[request.param]})
    with small_networks():
        yield make_toy_run(tmp_path_factory.mktemp("hiding"), recipe)


def expected(run: ToyRun, model: VehicleReID, names: list[str]) -> np.ndarray:
    recipe = model.recipe
    parts, crop = network_parts(run.toy.parts, recipe), recipe.part_crops
    images = vehicle_images(run.toy.dataset, parts, names, top_d=recipe.parts, size=64, crop=crop)
    return extract_features(model.network, images, device="cpu", workers=0)[0]


def test_detected_given_and_saved_features_agree(hiding: ToyRun, tmp_path: Path) -> None:
    model, names = hiding.model(), hiding.tested_names()
    features = expected(hiding, model, names)
    for parts in (None, hiding.toy.parts, model.parts(hiding.images(names))):
        found = model.embed(hiding.images(names), parts)
        np.testing.assert_array_equal(np.stack(found["feature"].tolist()), features)
        assert not {part for own in found["parts"] for part in own} & {*HIDDEN}
    every = hiding.toy.dataset.names()
    gallery = Gallery.build(model, images_of_folder(hiding.root), work=tmp_path / "work", workers=0)
    np.testing.assert_array_equal(gallery.entries.features, expected(hiding, model, every))
    labels = np.array([PART_NAMES.index(part) for part in HIDDEN])
    assert not np.isin(gallery.entries.labels, labels).any()


def test_a_single_image_is_covered_too(hiding: ToyRun) -> None:
    model, changed = hiding.model(), False
    for name in hiding.tested_names():
        row = hiding.toy.parts.rows([name])
        hidden = hide_parts(hiding.toy.parts, HIDDEN).hidden
        assert hidden is not None
        pixels = load_image(hiding.path(name))
        views = model.network_input(pixels, model.embed(pixels).iloc[0]).views(0)
        np.testing.assert_array_equal(views.image, resized(cover(pixels, hidden[row[0]]), 64))
        changed |= not np.array_equal(views.image, resized(pixels, 64))
    assert changed


def test_the_page_gives_the_network_covered_pixels(hiding: ToyRun) -> None:
    model, names = hiding.model(), hiding.tested_names()
    finder = Finder(Gallery.build(model, hiding.images(names)), hiding.root)
    features = expected(hiding, model, names)
    for row, name in enumerate(names[:4]):
        keys = f"g{row}", finder.upload(hiding.path(name).read_bytes())
        for key in keys:
            images = finder._network_input(key)
            own, _ = extract_features(model.network, images, device="cpu", workers=0)
            np.testing.assert_allclose(own, features[row : row + 1], atol=1e-5)
            assert finder.covered(key, "g5") and finder.heatmap(key, "response")


def test_the_parts_of_an_upload_are_found_once(hiding: ToyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    name, *others = hiding.tested_names()
    finder = Finder(Gallery.build(hiding.model(), hiding.images(others)), hiding.root)
    searched: list[int] = []
    monkeypatch.setattr("vehicle_reid.model.find_parts", lambda *given: searched.append(1) or find_parts(*given))
    assert finder.upload(hiding.path(name).read_bytes()) and len(searched) == 1
