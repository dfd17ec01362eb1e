"""One Pascal VOC file, read without trust: XML with its faults told object by object."""

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from data_cache.base.errors import RecordFault, UserError, printable
from data_cache.base.files import files_below
from data_cache.base.progress import track
from data_cache.base.safe_xml import parse_xml
from data_cache.images.loading import ImageError, image_size
from data_cache.parts.coco import LARGEST_SIDE
from detect.annotations.faults import counted, noting, shown
from detect.annotations.part_mapping import PartMapping, suggestion
from detect.annotations.pictures import Corners, ImageRecord, is_picture, size_fault
from detect.annotations.reading import AnnotatedImage, annotated

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


SUFFIXES = ("", ".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")  # some tools leave out the ending of `filename`


@dataclass
class VocReading:
    """The sound images of a folder with their parts, and one line for every fault of the others."""

    images: list[AnnotatedImage] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)  # objects by the files' own label
    difficult: int = 0  # parts marked so; they are kept, because a part that is hard to see is no background
    faults: list[str] = field(default_factory=list)


def read_voc_folder(folder: Path, image_root: Path, mapping: PartMapping, first_pixel: int) -> VocReading:
    """Read every .xml file below `folder`, except hidden ones, in the order of their names.

    `first_pixel` 1 is Pascal VOC's own counting: the first pixel is 1, and the pixels of both corners belong to the
    box, whose edges are therefore (xmin - 1, xmax). 0 is that of LabelImg and CVAT: the edges are (xmin, xmax).

    The image is `filename`, looked up below `image_root` in the folder of the XML file, then in `image_root` itself. A
    file that tells another size than its image has is a fault. Raises UserError where there is no XML file, or where a
    folder cannot be read.
    """
    names = [PurePosixPath(name) for name in files_below(folder, {".xml"})]
    files = [name for name in names if name.name[0] != "."]
    if not files:
        raise UserError(f"{folder}: holds no .xml file")
    reader = _Reader(image_root, mapping, first_pixel)
    for file in track(files, "reading annotations", len(files)):
        with noting(reader.reading.faults, printable(file)):
            reader.add(file, read_voc(folder / file))
    reader.reading.faults[:0] = reader.faults_of_all()
    return reader.reading


class _Reader:
    """Puts files and images together; what is known of all files so far is kept here."""

    def __init__(self, image_root: Path, mapping: PartMapping, first_pixel: int) -> None:
        self.image_root, self.mapping, self.first_pixel = image_root, mapping, first_pixel
        self.reading = VocReading()
        self.file_of: dict[str, PurePosixPath] = {}  # by the image's name
        self.unknown: dict[str, list[str]] = defaultdict(list)  # places by label
        self.before_first: list[str] = []  # places of boxes that begin before the first pixel

    def add(self, path: PurePosixPath, file: VocFile) -> None:
        """Take a file in; its labels are looked at although its image may have a fault, its boxes need the image."""
        faults, image, place = self.reading.faults, None, printable(path)
        faults += [f"{place}, {fault}" for fault in file.faults]
        if file.filename:
            with noting(faults, place):
                image = self._image(path, file)
        parts: list[tuple[Corners, str]] = []
        for found in file.objects:
            where = f"{place}, {found.where}"
            self.reading.labels[found.label] += 1
            if found.label not in self.mapping:
                self.unknown[found.label].append(where)
            elif image is not None and (part := self.mapping[found.label]) is not None:
                with noting(faults, f"{where} ({shown(found.label)})"):
                    parts.append((self._corners(where, found, image), part))
                    self.reading.difficult += found.difficult
        if image is not None:
            self.reading.images.append(annotated(image, parts))

    def faults_of_all(self) -> list[str]:
        """Return the faults that many objects share: labels that are no part, the wrong first pixel."""
        faults = [
            f"label {shown(label)} ({counted(len(places), 'object')}, first {places[0]}) is none of the parts"
            f"{suggestion(label)}"
            for label, places in sorted(self.unknown.items())
        ]
        if self.before_first:
            faults.append(
                f"edges before pixel 1 ({counted(len(self.before_first), 'object')}, first {self.before_first[0]}): "
                "these files count from 0, as LabelImg and CVAT do; give --first-pixel 0"
            )
        return faults

    def _image(self, path: PurePosixPath, file: VocFile) -> ImageRecord:
        name = self._name(path, file.filename)
        if name in self.file_of:
            raise RecordFault(f"image {shown(name)} is annotated already by {printable(self.file_of[name])}")
        self.file_of[name] = path
        try:
            width, height = stored = image_size(self.image_root / name)
            fault = size_fault(self.image_root / name, stored, file.size or stored)
        except ImageError as error:
            raise RecordFault(printable(error)) from error
        if fault is not None:
            raise RecordFault(f"image {shown(name)} is {fault}")
        return ImageRecord(name, width, height)

    def _name(self, path: PurePosixPath, filename: str) -> str:
        for place in dict.fromkeys((path.parent / filename, PurePosixPath(filename))):
            for suffix in SUFFIXES:
                if is_picture(self.image_root, f"{place}{suffix}"):
                    return f"{place}{suffix}"
        raise RecordFault(f"image {shown(filename)} is missing below {self.image_root}")

    def _corners(self, where: str, found: VocObject, image: ImageRecord) -> Corners:
        xmin, ymin, xmax, ymax = found.edges
        if 0 <= min(xmin, ymin) < self.first_pixel:
            self.before_first.append(where)
        return image.clipped((xmin - self.first_pixel, ymin - self.first_pixel, xmax, ymax))
