"""Read Pascal VOC annotations: all XML files below a folder, matched with their images; files are not trusted."""

import re
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from data_cache.base.errors import RecordFault, UserError, printable, short_repr
from data_cache.base.files import files_below
from data_cache.base.progress import track
from data_cache.base.safe_xml import parse_xml
from data_cache.images.loading import ImageError, image_size
from data_cache.images.lookup import ImageLookup
from data_cache.parts.coco import LARGEST_SIDE, BoxMending, Corners
from data_cache.parts.names import PART_NAMES
from detect.annotations.faults import collecting, counted
from detect.annotations.images import (
    LEAST_SIDE,
    AnnotatedImage,
    AnnotationReading,
    ImageRecord,
    find_image,
    size_fault,
)
from detect.annotations.part_mapping import PartMapping, suggestion

MAX_BYTES = 4 << 20  # a file with a thousand objects has 0.3 MB
EDGES = ("xmin", "ymin", "xmax", "ymax")
NUMBER = re.compile(r"[+-]?\d{1,9}(\.\d{0,30})?([eE][+-]?\d\d?)?", re.ASCII)


def read_voc_folder(
    folder: Path, image_root: Path, mapping: PartMapping, first_pixel: int, *, strict: bool = False
) -> AnnotationReading:
    """Read every .xml file below `folder`, except hidden ones, in order of name.

    With `first_pixel` 1, Pascal VOC's own convention, the first pixel is 1 and a box includes the pixels of both
    corners, so its edges are (xmin - 1, xmax). With 0, the convention of LabelImg and CVAT, they are (xmin, xmax).

    Boxes are mended as `BoxMending` does, or refused if `strict`.

    The parts annotated in an image are those that occur in any file: VOC does not list what was looked for.

    The image is `filename` in the same subfolder of `image_root`, or else in `image_root` itself. A size that differs
    from the image's is a fault. Raises UserError if there is no XML file or a folder cannot be read.
    """
    files = [PurePosixPath(name) for name in files_below(folder, {".xml"})]
    if not files:
        raise UserError(f"{folder}: contains no .xml file")
    reader = _FolderReader(image_root, mapping, first_pixel, BoxMending(strict=strict, least_side=LEAST_SIDE))
    for file in track(files, "reading annotations", len(files)):
        with collecting(reader.reading.faults, printable(file)):
            reader.add(file, read_voc(folder / file))
    reader.reading.notes = reader.lookup.notes()
    reader.reading.images = reader.images_with_annotated_parts()
    reader.reading.faults[:0] = reader.shared_faults()  # first: they often explain the others
    return reader.reading


@dataclass(frozen=True)
class VocObject:
    """An object as written: its position in the file, its label, its edges by the convention of the file."""

    position: str
    label: str
    edges: Corners
    difficult: bool


@dataclass(frozen=True)
class VocFile:
    """The content of one file: image name and (width, height) in pixels, valid objects, faults of the others."""

    filename: str  # "" if missing, which is among the faults
    size: tuple[int, int] | None  # None if missing or with a side of 0
    objects: tuple[VocObject, ...]
    faults: tuple[str, ...]


