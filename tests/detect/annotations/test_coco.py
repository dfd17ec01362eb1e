"""The records of COCO JSON: every fault is told, alone and among others, and none makes another."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.base.errors import UserError
from detect.annotations.faults import SHOWN_FIRST, AnnotationFaults
from detect.annotations.reading import annotation_faults, read_annotations
from helpers.toy.annotations import changed, toy_set

Document = dict[str, Any]
Change = Callable[[Document], object]


def image(number: int, **fields: object) -> Change:
    return lambda document: document["images"][number].update(fields)


def annotation(number: int, **fields: object) -> Change:
    return lambda document: document["annotations"][number].update(fields)


def category(number: int, **fields: object) -> Change:
    return lambda document: document["categories"][number].update(fields)


LONE: dict[str, tuple[Change, str]] = {
    "no object": (lambda d: d.clear(), r"no list `categories`\); not COCO JSON \(no list `images`\)"),
    "no list": (lambda d: d.pop("images"), "no list `images`"),
    "no part": (lambda d: d["annotations"].clear(), "no annotated part in 24 images"),
    "no category is a part": (
        lambda d: d.update(categories=[{"id": i, "name": f"thing {i}"} for i in range(1, 17)]),
        "no category is a part, there are only 'thing 1', 'thing 2'.*; the parts are annual service signs, ",
    ),
    "no category": (lambda d: d["categories"].clear(), "annotation 1: no category has id"),
}
TOGETHER: dict[str, tuple[Change, str]] = {  # each touches records that the others leave alone
    "category without id": (lambda d: d["categories"].append({"name": "x"}), "]: `id` is missing"),
    "unknown part": (
        lambda d: d["categories"].append({"id": 18, "name": "car ligth"}),
        "category 18: 'car ligth' (0 annotations) is none of the parts; did you mean 'car light'?",
    ),
    "category twice": (
        lambda d: d["categories"].append({"id": 19, "name": "Back_Mirror"}),
        "category 19: `name` 'backmirror' is given twice",
    ),
    "category id twice": (lambda d: d["categories"].append({"id": 1, "name": "y"}), "]: `id` 1 is given twice"),
    "label is no text": (
        lambda d: d["categories"].append({"id": 20, "name": 3}),
        "category 20: `name` 3 is not a name",
    ),
    "category is no object": (lambda d: d["categories"].append("logo"), "]: 'logo' is not an object"),
    "image id twice": (image(0, id=2), "images[1]: `id` 2 is given twice"),
    "name twice": (image(2, file_name="images//./0003.png"), "image 4 ('images/0003.png'): `file_name` 'images/0003"),
    "no width": (lambda d: d["images"][4].pop("width"), "image 5 ('images/0004.png'): `width` is missing"),
    "width 0": (image(5, width=0), "image 6 ('images/0005.png'): `width` 0 is not a number of pixels"),
    "height in words": (
        image(5, height="120"),
        "image 6 ('images/0005.png'): `height` '120' is not a number of pixels",
    ),
    "width is true": (image(6, width=True), "image 7 ('images/0006.png'): `width` True is not"),
    "width is a fraction": (image(7, width=160.5), "image 8 ('images/0007.png'): `width` 160.5 is not"),
    "absolute name": (
        image(8, file_name="/etc/passwd"),
        "image 9 ('/etc/passwd'): `file_name` '/etc/passwd' is not a path below",
    ),
    "name leaves": (
        image(9, file_name="../a.png"),
        "image 10 ('../a.png'): `file_name` '../a.png' is not a path below",
    ),
    "a link leaves": (image(10, file_name="out.png"), "out.png: leads out of"),
    "name of two lines": (image(19, file_name="o\nut.png"), "image 20 ('o\\nut.png'): `file_name` 'o\\nut.png'"),
    "file missing": (image(11, file_name="images/x.png"), "image 12 ('images/x.png'): missing below"),
    "name too long": (image(12, file_name="x" * 300), "cannot be looked up (File name too long)"),
    "name is no text": (image(13, file_name=["a"]), "image 14 (['a']): `file_name` ['a'] is not a path"),
    "no name": (lambda d: d["images"][14].pop("file_name"), "image 15 (None): `file_name` is missing"),
    "vehicle is a list": (image(15, vehicle_id=[1]), "`vehicle_id` [1] is neither a whole number nor a text"),
    "vehicle of odd letters": (image(18, vehicle_id="\ud800"), "`vehicle_id` '\\ud800' is neither"),
    "name of odd letters": (
        image(20, file_name="\ud800.png"),
        "image 21 ('\\ud800.png'): `file_name` '\\ud800.png' is",
    ),
    "image id is a list": (image(16, id=[17]), "images[16]: `id` [17] is neither a whole number nor a text"),
    "image id is true": (image(17, id=True), "images[17]: `id` True is neither a whole number nor a text"),
    "image is no object": (lambda d: d["images"].append(7), "images[24]: 7 is not an object"),
    "annotation twice": (annotation(81, id=81), "annotations[81]: `id` 81 is given twice"),
    "unknown image": (annotation(82, image_id=99), "annotation 83: no image has id 99"),
    "image id of an annotation is a list": (annotation(83, image_id=[1]), "annotation 84: `image_id` [1] is neither"),
    "unknown category": (annotation(84, category_id=99), "annotation 85: no category has id 99"),
    "category true": (annotation(85, category_id=True), "annotation 86: `category_id` True is neither"),
    "three numbers": (annotation(86, bbox=[1, 2, 3]), "annotation 87: `bbox` [1, 2, 3] is not [x, y, width, height]"),
    "box with true": (annotation(87, bbox=[1, 2, True, 4]), "annotation 88: `bbox` True is not a number"),
    "box in words": (annotation(88, bbox=[1, "2", 3, 4]), "annotation 89: `bbox` '2' is not a number"),
    "box without end": (annotation(89, bbox=[1, 2, 3, 10**400]), "annotation 90: `bbox` 1000"),
    "no box": (lambda d: d["annotations"][90].pop("bbox"), "annotation 91: `bbox` is missing"),
    "no area": (annotation(91, bbox=[1, 2, 0, 3]), "annotation 92: the box from 1, 2 to 1, 5 has no area inside"),
    "negative": (annotation(92, bbox=[10, 2, -4, 3]), "annotation 93: the box from 10, 2 to 6, 5 has no area inside"),
    "no area inside": (annotation(93, bbox=[-0.8, 0, 0.5, 9]), "annotation 94: the box from -0.8, 0 to -0.3, 9 has no"),
    "outside": (
        annotation(94, bbox=[150, 2, 30, 3]),
        "annotation 95: the box from 150, 2 to 180, 5 leaves its image of",
    ),
    "crowd": (annotation(95, iscrowd=1), "annotation 96: `iscrowd` marks a group; draw one box for each part"),
}


def set_with_link(folder: Path) -> Path:
    (folder / "out.png").symlink_to("/etc/passwd")
    return toy_set(folder, 24)


@pytest.mark.parametrize("fault", LONE)
def test_a_fault_of_the_whole_is_told_with_the_file(tmp_path: Path, fault: str) -> None:
    change, reason = LONE[fault]
    path = changed(toy_set(tmp_path, 24), change)
    with pytest.raises(AnnotationFaults, match=reason) as raised:
        read_annotations(path, tmp_path)
    assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)


@pytest.mark.parametrize("fault", TOGETHER)
def test_each_fault_alone_is_told_with_file_record_and_remedy(tmp_path: Path, fault: str) -> None:
    change, reason = TOGETHER[fault]
    path = changed(set_with_link(tmp_path), change)
    with pytest.raises(AnnotationFaults) as raised:
        read_annotations(path, tmp_path)
    first, *others = raised.value.faults
    assert first.startswith(f"{path}: ") and reason in first
    assert all("no image has id" in other for other in others)  # where an image lost its id
    message = str(raised.value)
    assert message.startswith(f"{path}: ") and "parts check --annotations" in message and "\n" not in message


def test_all_faults_are_told_together_and_none_makes_another(tmp_path: Path) -> None:
    path = changed(set_with_link(tmp_path), *(change for change, _ in TOGETHER.values()))
    with pytest.raises(AnnotationFaults) as raised:
        read_annotations(path, tmp_path)
    faults = raised.value.faults
    for _, reason in TOGETHER.values():
        assert sum(reason in line for line in faults) == 1, f"{reason} in {faults}"
    others = [line for line in faults if not any(reason in line for _, reason in TOGETHER.values())]
    assert len(others) == 3 * 4 and all("no image has id" in line for line in others)  # three images lost their id
    message = str(raised.value)
    assert message.startswith(f"{path}: {len(faults)} faults: ") and "\n" not in message
    told = [line for line in faults if line.removeprefix(f"{path}: ") in message]
    assert told == list(faults[:SHOWN_FIRST])
    assert annotation_faults(path, tmp_path) == list(faults)


def test_a_record_without_an_id_of_its_own_is_looked_at_all_the_same(tmp_path: Path) -> None:
    path = changed(toy_set(tmp_path, 2), image(1, id=1, width=0), annotation(0, id=None, bbox=[1], category_id=99))
    with pytest.raises(AnnotationFaults) as raised:
        read_annotations(path, tmp_path)
    faults = [line.removeprefix(f"{path}: ") for line in raised.value.faults]
    assert faults[:2] == [
        "images[1]: `id` 1 is given twice",
        "images[1] ('images/0001.png'): `width` 0 is not a number of pixels",
    ]
    assert [line.split(":")[0] for line in faults[2:]] == ["annotations[0]"] * 3 + [
        f"annotation {n}" for n in range(5, 9)
    ]


def test_an_annotation_is_not_blamed_for_its_image_or_category(tmp_path: Path) -> None:
    path = changed(toy_set(tmp_path, 1), image(0, width=-1), category(0, name="bumper"))
    with pytest.raises(AnnotationFaults) as raised:
        read_annotations(path, tmp_path)
    assert len(raised.value.faults) == 2


ODD = (None, True, -1, 0, 1.5, 10**400, "", "1", "\ud800", "..", "/", "\n", [], [[]], {}, {"id": 1}, "logo", 2**63)


def test_whatever_stands_in_a_record_is_read_or_told(tmp_path: Path) -> None:
    text = toy_set(tmp_path, 4).read_text()
    random = np.random.default_rng(0)
    for _ in range(300):
        document = json.loads(text)
        for _ in range(random.integers(1, 4)):
            records = document[("images", "annotations", "categories")[random.integers(3)]]
            record = records[random.integers(len(records))]
            if isinstance(record, dict):
                record[sorted(record)[random.integers(len(record))]] = ODD[random.integers(len(ODD))]
            records[random.integers(len(records))] = ODD[random.integers(len(ODD))] if random.random() < 0.1 else record
        path = tmp_path / "odd.json"
        path.write_text(json.dumps(document))
        try:
            images = read_annotations(path, tmp_path)
        except AnnotationFaults as error:
            assert annotation_faults(path, tmp_path)[: len(error.faults)] == list(error.faults)
            assert all(line.startswith(f"{path}: ") and line.isprintable() for line in error.faults)
        else:
            assert all((image.boxes[:, 2:] > image.boxes[:, :2]).all() for image in images)


def test_nan_in_a_box_is_refused(tmp_path: Path) -> None:
    path = toy_set(tmp_path, 1)
    path.write_text(path.read_text().replace('"bbox": [', '"bbox": [NaN, ', 1))
    with pytest.raises(UserError, match="NaN"):
        read_annotations(path, tmp_path)
