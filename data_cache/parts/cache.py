"""The part cache, schema 1: the boxes of stage one for every image of a data set, in one HDF5 file."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, read_regular, sha256_of_bytes, write_atomically
from data_cache.base.options import is_given, remedy_command

SCHEMA = 1
SEAL = "part cache, sha256 of what follows: "
SEAL_SIZE = 512  # bytes; the smallest user block of HDF5
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
TURNED = {"orientation": "EXIF"}  # in the fingerprint of a cache whose images were turned before boxes were found
STATUS_FOUND, STATUS_EMPTY, STATUS_FAILED = 0, 1, 2
TYPES = {"image_size": "int32", "boxes": "float32", "scores": "float32", "labels": "int8", "status": "uint8"}
ARRAYS = tuple(TYPES)
# what h5py raises for foreign files; MemoryError for impossible shapes
HDF5_ERRORS = (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError)
MAX_COMPRESSION = 64  # bytes of text per byte of the file; strings are compressed
MIN_TEXT_LIMIT = 2**24  # bytes of text that are always accepted


@dataclass(frozen=True)
class PartBoxes:
    """Part boxes of N images, at most K per image, the most confident first.

    names (N,) sorted and unique; image_size (N, 2) int32 width and height; boxes (N, K, 4) float32 xyxy in
    pixels, inside the image; scores (N, K) float32 descending; labels (N, K) int8 into `part_names`; empty slots hold
    0, 0 and -1. status (N,) uint8: 0 parts found, 1 none found, 2 failed, with the reason in `failure` (N,).

    `hidden` (N, H, 4) float32, never in a file, are boxes in pixels that are covered in the images a network reads, 0
    for none; None if nothing is hidden.
    """

    names: tuple[str, ...]
    image_size: NDArray[np.int32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int8]
    status: NDArray[np.uint8]
    failure: tuple[str, ...]
    part_names: tuple[str, ...]
    fingerprint: Mapping[str, Any]
    hidden: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Raise UserError, naming the first image, if the contract above is violated."""
        count, slots = self.labels.shape
        shapes = {"image_size": (count, 2), "boxes": (count, slots, 4), "scores": (count, slots), "status": (count,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise UserError(f"part cache: {name} has shape {getattr(self, name).shape}, expected {shape}")
        if len(self.names) != count or len(self.failure) != count:
            raise UserError(f"part cache: {len(self.names)} names and {len(self.failure)} failures for {count} rows")
        if any(first >= second for first, second in zip(self.names, self.names[1:], strict=False)):
            raise UserError("part cache: the names are not sorted and unique")
        for reason, wrong in self._violations().items():
            if wrong.any():
                raise UserError(f"part cache: {self.names[int(wrong.argmax())]}: {reason}")

    def _violations(self) -> dict[str, NDArray[np.bool_]]:
        """Return for each rule the rows (N,) that violate it."""
        empty = self.labels < 0
        limit = np.concatenate([self.image_size, self.image_size], axis=1)[:, None, :]
        low, high = self.boxes[..., :2], self.boxes[..., 2:]
        misplaced = (~np.isfinite(self.boxes) | (self.boxes < 0) | (self.boxes > limit)).any(-1) | (high <= low).any(-1)
        filled = (self.boxes != 0).any(-1) | (self.scores != 0)
        gap = empty[:, :-1] & ~empty[:, 1:]
        return {
            "a box is not finite, has no area or is outside its image": (misplaced & ~empty).any(1),
            "a score is not in [0, 1]": (~((self.scores >= 0) & (self.scores <= 1))).any(1),
            "the scores are not descending": (np.diff(self.scores, axis=1) > 0).any(1),
            "a label is unknown": ((self.labels < -1) | (self.labels >= len(self.part_names))).any(1),
            "an empty slot holds a box or a score, or precedes a box": (filled & empty).any(1) | gap.any(1),
            "the status is unknown": self.status > STATUS_FAILED,
            "status and boxes disagree": (self.status == STATUS_FOUND) == empty.all(1),
            "status and failure disagree": (self.status == STATUS_FAILED) != np.array(self.failure, dtype=bool),
        }

    def counts(self) -> dict[str, int]:
        """Return the number of images, of boxes, and of images with boxes, without, and failed."""
        found, empty, failed = np.bincount(self.status, minlength=3).tolist()
        boxes = int((self.labels >= 0).sum())
        return {"images": len(self.names), "boxes": boxes, "found": found, "empty": empty, "failed": failed}

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    @property
    def turned(self) -> bool:
        """Whether boxes refer to images turned as EXIF says; to images as stored in caches made before version 0.3."""
        has_no_boxes = self.labels.shape[1] == 0 and self.hidden is None
        return has_no_boxes or TURNED.items() <= self.fingerprint.items()

    @property
    def remedy(self) -> str:
        """What makes the cache again."""
        return "import its boxes again" if "source" in self.fingerprint else f"run {remedy_command('detect')} again"

    def rows(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the row of each name, (M,). Raises UserError if the cache lacks a name."""
        row_of = self._row_of
        missing = [name for name in names if name not in row_of]
        if missing:
            raise UserError(f"part cache: {len(missing)} images are not in it, first {missing[0]}; {self.remedy}")
        return np.fromiter((row_of[name] for name in names), dtype=np.int64, count=len(names))


def empty_cache(names: Sequence[str]) -> PartBoxes:
    """Return a cache without boxes for the sorted names, for networks that use none."""
    count = len(names)
    return PartBoxes(
        names=tuple(names),
        image_size=np.zeros((count, 2), np.int32),
        boxes=np.zeros((count, 0, 4), np.float32),
        scores=np.zeros((count, 0), np.float32),
        labels=np.zeros((count, 0), np.int8),
        status=np.full(count, STATUS_EMPTY, np.uint8),
        failure=("",) * count,
        part_names=(),
        fingerprint={},
    )


def write_parts(path: Path, parts: PartBoxes) -> None:
    """Write the part cache atomically."""
    write_atomically(path, encode_parts(parts))


def encode_parts(parts: PartBoxes) -> bytes:
    """Return the HDF5 file of `parts`; equal parts give equal bytes.

    The file is built in memory: h5py kills the process if the disk fills up while it writes (h5py issue 914).
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", track_order=False, userblock_size=SEAL_SIZE) as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["part_names"] = json.dumps(parts.part_names)
        file.attrs["fingerprint"] = json.dumps(parts.fingerprint, sort_keys=True)
        for name in ARRAYS:
            file.create_dataset(name, data=getattr(parts, name), chunks=_chunks(getattr(parts, name)), fletcher32=True)
        for name, values in (("name", parts.names), ("failure", parts.failure)):
            data = np.array([value.encode() for value in values], dtype=bytes)
            text = h5py.string_dtype("utf-8", max(1, data.itemsize))  # HDF5 has no checksum for variable lengths
            options = {"chunks": _chunks(data), "compression": "gzip", "fletcher32": True}
            file.create_dataset(name, data=data.astype(text), **options)
    content = buffer.getvalue()[SEAL_SIZE:]
    return _seal(content) + content


def _seal(content: bytes) -> bytes:
    """Return the HDF5 user block: the hash of the content, verified before HDF5 parses it.

    HDF5's checksums do not cover names, attributes and structure, where a flipped bit can crash the process.
    """
    return f"{SEAL}{sha256_of_bytes(content)}\n".encode().ljust(SEAL_SIZE, b"\0")


def _chunks(array: NDArray[Any]) -> tuple[int, ...]:
    return (max(1, min(len(array), 4096)), *array.shape[1:])


def read_parts(path: Path) -> PartBoxes:
    """Read a whole part cache into memory. Raises UserError if it is missing, damaged or of another schema."""
    if not path_exists(path):
        raise UserError(f"{path}: no such part cache; make it with {_detection(path)}")
    try:
        data = read_regular(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not _is_written_as_cache(data):  # another file of the user's, which no remedy may delete
        raise UserError(f"{path}: not a part cache; name one, or make one with {_detection()}")
    try:
        if data[:SEAL_SIZE] != _seal(data[SEAL_SIZE:]):
            raise ValueError("its content has changed since it was written")
        with h5py.File(io.BytesIO(data), "r") as file:
            schema = int(file.attrs["schema"])
            if schema != SCHEMA:
                raise UserError(
                    f"part cache of schema {schema}, this version reads {SCHEMA}; run {_detection(path)} again"
                )
            return PartBoxes(
                part_names=tuple(map(str, json.loads(file.attrs["part_names"]))),
                fingerprint=dict(json.loads(file.attrs["fingerprint"])),
                **{name: read_array(file, name, kind, len(data)) for name, kind in TYPES.items()},
                names=read_strings(file, "name", len(data)),
                failure=read_strings(file, "failure", len(data)),
            )
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except HDF5_ERRORS as error:
        raise UserError(
            f"{path}: damaged part cache ({str(error)[:200]}); delete it and run {_detection(path)} again"
        ) from error


def _is_written_as_cache(data: bytes) -> bool:
    """Return whether a file may be a part cache, perhaps damaged, and is not another file of the user's.

    A cache starts with its seal, and HDF5 follows; a power failure can leave it empty or of zeros.
    """
    sealed = SEAL.encode().startswith(data[: len(SEAL)])
    return sealed or data[SEAL_SIZE:].startswith(HDF5_SIGNATURE) or not data.strip(b"\0")


def _detection(path: Path | None = None) -> str:
    """Return the command that makes the cache `path`, which is not at its default place if the user named it."""
    return remedy_command("detect", {"--output": path} if path is not None and is_given(path) else {})


def refuse_part_cache(path: Path, remedy: str) -> None:
    """Raise UserError if `path` is a part cache, even a damaged one: it may be hours of a detector's work."""
    if not path_exists(path):
        return
    try:
        start = read_regular(path, len(SEAL))
    except OSError as error:
        raise UserError(f"{path}: cannot be used ({error.strerror or error}); {remedy}") from error
    if start == SEAL.encode():
        raise UserError(f"{path}: is a part cache, which is not overwritten; {remedy}")


def read_array(file: h5py.File, name: str, kind: str, file_size: int) -> NDArray[Any]:
    """Return an uncompressed array of type `kind` from a file of `file_size` bytes.

    Raises one of HDF5_ERRORS if it is missing, of another type or larger than the file.
    """
    dataset = _dataset(file, name)
    if dataset.dtype != kind or dataset.nbytes > file_size:
        raise ValueError(f"{name} is {dataset.dtype} {dataset.shape} in a file of {file_size} bytes")
    return np.asarray(dataset[()])


def read_strings(file: h5py.File, name: str, file_size: int) -> tuple[str, ...]:
    """Return fixed-length strings, which may be compressed, from a file of `file_size` bytes.

    Raises one of HDF5_ERRORS if they are missing, of another type, or much larger than the file.
    """
    dataset = _dataset(file, name)
    text = h5py.check_string_dtype(dataset.dtype)
    limit = MIN_TEXT_LIMIT + MAX_COMPRESSION * file_size
    # variable-length strings could all refer to the same bytes, a million times
    if text is None or text.length is None or dataset.ndim != 1 or dataset.nbytes > limit:
        raise ValueError(f"{name} is {dataset.dtype} {dataset.shape} in a file of {file_size} bytes")
    return tuple(dataset.asstr()[:])


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset stored in the file itself: HDF5 would follow links and external data into any other file."""
    dataset = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ValueError(f"{name} is not an array in the file itself")
    return dataset
