"""One Pascal VOC file, read without trust: XML with its faults told object by object.

A VOC file may come from anywhere, and Python's parser follows entity declarations: a file that declares any is refused
before it is parsed. Some sets declare gb2312, which the parser does not know; the text is decoded here, as GB 18030,
which holds gb2312 and gbk.
"""

import codecs
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from data_cache.coco_files import LARGEST_SIDE, RecordFault
from detect.faults import noting, plain, shown
from detect.image_record import Corners

MAX_BYTES = 4 << 20  # a file of a thousand objects has 0.3 MB
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
ENCODING = re.compile(rb"""\s*<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["']""")
CHINESE = ("gb2312", "gbk")
NUMBER = re.compile(r"[+-]?\d{1,9}(\.\d{0,30})?([eE][+-]?\d\d?)?", re.ASCII)
EDGES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """An object as it is written: its place in the file, its label, its edges in the file's own counting."""

    where: str
    label: str
    edges: Corners
    difficult: bool


@dataclass(frozen=True)
class VocFile:
    """What a file tells: its image, (width, height) in pixels, its sound objects, the faults of the others."""

    filename: str  # "" where it is missing, which is among the faults
    size: tuple[int, int] | None  # None where it is missing or a side is 0
    objects: tuple[VocObject, ...]
    faults: tuple[str, ...]


def read_voc(path: Path) -> VocFile:
    """Read a VOC file; the parts of an object (`part`) count as objects of their own.

    Raises RecordFault where it is no XML, declares entities, is over 4 MB, or is no VOC annotation of an image.
    """
    root = parse_untrusted(path)
    if root.tag != "annotation":
        raise RecordFault(f"not Pascal VOC: the outermost element is <{root.tag[:40]}>, not <annotation>")
    faults: list[str] = []
    filename, size = "", None
    with noting(faults, "image"):
        filename = _text(root, "filename")
    with noting(faults, "image"):
        size = _size(root)
    objects: list[VocObject] = []
    for where, element in _objects(root):
        with noting(faults, where):
            objects.append(_object(where, element))
    return VocFile(filename, size, tuple(objects), tuple(faults))


def parse_untrusted(path: Path) -> ElementTree.Element:
    """Return the root of an XML file of any origin. Raises RecordFault where it cannot be read or declares entities."""
    try:
        if not path.is_file():  # to read a pipe would wait for ever
            raise RecordFault("not a regular file")
        if path.stat().st_size > MAX_BYTES:
            raise RecordFault(f"over {MAX_BYTES >> 20} MB, which is no annotation")
        text = _decoded(path.read_bytes())
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise RecordFault("declares a document type or entities, which is refused")
        return ElementTree.fromstring(text)
    except OSError as error:
        raise RecordFault(f"cannot be read ({error.strerror})") from error
    except (LookupError, UnicodeError) as error:
        raise RecordFault(f"cannot be decoded ({plain(error)[:200]})") from error
    except ElementTree.ParseError as error:
        raise RecordFault(f"not XML ({error})") from error


def _decoded(data: bytes) -> str:
    """Return the text by its byte order mark, its declaration, or as UTF-8; the parser passes over the declaration."""
    for mark, encoding in BOMS.items():
        if data.startswith(mark):
            return data.decode(encoding).strip()
    found = ENCODING.match(data)
    encoding = found[1].decode().lower() if found else "utf-8"
    return data.decode("gb18030" if encoding in CHINESE else encoding).strip()


def _objects(root: ElementTree.Element) -> list[tuple[str, ElementTree.Element]]:
    found = []
    for number, element in enumerate(root.findall("object"), start=1):
        found.append((f"object {number}", element))
        parts = enumerate(element.findall("part"), start=1)
        found += [(f"object {number}, part {place}", part) for place, part in parts]
    return found


def _object(where: str, element: ElementTree.Element) -> VocObject:
    label = " ".join(_text(element, "name").split())
    box = element.find("bndbox")
    if box is None:
        raise RecordFault(f"{shown(label)} has no <bndbox>")
    texts = [_text(box, edge) for edge in EDGES]
    wrong = [f"<{edge}> {shown(text)}" for edge, text in zip(EDGES, texts, strict=True) if not NUMBER.fullmatch(text)]
    if wrong:
        raise RecordFault(f"{shown(label)} has {', '.join(wrong)}, which is no number of pixels")
    xmin, ymin, xmax, ymax = (float(text) for text in texts)
    difficult = (element.findtext("difficult") or "").strip().lower() in ("1", "true")
    return VocObject(where, label, (xmin, ymin, xmax, ymax), difficult)


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Return (width, height), None where there is none or a side is 0, as some tools write."""
    size = root.find("size")
    if size is None:
        return None
    sides = [_text(size, side) for side in ("width", "height")]
    if not all(re.fullmatch(r"\d{1,8}", side, re.ASCII) and int(side) <= LARGEST_SIDE for side in sides):
        raise RecordFault(f"<size> {' x '.join(map(shown, sides))} is not in pixels")
    width, height = map(int, sides)
    return (width, height) if width and height else None


def _text(element: ElementTree.Element, tag: str) -> str:
    text = (element.findtext(tag) or "").strip()
    if not text:
        raise RecordFault(f"<{tag}> is missing or empty")
    return text
