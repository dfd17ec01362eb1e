"""Import of COCO boxes: clipped and ranked as in a naive loop, invalid records reported."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_file, sha256_of_names
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FOUND
from data_cache.parts.import_coco import import_coco, import_coco_results
from data_cache.parts.packing import ImportResult
from data_cache.parts.verification import fingerprint_errors

IMAGES = [
    {"id": 5, "file_name": "b.jpg", "width": 100, "height": 60},
    {"id": 2, "file_name": "a.jpg", "width": 30, "height": 40},
    {"id": 9, "file_name": "empty.jpg", "width": 3, "height": 4},
]
PARTS = [{"id": 20, "name": "wheel"}, {"id": 10, "name": "my part"}]


def box(image: Any = 5, part: Any = 20, bbox: Any = (1, 2, 3, 4), score: Any = 0.5, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": part, "bbox": bbox, "score": score, **more}


def results(folder: Path, boxes: Any, top_k: int = 4, dataset: Dataset | None = None) -> ImportResult:
    (folder / "images.json").write_text(json.dumps({"images": IMAGES, "categories": PARTS}))
    (folder / "results.json").write_text(json.dumps(boxes))
    return import_coco_results(folder / "results.json", folder / "images.json", dataset=dataset, top_k=top_k)


def document(folder: Path, boxes: list[Any], top_k: int = 4, dataset: Dataset | None = None) -> ImportResult:
    (folder / "coco.json").write_text(json.dumps({"images": IMAGES, "categories": PARTS, "annotations": boxes}))
    return import_coco(folder / "coco.json", dataset=dataset, top_k=top_k)


def clipped(pair: Sequence[float], limit: int) -> tuple[float, float]:
    low, high = (float(np.float32(min(max(value, 0), limit))) for value in pair)
    return low, high


def dataset(*names: str) -> Dataset:
    table = pd.DataFrame({"name": list(names), "vehicle_id": "1", "camera_id": -1, "split": "train"})
    return Dataset("cars", Path("data"), table, {})


def test_every_image_has_a_row_with_its_boxes_by_score(tmp_path: Path) -> None:
    found = results(tmp_path, [box(score=0.25), box(bbox=[10, 20, 5, 6], part=10, score=0.75), box(2, score=1)]).parts
    assert found.names == ("a.jpg", "b.jpg", "empty.jpg")
    assert found.image_size.tolist() == [[30, 40], [100, 60], [3, 4]]
    assert found.boxes[1].tolist() == [[10, 20, 15, 26], [1, 2, 4, 6], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert found.scores[1].tolist() == [0.75, 0.25, 0, 0]
    assert found.labels.tolist() == [[0, -1, -1, -1], [1, 0, -1, -1], [-1, -1, -1, -1]]
    assert found.status.tolist() == [STATUS_FOUND, STATUS_FOUND, STATUS_EMPTY]
    assert found.part_names == ("wheel", "my part")


def test_the_fingerprint_tells_the_origin(tmp_path: Path) -> None:
    found = results(tmp_path, [box()], dataset=dataset("b.jpg", "a.jpg", "empty.jpg"))
    assert found.notes == ()
    assert found.parts.fingerprint == {
        "source": "coco",
        "orientation": "EXIF",
        "file_sha256": sha256_of_file(tmp_path / "results.json"),
        "images_sha256": sha256_of_file(tmp_path / "images.json"),
        "dataset": "cars",
        "names_sha256": sha256_of_names(["a.jpg", "b.jpg", "empty.jpg"]),
        "top_k": 4,
    }
    assert fingerprint_errors(found.parts) == []
    told = document(tmp_path, [box()]).parts.fingerprint
    assert told["file_sha256"] == sha256_of_file(tmp_path / "coco.json") and told["dataset"] is None


@pytest.mark.parametrize("seed", range(3))
def test_boxes_are_clipped_and_ranked_as_in_a_loop(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes = [
        box(
            int(random.choice([5, 2])),
            int(random.choice([20, 10])),
            [*random.uniform(-30, 90, 2).tolist(), *random.uniform(-5, 60, 2).tolist()],
            float(random.choice([0.25, 0.5, 1])),
        )
        for _ in range(80)
    ]
    found = results(tmp_path, boxes, top_k=6)
    dropped = 0
    for row, (key, width, height) in enumerate([(2, 30, 40), (5, 100, 60)]):
        kept = []
        for record in boxes:
            x, y, w, h = record["bbox"]
            (x0, x1), (y0, y1) = clipped(sorted((x, x + w)), width), clipped(sorted((y, y + h)), height)
            if record["image_id"] != key:
                continue
            if x1 > x0 and y1 > y0:
                kept.append((-record["score"], x0, y0, x1, y1, [20, 10].index(record["category_id"])))
            else:
                dropped += 1
        wanted = sorted(kept)[:6]
        ranks = [rank for rank in range(6) if found.parts.labels[row, rank] >= 0]
        packed = [(found.parts.scores[row, rank], found.parts.boxes[row, rank]) for rank in ranks]
        labels = found.parts.labels[row, ranks].tolist()
        assert [(-score, *corners.tolist()) for score, corners in packed] == [box[:5] for box in wanted]
        assert labels == [box[5] for box in wanted]
    assert f"{dropped} boxes without area inside their image were dropped" in found.notes
    swapped = sum(min(record["bbox"][2:]) < 0 for record in boxes)
    assert f"{swapped} boxes with swapped corners were put right" in found.notes
    left_out = 80 - dropped - int((found.parts.labels >= 0).sum())
    assert f"{left_out} boxes beyond the 6 most confident of their image were left out" in found.notes


@pytest.mark.parametrize("bbox", [[100, 0, 5, 5], [0, 0, 0, 5], [1e308, 0, 1e308, 5], [3, 3, 1e-30, 5], [-9, -9, 5, 5]])
def test_box_without_area_inside_its_image_is_dropped(tmp_path: Path, bbox: list[float]) -> None:
    found = results(tmp_path, [box(bbox=bbox)])
    assert found.notes == ("1 boxes without area inside their image were dropped",)
    assert (found.parts.status == STATUS_EMPTY).all()


def test_huge_boxes_are_clipped(tmp_path: Path) -> None:
    found = results(tmp_path, [box(bbox=[-1e300, -1e300, 1.7e308, 1.7e308])])
    assert found.parts.boxes[1, 0].tolist() == [0, 0, 100, 60]


def test_missing_score_is_1_in_a_document_and_an_error_in_results(tmp_path: Path) -> None:
    plain = {"id": 1, "image_id": 5, "category_id": 20, "bbox": [1, 2, 3, 4]}
    found = document(tmp_path, [plain, plain | {"id": 2, "score": None}, box(score=0.5)])
    assert found.parts.scores[1].tolist() == [1, 1, 0.5, 0]
    assert found.notes == ("2 boxes without a score get 1.0",)
    assert found.parts.fingerprint["scores"] == "1 where the file gives none"
    with pytest.raises(UserError, match=r"results\.json: 1 fault: results\[0\] \(id 1\): `score` is missing"):
        results(tmp_path, [plain])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (3, "3 is not an object"),
        ({}, "`image_id` is missing"),
        (box(image=1), "no image has id 1"),
        (box(image="05"), "no image has id '05'"),
        (box(image=5.5), "`image_id` 5.5 is neither"),
        (box(image="x" * 500), r"no image has id 'x+\.\.\."),
        (box(part=1), "no category has id 1"),
        (box(part={}), "`category_id` {} is neither"),
        (box(bbox=None), "`bbox` is missing"),
        (box(bbox=[1, 2, 3]), r"`bbox` \[1, 2, 3\] is not"),
        (box(bbox=[1, 2, 3, "four"]), "`bbox` 'four' is not a number"),
        (box(bbox=[1, 2, 3, True]), "`bbox` True is not a number"),
        (box(bbox=[1, 2, 3, None]), "`bbox` None is not a number"),
        (box(bbox=[1, 2, 3, 10**400]), "`bbox` 10+.* is not a number"),
        (box(bbox={"x": 1}), "is not"),
        (box(score=1.01), r"`score` 1.01 is not in \[0, 1\]"),
        (box(score=-0.1), r"`score` -0.1 is not in \[0, 1\]"),
        (box(score="high"), "`score` 'high' is not a number"),
        (box(score=None), "`score` is missing"),
    ],
)
def test_invalid_record_is_reported_with_its_index(tmp_path: Path, record: Any, reason: str) -> None:
    with pytest.raises(UserError, match=rf"results\.json: 1 fault: results\[1\]: .*{reason}"):
        results(tmp_path, [box(), record])


def test_results_and_documents_are_not_interchangeable(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"results\.json: not COCO results .*--coco"):
        results(tmp_path, {"annotations": []})
    (tmp_path / "coco.json").write_text(json.dumps([box()]))
    with pytest.raises(UserError, match=r"coco\.json: not a COCO document"):
        import_coco(tmp_path / "coco.json", dataset=None, top_k=4)
    (tmp_path / "coco.json").write_text(json.dumps({"images": IMAGES, "categories": PARTS}))
    with pytest.raises(UserError, match=r"coco\.json: .*no list `annotations`"):
        import_coco(tmp_path / "coco.json", dataset=None, top_k=4)


def test_names_missing_in_either_are_noted(tmp_path: Path) -> None:
    found = results(tmp_path, [box()], dataset=dataset("b.jpg", "c.jpg", "d.jpg"))
    assert found.notes == (
        f"2 images of cars are not in {tmp_path / 'images.json'} and will be missing in training, first c.jpg, d.jpg",
        "2 images are not in cars, first a.jpg, empty.jpg",
    )
    with pytest.raises(UserError, match=r"images\.json: none of its 3 images is in cars, first a\.jpg; .*in/a\.jpg$"):
        results(tmp_path, [box()], dataset=dataset("in/a.jpg"))


def test_file_without_boxes_gives_empty_images(tmp_path: Path) -> None:
    found = document(tmp_path, []).parts
    assert (found.status == STATUS_EMPTY).all() and found.boxes.shape == (3, 4, 4)
