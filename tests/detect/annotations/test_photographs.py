"""The annotations of photographs in docs/examples, and the scripts that make training sets."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_cache.parts.names import PART_NAMES
from detect.annotations.images import ALL_LABELS
from detect.annotations.reading import read_annotations
from helpers.paths import ROOT
from helpers.toy.annotations import changed, toy_set

EXAMPLES = ROOT / "docs/examples"
FILES = sorted(EXAMPLES.glob("vehicle_re_id_dataset_parts*.json"))
SCRIPT = EXAMPLES / "detector_training_set.py"


def document(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_boxes_are_inside_their_images_and_of_known_parts(path: Path) -> None:
    content = document(path)
    sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    assert {category["name"] for category in content["categories"]} <= set(PART_NAMES)
    assert {annotation["image_id"] for annotation in content["annotations"]} <= set(sizes)
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        right, bottom = sizes[annotation["image_id"]]
        assert x >= 0 and y >= 0 and x + width <= right + 0.05 and y + height <= bottom + 0.05, annotation
        assert min(width, height) > 1 and max(width, height) >= 3.5, annotation


def test_training_and_test_photographs_show_different_vehicles() -> None:
    vehicles = [{image["vehicle_id"] for image in document(path)["images"]} for path in FILES]
    assert len(FILES) >= 2 and sum(map(len, vehicles)) == len(set.union(*vehicles))


def put_together(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_sets_are_put_together_with_copies_and_what_each_annotates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_some(content: dict[str, Any]) -> None:
        content["categories"] = [{"id": each["id"] + 50, "name": each["name"]} for each in content["categories"][:4]]
        kept = [each for each in content["annotations"] if each["category_id"] <= 4]
        content["annotations"] = [each | {"category_id": each["category_id"] + 50} for each in kept]

    first, second = toy_set(tmp_path / "a", 3), changed(toy_set(tmp_path / "b", 2, seed=5), only_some)
    target = tmp_path / "both"
    words = [first, first.parent, 1, second, second.parent, 2]
    put_together(monkeypatch, str(target), *map(str, words))
    mixed = read_annotations(target / "parts_train.json", target)
    assert [image.name for image in mixed] == [
        *(f"0/0/images/{index:04d}.png" for index in range(3)),
        *(f"1/{time}/images/{index:04d}.png" for time in range(2) for index in range(2)),
    ]
    originals = [*read_annotations(first, first.parent), *2 * read_annotations(second, second.parent)]
    for image, original in zip(mixed, originals, strict=True):
        assert image.boxes.tolist() == original.boxes.tolist() and image.labels.tolist() == original.labels.tolist()
        assert image.annotated == original.annotated
        source = first.parent if image.name.startswith("0") else second.parent
        assert (target / image.name).read_bytes() == (source / original.name).read_bytes()
    assert {image.vehicle for image in mixed} == {"0 0", "0 1", "1 0"}


def test_pseudo_labels_leave_open_what_the_detector_is_unsure_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scored(image: int, part: str, score: float) -> dict[str, Any]:
        label = PART_NAMES.index(part) + 1
        return {"id": 1, "image_id": image, "category_id": label, "bbox": [1, 2, 30, 40], "score": score}

    boxes = [
        scored(1, "wheel", 0.9),
        scored(1, "wheel", 0.6),
        scored(1, "logo", 0.59),
        scored(1, "plate", 0.1),
        scored(2, "wheel", 0.95),
        scored(2, "wheel", 0.15),
    ]
    found = {
        "images": [{"id": each, "file_name": f"{each}.png", "width": 60, "height": 50} for each in (1, 2)],
        "annotations": [box | {"id": number} for number, box in enumerate(boxes, start=1)],
        "categories": [{"id": label, "name": name} for label, name in enumerate(PART_NAMES, start=1)],
    }
    (tmp_path / "found.json").write_text(json.dumps(found), encoding="utf-8")
    for image in (1, 2):
        Image.new("RGB", (60, 50)).save(tmp_path / f"{image}.png")
    target = tmp_path / "pseudo.json"
    monkeypatch.setattr(sys, "argv", ["pseudo_labels.py", str(tmp_path / "found.json"), str(target)])
    runpy.run_path(str(EXAMPLES / "pseudo_labels.py"), run_name="__main__")
    first, second = read_annotations(target, tmp_path)
    assert [PART_NAMES[label] for label in first.labels] == ["wheel", "wheel"] and not len(second.labels)
    assert {PART_NAMES[label] for label in ALL_LABELS - first.annotated} == {"logo"}
    assert {PART_NAMES[label] for label in ALL_LABELS - second.annotated} == {"wheel"}


def test_wrong_usage_prints_the_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="Put several annotated sets together"):
        put_together(monkeypatch, "out", "parts.json")
