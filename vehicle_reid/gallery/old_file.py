"""Galleries of versions before 0.6, one safetensors file each, read to be converted."""

from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.base.files import path_exists
from data_cache.base.tensors import load_tensors
from vehicle_reid.gallery.entries import ARRAYS, Entries
from vehicle_reid.gallery.store import Fingerprint, Store, rebuild
from vehicle_reid.gallery.stores import store_at

KIND, SCHEMA = "gallery", 1
SEPARATOR = "\0"  # between names
INDEXES = {"exact": "exact", "flat": "exact", "ivf": "approximate", "ivfpq": "approximate"}  # old to new


def convert(path: Path, address: str) -> Store:
    """Write the gallery of an old file to a new one, whole or not at all. Raises UserError as `read_old`."""
    entries, model, index = read_old(path)
    return store_at(address).create(address, entries, model=model, index=index)


def read_old(path: Path) -> tuple[Entries, Fingerprint, str]:
    """Return the images of an old file, the fingerprint of their model, and the index of today that is like its own.

    Raises UserError if the file is missing, damaged, or no gallery.
    """
    if not path_exists(path):
        raise UserError(f"{path}: no such file")
    tensors, metadata, _ = load_tensors(path, rebuild())
    if (metadata.get("kind"), metadata.get("schema")) != (KIND, SCHEMA):
        raise UserError(f"{path}: not a gallery of schema {SCHEMA}; {rebuild()}")
    try:
        text = tensors["names"].numpy().tobytes().decode()
        names = tuple(text.split(SEPARATOR)) if text else ()
        entries = Entries(names, *(tensors[name].numpy() for name in ARRAYS))
        return entries, metadata["model"], INDEXES[metadata["index"]["kind"]]
    except (UserError, LookupError, TypeError, ValueError) as error:  # another program may have written a valid hash
        raise UserError(f"{path}: not a valid gallery ({error}); {rebuild()}") from error
