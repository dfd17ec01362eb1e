"""A folder of Pascal VOC files and the images they annotate: every fault with its file and object."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from data_cache.errors import RecordFault, UserError, plain
from data_cache.images import ImageError, image_size
from data_cache.progress import track
from data_cache.walking import files_below
from detect.annotations import AnnotatedImage, annotated
from detect.faults import counted, noting, shown
from detect.image_record import Corners, ImageRecord
from detect.part_mapping import PartMapping, suggestion
from detect.pictures import is_picture, size_fault
from detect.voc import VocFile, VocObject, read_voc

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
        with noting(reader.reading.faults, plain(file)):
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
        faults, image, place = self.reading.faults, None, plain(path)
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
            raise RecordFault(f"image {shown(name)} is annotated already by {plain(self.file_of[name])}")
        self.file_of[name] = path
        try:
            width, height = stored = image_size(self.image_root / name)
            fault = size_fault(self.image_root / name, stored, file.size or stored)
        except ImageError as error:
            raise RecordFault(plain(error)) from error
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
