"""Files of annotation tools and trackers give the same objects as a CSV of them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.datasets.catalogue import load_dataset
from data_cache.objects.cropping import CropSettings, crop_objects
from data_cache.objects.formats import read_objects
from data_cache.objects.table import BOX, COLUMNS, combined

SIZE = (80, 40)
OBJECTS = [  # frame, x0, y0, x1, y1, vehicle, camera
    (1, 10, 5, 30, 25, "7", "north"),
    (1, 40, 0, 80, 40, "a b", "north"),
    (12, 0, 8, 16, 24, "7", "south-2"),
]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (1, 12):
        Image.new("RGB", SIZE).save(folder / f"{number:06d}.png")
    return folder


def write_csv(path: Path) -> Path:
    lines = [f"{n:06d},{x0},{y0},{x1 - x0},{y1 - y0},{who},{camera}" for n, x0, y0, x1, y1, who, camera in OBJECTS]
    path.write_text("\n".join(["image_id,x,y,w,h,vehicle_id,camera_id", *lines]) + "\n")
    return path


def write_coco(path: Path) -> Path:
    images = [
        {"id": 5, "file_name": "000001.png", "camera_id": "north"},
        {"id": 6, "file_name": "000012.png", "camera": "south-2"},
    ]
    annotations = [
        {"image_id": 5 if n == 1 else "6", "bbox": [x0, y0, x1 - x0, y1 - y0], "attributes": {"track_id": who}}
        for n, x0, y0, x1, y1, who, _ in OBJECTS
    ]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return path


def write_yolo(folder: Path) -> Path:
    folder.mkdir()
    (folder / "classes.txt").write_text("car\n")
    for number in (1, 12):
        lines = [
            f"0 {(x0 + x1) / 2 / SIZE[0]} {(y0 + y1) / 2 / SIZE[1]} {(x1 - x0) / SIZE[0]} {(y1 - y0) / SIZE[1]} {row}"
            for row, (n, x0, y0, x1, y1, *_) in enumerate(OBJECTS)
            if n == number
        ]
        (folder / f"{number:06d}.txt").write_text("\n".join(lines) + "\n\n")
    return folder


def write_mot(path: Path) -> Path:
    lines = [
        f"{n},{row},{x0 + 1},{y0 + 1},{x1 - x0},{y1 - y0},1,-1,-1"
        for row, (n, x0, y0, x1, y1, *_) in enumerate(OBJECTS)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def boxes_of(table: pd.DataFrame) -> np.ndarray:
    return table[BOX].to_numpy(np.float64)


def test_every_format_has_the_boxes_of_the_csv(tmp_path: Path, frames: Path) -> None:
    wanted = np.array([one[1:5] for one in OBJECTS], np.float64)
    csv = read_objects(write_csv(tmp_path / "t.csv"), frames, {})
    assert csv["vehicle_id"].tolist() == ["7", "a b", "7"] and csv["camera_id"].tolist() == [
        "north",
        "north",
        "south-2",
    ]
    coco = read_objects(write_coco(tmp_path / "t.json"), frames, {})
    yolo = read_objects(write_yolo(tmp_path / "labels"), frames, {})
    mot = read_objects(write_mot(tmp_path / "gt.txt"), frames, {})
    for table in (csv, coco, yolo, mot):
        assert table.columns.tolist() == COLUMNS and (table["fault"] == "").all()
        assert table["row"].tolist() == [0, 1, 2]
        assert [Path(name).stem for name in table["image"]] == ["000001", "000001", "000012"]
        assert (table["shares"] == (table is yolo)).all()
        np.testing.assert_allclose(boxes_of(table) * ((*SIZE, *SIZE) if table is yolo else 1), wanted)
    pd.testing.assert_frame_equal(coco[["vehicle_id", "camera_id"]], csv[["vehicle_id", "camera_id"]])
    assert yolo["vehicle_id"].tolist() == mot["vehicle_id"].tolist() == ["0", "1", "2"]


def test_rows_that_cannot_be_used_are_kept_with_their_reason(tmp_path: Path, frames: Path) -> None:
    (tmp_path / "t.csv").write_text("image,x,y,w,h\n000001,1,2,3,4\n\n000001,1,two,3,4\n,1,2,3,4\n000001,1,2,inf,4\n")
    table = read_objects(tmp_path / "t.csv", frames, {})
    assert table["fault"].tolist() == ["", "the box 1, two, 3, 4 is not four numbers", "names no image",
                                       "the box 1, 2, inf, 4 is not four numbers"]  # fmt: skip
    assert table["place"].tolist() == ["line 2", "line 4", "line 5", "line 6"]


def test_faults_of_other_formats_are_kept_too(tmp_path: Path, frames: Path) -> None:
    images = [{"id": 1, "file_name": "000001.png"}]
    annotations = [{"image_id": 1, "bbox": [0, 0, 1]}, {"image_id": 2, "bbox": [0, 0, 9, 9]}, {"bbox": [0, 0, 9, 9]}]
    (tmp_path / "t.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    assert [bool(fault) for fault in read_objects(tmp_path / "t.json", frames, {})["fault"]] == [True] * 3
    (tmp_path / "gt.txt").write_text("1,1,1,1,5,5\n2,x,1,a,5,5\n2\n12,1,1,nan,5,5\ninf,1,1,1,5,5\n1.7,1,1,1,5,5\n")
    wrong = "not `frame,track,left,top,width,height`"
    faults = ["", *[wrong] * 4, "the frame 1.7 is not a whole number"]
    assert read_objects(tmp_path / "gt.txt", frames, {})["fault"].tolist() == faults
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/000001.txt").write_text("0 0.5 0.5 0.2\n0 0.5 0.5 0.2 0.2\n0 nan 0.5 0.2 0.2\n")
    wrong = "not `class cx cy w h`"
    assert read_objects(tmp_path / "labels", frames, {})["fault"].tolist() == [wrong, "", wrong]


@pytest.mark.parametrize("key", ["vehicle_id", "identity", "track_id", "global_id"])
def test_the_vehicle_of_a_coco_image_is_that_of_annotations_that_name_none(
    tmp_path: Path, frames: Path, key: str
) -> None:
    image, box = {"id": 1, "file_name": "000001.png"}, {"image_id": 1, "bbox": [0, 0, 9, 9]}
    annotations = [box, {**box, "attributes": {"identity": "b"}}, {**box, "global_id": 3}]
    for named in ({**image, key: "a"}, {**image, "attributes": {key: "a"}}):
        (tmp_path / "t.json").write_text(json.dumps({"images": [named], "annotations": annotations}))
        assert read_objects(tmp_path / "t.json", frames, {})["vehicle_id"].tolist() == ["a", "b", "3"]


def test_yolo_lines_of_trackers_are_read_and_polygons_are_not(tmp_path: Path, frames: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/README.roboflow.txt").write_text("Vehicles\n\n7 images of a street\n")
    box, triangle = "0 0.5 0.5 0.2 0.4", "0 0.1 0.1 0.9 0.1 0.5 0.9"
    lines = [box, f"{box} 12", f"{box} 0.87 13", triangle, f"{triangle} 0.7 0.8"]
    (tmp_path / "labels/000001.txt").write_text("\n".join(lines))
    table = read_objects(tmp_path / "labels", frames, {})
    assert table["vehicle_id"].tolist() == ["", "12", "13", "", ""]
    assert table["fault"].tolist()[:3] == [""] * 3
    assert table["fault"].tolist()[3:] == [
        f"{count} fields, no box `class cx cy w h`; polygons are not read" for count in (7, 9)
    ]
    np.testing.assert_allclose(boxes_of(table)[:3], [(0.4, 0.3, 0.6, 0.7)] * 3)


@pytest.mark.parametrize(
    ("sixth", "vehicles"),
    [
        (("0.87", "1", "0.5"), ["", "", ""]),
        (("0", "1", "1"), ["0", "1", "1"]),
        (("0.87", "2", "1"), ["0.87", "2", "1"]),
        (("0.87", "a", "1"), ["0.87", "a", "1"]),
        (("15.0", "2.0", "15"), ["15", "2", "15"]),
    ],
)
def test_scores_of_a_detector_are_no_vehicles(
    tmp_path: Path, frames: Path, sixth: tuple[str, ...], vehicles: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "labels").mkdir()
    for name, fields in (("000001", sixth[:2]), ("000012", sixth[2:])):
        (tmp_path / f"labels/{name}.txt").write_text("\n".join(f"0 0.5 0.5 0.2 0.4 {field}" for field in fields))
    assert read_objects(tmp_path / "labels", frames, {})["vehicle_id"].tolist() == vehicles
    assert caplog.text.count("sixth fields are read as scores") == (vehicles == ["", "", ""])


def test_vehicles_that_a_program_wrote_as_decimals_are_the_same_vehicles(tmp_path: Path, frames: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "image,x,y,w,h,vehicle_id\n000001,1,2,9,9,15.0\n000001,1,2,9,9,15.5\n000001,1,2,9,9,\n"
    )
    assert read_objects(tmp_path / "t.csv", frames, {})["vehicle_id"].tolist() == ["15", "15.5", ""]
    (tmp_path / "gt.txt").write_text("1,15.0,1,1,5,5\n1,-1.0,1,1,5,5\n")
    assert read_objects(tmp_path / "gt.txt", frames, {})["vehicle_id"].tolist() == ["15", ""]
    box = {"image_id": 1, "bbox": [0, 0, 9, 9]}
    annotations = [{**box, "vehicle_id": 15.0}, {**box, "attributes": {"track_id": 15}}, {**box, "vehicle_id": "15"}]
    (tmp_path / "t.json").write_text(
        json.dumps({"images": [{"id": 1, "file_name": "000001.png"}], "annotations": annotations})
    )
    assert read_objects(tmp_path / "t.json", frames, {})["vehicle_id"].tolist() == ["15"] * 3


def test_frames_of_several_sequences_are_not_mixed(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    for name in ("seq1/img1/000001.png", "seq2/img1/000001.png", "seq2/img1/000002.png"):
        (frames / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE).save(frames / name)
    for name in ("seq1.txt", "seq2.txt", "gt.txt"):
        (tmp_path / name).write_text("1,7,1,1,9,9\n2,7,1,1,9,9\n")
    first = read_objects(tmp_path / "seq1.txt", frames, {})
    assert first["image"].tolist() == ["seq1/img1/000001.png", ""] and "frame 2: no image" in first["fault"][1]
    assert read_objects(tmp_path / "seq2.txt", frames, {})["image"].tolist() == [
        "seq2/img1/000001.png",
        "seq2/img1/000002.png",
    ]
    with pytest.raises(UserError, match=r"gt\.txt: frame 1 could be seq1/img1/000001\.png or seq2/img1/000001\.png"):
        read_objects(tmp_path / "gt.txt", frames, {})
    (tmp_path / "gt.txt").write_text("2,7,1,1,9,9\n")  # this frame is clear
    assert read_objects(tmp_path / "gt.txt", frames, {})["image"].tolist() == ["seq2/img1/000002.png"]


def test_objects_to_learn_from_without_a_vehicle_are_cut_with_a_warning(
    tmp_path: Path, frames: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "t.csv").write_text("image,x,y,w,h,vehicle_id\n000001,1,2,9,9,7\n000001,20,2,9,9,\n")
    table = combined({"": read_objects(tmp_path / "t.csv", frames, {})})
    assert crop_objects(table, frames, tmp_path / "out", CropSettings(), workers=0).crops == 2
    assert "1 objects to learn from have no vehicle, first" in caplog.text and "t.csv, line 3" in caplog.text
    with pytest.raises(UserError, match="line 3: name or vehicle_id is empty"):
        load_dataset(str(tmp_path / "out/images.csv"), tmp_path / "out")
    caplog.clear()
    test = combined({"gallery": read_objects(tmp_path / "t.csv", frames, {})})
    assert crop_objects(test, frames, tmp_path / "test", CropSettings(), workers=0).crops == 2
    assert "no vehicle" not in caplog.text


def test_shares_of_the_frame_may_leave_it_by_rounding(tmp_path: Path, frames: Path) -> None:
    """A box from the edge to two thirds: its middle and width, rounded, begin 5e-7 before the edge."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/000001.txt").write_text("0 0.333333 0.500000 0.666667 0.500000\n")
    yolo = read_objects(tmp_path / "labels", frames, {})
    assert yolo["shares"].all() and yolo["x0"][0] < 0
    (tmp_path / "t.csv").write_text("image,x0,y0,x1,y1\n000001,-0.0000005,0.25,0.6666665,0.75\n000012,0,0,1,1\n")
    csv = read_objects(tmp_path / "t.csv", frames, {})
    assert csv["shares"].all()
    pixels = read_objects(write_csv(tmp_path / "p.csv"), frames, {})
    both = combined({"query": yolo, "gallery": pixels})
    assert both["shares"].tolist() == [True, False, False, False]
    summary = crop_objects(both, frames, tmp_path / "out", CropSettings(kind="png"), workers=0)
    assert summary.crops == 4 and not summary.failures
    names = pd.read_csv(tmp_path / "out/images.csv")["name"]
    assert names[0] == "crops/000001_0-10-54-30.png"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.json", "{}", "no list `images`"),
        ("t.json", '{"images": [{"id": 1}], "annotations": []}', "`file_name` is missing"),
        ("t.csv", "image,x,y,w,h\n", "lists no object"),
        ("missing.csv", None, "no such file"),
    ],
)
def test_a_file_of_another_kind_is_one_line(
    tmp_path: Path, frames: Path, name: str, text: str | None, words: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words):
        read_objects(tmp_path / name, frames, {})


def test_several_files_are_one_table_in_their_order(tmp_path: Path, frames: Path) -> None:
    one = read_objects(write_csv(tmp_path / "t.csv"), frames, {})
    table = combined({"train": one, "query": one[:1], "gallery": one[1:]})
    assert table["split"].tolist() == ["train"] * 3 + ["query"] + ["gallery"] * 2
    assert table["row"].tolist() == [0, 1, 2, 0, 1, 2]
    assert combined({"": one})["split"].tolist() == ["train"] * 3
    assert combined({"": one.assign(split=["Query", "TEST", "val"])})["split"].tolist() == ["query", "gallery", "train"]
    with pytest.raises(UserError, match=r"t\.csv, line 3: unknown split 'other'"):
        combined({"": one.assign(split=["query", "other", "val"])})
