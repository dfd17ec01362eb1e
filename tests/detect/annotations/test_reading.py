"""COCO JSON of annotated parts: valid files, image sizes against headers, and the split by vehicle."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.images.loading import ORIENTATION
from data_cache.parts.names import PART_NAMES
from detect.annotations.faults import AnnotationFaults
from detect.annotations.reading import checked_reading, read_annotations, split_held_out
from helpers.toy.annotations import changed, toy_set

Document = dict[str, Any]


def test_boxes_become_corners_and_images_are_sorted(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 3)
    document = json.loads(path.read_text())
    images = read_annotations(changed(path, lambda d: d["images"].reverse()), tmp_path)
    assert [image.name for image in images] == sorted(image["file_name"] for image in document["images"])
    x, y, width, height = document["annotations"][0]["bbox"]
    assert images[0].boxes[0].tolist() == [x, y, x + width, y + height]
    assert checked_reading(path, tmp_path).faults == []


def test_labels_follow_names_ignoring_numbers_case_and_separators(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 3)
    images = read_annotations(path, tmp_path)

    def respell(document: Document) -> None:
        for category in document["categories"]:
            category.update(id=category["id"] + 100, name=category["name"].replace(" ", "_").title())
        document["categories"][15]["name"] = "windshieldGlass"
        for annotation in document["annotations"]:
            annotation["category_id"] += 100

    for image, again in zip(images, read_annotations(changed(path, respell), tmp_path), strict=True):
        assert np.array_equal(image.labels, again.labels)


def test_a_subset_of_the_parts_is_enough(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 6)
    kept = {3, 4, 9, 13}

    def subset(document: Document) -> None:
        document["categories"] = [c for c in document["categories"] if c["id"] in kept]
        document["annotations"] = [a for a in document["annotations"] if a["category_id"] in kept]

    expected = [image.labels[np.isin(image.labels + 1, list(kept))] for image in read_annotations(path, tmp_path)]
    labels = [image.labels for image in read_annotations(changed(path, subset), tmp_path)]
    assert sum(map(len, labels)) > 0 and all(map(np.array_equal, labels, expected))


def test_parts_of_the_files_categories_are_annotated_unless_an_image_names_others(tmp_path: Path) -> None:
    def change(document: Document) -> None:
        document["categories"] = document["categories"][:3]
        document["annotations"] = [each for each in document["annotations"] if each["category_id"] <= 3]
        document["images"][1]["annotated_parts"] = ["wheel", "back mirror"]
        others = document["images"][1]["id"], document["categories"][1]["id"]
        document["annotations"] = [
            each
            for each in document["annotations"]
            if each["image_id"] != others[0] or each["category_id"] == others[1]
        ]

    images = read_annotations(changed(toy_set(tmp_path, 6), change), tmp_path)
    names = [{PART_NAMES[label] for label in image.annotated} for image in images[:3]]
    assert names == [{*PART_NAMES[:3]}, {"wheel", "back mirror"}, {*PART_NAMES[:3]}]


def test_a_box_of_a_part_that_its_image_does_not_list_is_a_fault(tmp_path: Path) -> None:
    """It would be a part to find whose kind counts as background."""
    path = toy_set(tmp_path, 6)
    box = json.loads(path.read_text())["annotations"][0]

    def change(document: Document) -> None:
        names = [each["name"] for each in document["categories"] if each["id"] != box["category_id"]]
        next(each for each in document["images"] if each["id"] == box["image_id"])["annotated_parts"] = names

    with pytest.raises(AnnotationFaults, match=r"is not among the `annotated_parts` of its image; add it there"):
        read_annotations(changed(path, change), tmp_path)


@pytest.mark.parametrize("value", ["wheel", ["wheel", "tyre"], [3], {"wheel": 1}])
def test_annotated_parts_that_are_no_list_of_parts_are_a_fault(tmp_path: Path, value: object) -> None:
    path = changed(toy_set(tmp_path, 1), lambda document: document["images"][0].update(annotated_parts=value))
    with pytest.raises(AnnotationFaults, match=r"`annotated_parts` .* is not a list of names of parts"):
        read_annotations(path, tmp_path)


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        ([-0.5, 0, 160.9, 30], [0, 0, 160, 30]),
        ([1, -1, 5, 122], [1, 0, 6, 120]),
        ([10.25, 20.5, 0.75, 1], [10.25, 20.5, 11, 21.5]),
    ],
)
def test_box_that_leaves_its_image_by_a_pixel_is_clipped(tmp_path: Path, box: list[float], inside: list[float]) -> None:
    path = changed(toy_set(tmp_path, 1), lambda d: d["annotations"][0].update(bbox=box))
    assert read_annotations(path, tmp_path)[0].boxes[0].tolist() == inside


def test_sizes_are_compared_with_the_headers(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 4)
    Image.new("L", (120, 160)).save(tmp_path / "images/0001.png")
    (tmp_path / "images/0002.png").write_text("<html>not found</html>")
    os.truncate(tmp_path / "images/0003.png", 200)  # the header is intact
    assert len(read_annotations(path, tmp_path)) == 4
    swapped, broken = checked_reading(path, tmp_path).faults
    assert swapped == f"{path}: image 'images/0001.png': 120 x 160 pixels, annotated as 160 x 120"
    assert broken.startswith(f"{path}: image 'images/0002.png': {tmp_path}/images/0002.png: ")


def test_images_annotated_without_their_exif_rotation_are_reported_with_the_remedy(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 4)
    stored = [((160, 120), 6), ((120, 160), 3), ((120, 160), 6), ((160, 120), 3)]
    for index, (size, orientation) in enumerate(stored):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        Image.new("RGB", size).save(tmp_path / f"images/000{index}.png", exif=exif)
    unturned, other = checked_reading(path, tmp_path).faults
    assert all("120 x 160 pixels, annotated as 160 x 120" in fault for fault in (unturned, other))
    assert "0000.png" in unturned and "; it was annotated without its EXIF rotation" in unturned
    assert "0001.png" in other and "EXIF" not in other


def test_held_out_vehicles_are_disjoint_and_independent_of_order(tmp_path: Path) -> None:
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
