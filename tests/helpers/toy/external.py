"""Feature files of other systems, well-formed and malformed."""

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from data_cache.base.errors import UserError
from reid.features.external import read_external_features

NAMES = [f"images/ü {number}.jpg" for number in range(6)]
VALUES = np.random.default_rng(0).standard_normal((6, 5))


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **{"names": np.array(NAMES), "features": VALUES} | arrays)
    return path


def tensors(path: Path, names: object = NAMES, features: NDArray[Any] = VALUES) -> Path:
    save_file({"features": features}, path, metadata={"names": json.dumps(names)})
    return path


def write_external(folder: Path, kind: str, names: list[str] = NAMES, features: NDArray[Any] = VALUES) -> Path:
    """Write f.npz or f.safetensors, by `kind`."""
    if kind == "npz":
        return npz(folder / "f.npz", names=np.array(names), features=features)
    return tensors(folder / "f.safetensors", names, features)


def packed(path: Path, **members: bytes) -> Path:
    """Write a .npz whose members are these bytes, with valid checksums and sizes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def npy_with_header(text: str, data: bytes = b"") -> bytes:
    """Return an array file with this text as its header."""
    header = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def read_error(path: Path, names: list[str] = NAMES) -> str:
    """Return the error that the file is refused with: one line that starts with its name."""
    with pytest.raises(UserError) as caught:
        read_external_features(path, names)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def naive_unit(rows: NDArray[Any]) -> list[list[float]]:
    """Return each row divided by its length, by the definition."""
    return [[float(value) / sum(float(other) ** 2 for other in row) ** 0.5 for value in row] for row in rows]
