"""Conversion to COCO JSON: the same boxes come back, the same bytes every time, and nothing where there is a fault."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.parts.names import PART_NAMES
from detect.annotations.convert import LabelUse, coco_document, convert_coco, convert_voc
from detect.annotations.faults import AnnotationFaults
from detect.annotations.part_mapping import VAC21, PartMapping, read_mapping
from detect.annotations.reading import AnnotatedImage, annotation_faults, read_annotations
from helpers.toy.annotations import toy_set
from helpers.toy.voc import write_picture, write_voc


def same(one: Sequence[AnnotatedImage], other: Sequence[AnnotatedImage], tolerance: float = 0.0) -> bool:
    def heads(images: Sequence[AnnotatedImage]) -> list[tuple[object, ...]]:
        return [(image.name, image.width, image.height, image.vehicle, image.labels.tolist()) for image in images]

    return heads(one) == heads(other) and all(
        np.abs(a.boxes - b.boxes).max(initial=0) <= tolerance for a, b in zip(one, other, strict=True)
    )


def voc_of(images: Sequence[AnnotatedImage], folder: Path, first_pixel: int) -> None:
    """Write Pascal VOC files of annotated images, counting from `first_pixel`."""
    for number, image in enumerate(images):
        named = zip(image.labels, image.boxes.tolist(), strict=True)
        entries = [
            (PART_NAMES[label], (x0 + first_pixel, y0 + first_pixel, x1, y1)) for label, (x0, y0, x1, y1) in named
        ]
        write_voc(folder / f"{len(images) - number:04d}.xml", image.name, entries)  # in another order than the images


@pytest.mark.parametrize("first_pixel", [0, 1])
def test_from_coco_to_voc_and_back_nothing_changes(tmp_path: Path, first_pixel: int) -> None:
    images = read_annotations(toy_set(tmp_path, 9), tmp_path)
    voc_of(images, tmp_path / "xml", first_pixel)
    output, pattern = tmp_path / "again.json", re.compile(r"(\d{4})\.png")
    done = convert_voc(tmp_path / "xml", tmp_path, output, VAC21, first_pixel=first_pixel, vehicle_pattern=pattern)
    again = read_annotations(output, tmp_path)
    assert same([AnnotatedImage(**{**vars(image), "vehicle": Path(image.name).stem}) for image in images], again)
    assert annotation_faults(output, tmp_path) == []
    assert done.written.images == 9 and done.written.parts == 36 and done.written.vehicles == 9
    assert sum(use.objects for use in done.labels) == 36 and all(use.label == use.part for use in done.labels)


def test_fractions_of_a_pixel_come_back_to_a_thousandth(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    write_picture(tmp_path / "a.png")
    corners = np.sort(random.uniform(0, 1, (200, 2, 2)), axis=1) * (160, 120)
    corners[:, 1] = np.minimum(corners[:, 1] + 0.02, (160, 120))
    write_voc(tmp_path / "a.xml", "a.png", [("logo", (*map(repr, box.ravel().tolist()),)) for box in corners])
    convert_voc(tmp_path, tmp_path, tmp_path / "a.json", VAC21, first_pixel=0)
    (image,) = read_annotations(tmp_path / "a.json", tmp_path)
    assert np.abs(image.boxes - corners.reshape(-1, 4)).max() < 2e-3
    assert (
        max(len(repr(side)) for a in json.loads((tmp_path / "a.json").read_text())["annotations"] for side in a["bbox"])
        < 8
    )


def test_the_bytes_do_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    images = read_annotations(toy_set(tmp_path, 5), tmp_path)
    for name, order in (("one", images), ("two", images[::-1])):
        voc_of(order, tmp_path / name, 1)
        convert_voc(tmp_path / name, tmp_path, tmp_path / f"{name}.json", VAC21)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    document = json.loads((tmp_path / "one.json").read_text())
    assert [image["id"] for image in document["images"]] == [1, 2, 3, 4, 5]
    assert [annotation["id"] for annotation in document["annotations"]] == list(range(1, 21))
    assert document["categories"] == [{"id": number, "name": name} for number, name in enumerate(PART_NAMES, 1)]


def test_the_document_is_coco(tmp_path: Path) -> None:
    box, label = np.array([[1.1, 2, 4.3, 6]], np.float32), np.array([9])
    images = [
        AnnotatedImage("b.png", 9, 8, "v", box, label),
        AnnotatedImage("a.png", 7, 6, None, box[:0], label[:0]),
    ]
    document = coco_document(images)
    assert document["images"] == [
        {"id": 1, "file_name": "a.png", "width": 7, "height": 6},
        {"id": 2, "file_name": "b.png", "width": 9, "height": 8, "vehicle_id": "v"},
    ]
    (annotation,) = document["annotations"]
    place = {"bbox": [1.1, 2.0, 3.2, 4.0], "area": 12.8, "iscrowd": 0}
    assert annotation == {"id": 1, "image_id": 2, "category_id": 10, **place}


def renamed(path: Path, names: dict[str, str], extra: Sequence[str] = ()) -> Path:
    """Give categories of a COCO file other names, and add categories, each with a box in the first image."""
    document = json.loads(path.read_text())
    for category in document["categories"]:
        category["name"] = names.get(category["name"], category["name"])
    for number, name in enumerate(extra, start=100):
        document["categories"].append({"id": number, "name": name})
        document["annotations"].append(
            {"id": 9000 + number, "image_id": 1, "category_id": number, "bbox": [0, 0, 999, 1]}
        )
    path.write_text(json.dumps(document))
    return path


def test_a_coco_file_with_vac21s_labels_keeps_its_parts(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 8)
    images = read_annotations(path, tmp_path)
    styles = ("car", "trunk", "tricycle", "train", "bus")
    renamed(path, {name: name.replace(" ", "") for name in PART_NAMES}, styles)
    with pytest.raises(AnnotationFaults, match="none of the parts"):
        read_annotations(path, tmp_path)
    done = convert_coco(path, tmp_path, tmp_path / "out.json", VAC21)
    assert same(images, read_annotations(tmp_path / "out.json", tmp_path))
    assert {use.label for use in done.labels if use.part is None} == set(styles)
    assert LabelUse("bus", None, 1) in done.labels and len(done.labels) >= 5 + 10


def test_labels_may_become_one_part_and_others_nothing(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 8)
    images = read_annotations(path, tmp_path)
    renamed(path, {"car light": "Head_Light", "plate": "tail light", "wheel": "tyre"}, ["bumper"])
    (tmp_path / "map.json").write_text(
        json.dumps({"headlight": "car light", "taillight": "Car_Light", "tyre": None, "bumper": None})
    )
    convert_coco(path, tmp_path, tmp_path / "out.json", read_mapping(tmp_path / "map.json"))
    light, plate, wheel = (PART_NAMES.index(name) for name in ("car light", "plate", "wheel"))
    for before, after in zip(images, read_annotations(tmp_path / "out.json", tmp_path), strict=True):
        kept = before.labels != wheel
        assert np.array_equal(after.boxes, before.boxes[kept])
        assert np.array_equal(after.labels, np.where(before.labels[kept] == plate, light, before.labels[kept]))


def test_with_any_fault_nothing_is_written_and_the_old_file_stays(tmp_path: Path) -> None:
    path = renamed(toy_set(tmp_path, 4), {"logo": "lgo", "wheel": "whel"})
    path.write_text(path.read_text().replace('"width": 160', '"width": 200', 1))
    output = tmp_path / "out.json"
    output.write_text("old")
    with pytest.raises(AnnotationFaults, match=r"nothing was written; .*--map") as raised:
        convert_coco(path, tmp_path, output, VAC21)
    assert len(raised.value.faults) == 3 and "160 x 120 as stored, annotated as 200 x 120" in raised.value.faults[2]
    write_voc(tmp_path / "xml/a.xml", "images/0000.png", [("lgo", (1, 1, 5, 5)), ("logo", (1, 1, 5, 999))])
    with pytest.raises(AnnotationFaults, match=r"2 faults: label 'lgo' .1 object.*did you mean 'logo'") as raised:
        convert_voc(tmp_path / "xml", tmp_path, output, VAC21)
    assert output.read_text() == "old"
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_the_file_that_is_read_is_not_written(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 2)
    before = path.read_bytes()
    with pytest.raises(UserError, match="is the file that is read"):
        convert_coco(path, tmp_path, tmp_path / "images/../parts.json", VAC21)
    assert path.read_bytes() == before


def test_where_no_part_is_left_nothing_is_written(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_voc(tmp_path / "a.xml", "a.png", [("car", (1, 1, 5, 5)), ("Bus", (1, 1, 5, 5))])
    with pytest.raises(UserError, match="no part is left of 'Bus', 'car'"):
        convert_voc(tmp_path, tmp_path, tmp_path / "out.json", VAC21)
    assert not (tmp_path / "out.json").exists()


def test_vehicles_come_from_the_names_or_stay(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 4)
    output = tmp_path / "out.json"
    convert_coco(path, tmp_path, output, VAC21)
    assert [image.vehicle for image in read_annotations(output, tmp_path)] == ["0", "0", "1", "1"]
    done = convert_coco(path, tmp_path, output, VAC21, vehicle_pattern=re.compile(r"000([1-9])?"))
    assert [image.vehicle for image in read_annotations(output, tmp_path)] == [None, "1", "2", "3"]
    assert done.written.vehicles == 3 and done.written.images_without_vehicle == 1
    with pytest.raises(UserError, match=r"finds no vehicle in 'images/0000\.png'"):
        convert_coco(path, tmp_path, output, VAC21, vehicle_pattern=re.compile("(car)"))


def test_a_mapping_to_nothing_known_is_the_callers_fault(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 1)
    with pytest.raises(AnnotationFaults, match="no category is a part"):
        convert_coco(path, tmp_path, tmp_path / "out.json", PartMapping({"only": "logo"}))
