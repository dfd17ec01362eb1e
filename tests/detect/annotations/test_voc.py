"""One Pascal VOC file: what is read, whatever the encoding, and what is refused before it is parsed."""

import os
from pathlib import Path

import numpy as np
import pytest

from data_cache.base.errors import RecordFault
from detect.annotations.voc import MAX_BYTES, VocFile, VocObject, read_voc
from helpers.toy.voc import voc_object, voc_xml

SOUND = voc_xml("a.jpg", (160, 120), voc_object("back mirror", (1, 2, 30, 40)))


def read(folder: Path, data: str | bytes) -> VocFile:
    (folder / "a.xml").write_bytes(data.encode() if isinstance(data, str) else data)
    return read_voc(folder / "a.xml")


def test_image_size_and_objects_are_read_in_order(tmp_path: Path) -> None:
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


def test_the_parts_of_an_object_count(tmp_path: Path) -> None:
    part = voc_object("wheel", (5, 6, 7, 8)).replace("object>", "part>")
    vehicle = voc_object("car", (1, 2, 30, 40)).replace("</object>", f"{part}{part}</object>")
    found = read(tmp_path, voc_xml("a.jpg", None, vehicle + voc_object("logo", (1, 1, 2, 2))))
    assert [(one.where, one.label) for one in found.objects] == [
        ("object 1", "car"),
        ("object 1, part 1", "wheel"),
        ("object 1, part 2", "wheel"),
        ("object 2", "logo"),
    ]


@pytest.mark.parametrize("size", [None, (0, 0)])
def test_a_size_may_be_missing(tmp_path: Path, size: tuple[int, int] | None) -> None:
    assert read(tmp_path, voc_xml("a.jpg", size, "")) == VocFile("a.jpg", None, (), ())


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ("", "utf-8"),
        ("utf-8", "utf-8"),
        ("UTF-8", "utf-8-sig"),
        ("gb2312", "gb2312"),
        ("GB2312", "gb18030"),
        ("GBK", "gbk"),
        ("gb18030", "gb18030"),
        ("big5", "big5"),
        ("utf-16", "utf-16"),
        ("", "utf-16"),
    ],
)
@pytest.mark.parametrize("quote", ["'", '"'])
def test_the_declared_encoding_is_understood(tmp_path: Path, declared: str, encoding: str, quote: str) -> None:
    declaration = f"<?xml version={quote}1.0{quote} encoding={quote}{declared}{quote}?>\n" if declared else ""
    found = read(tmp_path, f"{declaration}{voc_xml('大.jpg', None, voc_object('大', (1, 2, 3, 4)))}".encode(encoding))
    assert found.filename == "大.jpg" and found.objects[0].label == "大"


def test_gb2312_is_read_with_the_characters_that_only_gbk_has(tmp_path: Path) -> None:
    text = f"<?xml version='1.0' encoding='gb2312'?>{voc_xml('镕.jpg', None, '')}"  # gb2312 lacks it
    with pytest.raises(UnicodeEncodeError):
        text.encode("gb2312")
    assert read(tmp_path, text.encode("gbk")).filename == "镕.jpg"


LAUGHS = """<!DOCTYPE annotation [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>"""
OUTSIDE = '<!DOCTYPE annotation [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
PARAMETER = '<!DOCTYPE annotation [<!ENTITY % a SYSTEM "http://127.0.0.1/a.dtd">%a;]>'
WITH_ENTITY = SOUND.replace("back mirror", "&a;")


