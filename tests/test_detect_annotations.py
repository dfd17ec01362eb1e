import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detect_toy import toy_set

from data_cache.attributes import PART_NAMES
from data_cache.errors import UserError
from detect.annotations import read_annotations, split_held_out

Change = Callable[[dict[str, Any]], object]


def test_boxes_become_corners_and_labels_follow_names_not_numbers(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 3)
    document = json.loads(path.read_text())
    images = read_annotations(path, tmp_path)
    assert [image.name for image in images] == sorted(image["file_name"] for image in document["images"])
    x, y, width, height = document["annotations"][0]["bbox"]
    assert images[0].boxes[0].tolist() == [x, y, x + width, y + height]
    for category in document["categories"]:
        category["id"] += 100
    for annotation in document["annotations"]:
        annotation["category_id"] += 100
    path.write_text(json.dumps(document))
    for image, again in zip(images, read_annotations(path, tmp_path), strict=True):
        assert np.array_equal(image.labels, again.labels)


def test_a_box_that_sticks_out_by_rounding_is_clipped(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 1)
    document = json.loads(path.read_text())
    document["annotations"][0]["bbox"] = [-0.5, 0, 160.9, 30]
    path.write_text(json.dumps(document))
    assert read_annotations(path, tmp_path)[0].boxes[0].tolist() == [0, 0, 160, 30]


FAULTS: dict[str, tuple[Change, str]] = {
    "no list": (lambda d: d.pop("images"), "no list `images`"),
    "unknown part": (lambda d: d["categories"][0].update(name="bumper"), "category 'bumper' is none of the parts"),
    "part twice": (lambda d: d["categories"][0].update(name=PART_NAMES[1]), "given twice"),
    "image twice": (lambda d: d["images"][1].update(id=1), "given twice"),
    "name twice": (lambda d: d["images"][1].update(file_name="images/0000.png"), "given twice"),
    "no width": (lambda d: d["images"][0].pop("width"), "image without `width`"),
    "width 0": (lambda d: d["images"][0].update(width=0), "has width 0"),
    "leaves the folder": (lambda d: d["images"][0].update(file_name="../a.png"), "not a relative path"),
    "file missing": (lambda d: d["images"][0].update(file_name="images/x.png"), "x.png is missing"),
    "annotation twice": (lambda d: d["annotations"][1].update(id=1), "annotation 1 is given twice"),
    "unknown image": (lambda d: d["annotations"][0].update(image_id=99), "no image has id 99"),
    "unknown category": (lambda d: d["annotations"][0].update(category_id=99), "no category has id 99"),
    "three numbers": (lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), "is not \\[x, y, width, height\\]"),
    "no area": (lambda d: d["annotations"][0].update(bbox=[1, 2, 0, 3]), "has no area"),
    "outside": (lambda d: d["annotations"][0].update(bbox=[150, 2, 30, 3]), "leaves its image of 160 x 120"),
    "no parts": (lambda d: d["annotations"].clear(), "no annotated part in 2 images"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_the_file(tmp_path: Path, fault: str) -> None:
    change, reason = FAULTS[fault]
    path = toy_set(tmp_path, 2)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match=reason) as raised:
        read_annotations(path, tmp_path)
    assert str(path) in str(raised.value)


def test_nan_in_a_box_is_refused(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 1)
    path.write_text(path.read_text().replace('"bbox": [', '"bbox": [NaN, ', 1))
    with pytest.raises(UserError, match="NaN"):
        read_annotations(path, tmp_path)


def test_held_out_images_share_no_vehicle_with_the_others_and_do_not_change(tmp_path: Path) -> None:
    images = read_annotations(toy_set(tmp_path, 12), tmp_path)
    training, held_out = split_held_out(images, 0.34)
    assert len(held_out) == 4 and len(training) == 8
    assert not {image.vehicle for image in training} & {image.vehicle for image in held_out}
    assert split_held_out(images[::-1], 0.34)[1] == held_out[::-1]
    assert split_held_out(images, 0.0) == (images, images)


def test_one_vehicle_cannot_be_split(tmp_path: Path) -> None:
    images = read_annotations(toy_set(tmp_path, 2), tmp_path)
    with pytest.raises(UserError, match="set held_out=0"):
        split_held_out(images, 0.5)
