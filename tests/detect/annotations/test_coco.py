"""Records of COCO JSON: every fault is reported, and none causes another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_cache.base.errors import UserError
from detect.annotations.faults import FAULTS_IN_MESSAGE, AnnotationFaults
from detect.annotations.reading import checked_reading, read_annotations
from helpers.toy.annotations import changed, toy_set

Document = dict[str, Any]
Change = Callable[[Document], object]


def image(index: int, **fields: object) -> Change:
    return lambda document: document["images"][index].update(fields)


def annotation(index: int, **fields: object) -> Change:
    return lambda document: document["annotations"][index].update(fields)


def category(index: int, **fields: object) -> Change:
    return lambda document: document["categories"][index].update(fields)


def added(key: str, record: object) -> Change:
    return lambda document: document[key].append(record)


def removed(key: str, index: int, field: str) -> Change:
    return lambda document: document[key][index].pop(field)


# faults that leave nothing to train on
WHOLE_FILE: dict[str, tuple[Change, str]] = {
    "no part": (lambda d: d["annotations"].clear(), "no annotated part in 24 images"),
    "no category is a part": (
        lambda d: d.update(categories=[{"id": i, "name": f"thing {i}"} for i in range(1, 17)]),
        "no category is a part, the file has only 'thing 1', 'thing 2'.*; the parts are annual service signs, ",
    ),
    "no category": (lambda d: d["categories"].clear(), r"annotations\[0\] \(id 1\): no category has id"),
}
# faults of single records; each change touches other records than the others
RECORDS: dict[str, tuple[Change, str]] = {
    "category without id": (added("categories", {"name": "x"}), "categories[16]: `id` is missing"),
    "unknown part": (
        lambda d: (annotation(83, category_id=18)(d), added("categories", {"id": 18, "name": "car ligth"})(d)),
        "category 18: 'car ligth' (1 annotation) is not a part; did you mean 'car light'?",
    ),
    "duplicate category": (
        added("categories", {"id": 19, "name": "Back_Mirror"}),
        "`name` 'backmirror' is given twice",
    ),
    "duplicate category id": (added("categories", {"id": 1, "name": "y"}), "(id 1): `id` 1 is given twice"),
    "label is a number": (added("categories", {"id": 20, "name": 3}), "(id 20): `name` 3 is not a name"),
    "category is a string": (added("categories", "logo"), "'logo' is not an object"),
    "duplicate image id": (image(0, id=2), "images[1] (id 2, file_name 'images/0001.png'): `id` 2 is given twice"),
    "duplicate file name": (
        image(2, file_name="images//./0003.png"),
        "(id 4, file_name 'images/0003.png'): `file_name` 'images/0003.png' is given twice",
    ),
    "width is true": (image(4, width=True), "(id 5, file_name 'images/0004.png'): `width` True is not a number of"),
    "width below 0": (image(5, width=-5), "`width` -5 is not a number of pixels"),
    "absolute name": (image(8, file_name="/etc/passwd"), "'/etc/passwd' is missing below"),
    "link out of the folder": (image(10, file_name="out.png"), "out.png: leads out of"),
    "missing file": (image(11, file_name="images/x.png"), "'images/x.png' is missing below"),
    "name too long": (image(12, file_name="x" * 300), "x... is missing below"),
    "no file name": (removed("images", 14, "file_name"), "images[14] (id 15): `file_name` is missing"),
    "vehicle is a list": (image(15, vehicle_id=[1]), "`vehicle_id` [1] is neither an integer nor a string"),
    "vehicle is not printable": (image(18, vehicle_id="\ud800"), "`vehicle_id` '\\ud800' is neither"),
    "image id is a list": (image(16, id=[17]), "`id` [17] is neither an integer nor a string"),
    "image is a number": (added("images", 7), "images[24]: 7 is not an object"),
    "duplicate annotation": (annotation(81, id=81), "annotations[81] (id 81): `id` 81 is given twice"),
    "unknown image": (annotation(82, image_id=99), "annotations[82] (id 83): no image has id 99"),
    "unknown category": (annotation(84, category_id=99), "(id 85): no category has id 99"),
    "category id is true": (annotation(85, category_id=True), "(id 86): `category_id` True is neither"),
    "three numbers": (annotation(86, bbox=[1, 2, 3]), "(id 87): `bbox` [1, 2, 3] is not [x, y, width, height]"),
    "box with true": (annotation(87, bbox=[1, 2, True, 4]), "(id 88): `bbox` True is not a number"),
    "box with a string": (annotation(88, bbox=[1, "2 px", 3, 4]), "(id 89): `bbox` '2 px' is not a number"),
    "box beyond floats": (annotation(89, bbox=[1, 2, 3, 10**400]), "(id 90): `bbox` 1000"),
    "no box": (removed("annotations", 90, "bbox"), "(id 91): `bbox` is missing"),
}

# boxes that are mended or dropped, and refused with --strict
BOXES: dict[str, tuple[Change, str]] = {
    "no area": (annotation(91, bbox=[1, 2, 0, 3]), "(id 92): the box from 1, 2 to 1, 5 has no area inside"),
    "negative width": (annotation(92, bbox=[10, 2, -4, 3]), "(id 93): the box from 10, 2 to 6, 5 has swapped corners"),
    "no area inside": (annotation(93, bbox=[-0.8, 0, 0.5, 9]), "(id 94): the box from -0.8, 0 to -0.3, 9 has no"),
    "outside": (annotation(94, bbox=[150, 2, 30, 3]), "(id 95): the box from 150, 2 to 180, 5 leaves its image of"),
    "crowd": (annotation(95, iscrowd=1), "(id 96): `iscrowd` marks a group; draw one box per part"),
    "empty": (annotation(90, bbox=[]), "(id 91): `bbox` is empty"),
}


@pytest.mark.parametrize("fault", WHOLE_FILE)
def test_fault_of_the_whole_file_is_reported_in_one_line(tmp_path: Path, fault: str) -> None:
    change, reason = WHOLE_FILE[fault]
    path = changed(toy_set(tmp_path, 24), change)
    with pytest.raises(AnnotationFaults, match=reason) as raised:
        read_annotations(path, tmp_path)
    assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)


def test_all_faults_are_reported_together_and_none_causes_another(tmp_path: Path) -> None:
    (tmp_path / "out.png").symlink_to("/etc/passwd")
    path = changed(toy_set(tmp_path, 24), *(change for change, _ in RECORDS.values()))
    with pytest.raises(AnnotationFaults) as raised:
        read_annotations(path, tmp_path)
    faults = raised.value.faults
    for _, reason in RECORDS.values():
        assert sum(reason in line for line in faults) == 1, f"{reason} in {faults}"
    others = [line for line in faults if not any(reason in line for _, reason in RECORDS.values())]
    assert len(others) == 2 * 4 and all("no image has id" in line for line in others)  # two images lost their id
    message = str(raised.value)
    assert message.startswith(f"{path}: {len(faults)} faults: ") and "\n" not in message
    assert message.endswith("lists all, `parts convert` maps other labels")
    shown = [line for line in faults if line.removeprefix(f"{path}: ") in message]
    assert shown == list(faults[:FAULTS_IN_MESSAGE])
    assert checked_reading(path, tmp_path).faults == list(faults)


def test_imperfect_boxes_are_mended_or_dropped_and_counted(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 24)
    plain = {image.name: image for image in read_annotations(path, tmp_path)}
    path = changed(path, *(change for change, _ in BOXES.values()))
    reading = checked_reading(path, tmp_path)
    assert not reading.faults and dict(reading.mended) == {
        "annotations with an empty box were dropped": 1,
        "boxes without area inside their image were dropped": 2,
        "boxes with swapped corners were put right": 1,
        "boxes were clipped to their image": 1,
        "crowds were taken as one part each": 1,
    }
    assert sum(len(image.labels) for image in reading.images) == sum(len(image.labels) for image in plain.values()) - 3
    found = {tuple(box) for image in reading.images for box in image.boxes.tolist()}
    assert (6, 2, 10, 5) in found and (150, 2, 160, 5) in found
    strict = checked_reading(path, tmp_path, strict=True).faults
    assert len(strict) == len(BOXES)
    for _, reason in BOXES.values():
        assert sum(reason in line for line in strict) == 1, f"{reason} in {strict}"


def test_ids_and_sizes_of_other_types_and_missing_sizes_change_nothing(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 6)
    expected = read_annotations(path, tmp_path)

    def retyped(document: Document) -> None:
        for number, record in enumerate(document["images"]):
            record["id"] = [str, float, int][number % 3](record["id"])
        for number, record in enumerate(document["annotations"]):
            record["image_id"] = [float, int, str][number % 3](record["image_id"])
            record["category_id"] = [int, str, float][number % 3](record["category_id"])
            record["bbox"] = [str(side) if number % 2 else side for side in record["bbox"]]
        document["images"][0].update(width="160", height=120.0)
        document["images"][1].update(width=0, height=0)
        document["images"][2].update(width=None, height=None)
        document["images"][3].pop("width")

    found = read_annotations(changed(path, retyped), tmp_path)
    for one, other in zip(expected, found, strict=True):
        assert (one.name, one.width, one.height) == (other.name, other.width, other.height)
        assert one.boxes.tolist() == other.boxes.tolist() and one.labels.tolist() == other.labels.tolist()


def test_categories_without_annotations_are_no_fault(tmp_path: Path) -> None:
    root = added("categories", {"id": 0, "name": "vehicle-parts", "supercategory": "none"})
    path = changed(toy_set(tmp_path, 2), root)
    assert not checked_reading(path, tmp_path, strict=True).faults


def test_annotation_is_not_blamed_for_its_image_or_category(tmp_path: Path) -> None:
    changes = (image(0, width=-1), category(0, name="bumper"), category(1, name=[]), annotation(0, category_id=1))
    path = changed(toy_set(tmp_path, 1), *changes)
    with pytest.raises(AnnotationFaults) as raised:
        read_annotations(path, tmp_path)
    assert len(raised.value.faults) == 3


def test_nan_in_a_box_is_refused(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 1)
    path.write_text(path.read_text().replace('"bbox": [', '"bbox": [NaN, ', 1))
    with pytest.raises(UserError, match="NaN"):
        read_annotations(path, tmp_path)
