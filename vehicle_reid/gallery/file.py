"""A gallery on disk: one safetensors file, verified when read, and the faiss index beside it, if it has one.

The index file carries its hash in its name, so that a gallery file always finds its own index.
"""

import glob
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_cache.base.errors import UserError
from data_cache.base.files import (
    path_exists,
    read_regular,
    remove,
    remove_temporary_files,
    sha256_of_bytes,
    write_atomically,
)
from data_cache.base.locks import run_lock
from data_cache.base.options import remedy_command
from data_cache.base.tensors import load_tensors, save_tensors
from data_cache.parts.fingerprints import require_fingerprint
from vehicle_reid.gallery.approximate import FaissSearch, Settings
from vehicle_reid.gallery.entries import ARRAYS, Entries
from vehicle_reid.gallery.search import ExactSearch

log = logging.getLogger(__name__)

KIND, SCHEMA = "gallery", 1
SEPARATOR = "\0"  # between names, which contain no control character
HASH = "[0-9a-f]" * 16  # glob pattern of the hash in an index file's name
STORED = ("ivf", "ivfpq")  # a flat index is just the features
Fingerprint = Mapping[str, str | None]


def rebuild() -> str:
    """Return the remedy for a gallery file that cannot be used."""
    return f"delete it and build it again with {remedy_command('gallery build')}"


def write_gallery(path: Path, entries: Entries, index: ExactSearch | FaissSearch, model: Fingerprint) -> None:
    """Write a gallery atomically; the same gallery gives the same bytes.

    The index is written first, to a new name: an interrupted save leaves the old gallery with its old index.
    """
    record: dict[str, Any] = {"kind": index.kind}
    if isinstance(index, FaissSearch) and index.kind in STORED:
        data = index.to_bytes()
        record |= {"sha256": sha256_of_bytes(data), **asdict(index.settings)}
        write_atomically(_index_path(path, record["sha256"]), data)
    arrays = {name: torch.from_numpy(np.ascontiguousarray(getattr(entries, name))) for name in ARRAYS}
    names = np.frombuffer(SEPARATOR.join(entries.names).encode(), np.uint8)
    arrays["names"] = torch.from_numpy(names.copy())  # a safetensors header cannot hold millions of names
    save_tensors(path, arrays, {"kind": KIND, "schema": SCHEMA, "model": dict(model), "index": record})
    for other in sorted(path.parent.glob(f"{glob.escape(path.name)}.{HASH}.faiss")):
        if other != _index_path(path, record.get("sha256", "")):
            remove(other)


def read_gallery(path: Path, model: Fingerprint, device: str) -> tuple[Entries, ExactSearch | FaissSearch]:
    """Read a gallery and its index; an index that is missing or damaged is built again.

    Raises UserError if the gallery is missing, damaged, of another schema, or was made by another model.
    """
    tensors, metadata = _read_tensors(path)
    remedy = f"name the run and the detector that made it, or {rebuild()}"
    require_fingerprint(metadata.get("model", {}), model, path, remedy)
    try:
        entries = Entries(_names(tensors), *(tensors[name].numpy() for name in ARRAYS))
    except (UserError, LookupError, TypeError, ValueError) as error:  # another program may have written a valid hash
        raise UserError(f"{path}: not a valid gallery ({error}); {rebuild()}") from error
    return entries, _read_index(path, entries, metadata["index"], device)


def read_names(path: Path) -> tuple[str, ...]:
    """Return the names of a gallery's images, whichever model made it. Raises UserError as `read_gallery`."""
    tensors, _ = _read_tensors(path)
    try:
        return _names(tensors)
    except (LookupError, ValueError) as error:
        raise UserError(f"{path}: not a valid gallery ({error}); {rebuild()}") from error


def _read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    if not path_exists(path):
        raise UserError(f"{path}: no such gallery; build it with {remedy_command('gallery build')}")
    tensors, metadata, _ = load_tensors(path, rebuild())
    if (metadata.get("kind"), metadata.get("schema")) != (KIND, SCHEMA):
        raise UserError(f"{path}: not a gallery of schema {SCHEMA}; {rebuild()}")
    return tensors, metadata


def _names(tensors: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    text = tensors["names"].numpy().tobytes().decode()
    return tuple(text.split(SEPARATOR)) if text else ()


def make_index(kind: str, entries: Entries, device: str) -> ExactSearch | FaissSearch:
    """Return a new index of a gallery's features. Raises UserError if there are too few for its kind."""
    if kind == "exact":
        return ExactSearch(entries.features, device)
    return FaissSearch.build(kind, entries.features, entries.ids)


@contextmanager
def gallery_lock(path: Path) -> Iterator[Path]:
    """Lock a gallery while it is read, changed and written; yield the folder for unfinished work.

    Temporary files of killed runs are removed. What an interrupted job has finished stays in that folder. Raises
    UserError if another run holds the lock.
    """
    work = path.with_name(path.name + ".work")
    try:
        with run_lock(work):
            remove_temporary_files(path)
            for temporary in path.parent.glob(f".{glob.escape(path.name)}.{HASH}.faiss.????????.tmp"):
                remove(temporary)
            yield work
    finally:
        with suppress(OSError):  # it is not empty, or was never made
            work.rmdir()


def _read_index(path: Path, entries: Entries, record: Mapping[str, Any], device: str) -> ExactSearch | FaissSearch:
    kind = record["kind"]
    if kind in STORED:
        index_path = _index_path(path, record["sha256"])
        try:
            data = _verified_bytes(index_path, record["sha256"])
            settings = Settings(kind, record["probes"], record["trained_on"])
            return FaissSearch.from_bytes(data, entries.features, entries.ids, settings)
        except UserError as error:
            log.warning(f"{index_path}: {error}; building the index again from the features")
    return make_index(kind, entries, device)


def _verified_bytes(path: Path, sha256: str) -> bytes:
    """Return the content of a file if it has that hash, else raise UserError."""
    try:
        data = read_regular(path)
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror or error})") from error
    if sha256_of_bytes(data) != sha256:
        raise UserError("not the index that was written with the gallery")
    return data


def _index_path(path: Path, sha256: str) -> Path:
    return path.with_name(f"{path.name}.{sha256[:16]}.faiss")
