"""One Pascal VOC file, read without trust: XML with its faults told object by object."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from data_cache.coco_files import LARGEST_SIDE
from data_cache.errors import RecordFault
from data_cache.xml_files import parse_xml
from detect.faults import noting, shown
from detect.image_record import Corners

MAX_BYTES = 4 << 20  # a file of a thousand objects has 0.3 MB
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
    root = parse_xml(path, most_bytes=MAX_BYTES)
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
