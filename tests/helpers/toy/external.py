"""Feature files as another system may write them, and as it should not."""

import io
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
from reid.features.external import read_given_features

NAMES = [f"images/ü {number}.jpg" for number in range(6)]
PROMISED = np.random.default_rng(0).standard_normal((6, 5))


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **{"names": np.array(NAMES), "features": PROMISED} | arrays)
    return path


def tensors(path: Path, names: object = NAMES, features: NDArray[Any] = PROMISED) -> Path:
    save_file({"features": features}, path, metadata={"names": json.dumps(names)})
    return path


def packed(path: Path, **members: bytes) -> Path:
    """A .npz whose members are these bytes, sums and sizes sound."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def npy_bytes(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_claiming(text: str, data: bytes = b"") -> bytes:
    """An array's bytes with a header that is this text."""
    header = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def one_line(path: Path, names: list[str] = NAMES) -> str:
    """The error that the file is refused with: one line that begins with its name."""
    with pytest.raises(UserError) as caught:
        read_given_features(path, names)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def unit(rows: NDArray[Any]) -> list[list[float]]:
    """Each row divided by its length, by the definition."""
    return [[float(value) / sum(float(other) ** 2 for other in row) ** 0.5 for value in row] for row in rows]
