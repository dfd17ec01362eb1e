"""Folders of Pascal VOC files: the image of each file, the convention of its boxes, and every fault."""

import os
from pathlib import Path

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.parts.names import PART_NAMES
from detect.annotations.images import AnnotationReading
from detect.annotations.part_mapping import VAC21
from detect.annotations.voc import read_voc_folder
from helpers.toy.voc import Entry, voc_object, voc_xml, write_picture, write_voc

WHEEL: Entry = ("wheel", (11, 21, 30, 40))


def read(folder: Path, first_pixel: int = 1, *, strict: bool = False) -> AnnotationReading:
    return read_voc_folder(folder / "xml", folder / "images", VAC21, first_pixel, strict=strict)


@pytest.mark.parametrize("first_pixel", [0, 1])
def test_box_covers_the_pixels_it_was_drawn_on(tmp_path: Path, first_pixel: int) -> None:
    """Edges of a painted rectangle, written by each convention, are read back as its pixels."""
    random = np.random.default_rng(first_pixel)
    write_picture(tmp_path / "images/a.png")
    painted, entries = [], []
    for name in PART_NAMES:
        canvas = np.zeros((120, 160), bool)
        y, x = (int(random.integers(0, side - 1)) for side in canvas.shape)
        canvas[y : y + int(random.integers(1, 60)), x : x + int(random.integers(1, 60))] = True
        rows, columns = np.flatnonzero(canvas.any(axis=1)), np.flatnonzero(canvas.any(axis=0))
        if first_pixel:  # Pascal VOC: the corner pixels, counted from 1
            edges = (columns[0] + 1, rows[0] + 1, columns[-1] + 1, rows[-1] + 1)
        else:  # LabelImg: the edges, counted from 0
            edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        painted.append(canvas)
        entries.append((name, edges))
    write_voc(tmp_path / "xml/a.xml", "a.png", entries)
    (image,) = read(tmp_path, first_pixel).images
    assert [PART_NAMES[label] for label in image.labels] == list(PART_NAMES)
    for canvas, (x0, y0, x1, y1) in zip(painted, image.boxes.astype(int), strict=True):
        assert canvas[y0:y1, x0:x1].all() and canvas.sum() == (x1 - x0) * (y1 - y0)