@pytest.mark.parametrize("hostile", [LAUGHS, OUTSIDE, PARAMETER, '<!DOCTYPE annotation SYSTEM "a.dtd">'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb2312", "utf-7"])
def test_entities_are_refused_in_every_encoding(tmp_path: Path, hostile: str, encoding: str) -> None:
    declaration = "" if encoding == "utf-16" else f"<?xml version='1.0' encoding='{encoding}'?>"
    with pytest.raises(RecordFault, match="declares a document type or entities"):
        read(tmp_path, declaration.encode() + f"{hostile}{WITH_ENTITY}".encode(encoding))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not XML"),
        (b"\0" * 100, "not XML"),
        (SOUND.encode()[:-20], "not XML"),
        (WITH_ENTITY.encode(), "not XML .undefined entity"),
        ("<annotation>大</annotation>".encode("gbk"), "cannot be decoded .*utf-8"),
        (b"<?xml version='1.0' encoding='zlib'?><annotation/>", "cannot be decoded .*zlib"),
        (b"<?xml version='1.0' encoding='nonsense'?><annotation/>", "cannot be decoded .*nonsense"),
        (b"<annotations/>", "outermost element is <annotations>, not <annotation>"),
        (b"<html><body>404</body></html>", "outermost element is <html>"),
        (b"<annotation>" + b" " * MAX_BYTES, "over 4 MB"),
    ],
)
def test_what_is_no_annotation_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(RecordFault, match=reason):
        read(tmp_path, data)


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.xml")
    for name in ("pipe.xml", "absent.xml", "."):
        with pytest.raises(RecordFault, match="not a regular file"):
            read_voc(tmp_path / name)


def test_a_deep_tree_does_no_harm(tmp_path: Path) -> None:
    deep = "<a>" * 200_000 + "</a>" * 200_000
    assert read(tmp_path, SOUND.replace("<folder>", f"{deep}<folder>")).objects[0].label == "back mirror"


def test_random_damage_never_raises_anything_else(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    text = f"<?xml version='1.0' encoding='gb2312'?>{SOUND}".encode()
    for _ in range(300):
        damaged = bytearray(text)
        for place in random.integers(0, len(text), random.integers(1, 6)):
            damaged[place : place + int(random.integers(0, 3))] = random.bytes(random.integers(0, 4))
        try:
            found = read(tmp_path, bytes(damaged))
        except RecordFault as fault:
            assert "\n" not in str(fault)
        else:
            assert len(found.objects) + len(found.faults) <= 4


@pytest.mark.parametrize("side", ["9" * 5000, "-1", "16777217", "1e2", "१"])
def test_a_size_that_is_none_is_told(tmp_path: Path, side: str) -> None:
    (fault,) = read(tmp_path, voc_xml("a.jpg", (side, 120), "")).faults
    assert fault.startswith("image: <size> '") and fault.endswith(" x '120' is not in pixels")


FAULTS = {
    "no label": ("<object><bndbox/></object>", "object {}: <name> is missing or empty"),
    "no box": ("<object><name>logo</name></object>", "object {}: 'logo' has no <bndbox>"),
    "no edge": (voc_object("logo", (1, 2, 3, "")), "object {}: <ymax> is missing or empty"),
    "edges in words": (
        voc_object("logo", ("one", 2, "nan", "inf")),
        "object {}: 'logo' has <xmin> 'one', <xmax> 'nan', ",
    ),
    "Devanagari digits": (voc_object("logo", (1, 2, 3, "१२")), "object {}: 'logo' has <ymax> '१२', which"),
    "digits in groups": (voc_object("logo", (1, 2, 3, "1_2")), "object {}: 'logo' has <ymax> '1_2', which"),
    "huge": (voc_object("logo", (1, 2, 3, "9" * 400)), "object {}: 'logo' has <ymax> '999"),
}


def test_every_faulty_object_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    good = voc_object("wheel", (1, 2, 3, 4))
    text = voc_xml("", ("wide", 120), good + good.join(fault for fault, _ in FAULTS.values()))
    found = read(tmp_path, text)
    assert found.filename == "" and found.size is None and len(found.objects) == len(FAULTS)
    image, size, *objects = found.faults
    assert image == "image: <filename> is missing or empty" and size == "image: <size> 'wide' x '120' is not in pixels"
    for number, (told, (_, reason)) in enumerate(zip(objects, FAULTS.values(), strict=True), start=1):
        assert told.startswith(reason.format(2 * number)) and "\n" not in told
