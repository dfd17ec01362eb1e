"""Mask files: every number type and order is read, anything else is refused in one line."""

import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.base.npy import MaskError, read_array, read_masks
from helpers.toy.masks import npy, rectangles

PATH = Path("m.npy")


def header(text: str, content: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text.encode() + content


@pytest.mark.parametrize("kind", ["bool", "u1", "i1", "<i4", ">i8", "<f4", ">f8", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_masks_of_every_number_type_are_read(kind: str, order: Any) -> None:
    masks = rectangles(5)
    assert np.array_equal(read_masks(PATH, npy(np.array(masks, dtype=kind, order=order))), masks == 1)


@pytest.mark.parametrize(
    "array",
    [
        *(np.zeros(shape) for shape in ((14, 14), (14, 14, 3), (2, 28, 28), (1, 2, 14, 14), ())),
        *(np.full((1, 14, 14), value) for value in (255, 0.5, np.nan, -1, "1", 1j)),
        *(np.zeros((1, 14, 14), kind) for kind in ("datetime64[s]", [("a", "f4")])),
    ],
)
def test_other_arrays_are_refused(array: Any) -> None:
    reason = "holds values other than 0 and 1" if array.dtype.kind in "if" and array.any() else "expected numbers"
    with pytest.raises(MaskError, match=rf"^m\.npy: .*{reason}"):
        read_masks(PATH, npy(array))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "harm"),)

    array = np.empty((1, 14, 14), dtype=object)
    array[0, 0, 0] = Hostile()
    for data in (npy(array, allow_pickle=True), pickle.dumps(Hostile())):
        with pytest.raises(ValueError, match=r"Object arrays cannot be loaded|magic string is not correct"):
            read_array(io.BytesIO(data))
    assert not (tmp_path / "harm").exists()


SHAPE = "{{'descr': '|u1', 'fortran_order': False, 'shape': {}}}\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        b"\x93NUMPY",
        b"\x93NUMPY\x03\x00",
        b"\x93NUMPY\x04\x00",
        header("(" * 9000),
        header("-" * 9000 + "1"),
        header("'''"),
        header("{'descr'"),
        header("__import__('os').mkdir('harm')"),
        header("{}"),
        header("{" + " " * 50_000 + "}", version=(2, 0)),
        header(SHAPE.format("(10**9, 14, 14)")),
        header(SHAPE.format("(99999999999999999999999, 14, 14)")),
        header(SHAPE.format("(1000000000000, 14, 14)"), b"\1" * 196),
        header(SHAPE.format("(-1, 14, 14)"), b"\1" * 196),
        header(SHAPE.format("(2, 14, 14)"), b"\1" * 196),
        header(SHAPE.format("(1, 14, 14)"), b"\1" * 197),
        header("{'descr': '|S0', 'fortran_order': False, 'shape': (1, 14, 14)}"),
        header("{'descr': '|V', 'fortran_order': False, 'shape': (1, 14, 14)}"),
        header("{'descr': ('<f4', (14, 14)), 'fortran_order': False, 'shape': (1,)}"),
        header("{'descr': {'names': ['a'], 'offsets': [-5]}, 'fortran_order': False, 'shape': (1, 14, 14)}"),
    ],
)
def test_hostile_files_are_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(MaskError, match=r"^m\.npy: ") as caught:
        read_masks(PATH, data)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_damaged_files_give_masks_or_a_mask_error() -> None:
    whole = npy(rectangles(1))
    for length in range(0, len(whole), 5):
        with pytest.raises(MaskError):
            read_masks(PATH, whole[:length])
    for place in range(0, 128):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            try:
                assert read_masks(PATH, bytes(damaged)).shape == (1, 14, 14)
            except MaskError as error:
                assert str(error).startswith("m.npy: ")
