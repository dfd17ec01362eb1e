"""COCO files: images and categories by id, and invalid records with their index."""

import json
from pathlib import Path
from typing import Any

import pytest

from data_cache.base.errors import UserError, short_repr
from data_cache.parts.coco import read_document, read_index
from data_cache.parts.packing import ImageEntry

IMAGE = {"id": 7, "file_name": "in/a.jpg", "width": 10, "height": 8}
WHEEL = {"id": 3, "name": "wheel"}


def index(path: Path, **lists: Any) -> Any:
    path.write_text(json.dumps({"images": [IMAGE], "categories": [WHEEL], **lists}))
    return read_index(path, read_document(path))


def test_images_and_categories_are_read_by_id(tmp_path: Path) -> None:
    images = [IMAGE, IMAGE | {"id": "07", "file_name": "ü b.png", "width": "10", "height": 8.0}]
    found = index(tmp_path / "f.json", images=images, categories=[WHEEL, {"id": 1, "name": "Rad"}])
    assert dict(found.images) == {7: ImageEntry("in/a.jpg", 10, 8), "07": ImageEntry("ü b.png", 10, 8)}
    assert list(found.categories.items()) == [(3, "wheel"), (1, "Rad")]


@pytest.mark.parametrize(
    ("key", "change", "reason"),
    [
        ("images", {"id": None}, "`id` is missing"),
        ("images", {"id": True}, "`id` True is neither"),
        ("images", {"id": 1.5}, "`id` 1.5 is neither"),
        ("images", {"id": [1]}, r"`id` \[1\] is neither"),
        ("images", {"id": 7}, "`id` 7 is given twice"),
        ("images", {"file_name": "in/a.jpg"}, "`file_name` 'in/a.jpg' is given twice"),
        ("images", {"file_name": None}, "`file_name` is missing"),
        ("images", {"file_name": ""}, "is not a path below"),
        ("images", {"file_name": 3}, "is not a path below"),
        ("images", {"file_name": "/etc/passwd"}, "is not a path below"),
        ("images", {"file_name": "a/../../b.jpg"}, "is not a path below"),
        ("images", {"file_name": "a\\b.jpg"}, "is not a path below"),
        ("images", {"file_name": "a.jpg\0"}, "is not a path below"),
        ("images", {"file_name": "a\nb.jpg"}, "is not a path below"),
        ("images", {"file_name": "\ud800.jpg"}, "is not a path below"),
        ("images", {"file_name": "a" * 2000}, "is not a path below"),
        ("images", {"width": 0}, "`width` or `height` is missing or 0"),
        ("images", {"id": "7"}, "`id` 7 is given twice"),
        ("images", {"width": True}, "`width` True is not a number of pixels"),
        ("images", {"height": 8.5}, "`height` 8.5 is not a number of pixels"),
        ("images", {"height": 10**400}, "is not a number of pixels"),
        ("images", {"height": "8 px"}, "`height` '8 px' is not a number of pixels"),
        ("categories", {"name": "wheel"}, "`name` 'wheel' is given twice"),
        ("categories", {"id": 3}, "`id` 3 is given twice"),
        ("categories", {"name": " "}, "is not a name"),
        ("categories", {"name": "a\nb"}, "is not a name"),
        ("categories", {"name": "\ud800"}, "is not a name"),
        ("categories", {"name": ["wheel"]}, "is not a name"),
    ],
)
def test_invalid_record_is_reported_with_its_index(
    tmp_path: Path, key: str, change: dict[str, Any], reason: str
) -> None:
    first, other = (IMAGE, {"id": 9, "file_name": "b.jpg"}) if key == "images" else (WHEEL, {"id": 9, "name": "plate"})
    with pytest.raises(UserError, match=rf"f\.json: 1 fault: {key}\[1\].*: .*{reason}") as caught:
        index(tmp_path / "f.json", **{key: [first, first | other | change]})
    assert len(str(caught.value)) < 300 + len(str(tmp_path)) and "\n" not in str(caught.value)


def test_invalid_records_are_counted_and_the_first_shown(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        index(tmp_path / "f.json", images=[IMAGE, 3, "x", IMAGE | {"id": 8}], categories=[None])
    assert str(caught.value) == (
        f"{tmp_path / 'f.json'}: 4 faults: images[1]: 3 is not an object; images[2]: 'x' is not an object; "
        "images[3] (id 8, file_name 'in/a.jpg'): `file_name` 'in/a.jpg' is given twice; …"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "not a COCO document"),
        ("{}", "no list `images`"),
        ('{"images": {}}', "no list `images`"),
        ('{"images": []}', "no list `categories`"),
        ('{"images": [], "categories": []}', "0 images and 0 categories"),
        ('{"images": [NaN], "categories": []}', "NaN is not a JSON number"),
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
    ],
)
def test_other_json_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(UserError, match=rf"f\.json: .*{reason}"):
        read_index(tmp_path / "f.json", read_document(tmp_path / "f.json"))
    with pytest.raises(UserError, match=r"absent\.json: no such file"):
        read_document(tmp_path / "absent.json")


def test_more_categories_than_int8_labels_are_refused(tmp_path: Path) -> None:
    many = [{"id": number, "name": f"part {number}"} for number in range(129)]
    assert len(index(tmp_path / "f.json", categories=many[:128]).categories) == 128
    with pytest.raises(UserError, match="at most 128 categories"):
        index(tmp_path / "f.json", categories=many)


@pytest.mark.parametrize("depth", [10, 300, 600, 900, 950, 990])
def test_deeply_nested_lists_are_refused(tmp_path: Path, depth: int) -> None:
    record = f'{{"id": {"[" * depth}{"]" * depth}, "file_name": "a.jpg", "width": 1, "height": 1}}'
    (tmp_path / "f.json").write_text(f'{{"images": [{record}], "categories": []}}')
    with pytest.raises(UserError, match=r"f\.json: (1 fault: images\[0\] .*: `id` |cannot be read as JSON)"):
        read_index(tmp_path / "f.json", read_document(tmp_path / "f.json"))


def test_short_repr_of_deep_and_long_values() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert short_repr(deep) == "list"
    assert short_repr({"ü\n": [1]}) == r"{'ü\n': [1]}"
    assert len(short_repr("x" * 1000)) == 80
    while deep:  # unnested here: some versions of Python free nested lists by recursion
        deep = deep[0]
