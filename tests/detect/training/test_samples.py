"""Training samples and their order."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.parts.names import PART_NAMES
from detect.annotations.images import ALL_LABELS
from detect.annotations.reading import read_annotations
from detect.model.mmcv_ops import supply_operators
from detect.training.samples import EpochSampler, PartSamples
from detect.training.train import with_unknown_parts_as_background
from helpers.toy.annotations import TINY, changed, toy_set

RECIPE = TINY.model_copy(update={"zoom_in": 0.5, "flip": 0.5, "colour_jitter": 0.3})


@pytest.fixture
def samples(tmp_path: Path) -> PartSamples:
    supply_operators()
    return PartSamples(read_annotations(toy_set(tmp_path, 4), tmp_path), tmp_path, RECIPE)


def test_sample_is_reproducible_and_differs_between_epochs(samples: PartSamples) -> None:
    first, again, later = samples[2], samples[2], samples[2 + len(samples)]
    assert torch.equal(first["inputs"], again["inputs"])
    assert torch.equal(first["data_samples"].gt_instances.bboxes, again["data_samples"].gt_instances.bboxes)
    assert not torch.equal(first["inputs"], later["inputs"])


def test_sample_has_the_input_size_and_boxes_inside(samples: PartSamples) -> None:
    for position in range(40):
        sample = samples[position]
        boxes = sample["data_samples"].gt_instances.bboxes
        assert sample["inputs"].shape == (3, 96, 96) and sample["inputs"].dtype == torch.uint8
        assert len(boxes) and (boxes >= 0).all() and (boxes <= 96).all() and (boxes[:, 2:] > boxes[:, :2]).all()


def test_image_of_another_size_than_annotated_is_refused(tmp_path: Path) -> None:
    path = changed(toy_set(tmp_path, 1), lambda document: document["images"][0].update(width=161))
    with pytest.raises(UserError, match="160 x 120 pixels, annotated as 161 x 120"):
        PartSamples(read_annotations(path, tmp_path), tmp_path, RECIPE)[0]


def test_epoch_is_a_permutation_that_depends_on_its_number() -> None:
    sampler = EpochSampler(10, seed=1)
    first = list(sampler)
    assert sorted(first) == list(range(10)) and list(sampler) == first
    sampler.set_epoch(3)
    assert sorted(sampler) == list(range(30, 40)) and [position % 10 for position in sampler] != first


def test_sample_tells_which_parts_its_image_leaves_out(tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["images"][0]["annotated_parts"] = ["wheel", "logo"]
        kept = {each["id"] for each in document["categories"] if each["name"] in ("wheel", "logo")}
        document["annotations"] = [
            each
            for each in document["annotations"]
            if each["image_id"] != document["images"][0]["id"] or each["category_id"] in kept
        ]

    images = read_annotations(changed(toy_set(tmp_path, 2), change), tmp_path)
    left_out = PartSamples(images, tmp_path, RECIPE)[0]["data_samples"].left_out
    assert [name for name, each in zip(PART_NAMES, left_out, strict=True) if not each] == ["logo", "wheel"]


def test_parts_that_no_image_annotates_are_background(tmp_path: Path) -> None:
    wheel, logo = (PART_NAMES.index(name) for name in ("wheel", "logo"))
    images = read_annotations(toy_set(tmp_path, 2), tmp_path)
    images = (replace(images[0], annotated=frozenset({wheel})), replace(images[1], annotated=frozenset({wheel, logo})))
    first, second = with_unknown_parts_as_background(images)
    assert first.annotated == ALL_LABELS - {logo} and second.annotated == ALL_LABELS
