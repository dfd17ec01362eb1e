"""A gallery on disk: one safetensors file, verified when it is read; and beside it the index of faiss, if it has one.

The index stands in a file whose name holds its hash, so that whichever gallery file is there finds its own index.
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
from data_cache.base.files import is_there, read_regular, remove, remove_strays, sha256_of_bytes, write_atomically
from data_cache.base.locks import run_lock
from data_cache.base.tensors import load_tensors, save_tensors
from data_cache.parts.cache import require_fingerprint
from vehicle_reid.gallery.approximate import FaissSearch, Settings
from vehicle_reid.gallery.entries import ARRAYS, Entries
from vehicle_reid.gallery.search import ExactSearch

log = logging.getLogger(__name__)

KIND, SCHEMA = "gallery", 1
REMEDY = "build it again with `python cli.py gallery build`"
SEPARATOR = "\0"  # of names, which hold no control character
HASH = "[0-9a-f]" * 16  # of a file, in its name
STORED = ("ivf", "ivfpq")  # flat is the features again
Fingerprint = Mapping[str, str | None]


def write_gallery(path: Path, entries: Entries, index: ExactSearch | FaissSearch, model: Fingerprint) -> None:
    """Write a gallery as a whole or not at all; the same gallery gives the same bytes.

    The index goes first, under a name of its own: a stop leaves the old gallery with the old index.
    """
    record: dict[str, Any] = {"kind": index.kind}
    if isinstance(index, FaissSearch) and index.kind in STORED:
        data = index.written()
        record |= {"sha256": sha256_of_bytes(data), **asdict(index.settings)}
        write_atomically(_index_path(path, record["sha256"]), data)
    arrays = {name: torch.from_numpy(np.ascontiguousarray(getattr(entries, name))) for name in ARRAYS}
    names = np.frombuffer(SEPARATOR.join(entries.names).encode(), np.uint8)
    arrays["names"] = torch.from_numpy(names.copy())  # a header of safetensors may not hold millions of names
    save_tensors(path, arrays, {"kind": KIND, "schema": SCHEMA, "model": dict(model), "index": record})
    for other in _index_files(path):
        if other != _index_path(path, record.get("sha256", "")):
            remove(other)


def read_gallery(path: Path, model: Fingerprint, device: str) -> tuple[Entries, ExactSearch | FaissSearch]:
    """Read a gallery and its index, which is built again where it is missing or damaged.

    Raises UserError where the gallery is missing, damaged, of another schema, or of another model than `model`.
    """
    tensors, metadata, _ = load_tensors(path, REMEDY)
    if (metadata.get("kind"), metadata.get("schema")) != (KIND, SCHEMA):
        raise UserError(f"{path}: no gallery of schema {SCHEMA}; {REMEDY}")
    remedy = "name the run and the detector that made it, or build it again"
    require_fingerprint(metadata.get("model", {}), model, path, remedy)
    try:
        text = tensors["names"].numpy().tobytes().decode()
        entries = Entries(tuple(text.split(SEPARATOR)) if text else (), *(tensors[name].numpy() for name in ARRAYS))
    except (UserError, LookupError, TypeError, ValueError) as error:  # whoever wrote it, its hash is right
        raise UserError(f"{path}: holds no gallery ({error}); {REMEDY}") from error
    return entries, _read_index(path, entries, metadata["index"], device)


def make_index(kind: str, entries: Entries, device: str) -> ExactSearch | FaissSearch:
    """Return a new index of a gallery's features. Raises UserError where they are too few for it."""
    if kind == "exact":
        return ExactSearch(entries.features, device)
    return FaissSearch.build(kind, entries.features, entries.ids)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Hold the lock of a gallery while it is read, changed and written; give the folder for work on it.

    What a stopped job has finished stays there. Raises UserError where another run holds the lock, and on SIGTERM.
    """
    work = path.with_name(path.name + ".work")
    try:
        with run_lock(work):
            _remove_strays(path)
            yield work
    finally:
        with suppress(OSError):  # where something is kept in it, or it has gone
            work.rmdir()


def _read_index(path: Path, entries: Entries, record: Mapping[str, Any], device: str) -> ExactSearch | FaissSearch:
    kind = record["kind"]
    if kind in STORED:
        place = _index_path(path, record["sha256"])
        try:
            data = _verified(place, record["sha256"])
            settings = Settings(kind, record["probes"], record["trained_on"])
            return FaissSearch.read(data, entries.features, entries.ids, settings)
        except UserError as error:
            log.info(f"{place}: {error}; the index is built again from the features")
    return make_index(kind, entries, device)


def _verified(place: Path, sha256: str) -> bytes:
    """Return the bytes of an index file that have that hash: no others may reach faiss."""
    if not is_there(place):
        raise UserError("no such file")
    try:
        data = read_regular(place)
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror or error})") from error
    if sha256_of_bytes(data) != sha256:
        raise UserError("not the index that was written with the gallery")
    return data


def _index_path(path: Path, sha256: str) -> Path:
    return path.with_name(f"{path.name}.{sha256[:16]}.faiss")


def _index_files(path: Path) -> list[Path]:
    return list(path.parent.glob(f"{glob.escape(path.name)}.{HASH}.faiss"))


def _remove_strays(path: Path) -> None:
    """Remove the temporary files that killed writers of a gallery and its index left."""
    remove_strays(path)
    for stray in path.parent.glob(f".{glob.escape(path.name)}.{HASH}.faiss.????????.tmp"):
        remove(stray)
