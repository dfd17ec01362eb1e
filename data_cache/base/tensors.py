"""Tensor files that cannot run code: safetensors with a hash of their content."""

import hashlib
import json
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_cache.base.errors import UserError
from data_cache.base.files import open_regular, read_regular, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

ENTRY = "contents"
_LENGTH = struct.Struct("<Q")
# what torch.load, safetensors and numpy raise for a damaged or foreign file
LOAD_ERRORS = (
    *(OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, AssertionError),
    *(ArithmeticError, MemoryError, pickle.UnpicklingError, zipfile.BadZipFile, struct.error),
)
PYTORCH = (b"PK\x03\x04", b"\x80")  # how files of torch.save begin: a zip archive, before 1.6 a pickle
_HEADER_ERRORS = (LookupError, ValueError, TypeError, AttributeError, RuntimeError, struct.error)


def content_hash(tensors: "Mapping[str, Tensor]", metadata: Mapping[str, Any]) -> str:
    """Return the SHA-256 of names, types, shapes, values and metadata; the order of the names does not matter."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():  # torch cannot view an empty numpy array, of stride 0, as bytes
            digest.update(tensor.flatten().view(_byte_type()).numpy().tobytes())
    return digest.hexdigest()


def _byte_type() -> Any:
    import torch

    return torch.uint8


def save_tensors(path: Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, Any]) -> str:
    """Write named tensors and JSON metadata to one file; return the SHA-256 of their content.

    The same content gives the same bytes: all metadata is one entry, because safetensors does not order entries.
    """
    from safetensors.torch import save

    content = content_hash(tensors, metadata)
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    entry = json.dumps({"metadata": metadata, "sha256": content}, sort_keys=True, allow_nan=False)
    write_atomically(path, save(contiguous, {ENTRY: entry}))
    return content


def load_tensors(path: Path, remedy: str) -> "tuple[dict[str, Tensor], dict[str, Any], str]":
    """Read a file of `save_tensors`: tensors on the CPU, metadata, content hash.

    Raises UserError, ending with `remedy`, if the file is missing, foreign, damaged or modified.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = read_regular(path)
        metadata, expected = _entry(data)
        tensors = load(data)
        content = content_hash(tensors, metadata)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; {remedy}") from error
    except (SafetensorError, OSError, *_HEADER_ERRORS) as error:
        raise UserError(f"{path}: damaged, or not written by this program ({error}); {remedy}") from error
    if content != expected:
        raise UserError(f"{path}: its content has changed since it was written; {remedy}")
    return tensors, metadata, expected


def half_precision(source: Path, tensors: "Mapping[str, Tensor]", remedy: str) -> "dict[str, Tensor]":
    """Return the tensors of the file `source` with matrices in float16 and vectors as they are: half the bytes.

    Raises UserError, ending with `remedy`, if a value is not finite in float16.
    """
    halved = {name: value.half() if value.ndim > 1 else value for name, value in tensors.items()}
    if broken := non_finite_names(halved):
        raise UserError(f"{source}: {broken[0]} is not finite in float16; {remedy}")
    return halved


def non_finite_names(tensors: "Mapping[str, Tensor]") -> list[str]:
    """Return the names of tensors that contain NaN or infinity."""
    return [name for name, value in tensors.items() if not value.isfinite().all()]


def read_metadata(path: Path, remedy: str) -> dict[str, Any]:
    """Return the metadata of a file of `save_tensors`; see `read_entry`."""
    return read_entry(path, remedy)[0]


def read_entry(path: Path, remedy: str) -> tuple[dict[str, Any], str]:
    """Return metadata and content hash of a file of `save_tensors`, without torch and without verifying the tensors.

    Raises UserError, ending with `remedy`, if the file is missing or foreign.
    """
    try:
        with open_regular(path) as file:
            head = file.read(_LENGTH.size)
            return _entry(head + file.read(min(_LENGTH.unpack(head)[0], path.stat().st_size)))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; {remedy}") from error
    except (OSError, *_HEADER_ERRORS) as error:
        raise UserError(f"{path}: damaged, or not written by this program ({error}); {remedy}") from error


def is_pytorch(start: bytes) -> bool:
    """Return whether a file that begins with these 16 bytes or more is one of `torch.save`, and not of safetensors."""
    return start.startswith(PYTORCH) and start[_LENGTH.size : _LENGTH.size + 1] != b"{"  # the header of safetensors


def _entry(data: bytes) -> tuple[dict[str, Any], str]:
    """Return metadata and content hash from the header: its length in 8 bytes, then JSON."""
    if is_pytorch(data):
        raise ValueError("it is a PyTorch file; this program writes safetensors with a recipe")
    (length,) = _LENGTH.unpack(data[: _LENGTH.size])
    header = json.loads(data[_LENGTH.size : _LENGTH.size + length])
    if ENTRY not in header.get("__metadata__", {}):
        raise ValueError("its safetensors header has no recipe")
    entry = json.loads(header["__metadata__"][ENTRY])
    return dict(entry["metadata"]), str(entry["sha256"])
