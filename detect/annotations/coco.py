"""Read COCO JSON of annotated parts; a fault in one record does not hide those of the others."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from data_cache.base.errors import RecordFault, printable, short_repr
from data_cache.images.loading import ImageError, image_size
from data_cache.images.lookup import ImageLookup
from data_cache.parts.coco import (
    BoxMending,
    Corners,
    Identifier,
    faults_of,
    identifier,
    image_entry,
    list_in,
    new_identifier,
    read_document,
    require_new,
    required,
)
from data_cache.parts.names import PART_NAMES
from detect.annotations.faults import counted
from detect.annotations.images import LEAST_SIDE, AnnotatedImage, AnnotationReading, ImageRecord, find_image
from detect.annotations.part_mapping import PartMapping, normal_form, suggestion

Value = TypeVar("Value")


def read_coco(path: Path, image_root: Path, mapping: PartMapping, *, strict: bool = False) -> AnnotationReading:
    """Read COCO JSON; `mapping` turns category names into parts, and images are looked up below `image_root`.

    Images are sorted by name. Categories are matched by name, never by number. The parts annotated in an image are
    those that its optional list `annotated_parts` names, by default those among the file's categories. Annotations
    whose label is dropped by the mapping are only counted, and so are categories without annotations. Boxes are mended
    as `BoxMending` does, or refused if `strict`. An image without a size has that of its file. At most one fault is
    reported per record. Raises UserError if the file is not a COCO document.
    """
    document = read_document(path)
    categories, images, annotations = (list_in(path, document, key) for key in ("categories", "images", "annotations"))
    reader = _Reader(image_root, mapping, BoxMending(strict=strict, least_side=LEAST_SIDE))
    faults = [
        *faults_of("categories", categories, reader.read_category),
        *faults_of("images", images, reader.read_image),
        *faults_of("annotations", annotations, reader.read_annotation),
    ]
    faults = [*reader.unknown_labels(), *faults]  # unknown labels first: they often explain the others
    if not reader.parts and not faults:
        faults = [f"no annotated part in {counted(len(images), 'image')}"]
    notes = reader.lookup.notes()
    return AnnotationReading(
        reader.annotated_images(), reader.counts, reader.mending.counts, notes=notes, faults=faults
    )


class _Reader:
    """Reads one record at a time and keeps what later records refer to.

    Records with a fault stay in `labels` and `images` as None: an annotation is not blamed for its image or category.
    """

    def __init__(self, image_root: Path, mapping: PartMapping, mending: BoxMending) -> None:
        self.lookup, self.mapping, self.mending = ImageLookup(image_root), mapping, mending
        self.labels: dict[Identifier, str | None] = {}  # category names by id
        self.images: dict[Identifier, ImageRecord | None] = {}
        self.annotations: set[Identifier] = set()
        self.category_names: set[str] = set()  # normal forms
        self.image_names: set[str] = set()
        self.parts: dict[Identifier, list[tuple[Corners, str]]] = defaultdict(list)  # by image id
        self.counts: Counter[str] = Counter()  # annotations by category name

    def read_category(self, record: Any) -> None:
        key = new_identifier(record, self.labels)
        self.labels[key] = None
        name = required(record, "name")
        if not isinstance(name, str) or not normal_form(name):
            raise RecordFault(f"`name` {short_repr(name)} is not a name")
        require_new(normal_form(name), self.category_names, "name")
        self.category_names.add(normal_form(name))
        self.labels[key] = name

    def read_image(self, record: Any) -> None:
        key = new_identifier(record, self.images)
        self.images[key] = None
        entry = image_entry(record)
        name = find_image(self.lookup, entry.name)
        require_new(name, self.image_names, "file_name")
        self.image_names.add(name)
        try:
            size = (entry.width, entry.height) if entry.width else image_size(self.lookup.root / name)
        except ImageError as error:
            raise RecordFault(printable(error)) from error
        self.images[key] = ImageRecord(name, *size, _vehicle(record), self._annotated(record))

    def _annotated(self, record: Mapping[str, Any]) -> frozenset[int]:
        names = record.get("annotated_parts")
        if names is None:
            parts = {self.mapping.get(label) for label in self.labels.values() if label is not None}
            return frozenset(PART_NAMES.index(part) for part in parts if part is not None)
        if not isinstance(names, list) or not all(name in PART_NAMES for name in names):
            raise RecordFault(f"`annotated_parts` {short_repr(names)} is not a list of names of parts")
        return frozenset(PART_NAMES.index(name) for name in names)

    def read_annotation(self, record: Any) -> None:
        self.annotations.add(new_identifier(record, self.annotations))
        label = _referenced(record, "category_id", self.labels)
        if label is not None:
            self.counts[label] += 1
        image = _referenced(record, "image_id", self.images)
        if label is not None and self.mapping.drops(label):
            return
        if image is None:
            return
        box = self.mending.coco_box(record, image.width, image.height)
        if box is not None and label is not None and (part := self.mapping.get(label)) is not None:
            if PART_NAMES.index(part) not in image.annotated:
                raise RecordFault(f"{short_repr(label)} is not among the `annotated_parts` of its image; add it there")
            self.parts[identifier(record, "image_id")].append((box, part))

    def unknown_labels(self) -> list[str]:
        used = {label for label, count in self.counts.items() if count}
        labels = {key: label for key, label in self.labels.items() if label in used}
        unknown = {key: label for key, label in labels.items() if label not in self.mapping}
        if unknown and len(unknown) == len(labels):
            names = ", ".join(map(short_repr, unknown.values()))
            return [f"no category is a part, the file has only {names}; the parts are {', '.join(PART_NAMES)}"]
        return [
            f"category {short_repr(key)}: {short_repr(label)} ({counted(self.counts[label], 'annotation')}) "
            f"is not a part{suggestion(label)}"
            for key, label in unknown.items()
        ]

    def annotated_images(self) -> list[AnnotatedImage]:
        valid = ((key, image) for key, image in self.images.items() if image is not None)
        return sorted((image.with_parts(self.parts.get(key, [])) for key, image in valid), key=lambda image: image.name)


def _referenced(record: Any, key: str, known: Mapping[Identifier, Value]) -> Value:
    value = identifier(record, key)
    if value not in known:
        raise RecordFault(f"no {key.removesuffix('_id')} has id {short_repr(value)}")
    return known[value]


def _vehicle(record: Mapping[str, Any]) -> str | None:
    vehicle = record.get("vehicle_id")
    if isinstance(vehicle, bool) or not isinstance(vehicle, int | str | None) or not str(vehicle).isprintable():
        raise RecordFault(f"`vehicle_id` {short_repr(vehicle)} is neither an integer nor a string")
    return None if vehicle in (None, "") else str(vehicle)
