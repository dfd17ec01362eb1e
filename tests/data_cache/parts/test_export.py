"""Export: imported again to the same floats, and readable by COCO evaluation and pandas."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from data_cache.base.errors import UserError
from data_cache.parts.cache import STATUS_FAILED, PartBoxes
from data_cache.parts.export import Kind, export_boxes
from data_cache.parts.import_coco import import_coco, import_coco_results
from data_cache.parts.names import PART_NAMES
from helpers.parts import MakeParts


def document_of(parts: PartBoxes, images: dict[str, int], categories: dict[str, int]) -> dict[str, Any]:
    """Return a COCO file of other ids, without boxes."""
    sizes = dict(zip(parts.names, parts.image_size.tolist(), strict=True))
    return {
        "images": [
            {"id": key, "file_name": name, "width": sizes.get(name, [1, 1])[0], "height": sizes.get(name, [1, 1])[1]}
            for name, key in images.items()
        ],
        "categories": [{"id": key, "name": name} for name, key in categories.items()],
        "annotations": [],
    }


def assert_same_boxes(found: PartBoxes, parts: PartBoxes, rows: list[int]) -> None:
    assert found.names == tuple(parts.names[row] for row in rows)
    for name in ("image_size", "boxes", "scores", "labels", "status"):
        assert np.array_equal(getattr(found, name), getattr(parts, name)[rows]), name


@pytest.mark.parametrize("seed", range(3))
def test_export_and_import_give_the_same_floats(tmp_path: Path, make_parts: MakeParts, seed: int) -> None:
    parts = make_parts(60, 7, seed)
    read = np.flatnonzero(parts.status != STATUS_FAILED).tolist()
    exported = export_boxes(parts, "coco")
    assert (exported.images, exported.boxes) == (59, int((parts.labels >= 0).sum()))
    assert exported.notes == ("1 failed images are left out",)
    (tmp_path / "coco.json").write_bytes(exported.content)
    (tmp_path / "results.json").write_bytes(export_boxes(parts, "coco-results").content)
    whole = import_coco(tmp_path / "coco.json", dataset=None, top_k=7)
    loose = import_coco_results(tmp_path / "results.json", tmp_path / "coco.json", dataset=None, top_k=7)
    for found in (whole, loose):
        assert found.notes == ()
        assert found.parts.part_names == PART_NAMES
        assert_same_boxes(found.parts, parts, read)


def test_difficult_floats_round_trip(tmp_path: Path, make_parts: MakeParts) -> None:
    """Corners of very different magnitude, neighbouring floats, and at the border: x0 + (x1 - x0) must be x1."""
    parts = make_parts(2, 4)
    limit = np.float32(100)
    hard = [
        (1e-30, 1e-45, 100, 90),
        (33.3, 33.3, np.nextafter(np.float32(33.3), limit), np.nextafter(np.float32(33.3), limit)),
        (1 / 3, 1e-7, np.nextafter(limit, np.float32(0)), 0.1),
        (0, 0, 1e-38, 1e-38),
    ]
    boxes, scores, labels = parts.boxes.copy(), parts.scores.copy(), parts.labels.copy()
    boxes[1], labels[1] = np.float32(hard), 0
    scores[1] = np.float32([1, 1 / 3, 1e-10, 0])
    parts = dataclasses.replace(parts, boxes=boxes, scores=scores, labels=labels)
    (tmp_path / "coco.json").write_bytes(export_boxes(parts, "coco").content)
    assert_same_boxes(import_coco(tmp_path / "coco.json", dataset=None, top_k=4).parts, parts, [1])
    table = pd.read_csv(io.BytesIO(export_boxes(parts, "csv").content))
    assert np.array_equal(table[["x0", "y0", "x1", "y1"]].to_numpy().astype(np.float32), parts.boxes[1])
    assert np.array_equal(table["score"].to_numpy().astype(np.float32), parts.scores[1])


@pytest.mark.parametrize("kind", ["coco-results", "coco", "csv"])
def test_same_cache_gives_same_bytes(make_parts: MakeParts, kind: Kind) -> None:
    assert export_boxes(make_parts(), kind).content == export_boxes(make_parts(), kind).content
    assert export_boxes(make_parts(), kind).content != export_boxes(make_parts(seed=1), kind).content


def test_document_has_the_fields_of_annotation_tools(make_parts: MakeParts) -> None:
    parts = make_parts(4, 2)
    document = json.loads(export_boxes(parts, "coco").content)
    assert document["images"][0] == {"id": 2, "file_name": "images/ü 0001.jpg", "width": 100, "height": 90}
    assert document["categories"] == [{"id": number, "name": name} for number, name in enumerate(PART_NAMES, start=1)]
    assert [record["id"] for record in document["annotations"]] == [1, 2, 3]
    for record in document["annotations"]:
        assert set(record) == {"id", "image_id", "category_id", "bbox", "score", "area", "iscrowd"}
        assert record["area"] == pytest.approx(record["bbox"][2] * record["bbox"][3])
    assert document["info"]["fingerprint"] == parts.fingerprint


def test_ids_are_taken_from_annotations_by_name(tmp_path: Path, make_parts: MakeParts) -> None:
    parts = make_parts(9, 4)
    images = {parts.names[3]: 77, parts.names[1]: 5, "not in the cache.jpg": 6}
    categories = {name: 100 + number for number, name in enumerate(reversed(PART_NAMES)) if name != "wheel"}
    (tmp_path / "gt.json").write_text(json.dumps(document_of(parts, images, categories)))
    exported = export_boxes(parts, "coco-results", tmp_path / "gt.json")
    wanted = []
    for row, key in ((1, 5), (3, 77)):
        for rank in range(4):
            label = parts.labels[row, rank]
            if label >= 0 and PART_NAMES[label] != "wheel":
                x0, y0, x1, y1 = (float(side) for side in parts.boxes[row, rank])
                record = {"image_id": key, "category_id": categories[PART_NAMES[label]]}
                wanted.append(record | {"bbox": [x0, y0, x1 - x0, y1 - y0], "score": float(parts.scores[row, rank])})
    assert json.loads(exported.content) == wanted
    assert exported.notes == (
        "1 failed images are left out",
        "6 images that the annotations do not have are left out",
        f"{int((parts.labels >= 0).sum()) - len(wanted)} boxes are left out with their image or their part",
        "1 images of the annotations are not in the cache",
    )
    whole = json.loads(export_boxes(parts, "coco", tmp_path / "gt.json").content)
    assert [(image["id"], image["file_name"]) for image in whole["images"]] == [
        (5, parts.names[1]),
        (77, parts.names[3]),
    ]
    assert {(part["name"], part["id"]) for part in whole["categories"]} == set(categories.items())


def test_annotations_without_common_names_or_sizes_are_refused(tmp_path: Path, make_parts: MakeParts) -> None:
    parts, path = make_parts(3, 2), tmp_path / "gt.json"
    path.write_text(json.dumps(document_of(parts, {"x.jpg": 1}, {"wheel": 1})))
    with pytest.raises(UserError, match=r"gt\.json: none of its images is in the cache, first x\.jpg"):
        export_boxes(parts, "coco-results", path)
    path.write_text(json.dumps(document_of(parts, {parts.names[1]: 1}, {"cat": 1})))
    with pytest.raises(UserError, match=r"gt\.json: none of its categories is a part of the cache, first cat"):
        export_boxes(parts, "coco-results", path)
    turned = document_of(parts, {parts.names[1]: 1}, {"wheel": 1})
    turned["images"][0] |= {"width": 90, "height": 100}
    path.write_text(json.dumps(turned))
    with pytest.raises(UserError, match=r"gt\.json: .*0001\.jpg has the size \(90, 100\), in the cache \(100, 90\)"):
        export_boxes(parts, "coco", path)


def test_coco_evaluation_reads_the_results(tmp_path: Path, make_parts: MakeParts) -> None:
    """Boxes evaluated against themselves, with the ids of an annotation file, have AP 1."""
    parts = make_parts(30, 4)
    images = {name: 1000 - row for row, name in enumerate(parts.names) if row}
    categories = {name: 500 + number for number, name in enumerate(PART_NAMES)}
    truth = document_of(parts, images, categories)
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    records = json.loads(export_boxes(parts, "coco-results", tmp_path / "gt.json").content)
    truth["annotations"] = [
        {**record, "id": number, "area": record["bbox"][2] * record["bbox"][3], "iscrowd": 0}
        for number, record in enumerate(records, start=1)
    ]
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(records))
    coco = COCO(str(tmp_path / "gt.json"))
    evaluation = COCOeval(coco, coco.loadRes(str(tmp_path / "results.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_csv_has_a_row_per_box(make_parts: MakeParts) -> None:
    parts = make_parts(12, 3)
    exported = export_boxes(parts, "csv")
    table = pd.read_csv(io.BytesIO(exported.content))
    rows, ranks = np.nonzero(parts.labels >= 0)
    assert exported.boxes == len(table) == len(rows)
    assert table["name"].tolist() == [parts.names[row] for row in rows]
    assert table["rank"].tolist() == (ranks + 1).tolist()
    assert table["part"].tolist() == [PART_NAMES[label] for label in parts.labels[rows, ranks]]
    assert table[["image_width", "image_height"]].drop_duplicates().to_numpy().tolist() == [[100, 90]]
    assert np.array_equal(table[["x0", "y0", "x1", "y1"]].to_numpy().astype(np.float32), parts.boxes[rows, ranks])
