"""One Pascal VOC file: its content, its faults, and files that are refused."""

from pathlib import Path

import pytest

from data_cache.base.errors import RecordFault
from detect.annotations.voc import MAX_BYTES, VocFile, VocObject, read_voc
from helpers.toy.voc import voc_object, voc_xml

VALID = voc_xml("a.jpg", (160, 120), voc_object("back mirror", (1, 2, 30, 40)))


def read(folder: Path, data: str | bytes) -> VocFile:
    (folder / "a.xml").write_bytes(data.encode() if isinstance(data, str) else data)
    return read_voc(folder / "a.xml")


def test_image_name_size_and_objects_are_read_in_order(tmp_path: Path) -> None:
    objects = voc_object("wheel", (1, 2, 3, 4)) + voc_object(
        "logo", ("5.5", " 6 ", "7.25e0", "8."), "<difficult>1</difficult>"
    )
    assert read(tmp_path, voc_xml(" sub/b  c.jpg\n", (160, 120), objects)) == VocFile(
        "sub/b  c.jpg",
        (160, 120),
        (
            VocObject("object 1", "wheel", (1, 2, 3, 4), difficult=False),
            VocObject("object 2", "logo", (5.5, 6, 7.25, 8), difficult=True),
        ),
        (),
    )


def test_parts_of_an_object_are_objects(tmp_path: Path) -> None:
    part = voc_object("wheel", (5, 6, 7, 8)).replace("object>", "part>")
    vehicle = voc_object("car", (1, 2, 30, 40)).replace("</object>", f"{part}{part}</object>")
    file = read(tmp_path, voc_xml("a.jpg", None, vehicle + voc_object("logo", (1, 1, 2, 2))))
    assert [(each.position, each.label) for each in file.objects] == [
        ("object 1", "car"),
        ("object 1, part 1", "wheel"),
        ("object 1, part 2", "wheel"),
        ("object 2", "logo"),
    ]


@pytest.mark.parametrize("size", [None, (0, 0)])
def test_missing_size_is_no_fault(tmp_path: Path, size: tuple[int, int] | None) -> None:
    assert read(tmp_path, voc_xml("a.jpg", size, "")) == VocFile("a.jpg", None, (), ())


def test_gb2312_is_decoded_as_gbk(tmp_path: Path) -> None:
    text = f"<?xml version='1.0' encoding='gb2312'?>{voc_xml('镕.jpg', None, '')}"  # not in gb2312
    with pytest.raises(UnicodeEncodeError):
        text.encode("gb2312")
    assert read(tmp_path, text.encode("gbk")).filename == "镕.jpg"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (VALID.encode()[:-20], "not XML"),
        (f"<!DOCTYPE a [<!ENTITY a 'b'>]>{VALID}".encode(), "declares a document type or entities"),
        (b"<annotations/>", "outermost element is <annotations>, not <annotation>"),
        (b"<html><body>404</body></html>", "outermost element is <html>"),
        (b"<annotation>" + b" " * MAX_BYTES, "larger than 4 MB"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(RecordFault, match=reason):
        read(tmp_path, data)


def test_deep_tree_is_read(tmp_path: Path) -> None:
    deep = "<a>" * 200_000 + "</a>" * 200_000
    assert read(tmp_path, VALID.replace("<folder>", f"{deep}<folder>")).objects[0].label == "back mirror"


@pytest.mark.parametrize("side", ["9" * 5000, "-1", "16777217", "1e2", "१"])
def test_invalid_size_is_reported(tmp_path: Path, side: str) -> None:
    (fault,) = read(tmp_path, voc_xml("a.jpg", (side, 120), "")).faults
    assert fault.startswith("image: <size> '") and fault.endswith(" x '120' is not in pixels")


OBJECT_FAULTS = {
    "no label": ("<object><bndbox/></object>", "object {}: <name> is missing or empty"),
    "no box": ("<object><name>logo</name></object>", "object {}: 'logo' has no <bndbox>"),
    "no edge": (voc_object("logo", (1, 2, 3, "")), "object {}: <ymax> is missing or empty"),
    "edges that are no numbers": (
        voc_object("logo", ("one", 2, "nan", "inf")),
        "object {}: 'logo' has <xmin> 'one', <xmax> 'nan', ",
    ),
    "Devanagari digits": (voc_object("logo", (1, 2, 3, "१२")), "object {}: 'logo' has <ymax> '१२', which"),
    "digit groups": (voc_object("logo", (1, 2, 3, "1_2")), "object {}: 'logo' has <ymax> '1_2', which"),
    "huge": (voc_object("logo", (1, 2, 3, "9" * 400)), "object {}: 'logo' has <ymax> '999"),
}


def test_every_faulty_object_is_reported_and_the_others_are_read(tmp_path: Path) -> None:
    good = voc_object("wheel", (1, 2, 3, 4))
    text = voc_xml("", ("wide", 120), good + good.join(fault for fault, _ in OBJECT_FAULTS.values()))
    file = read(tmp_path, text)
    assert file.filename == "" and file.size is None and len(file.objects) == len(OBJECT_FAULTS)
    image, size, *objects = file.faults
    assert image == "image: <filename> is missing or empty" and size == "image: <size> 'wide' x '120' is not in pixels"
    for number, (fault, (_, reason)) in enumerate(zip(objects, OBJECT_FAULTS.values(), strict=True), start=1):
        assert fault.startswith(reason.format(2 * number)) and "\n" not in fault
