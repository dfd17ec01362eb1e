"""A run of PGAN+ through the API: boxes, features, what a similarity is the sum of, galleries and the page."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.parts.names import PART_NAMES
from helpers.places.api import ONE_EPOCH, ToyRun, make_toy_run, small_networks
from reid.evaluation.run_list import list_runs
from reid.model.checkpoint import read_checkpoint
from reid.publish.model_card import model_card
from reid.retrieval.score_by_part import WHOLE
from reid.runs import BEST
from vehicle_reid import Gallery, VehicleReID
from vehicle_reid.web.finder import Finder

PLUS = ONE_EPOCH.model_copy(
    update={"attention": "none", "part_crops": 32, "slot_features": 8, "triplets": ("fusion",), "parts_per_label": 1}
)


@pytest.fixture(scope="module")
def plus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyRun]:
    """A trained toy run of PGAN+."""
    with small_networks():
        yield make_toy_run(tmp_path_factory.mktemp("plus"), PLUS)


def test_embedded_images_have_boxes_whose_weights_sum_to_one(plus: ToyRun) -> None:
    model, names = plus.model(), plus.tested_names()
    embedded = model.embed(plus.images(names))
    given = model.embed(plus.images(names), plus.toy.parts)
    np.testing.assert_array_equal(np.stack(embedded["feature"]), np.stack(given["feature"]))
    assert np.stack(embedded["feature"]).shape[1] == PLUS.features + 8 * len(PART_NAMES)
    assert embedded["parts"].map(len).max() > 0
    for row in embedded.itertuples():
        assert sum(row.attention) == pytest.approx(1 if row.parts else 0, abs=1e-3)


def test_a_similarity_is_the_sum_of_whole_image_and_parts(plus: ToyRun) -> None:
    model, (first, second) = plus.model(), plus.photos()[:2]
    explained, score = model.explain(first, second), model.compare(first, second)["score"][0]
    assert explained["added"].sum() == pytest.approx(score, abs=1e-5)
    both = {part for names in (model.embed(path)["parts"][0] for path in (first, second)) for part in names}
    assert explained["part"][0] == WHOLE and set(explained["part"][1:]) <= both
    assert model.explain(first, first)["similarity"].tolist() == pytest.approx([1] * len(model.explain(first, first)))


def test_only_one_image_with_one_and_only_with_slots(plus: ToyRun, model: VehicleReID) -> None:
    first, second, third = plus.photos()[:3]
    with pytest.raises(UserError, match="compares one image with one, not 1 with 2"):
        plus.model().explain(first, [second, third])
    with pytest.raises(UserError, match=r"only PGAN\+ tells what a similarity is the sum of; train --recipe pgan_plus"):
        model.explain(first, second)


def test_a_gallery_keeps_and_finds_its_images(plus: ToyRun, tmp_path: Path) -> None:
    model = plus.model()
    Gallery.build(model, plus.root).save(tmp_path / "gallery")
    gallery = Gallery.load(tmp_path / "gallery", model)
    for path in plus.photos()[:3]:
        match = gallery.search(path, k=1).iloc[0]
        assert match["score"] == pytest.approx(1, abs=1e-4) and path.name in match["name"]
    assert len(Gallery.build(model, {})) == 0


def test_pictures_and_lists_call_it_slots(plus: ToyRun) -> None:
    assert plus.model().recipe.weighing == "slots" and ONE_EPOCH.weighing == ONE_EPOCH.attention
    (run,) = list_runs(plus.folder.parents[1])
    assert run.network == f"slots, {PLUS.trunk}"
    assert "It is PGAN+ (with crops of the parts, which is not in the paper) on the baseline of" in model_card(
        read_checkpoint(plus.folder / BEST), [], {}
    )


def test_the_page_draws_what_the_score_depends_on(plus: ToyRun) -> None:
    finder = Finder(Gallery.build(plus.model(), plus.images(plus.tested_names())), plus.root)
    key = finder.upload(plus.photos()[0].read_bytes())
    assert finder.covered(key, "g1") and finder.covered("g1", key) and finder.heatmap(key, "response")
    described = finder.describe(key)
    assert sum(part["weight"] for part in described["parts"]) == pytest.approx(1, abs=1e-3)
