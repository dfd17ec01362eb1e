"""Tensor files that cannot run code and cannot change unseen: safetensors with a hash of their content inside."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_cache.errors import UserError
from data_cache.files import write_atomically

if TYPE_CHECKING:
    from torch import Tensor


def content_hash(tensors: "Mapping[str, Tensor]", metadata: Mapping[str, Any]) -> str:
    """Return the SHA-256 of names, types, shapes, values and metadata; the order of the names does not matter."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(_byte_type()).numpy().tobytes())
    return digest.hexdigest()


def _byte_type() -> Any:
    import torch

    return torch.uint8


def save_tensors(path: Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, Any]) -> str:
    """Write named tensors and JSON metadata as one whole file; return the SHA-256 of their content."""
    from safetensors.torch import save

    content = content_hash(tensors, metadata)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"metadata": json.dumps(metadata, sort_keys=True), "sha256": content}
    write_atomically(path, save(plain, header))
    return content


def load_tensors(path: Path, remedy: str) -> "tuple[dict[str, Tensor], dict[str, Any], str]":
    """Read what `save_tensors` wrote: tensors on the CPU, metadata, content hash.

    Raises UserError, ending with `remedy`, where the file is missing, is something else, or its content has changed.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path}: no such file; {remedy}")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        metadata = json.loads(header["metadata"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: damaged, or not a file of this system ({error}); {remedy}") from error
    content = content_hash(tensors, metadata)
    if content != header.get("sha256"):
        raise UserError(f"{path}: its content has changed since it was written; {remedy}")
    return tensors, metadata, content
