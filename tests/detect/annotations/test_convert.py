"""Conversion to COCO JSON: boxes are preserved, the output is deterministic, and nothing is written after a fault."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.parts.names import PART_NAMES
from detect.annotations.convert import LabelUse, coco_document, convert_coco, convert_voc
from detect.annotations.faults import AnnotationFaults
from detect.annotations.images import AnnotatedImage
from detect.annotations.part_mapping import VAC21, read_mapping
from detect.annotations.reading import checked_reading, read_annotations
from helpers.toy.annotations import changed, toy_set
from helpers.toy.voc import write_picture, write_voc


def assert_same(images: Sequence[AnnotatedImage], others: Sequence[AnnotatedImage]) -> None:
    for image, other in zip(images, others, strict=True):
        assert all(np.array_equal(value, getattr(other, name)) for name, value in vars(image).items())


def write_voc_files(images: Sequence[AnnotatedImage], folder: Path, first_pixel: int) -> None:
    """Write annotated images as Pascal VOC files, named in the opposite order."""
    for number, image in enumerate(images):
        entries = [
            (PART_NAMES[label], (x0 + first_pixel, y0 + first_pixel, x1, y1))
            for label, (x0, y0, x1, y1) in zip(image.labels, image.boxes.tolist(), strict=True)
        ]
        write_voc(folder / f"{len(images) - number:04d}.xml", image.name, entries)


@pytest.mark.parametrize("first_pixel", [0, 1])
def test_round_trip_from_coco_to_voc_and_back(tmp_path: Path, first_pixel: int) -> None:
    images = read_annotations(toy_set(tmp_path, 9), tmp_path)
    write_voc_files(images, tmp_path / "xml", first_pixel)
    output, pattern = tmp_path / "again.json", re.compile(r"(\d{4})\.png")
    done = convert_voc(tmp_path / "xml", tmp_path, output, VAC21, first_pixel=first_pixel, vehicle_pattern=pattern)
    occurring = frozenset(int(label) for image in images for label in image.labels)
    expected = [replace(image, vehicle=Path(image.name).stem, annotated=occurring) for image in images]
    assert_same(expected, read_annotations(output, tmp_path))
    assert checked_reading(output, tmp_path).faults == []
    assert done.written.images == 9 and done.written.parts == 36 and done.written.vehicles == 9
    assert sum(use.objects for use in done.labels) == 36 and all(use.label == use.part for use in done.labels)


def annotated_in(path: Path, root: Path) -> list[set[str]]:
    return [{PART_NAMES[label] for label in image.annotated} for image in read_annotations(path, root)]


def test_parts_that_nobody_looked_for_stay_unannotated_in_coco(tmp_path: Path) -> None:
    """Otherwise the detector learns that there is none: a part without a box is background."""
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b.png")
    annotations = [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [10, 20, 30, 40]}]
    document = {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 160, "height": 120},
            {"id": 2, "file_name": "b.png", "width": 160, "height": 120, "annotated_parts": ["logo", "wheel"]},
        ],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "Wheel"}],
    }
    (tmp_path / "given.json").write_text(json.dumps(document))
    convert_coco(tmp_path / "given.json", tmp_path, tmp_path / "out.json", VAC21)
    assert annotated_in(tmp_path / "out.json", tmp_path) == [{"wheel"}, {"wheel", "logo"}]


def test_the_parts_of_voc_files_are_those_that_occur_in_any_of_them(tmp_path: Path) -> None:
    for name, label in (("a", "wheel"), ("b", "Logo"), ("c", "car")):
        write_picture(tmp_path / f"{name}.png")
        write_voc(tmp_path / f"{name}.xml", f"{name}.png", [(label, (10, 20, 60, 70))])
    convert_voc(tmp_path, tmp_path, tmp_path / "out.json", VAC21)
    assert annotated_in(tmp_path / "out.json", tmp_path) == [{"wheel", "logo"}] * 3


def test_swapped_corners_of_voc_files_are_put_right_by_either_first_pixel(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    for first_pixel in (0, 1):
        given = [(20, 30, 50, 10), (50, 10, 20, 30), (20, 10, 50, 30)]
        write_voc(tmp_path / "a.xml", "a.png", [("logo", corners) for corners in given])
        done = convert_voc(tmp_path, tmp_path, tmp_path / "out.json", VAC21, first_pixel=first_pixel)
        (image,) = read_annotations(tmp_path / "out.json", tmp_path)
        assert image.boxes.tolist() == [[20 - first_pixel, 10 - first_pixel, 50, 30]] * 3
        assert any("2 boxes with swapped corners" in note for note in done.notes), done.notes


def test_boxes_are_written_to_a_thousandth_of_a_pixel(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    write_picture(tmp_path / "a.png")
    corners = np.sort(random.uniform(0, 1, (200, 2, 2)), axis=1) * (160, 120)
    corners[:, 1] = np.minimum(corners[:, 1] + 0.02, (160, 120))
    write_voc(tmp_path / "a.xml", "a.png", [("logo", (*map(repr, box.ravel().tolist()),)) for box in corners])
    convert_voc(tmp_path, tmp_path, tmp_path / "a.json", VAC21, first_pixel=0)
    (image,) = read_annotations(tmp_path / "a.json", tmp_path)
    assert np.abs(image.boxes - corners.reshape(-1, 4)).max() < 2e-3
    annotations = json.loads((tmp_path / "a.json").read_text())["annotations"]
    assert max(len(repr(side)) for annotation in annotations for side in annotation["bbox"]) < 8


def test_output_does_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    images = read_annotations(toy_set(tmp_path, 5), tmp_path)
    for name, order in (("one", images), ("two", images[::-1])):
        write_voc_files(order, tmp_path / name, 1)
        convert_voc(tmp_path / name, tmp_path, tmp_path / f"{name}.json", VAC21)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_document_is_coco(tmp_path: Path) -> None:
    box, label = np.array([[1.1, 2, 4.3, 6]], np.float32), np.array([9])
    images = [
        AnnotatedImage("b.png", 9, 8, "v", box, label),
        AnnotatedImage("a.png", 7, 6, None, box[:0], label[:0]),
    ]
    assert coco_document(images) == {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 7, "height": 6},
            {"id": 2, "file_name": "b.png", "width": 9, "height": 8, "vehicle_id": "v"},
        ],
        "annotations": [
            {
                "id": 1,
                "image_id": 2,
                "category_id": 10,
                "bbox": [1.1, 2.0, 3.2, 4.0],
                "area": 12.8,
                "iscrowd": 0,
            }
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(PART_NAMES, 1)],
    }


def rename_categories(path: Path, names: dict[str, str], added: Sequence[str] = ()) -> Path:
    """Rename categories of a COCO file, and add categories with a box in the first image each."""
    document = json.loads(path.read_text())
    for category in document["categories"]:
        category["name"] = names.get(category["name"], category["name"])
    for number, name in enumerate(added, start=100):
        document["categories"].append({"id": number, "name": name})
        document["annotations"].append(
            {"id": 9000 + number, "image_id": 1, "category_id": number, "bbox": [0, 0, 999, 1]}
        )
    path.write_text(json.dumps(document))
    return path


def test_coco_with_vac21_labels_keeps_its_parts(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 8)
    images = read_annotations(path, tmp_path)
    styles = ("car", "trunk", "tricycle", "train", "bus")
    rename_categories(path, {name: name.replace(" ", "") for name in PART_NAMES}, styles)
    with pytest.raises(AnnotationFaults, match="is not a part"):
        read_annotations(path, tmp_path)
    done = convert_coco(path, tmp_path, tmp_path / "out.json", VAC21)
    assert_same(images, read_annotations(tmp_path / "out.json", tmp_path))
    assert {use.label for use in done.labels if use.part is None} == set(styles)
    assert LabelUse("bus", None, 1) in done.labels and len(done.labels) >= 5 + 10


def test_mapping_merges_and_drops_labels(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 8)
    images = read_annotations(path, tmp_path)
    rename_categories(path, {"car light": "Head_Light", "plate": "tail light", "wheel": "tyre"}, ["bumper"])
    (tmp_path / "map.json").write_text(
        json.dumps({"headlight": "car light", "taillight": "Car_Light", "tyre": None, "bumper": None})
    )
    convert_coco(path, tmp_path, tmp_path / "out.json", read_mapping(tmp_path / "map.json"))
    light, plate, wheel = (PART_NAMES.index(name) for name in ("car light", "plate", "wheel"))
    for before, after in zip(images, read_annotations(tmp_path / "out.json", tmp_path), strict=True):
        kept = before.labels != wheel
        assert np.array_equal(after.boxes, before.boxes[kept])
        assert np.array_equal(after.labels, np.where(before.labels[kept] == plate, light, before.labels[kept]))


def test_after_a_fault_the_old_output_is_kept(tmp_path: Path) -> None:
    path = rename_categories(toy_set(tmp_path, 4), {"logo": "lgo", "wheel": "whel"})
    changed(path, lambda document: document["images"][0].update(width=200))
    output = tmp_path / "out.json"
    output.write_text("old")
    with pytest.raises(AnnotationFaults, match=r"nothing was written; .*--map") as raised:
        convert_coco(path, tmp_path, output, VAC21)
    assert len(raised.value.faults) == 3 and "160 x 120 pixels, annotated as 200 x 120" in raised.value.faults[2]
    write_voc(tmp_path / "xml/a.xml", "images/0000.png", [("lgo", (1, 1, 5, 5)), ("logo", (1, 1, 5, 999))])
    with pytest.raises(AnnotationFaults, match=r"2 faults: label 'lgo' .1 object.*did you mean 'logo'"):
        convert_voc(tmp_path / "xml", tmp_path, output, VAC21, strict=True)
    assert output.read_text() == "old"
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_input_is_not_overwritten(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 2)
    with pytest.raises(UserError, match="is also the input"):
        convert_coco(path, tmp_path, tmp_path / "images/../parts.json", VAC21)


def test_nothing_is_written_without_any_part(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_voc(tmp_path / "a.xml", "a.png", [("car", (1, 1, 5, 5)), ("Bus", (1, 1, 5, 5))])
    with pytest.raises(UserError, match=r"no label is a part \(labels: 'Bus', 'car'\)"):
        convert_voc(tmp_path, tmp_path, tmp_path / "out.json", VAC21)
    assert not (tmp_path / "out.json").exists()


def test_vehicles_are_kept_or_taken_from_image_names(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 4)
    output = tmp_path / "out.json"
    convert_coco(path, tmp_path, output, VAC21)
    assert [image.vehicle for image in read_annotations(output, tmp_path)] == ["0", "0", "1", "1"]
    done = convert_coco(path, tmp_path, output, VAC21, vehicle_pattern=re.compile(r"000([1-9])?"))
    assert [image.vehicle for image in read_annotations(output, tmp_path)] == [None, "1", "2", "3"]
    assert done.written.vehicles == 3 and done.written.images_without_vehicle == 1
    with pytest.raises(UserError, match=r"matches no vehicle in 'images/0000\.png'"):
        convert_coco(path, tmp_path, output, VAC21, vehicle_pattern=re.compile("(car)"))