def test_vehicle_styles_are_counted_and_dropped(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/a.png")
    write_voc(tmp_path / "xml/a.xml", "a.png", [("Car", (-50, 1, 999, 9)), ("back_mirror", (1, 1, 9, 9)), WHEEL, WHEEL])
    reading = read(tmp_path)
    assert reading.labels == {"Car": 1, "back_mirror": 1, "wheel": 2}
    assert [PART_NAMES[label] for label in reading.images[0].labels] == ["back mirror", "wheel", "wheel"]


def test_difficult_parts_are_kept_and_counted(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/a.png")
    difficult = "".join(voc_object(label, (1, 1, 9, 9), "<difficult>1</difficult>") for label in ("logo", "bus"))
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml/a.xml").write_text(voc_xml("a.png", (160, 120), difficult + voc_object(*WHEEL)))
    reading = read(tmp_path)
    assert reading.difficult == 1 and len(reading.images[0].labels) == 2


@pytest.mark.parametrize(
    ("xml", "filename", "image"),
    [
        ("a.xml", "a.png", "a.png"),
        ("day/a.xml", "a.png", "a.png"),
        ("day/b.xml", "b.png", "day/b.png"),
        ("b.xml", "day/b.png", "day/b.png"),
        ("day/b.xml", "day/b.png", "day/b.png"),
        ("b.xml", "./day//b.png", "day/b.png"),
        ("day/both.xml", "both.png", "day/both.png"),
        ("both.XML", "both.png", "both.png"),
        ("a.xml", "a", "a.png"),
        ("1.2.xml", "1.2", "1.2.JPG"),
    ],
)
def test_image_is_looked_up_in_the_same_subfolder_then_in_the_root(
    tmp_path: Path, xml: str, filename: str, image: str
) -> None:
    for name in ("a.png", "day/b.png", "day/both.png", "both.png", "1.2.JPG"):
        write_picture(tmp_path / "images" / name)
    write_voc(tmp_path / "xml" / xml, filename, [WHEEL])
    reading = read(tmp_path)
    assert reading.faults == [] and [image.name for image in reading.images] == [image]


def test_hidden_files_and_other_suffixes_are_ignored(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/a.png")
    for name in ("a.xml", "._a.xml", "a.txt"):
        write_voc(tmp_path / "xml" / name, "a.png", [WHEEL])
    assert len(read(tmp_path).images) == 1


@pytest.mark.parametrize("exists", [False, True])
def test_folder_without_xml_files_is_refused(tmp_path: Path, exists: bool) -> None:
    if exists:
        (tmp_path / "xml").mkdir()
    with pytest.raises(UserError, match="contains no .xml file" if exists else "No such file"):
        read(tmp_path)


def test_every_fault_is_reported_with_file_and_object(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        write_picture(tmp_path / f"images/{name}.png")
    (tmp_path / "images/broken.png").write_text("<html/>")
    (tmp_path / "images/out.png").symlink_to("/etc/passwd")
    folder = tmp_path / "xml"
    write_voc(
        folder / "01.xml", "a.png", [WHEEL, ("wheel", (150, 2, 190, 9)), ("logo", (9, 9, 8, 10)), ("wheels", WHEEL[1])]
    )
    write_voc(folder / "02.xml", "a.png", [WHEEL])
    write_voc(folder / "03.xml", "b.png", [WHEEL], size=(120, 160))
    write_voc(folder / "04.xml", "missing.png", [("wheels", WHEEL[1]), ("bumper", WHEEL[1])])
    write_voc(folder / "05.xml", "broken.png", [WHEEL])
    write_voc(folder / "06.xml", "/etc/passwd", [WHEEL])
    write_voc(folder / "07.xml", "../images/c.png", [WHEEL])
    write_voc(folder / "08.xml", "out.png", [WHEEL])
    write_voc(folder / "09.xml", "", [WHEEL])
    write_voc(folder / "10.xml", "c.png", [("logo", ("x", 1, 2, 3)), WHEEL])
    (folder / "11.xml").write_text("<!DOCTYPE a><annotation/>")
    (folder / "12.xml").write_text("<annotation>")
    os.mkfifo(folder / "13.xml")
    write_voc(
        folder / "sub/14.xml", "d.png", [("logo", (0, 5, 9, 9)), ("logo", (5, 0.5, 9, 9)), ("logo", (-3, 5, 9, 9))]
    )
    images = tmp_path / "images"
    expected = [
        "label 'bumper' (1 object, first 04.xml, object 2) is not a part",
        "label 'wheels' (2 objects, first 01.xml, object 4) is not a part; did you mean 'wheel'?",
        "edges before pixel 1 (2 objects, first sub/14.xml, object 1): these files count from 0, as LabelImg",
        "01.xml, object 2 ('wheel'): the box from 149, 1 to 190, 9 leaves its image of 160 x 120",
        "01.xml, object 3 ('logo'): the box from 8, 8 to 8, 10 has no area inside its image of 160 x 120",
        "02.xml: image 'a.png' is annotated already by 01.xml",
        "03.xml: image 'b.png' is 160 x 120 pixels, annotated as 120 x 160",
        f"04.xml: 'missing.png' is missing below {images}",
        f"05.xml: {images}/broken.png: not a JPEG, PNG, WebP or BMP image",
        "06.xml: '/etc/passwd' is missing below",
        "07.xml: '../images/c.png': not a relative path below",
        f"08.xml: {images}/out.png: leads out of {images}",
        "09.xml, image: <filename> is missing or empty",
        "10.xml, object 1: 'logo' has <xmin> 'x', which is not a number of pixels",
        "11.xml: declares a document type or entities",
        "12.xml: not XML (no element found: line 1, column 12)",
        "13.xml: not a regular file",
        "sub/14.xml, object 3 ('logo'): the box from -4, 4 to 9, 9 leaves its image",
    ]
    faults = read(tmp_path, strict=True).faults
    assert len(faults) == len(expected)
    for fault, start in zip(faults, expected, strict=True):
        assert fault.startswith(start) and "\n" not in fault


def test_edge_at_0_needs_first_pixel_0(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/a.png")
    write_voc(tmp_path / "xml/a.xml", "a.png", [("logo", (0, 0, 160, 120))])
    assert any("--first-pixel 0" in fault for fault in read(tmp_path).faults)
    reading = read(tmp_path, first_pixel=0)
    assert reading.faults == [] and reading.images[0].boxes.tolist() == [[0, 0, 160, 120]]


def test_images_are_found_under_names_of_another_machine_and_with_their_file(tmp_path: Path) -> None:
    for name in ("in/a.png", "b.png", "c.png"):
        write_picture(tmp_path / "images" / name)
    folder = tmp_path / "xml"
    write_voc(folder / "1.xml", "C:\\photos\\in\\a.png", [WHEEL])
    write_voc(folder / "b.xml", "IMG_0001.jpg", [WHEEL])  # renamed with its file
    write_voc(folder / "3.xml", "/home/me/photos/C.PNG", [WHEEL])
    reading = read(tmp_path)
    assert not reading.faults and [image.name for image in reading.images] == ["in/a.png", "c.png", "b.png"]
    assert reading.notes[0].startswith("3 images are named otherwise, first ")