class _FolderReader:
    """Matches files with images, and keeps what is known from the files so far."""

    def __init__(self, image_root: Path, mapping: PartMapping, first_pixel: int, mending: BoxMending) -> None:
        self.lookup, self.mapping = ImageLookup(image_root), mapping
        self.first_pixel, self.mending = first_pixel, mending
        self.reading = AnnotationReading(mended=mending.counts)
        self.file_of: dict[str, PurePosixPath] = {}  # by image name
        self.unknown: dict[str, list[str]] = defaultdict(list)  # positions by label
        self.before_first: list[str] = []  # positions of boxes that begin before the first pixel

    def add(self, path: PurePosixPath, file: VocFile) -> None:
        """Add a file; its labels are checked even if its image has a fault, its boxes are not."""
        faults, image, shown_path = self.reading.faults, None, printable(path)
        faults += [f"{shown_path}, {fault}" for fault in file.faults]
        if file.filename:
            with collecting(faults, shown_path):
                image = self._image(path, file)
        parts: list[tuple[Corners, str]] = []
        for each in file.objects:
            position = f"{shown_path}, {each.position}"
            self.reading.labels[each.label] += 1
            if each.label not in self.mapping:
                self.unknown[each.label].append(position)
            elif image is not None and (part := self.mapping.get(each.label)) is not None:
                with collecting(faults, f"{position} ({short_repr(each.label)})"):
                    box = self._corners(position, each, image)
                    if box is not None:
                        parts.append((box, part))
                        self.reading.difficult += each.difficult
        if image is not None:
            self.reading.images.append(image.with_parts(parts))

    def images_with_annotated_parts(self) -> list[AnnotatedImage]:
        """Return the images, each with the parts that occur anywhere as those that are annotated."""
        parts = {self.mapping.get(label) for label in self.reading.labels}
        annotated = frozenset(PART_NAMES.index(part) for part in parts if part is not None)
        return [replace(image, annotated=annotated) for image in self.reading.images]

    def shared_faults(self) -> list[str]:
        """Return the faults that many objects share: unknown labels, the wrong first pixel."""
        faults = [
            f"label {short_repr(label)} ({counted(len(positions), 'object')}, first {positions[0]}) is not a part"
            f"{suggestion(label)}"
            for label, positions in sorted(self.unknown.items())
        ]
        if self.before_first:
            faults.append(
                f"edges before pixel 1 ({counted(len(self.before_first), 'object')}, first {self.before_first[0]}): "
                "these files count from 0, as LabelImg and CVAT do; add --first-pixel 0"
            )
        return faults

    def _image(self, path: PurePosixPath, file: VocFile) -> ImageRecord:
        name = self._image_name(path, file.filename)
        if name in self.file_of:
            raise RecordFault(f"image {short_repr(name)} is annotated already by {printable(self.file_of[name])}")
        self.file_of[name] = path
        try:
            width, height = stored = image_size(self.lookup.root / name)
            fault = size_fault(self.lookup.root / name, stored, file.size or stored)
        except ImageError as error:
            raise RecordFault(printable(error)) from error
        if fault is not None:
            raise RecordFault(f"image {short_repr(name)} is {fault}")
        return ImageRecord(name, width, height)

    def _image_name(self, path: PurePosixPath, filename: str) -> str:
        """Return the image of a file: `filename` beside it or anywhere, or what is named as the file itself."""
        relative = not filename.startswith("/") and "\\" not in filename
        beside = [str(path.parent / filename)] if relative and path.parent.name else []
        for candidate in (*beside, filename):
            with suppress(RecordFault):
                return find_image(self.lookup, candidate)
        with suppress(RecordFault):  # the image was renamed with its file
            return find_image(self.lookup, str(path.with_suffix("")))
        return find_image(self.lookup, filename)  # raises

    def _corners(self, position: str, each: VocObject, image: ImageRecord) -> Corners | None:
        xmin, ymin, xmax, ymax = each.edges
        if 0 <= min(each.edges) < self.first_pixel:
            self.before_first.append(position)
        (x0, x1), (y0, y1) = self._edges(xmin, xmax), self._edges(ymin, ymax)
        return self.mending.box((x0, y0, x1, y1), image.width, image.height)

    def _edges(self, first: float, last: float) -> tuple[float, float]:
        """Return edges in pixels from 0 of corners as written; swapped ones stay swapped, to be mended or refused."""
        begin = first - self.first_pixel
        return (begin, last) if begin <= last else (first, last - self.first_pixel)


def read_voc(path: Path) -> VocFile:
    """Read one VOC file; the parts of an object (`part`) count as objects of their own.

    Raises RecordFault if it is not XML, declares entities, is over 4 MB, or is not a VOC annotation.
    """
    root = parse_xml(path, most_bytes=MAX_BYTES)
    if root.tag != "annotation":
        raise RecordFault(f"not Pascal VOC: the outermost element is <{root.tag[:40]}>, not <annotation>")
    faults: list[str] = []
    filename, size = "", None
    with collecting(faults, "image"):
        filename = _text(root, "filename")
    with collecting(faults, "image"):
        size = _size(root)
    objects: list[VocObject] = []
    for position, element in _object_elements(root):
        with collecting(faults, position):
            objects.append(_object(position, element))
    return VocFile(filename, size, tuple(objects), tuple(faults))


def _object_elements(root: ElementTree.Element) -> Iterator[tuple[str, ElementTree.Element]]:
    for number, element in enumerate(root.findall("object"), start=1):
        yield f"object {number}", element
        for part_number, part in enumerate(element.findall("part"), start=1):
            yield f"object {number}, part {part_number}", part


def _object(position: str, element: ElementTree.Element) -> VocObject:
    label = " ".join(_text(element, "name").split())
    box = element.find("bndbox")
    if box is None:
        raise RecordFault(f"{short_repr(label)} has no <bndbox>")
    texts = [_text(box, edge) for edge in EDGES]
    wrong = [
        f"<{edge}> {short_repr(text)}" for edge, text in zip(EDGES, texts, strict=True) if not NUMBER.fullmatch(text)
    ]
    if wrong:
        raise RecordFault(f"{short_repr(label)} has {', '.join(wrong)}, which is not a number of pixels")
    xmin, ymin, xmax, ymax = (float(text) for text in texts)
    difficult = (element.findtext("difficult") or "").strip().lower() in ("1", "true")
    return VocObject(position, label, (xmin, ymin, xmax, ymax), difficult)


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Return (width, height), None if missing or if a side is 0, as some tools write."""
    size = root.find("size")
    if size is None:
        return None
    sides = [_text(size, side) for side in ("width", "height")]
    if not all(re.fullmatch(r"\d{1,8}", side, re.ASCII) and int(side) <= LARGEST_SIDE for side in sides):
        raise RecordFault(f"<size> {' x '.join(map(short_repr, sides))} is not in pixels")
    width, height = map(int, sides)
    return (width, height) if width and height else None


def _text(element: ElementTree.Element, tag: str) -> str:
    text = (element.findtext(tag) or "").strip()
    if not text:
        raise RecordFault(f"<{tag}> is missing or empty")
    return text
